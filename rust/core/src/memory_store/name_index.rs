//! Entries in the order of their names, for whoever lists them. No lookup comes here.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::Mutex;

use crate::entry::{ClientKind, Entry, EntryKeyRef};

/// The newest entry of each key. Thread-safe; the lock is held for one step, or one page.
#[derive(Default)]
pub(super) struct NameIndex {
    entries: Mutex<BTreeSet<ByName>>,
}

impl NameIndex {
    /// Notes an entry in place of an older one.
    pub(super) fn insert(&self, entry: Arc<Entry>) {
        let older = self.entries.lock().replace(ByName(entry));
        drop(older); // outside the lock: it may be the last to hold a key
    }

    /// Forgets an entry, but not one that has taken its place.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let mut entries = self.entries.lock();
        let key: &dyn Keyed = &entry.key();
        if entries.get(key).is_some_and(|newest| newest.0.id == entry.id) {
            entries.remove(key);
        }
    }

    pub(super) fn clear(&self) {
        self.entries.lock().clear();
    }

    /// The first entries, less than `most`, of names behind `after` that begin with `prefix`.
    pub(super) fn page(&self, prefix: &str, after: &str, most: usize) -> Page {
        let first = EntryKeyRef { name: prefix, client: ClientKind::RsaOnly };
        let behind = EntryKeyRef { name: after, client: ClientKind::Ed25519 };
        let from: (Bound<&dyn Keyed>, Bound<&dyn Keyed>) = match behind < first {
            true => (Bound::Included(&first), Bound::Unbounded),
            false => (Bound::Excluded(&behind), Bound::Unbounded),
        };
        let mut entries: Vec<_> = {
            let all = self.entries.lock();
            let named = all.range::<dyn Keyed, _>(from).map(|entry| &entry.0);
            named.take_while(|entry| entry.key().name.starts_with(prefix)).take(most).cloned().collect()
        };
        // A name that may have more entries waits for the next page.
        let cut = (entries.len() == most).then(|| entries.pop()).flatten();
        while cut.as_ref().is_some_and(|cut| entries.last().is_some_and(|last| has_same_name(last, cut))) {
            entries.pop();
        }
        let next = cut.and_then(|_| entries.last().map(|last| last.key().name.into()));
        Page { entries, next }
    }
}

/// A part of the entries: all of each of its names.
pub struct Page {
    /// In the order of their names.
    pub entries: Vec<Arc<Entry>>,
    /// The name to go on behind; `None` after the last page.
    pub next: Option<CompactString>,
}

fn has_same_name(one: &Entry, other: &Entry) -> bool {
    one.key().name == other.key().name
}

struct ByName(Arc<Entry>);

/// What the set is ordered by, so that it can be searched by a borrowed key.
trait Keyed {
    fn key(&self) -> EntryKeyRef<'_>;
}

impl Keyed for ByName {
    fn key(&self) -> EntryKeyRef<'_> {
        self.0.key()
    }
}

impl Keyed for EntryKeyRef<'_> {
    fn key(&self) -> EntryKeyRef<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Keyed + 'a> for ByName {
    fn borrow(&self) -> &(dyn Keyed + 'a) {
        self
    }
}

impl Ord for dyn Keyed + '_ {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for dyn Keyed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Keyed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for dyn Keyed + '_ {}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByName {}
