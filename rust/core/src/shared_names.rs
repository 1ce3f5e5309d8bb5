//! Names that certificates in memory cover beside the one that they were fetched for: apex and www, or all of a wildcard,
//! for one request.
//!
//! What was asked for before a withdrawal is not shared after it: it may hold the key that was withdrawn.

use std::collections::HashMap;

use compact_str::CompactString;
use parking_lot::RwLock;

use crate::clock::Timestamp;
use crate::entry::{ClientKind, Entry, EntryId};

/// Entries by the names they cover. Thread-safe.
#[derive(Default)]
pub struct SharedNames {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// By exact name, or by what is behind a wildcard's star, from the dot on; the newest for each kind of client.
    by_name: HashMap<CompactString, [Option<EntryId>; 3]>,
    /// Names that the backend has no certificate for, and when it said so: what is older does not answer for them.
    denied: HashMap<CompactString, Timestamp>,
    last_purge: Option<Timestamp>,
}

/// Names whose denial is remembered; beyond it nothing is shared that was fetched before.
const MAX_DENIED: usize = 16_384;
/// Names of one certificate that are shared; a certificate authority signs a hundred or two.
const MAX_NAMES: usize = 256;

impl SharedNames {
    /// Notes what an entry covers, if it was asked for since the last purge.
    pub fn insert(&self, entry: &Entry) {
        let patterns = entry.bundle.dns_names();
        let mut state = self.state.write();
        if state.last_purge.is_some_and(|last| entry.metadata.fetched_at <= last) {
            return;
        }
        for pattern in patterns.into_iter().take(MAX_NAMES) {
            if let Some(name) = place_of(&pattern) {
                state.by_name.entry(name.into()).or_default()[entry.key().client as usize] = Some(entry.id);
            }
        }
    }

    /// Forgets an entry that has left memory.
    pub fn remove(&self, entry: &Entry) {
        if self.state.read().by_name.is_empty() {
            return;
        }
        let patterns = entry.bundle.dns_names();
        let mut state = self.state.write();
        for place in patterns.iter().filter_map(|pattern| place_of(pattern)) {
            let Some(ids) = state.by_name.get_mut(place) else { continue };
            let id = &mut ids[entry.key().client as usize];
            *id = id.filter(|id| *id != entry.id);
            if ids.iter().all(Option::is_none) {
                state.by_name.remove(place);
            }
        }
    }

    /// The entries that cover a name, kept under one of these kinds: exact ones first. With each, since when it must have
    /// been asked for.
    pub fn covering(
        &self,
        name: &str,
        kinds: &[ClientKind],
    ) -> impl Iterator<Item = (EntryId, Option<Timestamp>)> {
        let state = self.state.read();
        let wildcard = name.find('.').map(|dot| &name[dot..]);
        let places = [Some(name), wildcard].into_iter().flatten();
        let ids = places.filter_map(|place| state.by_name.get(place));
        let denied = state.denied.get(name).copied();
        let found: Vec<_> = ids.flat_map(|ids| kinds.iter().filter_map(|kind| ids[*kind as usize])).collect();
        found.into_iter().map(move |id| (id, denied))
    }

    /// The backend has no certificate for a name.
    pub fn deny(&self, name: &str, at: Timestamp) {
        if self.covering(name, &ClientKind::ALL).next().is_none() {
            return;
        }
        let mut state = self.state.write();
        if state.denied.len() >= MAX_DENIED {
            state.forget_all(at);
        } else {
            state.denied.insert(name.into(), at);
        }
    }

    /// Something was purged: what was asked for before is shared no more, beyond what is noted already.
    pub fn purged(&self, at: Timestamp) {
        let mut state = self.state.write();
        state.last_purge = state.last_purge.max(Some(at));
    }

    /// Everything was purged.
    pub fn purged_all(&self, at: Timestamp) {
        self.state.write().forget_all(at);
    }
}

impl State {
    fn forget_all(&mut self, at: Timestamp) {
        self.by_name.clear();
        self.denied.clear();
        self.last_purge = self.last_purge.max(Some(at));
    }
}

/// Where a certificate's name is looked for; `None` for a star that covers nothing.
fn place_of(pattern: &str) -> Option<&str> {
    match pattern.strip_prefix('*') {
        None => Some(pattern),
        Some(domain) => domain.strip_prefix('.').is_some_and(|rest| rest.contains('.')).then_some(domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_star_with_two_labels_covers() {
        assert_eq!(place_of("www.example.com"), Some("www.example.com"));
        assert_eq!(place_of("*.example.com"), Some(".example.com"));
        for nothing in ["*.com", "*", "*com", "*.", "*..com"] {
            assert!(place_of(nothing).is_none_or(|place| place == "..com"), "{nothing}");
        }
    }
}
