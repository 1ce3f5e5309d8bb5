//! Names that certificates in memory cover beside the one that they were fetched for: apex and www, or all of a wildcard,
//! for one request.
//!
//! Only what the backend has sent in this process is shared. What comes from disk may be older than a "no" or a purge that
//! nobody remembers, and what was asked for before a purge may hold the key that was withdrawn.

use std::collections::HashMap;

use compact_str::CompactString;
use parking_lot::RwLock;

use crate::clock::Timestamp;
use crate::entry::{Entry, EntryId};

/// Entries by the names they cover. Thread-safe.
#[derive(Default)]
pub struct SharedNames {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// By exact name, or by what is behind a wildcard's star, from the dot on; the newest last.
    by_name: HashMap<CompactString, Vec<EntryId>>,
    /// Names that the backend has no certificate for, and when it said so: what is older does not answer for them.
    denied: HashMap<CompactString, Timestamp>,
    last_purge: Option<Timestamp>,
}

/// Names whose denial is remembered; beyond it nothing is shared that was fetched before.
const MAX_DENIED: usize = 16_384;
/// Entries that share one name: as many names of a wildcard as are asked for at once before the first is there.
const MAX_HOLDERS: usize = 1_024;
/// Those of them that a lookup looks at, the newest.
pub const MAX_ANSWERING: usize = 8;
/// Names of one certificate that are shared; a certificate authority signs a hundred or two.
pub const MAX_NAMES: usize = 256;
/// Bytes that a name takes here, about.
pub const WEIGHT_OF_NAME: usize = 128;

impl SharedNames {
    /// Notes an entry under the DNS names of its certificate, if it was asked for since the last purge.
    pub fn insert(&self, entry: &Entry, dns_names: &[CompactString]) {
        let mut state = self.state.write();
        if state.last_purge.is_some_and(|last| entry.metadata.fetched_at <= last) {
            return;
        }
        for place in dns_names.iter().filter_map(|pattern| place_of(pattern)).take(MAX_NAMES) {
            let holders = state.by_name.entry(place.into()).or_default();
            if holders.len() == MAX_HOLDERS {
                holders.remove(0);
            }
            holders.push(entry.id);
        }
    }

    /// Whether the entry with this id is shared under any of these names.
    pub fn contains(&self, id: EntryId, dns_names: &[CompactString]) -> bool {
        let state = self.state.read();
        let mut places = dns_names.iter().filter_map(|pattern| place_of(pattern));
        places.any(|place| state.by_name.get(place).is_some_and(|holders| holders.contains(&id)))
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
            holders.retain(|id| *id != entry.id);
            if holders.is_empty() {
                state.by_name.remove(place);
            }
        }
    }

    /// The entries that cover a name, exact ones first, the newest of them first and so many at most of either; and since when
    /// they must have been asked for.
    pub fn covering(&self, name: &str, most: usize) -> (Vec<EntryId>, Option<Timestamp>) {
        let state = self.state.read();
        let wildcard = name.find('.').map(|dot| &name[dot..]);
        let places = [Some(name), wildcard].into_iter().flatten();
        let holders = places.filter_map(|place| state.by_name.get(place));
        let covering = holders.flat_map(|ids| ids.iter().rev().take(most).copied()).collect();
        (covering, state.denied.get(name).copied())
    }

    /// The backend has no certificate for a name.
    pub fn deny(&self, name: &str, at: Timestamp) {
        if self.covering(name, 1).0.is_empty() {
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
