//! What the backend has nothing for, in a small bounded store of its own, so that a scan of made-up names evicts
//! nothing of value. In memory only.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::clock::Timestamp;
use crate::entry::{EntryKey, EntryKeyRef};

/// That there is nothing for a name and a kind of client: since when, and for how long if the backend said that too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negative {
    /// When the backend was asked.
    pub fetched_at: Timestamp,
    /// The lifetime the answer gave itself; the `negative_ttl` setting if it gave none.
    pub lifetime: Option<Duration>,
    /// Whether the response forbids storing it. It then answers nobody but who asks about the same handshake again,
    /// as Caddy's permission does.
    pub is_uncacheable: bool,
}

impl Negative {
    /// One of a request of this time.
    pub fn at(fetched_at: Timestamp, lifetime: Option<Duration>) -> Self {
        Negative { fetched_at, lifetime, is_uncacheable: false }
    }

    /// Whether it still holds.
    pub fn is_fresh(&self, negative_ttl: Duration, now: Timestamp) -> bool {
        self.fresh_until(negative_ttl, now).is_some()
    }

    /// Until when it holds; `None` if it does no more.
    pub fn fresh_until(&self, negative_ttl: Duration, now: Timestamp) -> Option<Timestamp> {
        let end = self.fetched_at.saturating_add(self.lifetime.unwrap_or(negative_ttl));
        // An answer from the future (a clock that was set back) is not trusted.
        (self.fetched_at <= now && now < end).then_some(end)
    }
}

/// Negatives by a 64-bit hash under a random key: nobody outside can make two names collide. The names are there for
/// whoever lists them.
pub struct NegativeStore {
    by_hash: Cache<u64, Named, ByWeight>,
    hasher: RandomState,
}

#[derive(Clone)]
struct Named {
    negative: Negative,
    key: EntryKey,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<u64, Named> for ByWeight {
    fn weight(&self, _hash: &u64, named: &Named) -> u64 {
        let name = &named.key.name;
        TYPICAL_WEIGHT + if name.is_heap_allocated() { name.capacity() as u64 } else { 0 }
    }
}

impl NegativeStore {
    /// A store for `capacity` bytes of negatives.
    pub fn new(capacity: u64) -> Self {
        let items = usize::try_from(capacity / TYPICAL_WEIGHT).unwrap_or(usize::MAX).max(1);
        let by_hash = Cache::with_weighter(items, capacity, ByWeight);
        NegativeStore { by_hash, hasher: RandomState::new() }
    }

    /// What is known of a name.
    pub fn negative(&self, key: EntryKeyRef<'_>) -> Option<Negative> {
        self.by_hash.get(&self.hasher.hash_one(key)).map(|named| named.negative)
    }

    /// All of them that are there while it walks, in no order. No lock is held between two.
    pub fn iter(&self) -> impl Iterator<Item = (EntryKey, Negative)> + '_ {
        self.by_hash.iter().map(|(_, named)| (named.key, named.negative))
    }

    /// Remembers that there is nothing for a name.
    pub fn insert(&self, key: EntryKeyRef<'_>, negative: Negative) {
        self.by_hash.insert(self.hasher.hash_one(key), Named { negative, key: key.to_owned() });
    }

    /// Forgets a name; true if it was known.
    pub fn remove(&self, key: EntryKeyRef<'_>) -> bool {
        self.by_hash.remove(&self.hasher.hash_one(key)).is_some()
    }

    /// Forgets all names.
    pub fn clear(&self) {
        self.by_hash.clear();
    }

    /// Changes the capacity.
    pub fn resize(&self, capacity: u64) {
        self.by_hash.set_capacity(capacity);
    }

    /// How many names are remembered.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }
}

/// Bytes of a negative whose name needs no allocation of its own, the store's tables and its memory of recent
/// evictions included.
const TYPICAL_WEIGHT: u64 = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::ClientKind;

    fn key(name: &str) -> EntryKeyRef<'_> {
        EntryKeyRef { name, client: ClientKind::Ecdsa }
    }

    #[test]
    fn holds_for_its_own_lifetime_or_the_setting() {
        let unspecified = Negative { fetched_at: Timestamp(1_000), lifetime: None, is_uncacheable: false };
        let own = Negative { lifetime: Some(Duration::from_secs(9)), ..unspecified };
        let ttl = Duration::from_secs(2);
        assert!(unspecified.is_fresh(ttl, Timestamp(2_999)) && !unspecified.is_fresh(ttl, Timestamp(3_000)));
        assert!(own.is_fresh(ttl, Timestamp(9_999)) && !own.is_fresh(ttl, Timestamp(10_000)));
        assert!(!unspecified.is_fresh(ttl, Timestamp(999)), "an answer from the future");
    }

    #[test]
    fn a_flood_stays_within_its_bytes() {
        let capacity = 1 << 20;
        let store = NegativeStore::new(capacity);
        let negative = Negative { fetched_at: Timestamp(0), lifetime: None, is_uncacheable: false };
        for n in 0..200_000 {
            store.insert(key(&format!("n{n}.example")), negative);
        }
        assert!(store.len() > 5_000, "{}", store.len());
        assert!(store.by_hash.memory_used().total() as u64 <= capacity, "{:?}", store.by_hash.memory_used());
        store.insert(key("a.example"), negative);
        assert_eq!(store.negative(key("a.example")), Some(negative));
        assert_eq!(store.negative(EntryKeyRef { client: ClientKind::RsaOnly, ..key("a.example") }), None);
        store.remove(key("a.example"));
        assert_eq!(store.negative(key("a.example")), None);
    }
}
