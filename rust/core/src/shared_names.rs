//! Names that certificates in memory cover beside the one that they were fetched for: apex and www, or all of a wildcard,
//! for one request.
//!
//! Only what the backend has sent in this process is shared. What comes from disk may be older than a "no" or a purge that
//! nobody remembers, and what was asked for before a purge may hold the key that was withdrawn.

mod denials;

use std::collections::HashMap;

use compact_str::CompactString;
use parking_lot::RwLock;

use crate::clock::Timestamp;
use crate::entry::{ClientKind, Entry, EntryId, EntryKeyRef};

pub use denials::Denied;

use denials::Denials;

/// Entries by the names they cover. Thread-safe.
#[derive(Default)]
pub struct SharedNames {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// By exact name, or by what is behind a wildcard's star, from the dot on; the newest last.
    by_name: HashMap<CompactString, Vec<Holder>>,
    denials: Denials,
    /// The last purge, or a denial that is forgotten: what was asked for until then enters no more.
    closed_until: Option<Timestamp>,
}

/// An entry that covers a name.
struct Holder {
    id: EntryId,
    fetched_at: Timestamp,
    /// The least capable kind of client that can use it.
    kind: ClientKind,
}

/// Entries that share one name: as many names of a wildcard as are asked for at once before the first is there.
const MAX_HOLDERS: usize = 1_024;
/// Those of them that a lookup looks at, the newest.
pub const MAX_ANSWERING: usize = 8;
/// Names of one certificate that are shared; a certificate authority signs a hundred or two.
pub const MAX_NAMES: usize = 256;
/// Bytes that a name takes here, about.
pub const WEIGHT_OF_NAME: usize = 128;

impl SharedNames {
    /// Notes an entry under the DNS names of its certificate, unless it was asked for before the last purge.
    pub fn insert(&self, entry: &Entry, dns_names: &[CompactString]) {
        let mut state = self.state.write();
        let fetched_at = entry.metadata.fetched_at;
        if state.closed_until.is_some_and(|until| fetched_at <= until) {
            return;
        }
        let kind = ClientKind::for_key(entry.algorithm());
        for place in dns_names.iter().filter_map(|pattern| place_of(pattern)).take(MAX_NAMES) {
            let holders = state.by_name.entry(place.into()).or_default();
            if holders.len() == MAX_HOLDERS {
                holders.remove(0);
            }
            holders.push(Holder { id: entry.id, fetched_at, kind });
        }
    }

    /// Whether the entry with this id is shared under any of these names.
    pub fn contains(&self, id: EntryId, dns_names: &[CompactString]) -> bool {
        let state = self.state.read();
        let mut places = dns_names.iter().filter_map(|pattern| place_of(pattern));
        places.any(|place| {
            state.by_name.get(place).is_some_and(|holders| holders.iter().any(|holder| holder.id == id))
        })
    }

    /// Forgets an entry that has left memory.
    pub fn remove(&self, entry: &Entry) {
        if self.state.read().by_name.is_empty() {
            return;
        }
        let patterns = entry.bundle.dns_names();
        let mut state = self.state.write();
        for place in patterns.iter().filter_map(|pattern| place_of(pattern)) {
            let Some(holders) = state.by_name.get_mut(place) else { continue };
            holders.retain(|holder| holder.id != entry.id);
            if holders.is_empty() {
                state.by_name.remove(place);
            }
        }
    }

    /// The entries that cover a name, exact ones first, the newest of them first and so many at most of either; and what of
    /// them is denied.
    pub fn covering(&self, name: &str, most: usize) -> (Vec<EntryId>, Denied) {
        let state = self.state.read();
        let holders = places_covering(name).filter_map(|place| state.by_name.get(place));
        let covering = holders.flat_map(|holders| holders.iter().rev().take(most).map(|holder| holder.id));
        let denied = places_covering(name).map(|place| state.denials.of(place, name));
        (covering.collect(), denied.fold(Denied::default(), Denied::or))
    }

    /// The backend has no certificate for such a client: what it could have used does not answer for the name, if it is
    /// older, or is here already.
    pub fn deny(&self, key: EntryKeyRef<'_>, at: Timestamp) {
        let EntryKeyRef { name, client } = key;
        if !places_covering(name).any(|place| self.state.read().newest(place, client).is_some()) {
            return;
        }
        let state = &mut *self.state.write();
        for place in places_covering(name) {
            if let Some(newest) = state.newest(place, client) {
                // What is here and looks newer, too: the clock may have been set back, and a miss costs one request.
                let forgotten = state.denials.note(place, name, client, newest.max(at));
                forgotten.iter().for_each(|(place, denied)| state.close(place, *denied));
            }
        }
    }

    /// Something was purged: what was asked for before is shared no more, beyond what is noted already.
    pub fn purged(&self, at: Timestamp) {
        self.state.write().close_until(Some(at));
    }

    /// Everything was purged.
    pub fn purged_all(&self, at: Timestamp) {
        let mut state = self.state.write();
        state.by_name.clear();
        state.denials = Denials::default();
        state.close_until(Some(at));
    }
}

impl State {
    /// When the newest was asked for that lies at a place and such a client can use.
    fn newest(&self, place: &str, client: ClientKind) -> Option<Timestamp> {
        let usable = self.by_name.get(place)?.iter().filter(|holder| holder.kind <= client);
        usable.map(|holder| holder.fetched_at).max()
    }

    /// Forgets what lies at a place and is denied there to a name that nobody remembers.
    fn close(&mut self, place: &str, denied: Denied) {
        if let Some(holders) = self.by_name.get_mut(place) {
            holders.retain(|holder| denied.until(holder.kind) < Some(holder.fetched_at));
            if holders.is_empty() {
                self.by_name.remove(place);
            }
        }
        self.close_until(denied.newest());
    }

    fn close_until(&mut self, at: Option<Timestamp>) {
        self.closed_until = self.closed_until.max(at);
    }
}

/// Where the certificates are that cover a name: under itself, and under what is behind a wildcard's star.
fn places_covering(name: &str) -> impl Iterator<Item = &str> {
    let wildcard = name.find('.').map(|dot| &name[dot..]);
    [Some(name), wildcard].into_iter().flatten()
}

/// Where a certificate's name is looked for; `None` for what covers nothing.
fn place_of(pattern: &str) -> Option<&str> {
    let (place, name) = match pattern.strip_prefix("*.") {
        None => (pattern, pattern),
        Some(domain) => (&pattern[1..], domain),
    };
    let is_host = name.contains('.') && !name.starts_with('.') && !name.contains('*');
    is_host.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_label_and_a_star_with_two_labels_behind_cover() {
        assert_eq!(place_of("www.example.com"), Some("www.example.com"));
        assert_eq!(place_of("*.example.com"), Some(".example.com"));
        for nothing in
            ["*.com", "*", "*com", "*.", "*..com", ".example.com", "w*.example.com", "*.*.example.com", ""]
        {
            assert_eq!(place_of(nothing), None, "{nothing}");
        }
    }
}
