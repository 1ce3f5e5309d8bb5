//! Accepted entries in memory, bounded by bytes. Eviction is quick_cache's S3-FIFO: a scan of names that are
//! asked for once does not push out names that are asked for again and again.

mod name_index;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};

use crate::entry::{Entry, EntryId, EntryKeyRef};
use crate::memory_store::name_index::NameIndex;

pub use crate::memory_store::name_index::Page;

/// Entries by key, by id and by name. Thread-safe; no lock is held longer than a map operation.
pub struct MemoryStore {
    by_key: Cache<ByKey, Arc<Entry>, ByWeight, DefaultHashBuilder, Bookkeeping>,
    bookkeeping: Bookkeeping,
    /// Entries with a lower id were purged, be they still here.
    first_valid: AtomicU64,
}

impl MemoryStore {
    /// A store for `capacity` bytes of entries.
    pub fn new(capacity: u64) -> Self {
        let bookkeeping = Bookkeeping::default();
        let options = OptionsBuilder::new()
            .weight_capacity(capacity)
            .estimated_items_capacity(usize::try_from(capacity / TYPICAL_WEIGHT).unwrap_or(usize::MAX).max(1))
            .build()
            .expect("both required options are given");
        let by_key =
            Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), bookkeeping.clone());
        MemoryStore { by_key, bookkeeping, first_valid: AtomicU64::new(0) }
    }

    /// The entry stored under a key; counts as a use of it.
    pub fn entry_for(&self, key: EntryKeyRef<'_>) -> Option<Arc<Entry>> {
        self.by_key.get(&key).filter(|entry| self.is_valid(entry.id))
    }

    /// The same, but no use of it: looking changes nothing.
    pub fn peek(&self, key: EntryKeyRef<'_>) -> Option<Arc<Entry>> {
        self.by_key.peek(&key).filter(|entry| self.is_valid(entry.id))
    }

    /// The entry with this id, while it is stored.
    pub fn entry(&self, id: EntryId) -> Option<Arc<Entry>> {
        self.bookkeeping.by_id.read().get(&id).filter(|entry| self.is_valid(entry.id)).cloned()
    }

    /// The first entries, less than `most`, of names behind `after` that begin with `prefix`.
    pub fn page(&self, prefix: &str, after: &str, most: usize) -> Page {
        let mut page = self.bookkeeping.by_name.page(prefix, after, most);
        page.entries.retain(|entry| self.is_valid(entry.id));
        page
    }

    /// Keeps an entry in place of an older one; returns what had to go for it.
    #[must_use]
    pub fn insert(&self, entry: Arc<Entry>) -> Retired {
        self.bookkeeping.by_id.write().insert(entry.id, entry.clone());
        self.bookkeeping.by_name.insert(entry.clone());
        self.by_key.insert(ByKey(entry.clone()), entry.clone());
        let entries = self.bookkeeping.take_retired();
        let replaced = entries.iter().filter(|retired| retired.key() == entry.key()).count();
        Retired { evicted: (entries.len() - replaced) as u64, entries }
    }

    /// Drops what is stored under a key.
    #[must_use]
    pub fn remove(&self, key: EntryKeyRef<'_>) -> Vec<Arc<Entry>> {
        let removed = self.by_key.remove(&key);
        removed.map(|(_, entry)| self.bookkeeping.forget(entry)).into_iter().collect()
    }

    /// Changes the capacity; returns what had to go.
    #[must_use]
    pub fn resize(&self, capacity: u64) -> Vec<Arc<Entry>> {
        self.by_key.set_capacity(capacity);
        self.bookkeeping.take_retired()
    }

    /// Makes everything that is stored now invalid, at once however much it is: nobody finds it any more.
    /// [`MemoryStore::remove_invalid`] then takes it away.
    pub fn invalidate(&self) {
        self.first_valid.store(EntryId::next().0, Ordering::Release);
    }

    /// Takes away a part of what is invalid, of names behind `after`; returns what went, and the name to go on behind, if
    /// there may be more.
    #[must_use]
    pub fn remove_invalid(&self, after: &str) -> (Vec<Arc<Entry>>, Option<CompactString>) {
        let Page { entries, next } = self.bookkeeping.by_name.page("", after, INVALID_PAGE);
        let invalid = entries.iter().filter(|entry| !self.is_valid(entry.id));
        // A newer one may have taken its place.
        let removed =
            invalid.filter_map(|entry| self.by_key.remove_if(&entry.key(), |stored| stored.id == entry.id));
        (removed.map(|(_, entry)| self.bookkeeping.forget(entry)).collect(), next)
    }

    fn is_valid(&self, id: EntryId) -> bool {
        id.0 >= self.first_valid.load(Ordering::Acquire)
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.by_key.clear();
        self.bookkeeping.by_id.write().clear();
        self.bookkeeping.by_name.clear();
    }

    /// How many entries are stored.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Bytes of what is stored, as [`Entry::weight`] counts them.
    pub fn bytes(&self) -> u64 {
        self.by_key.weight()
    }
}

/// What left memory for an entry.
pub struct Retired {
    /// All of them, the entry's own predecessor included.
    pub entries: Vec<Arc<Entry>>,
    /// How many had to go for want of room.
    pub evicted: u64,
}

/// About what an ECDSA leaf with one intermediate weighs; it sizes the eviction policy's own tables.
const TYPICAL_WEIGHT: u64 = 2048;
/// Entries that one step of [`MemoryStore::remove_invalid`] looks at.
const INVALID_PAGE: usize = 256;

/// An entry as the key of its own slot. A lookup reads the entry in any case, and a copy of the name beside it
/// would be paid for by every name.
struct ByKey(Arc<Entry>);

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl Equivalent<ByKey> for EntryKeyRef<'_> {
    fn equivalent(&self, slot: &ByKey) -> bool {
        *self == slot.0.key()
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<ByKey, Arc<Entry>> for ByWeight {
    fn weight(&self, _key: &ByKey, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

/// Keeps the indices in step with evictions, and remembers what left until the caller asks.
#[derive(Clone, Default)]
struct Bookkeeping {
    by_id: Arc<RwLock<HashMap<EntryId, Arc<Entry>>>>,
    by_name: Arc<NameIndex>,
    retired: Arc<Mutex<Vec<Arc<Entry>>>>,
}

impl Bookkeeping {
    /// Forgets an entry that was removed.
    fn forget(&self, entry: Arc<Entry>) -> Arc<Entry> {
        self.by_id.write().remove(&entry.id);
        self.by_name.remove(&entry);
        entry
    }

    fn take_retired(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut *self.retired.lock())
    }
}

impl Lifecycle<ByKey, Arc<Entry>> for Bookkeeping {
    type RequestState = <DefaultLifecycle<ByKey, Arc<Entry>> as Lifecycle<ByKey, Arc<Entry>>>::RequestState;

    fn on_evict(&self, _state: &mut Self::RequestState, _key: ByKey, entry: Arc<Entry>) {
        let entry = self.forget(entry);
        self.retired.lock().push(entry);
    }
}
