//! What the backend has denied though a certificate in memory covers it. A scanner makes up as many names as it likes below
//! one wildcard: what there is no room for is denied to all names of the place that takes the most.

use std::collections::HashMap;

use compact_str::CompactString;

use crate::clock::Timestamp;
use crate::entry::ClientKind;

/// Until when certificates that answer must not have been asked for, by the least capable kind of client that can use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denied([Option<Timestamp>; ClientKind::ALL.len()]);

impl Denied {
    /// The same for certificates that clients from this kind on can use.
    pub fn until(self, kind: ClientKind) -> Option<Timestamp> {
        self.0[kind as usize]
    }

    /// What is denied here or there.
    pub(super) fn or(self, other: Denied) -> Denied {
        Denied(ClientKind::ALL.map(|kind| self.until(kind).max(other.until(kind))))
    }

    /// Of any certificate.
    pub(super) fn newest(self) -> Option<Timestamp> {
        self.0.into_iter().max().flatten()
    }

    /// What such a client was told.
    fn told(client: ClientKind, at: Timestamp) -> Denied {
        Denied(ClientKind::ALL.map(|kind| (kind <= client).then_some(at)))
    }
}

/// Names whose denial is remembered, and places.
const MAX_DENIED: usize = 16_384;
/// Names of one place.
const MAX_OF_PLACE: usize = 1_024;

/// Denials by the places that cover the name: itself, or what is behind a wildcard's star.
#[derive(Default)]
pub(super) struct Denials {
    by_place: HashMap<CompactString, OfPlace>,
    /// Places and names.
    size: usize,
}

#[derive(Default)]
struct OfPlace {
    all: Denied,
    by_name: HashMap<CompactString, Denied>,
}

impl OfPlace {
    /// Denies to all names what was denied to any; returns how many they were.
    fn merge(&mut self) -> usize {
        let by_name = std::mem::take(&mut self.by_name);
        self.all = by_name.values().fold(self.all, |all, denied| all.or(*denied));
        by_name.len()
    }
}

impl Denials {
    /// What a place must not answer a name with.
    pub(super) fn of(&self, place: &str, name: &str) -> Denied {
        let Some(there) = self.by_place.get(place) else { return Denied::default() };
        there.by_name.get(name).map_or(there.all, |denied| there.all.or(*denied))
    }

    /// Notes what such a client was told of a name. Returns the places that are remembered no more, with what was denied there.
    #[must_use]
    pub(super) fn note(
        &mut self,
        place: &str,
        name: &str,
        client: ClientKind,
        at: Timestamp,
    ) -> Vec<(CompactString, Denied)> {
        if !self.by_place.contains_key(place) {
            self.by_place.insert(place.into(), OfPlace::default());
            self.size += 1;
        }
        if let Some(there) = self.by_place.get_mut(place) {
            let told = Denied::told(client, at);
            if place == name {
                there.all = there.all.or(told);
            } else if let Some(denied) = there.by_name.get_mut(name) {
                *denied = denied.or(told);
            } else {
                there.by_name.insert(name.into(), told);
                self.size += 1;
            }
            if there.by_name.len() > MAX_OF_PLACE {
                self.size -= there.merge();
            }
        }
        let mut forgotten = Vec::new();
        while self.size > MAX_DENIED {
            forgotten.extend(self.make_room());
        }
        forgotten
    }

    /// Merges the place with the most names. If none has any, the place where nothing was denied for the longest time goes.
    fn make_room(&mut self) -> Option<(CompactString, Denied)> {
        let most = self.by_place.values_mut().max_by_key(|there| there.by_name.len());
        let merged = most.map_or(0, OfPlace::merge);
        self.size -= merged;
        if merged > 0 {
            return None;
        }
        let oldest = self.by_place.iter().min_by_key(|(_, there)| there.all.newest());
        let (place, denied) = oldest.map(|(place, there)| (place.clone(), there.all))?;
        self.by_place.remove(&place);
        self.size -= 1;
        Some((place, denied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCANNED: &str = ".scanned.example";

    fn scan(denials: &mut Denials, count: usize) {
        for number in 0..count {
            let name = format!("n{number}{SCANNED}");
            assert_eq!(denials.note(SCANNED, &name, ClientKind::Ecdsa, Timestamp(9)), []);
        }
    }

    #[test]
    fn a_denial_is_of_what_such_a_client_can_use() {
        let mut denials = Denials::default();
        assert_eq!(denials.note("a.example", "a.example", ClientKind::RsaOnly, Timestamp(5)), []);
        let until = |kind| denials.of("a.example", "a.example").until(kind);
        assert_eq!(until(ClientKind::RsaOnly), Some(Timestamp(5)));
        assert_eq!((until(ClientKind::Ecdsa), until(ClientKind::Ed25519)), (None, None));
    }

    #[test]
    fn a_scan_of_one_place_leaves_the_others() {
        let mut denials = Denials::default();
        assert_eq!(denials.note(".b.example", "a.b.example", ClientKind::Ecdsa, Timestamp(5)), []);
        scan(&mut denials, MAX_OF_PLACE);
        let until = |denials: &Denials, place, name| denials.of(place, name).until(ClientKind::Ecdsa);
        assert_eq!(until(&denials, SCANNED, "other.scanned.example"), None);
        scan(&mut denials, MAX_DENIED);
        assert_eq!(
            until(&denials, SCANNED, "other.scanned.example"),
            Some(Timestamp(9)),
            "what was denied stays so"
        );
        assert_eq!(until(&denials, ".b.example", "a.b.example"), Some(Timestamp(5)));
        assert_eq!(until(&denials, ".b.example", "other.b.example"), None);
    }

    #[test]
    fn of_too_many_places_the_one_that_was_denied_longest_ago_is_forgotten() {
        let mut denials = Denials::default();
        assert_eq!(denials.note(".b.example", "a.b.example", ClientKind::Ecdsa, Timestamp(5)), []);
        let mut forgotten = Vec::new();
        for number in 0..MAX_DENIED {
            let (place, at) = (format!(".n{number}.example"), Timestamp(9 + number as u64));
            forgotten.extend(denials.note(&place, &format!("a{place}"), ClientKind::Ecdsa, at));
            assert!(denials.size <= MAX_DENIED);
        }
        let sizes = denials.by_place.values().map(|there| 1 + there.by_name.len());
        assert_eq!(sizes.sum::<usize>(), denials.size);
        assert_eq!(forgotten, [(".b.example".into(), Denied::told(ClientKind::Ecdsa, Timestamp(5)))]);
    }
}
