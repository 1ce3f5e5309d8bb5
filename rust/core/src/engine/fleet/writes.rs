//! What is written to the fleet's storage: for each key the last that was wanted. Two writes of one key are never under
//! way together, since the storage may carry them out in any order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk_format::{self, StoredEntry};
use crate::engine::fleet::{Ended, Fleet, Lane};
use crate::engine::shared::Shared;
use crate::entry::{Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use crate::log_sampler::LogKind;
use crate::purge_journal::{self, PurgeId};
use crate::record::RecordError;
use crate::storage::{RequestId, StorageOperation};

/// What is to become of a key's record.
#[derive(Clone)]
pub(in crate::engine) enum FleetWrite {
    /// With what the response said, and the purges of the name that are known.
    Save(Arc<Entry>, ResponseMetadata, Arc<str>),
    Delete,
}

/// What may wait; beyond it nothing is written, and what is not removed is refused by whoever reads it.
const MAX_WAITING: usize = 65_536;
/// Sealed records that may wait for a place.
const MAX_SEALED: usize = 4;

/// Thread-safe.
#[derive(Default)]
pub(in crate::engine) struct Writes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: HashMap<EntryKey, Wanted>,
    order: VecDeque<EntryKey>,
    /// The last operation of a key, which may not have returned.
    last: HashMap<EntryKey, RequestId>,
    last_number: u64,
    /// Keys that were written since the journal was read, and before it was read the last time.
    recent: [HashSet<EntryKey>; 2],
}

struct Wanted {
    number: u64,
    write: FleetWrite,
    /// The storage has refused it, and it waits for a better moment.
    has_failed: bool,
}

impl Writes {
    /// Notes what is wanted of a key in place of what was; false if there is no room for it.
    pub(in crate::engine) fn want(&self, key: EntryKeyRef<'_>, write: FleetWrite) -> bool {
        let (state, key) = (&mut *self.state.lock(), key.to_owned());
        let is_queued = state.wanted.get(&key).is_some_and(|wanted| !wanted.has_failed);
        if !is_queued && state.wanted.len() >= MAX_WAITING {
            return false;
        }
        state.last_number += 1;
        if !is_queued {
            state.order.push_back(key.clone());
        }
        state.wanted.insert(key, Wanted { number: state.last_number, write, has_failed: false });
        true
    }

    /// Another node has purged a name: what this one may have written since goes, too.
    pub(in crate::engine) fn take_back(&self, name: EntryKeyRef<'_>) {
        let is_ours = |key: &EntryKey| {
            let state = self.state.lock();
            // The storage may carry out yet what was given up.
            let is_under_way = state.last.contains_key(key);
            is_under_way
                || state.wanted.contains_key(key)
                || state.recent.iter().any(|recent| recent.contains(key))
        };
        for key in name.all_kinds() {
            if is_ours(&key.to_owned()) {
                self.want(key, FleetWrite::Delete);
            }
        }
    }

    /// The same for all names.
    pub(in crate::engine) fn take_back_all(&self) {
        let ours: HashSet<_> = {
            let mut state = self.state.lock();
            state.order.clear();
            let waiting: Vec<_> = state.wanted.drain().map(|(key, _)| key).collect();
            let under_way: Vec<_> = state.last.keys().cloned().collect();
            state.recent.iter().flatten().cloned().chain(waiting).chain(under_way).collect()
        };
        for key in ours {
            self.want(key.borrowed(), FleetWrite::Delete);
        }
    }

    /// Notes that the journal is about to be read.
    pub(super) fn begin_read(&self, is_under_way: impl Fn(RequestId) -> bool) {
        let state = &mut *self.state.lock();
        state.last.retain(|_, id| is_under_way(*id));
        state.recent[1] = std::mem::take(&mut state.recent[0]);
    }

    /// The storage works: what it has refused is tried again.
    pub(super) fn retry(&self) {
        let state = &mut *self.state.lock();
        for (key, wanted) in state.wanted.iter_mut().filter(|(_, wanted)| wanted.has_failed) {
            wanted.has_failed = false;
            state.order.push_back(key.clone());
        }
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.state.lock().wanted.len()
    }

    /// The next write whose key has no other under way.
    fn next(&self, is_under_way: impl Fn(RequestId) -> bool) -> Option<(EntryKey, u64, FleetWrite)> {
        let state = &mut *self.state.lock();
        for _ in 0..state.order.len() {
            let key = state.order.pop_front()?;
            if state.last.get(&key).is_some_and(|id| is_under_way(*id)) {
                state.order.push_back(key);
                continue;
            }
            let Some(Wanted { number, write, has_failed: false }) = state.wanted.get(&key) else { continue };
            let next = (key.clone(), *number, write.clone());
            if state.recent[0].len() < MAX_WAITING {
                state.recent[0].insert(key);
            }
            return Some(next);
        }
        None
    }

    fn begun(&self, key: EntryKey, id: RequestId) {
        self.state.lock().last.insert(key, id);
    }

    /// Notes how a write ended. A save that failed is forgotten: it is no more than a help to others.
    fn ended(&self, key: &EntryKey, number: u64, succeeded: bool) {
        let state = &mut *self.state.lock();
        let Some(wanted) = state.wanted.get_mut(key) else {
            state.last.remove(key);
            return;
        };
        if wanted.number != number {
            state.order.push_back(key.clone());
        } else if !succeeded && matches!(wanted.write, FleetWrite::Delete) {
            wanted.has_failed = true;
        } else {
            state.wanted.remove(key);
            if succeeded {
                state.last.remove(key);
            }
        }
    }
}

impl Shared {
    /// Puts what the backend has sent where the other nodes find it. The caller holds `changes`.
    pub(in crate::engine) fn save_to_fleet(self: &Arc<Self>, entry: &Arc<Entry>, metadata: ResponseMetadata) {
        let Some(fleet) = self.fleet() else { return };
        if fleet.is_left_alone(Lane::Write) {
            return self.counters.fleet_skipped.increment();
        }
        let purges = purge_journal::encode_ids(fleet.journal.lock().of_name(entry.key().name));
        let write = FleetWrite::Save(Arc::clone(entry), metadata, purges.into());
        match fleet.writes.want(entry.key(), write) {
            true => self.write_to_fleet(&fleet),
            false => self.counters.fleet_skipped.increment(),
        }
    }

    /// Goes on with what waits to be written, as far as there are places.
    pub(in crate::engine) fn write_to_fleet(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        if fleet.writes.len() == 0 {
            return;
        }
        let (shared, fleet) = (Arc::clone(self), Arc::clone(fleet));
        let pool = Arc::clone(&fleet);
        let job =
            move || while fleet.operations.queued(Lane::Write) < MAX_SEALED && shared.write_one(&fleet) {};
        // If there is no room, the next operation that returns goes on with it.
        pool.work(Box::new(job));
    }

    /// Begins the next write; false if there is none.
    fn write_one(self: &Arc<Self>, fleet: &Arc<Fleet>) -> bool {
        let next = fleet.writes.next(|id| fleet.operations.is_under_way(id));
        let Some((key, number, write)) = next else { return false };
        let storage_key = fleet.entry_key(key.borrowed());
        let is_save = matches!(write, FleetWrite::Save(..));
        let operation = match write {
            FleetWrite::Delete => StorageOperation::Delete,
            FleetWrite::Save(entry, metadata, purges) => {
                match fleet.sealed(&storage_key, &entry, metadata, &purges) {
                    Ok(record) => StorageOperation::Store(record),
                    Err(reason) => {
                        self.log(LogKind::FleetRecord, key.borrowed(), || {
                            format!("a certificate is not written to the storage of the fleet: {reason}")
                        });
                        fleet.writes.ended(&key, number, true);
                        return true;
                    }
                }
            }
        };
        let begun = Begun { fleet: Arc::clone(fleet), key: key.clone(), number, succeeded: false };
        let shared = Arc::clone(self);
        let then = move |ended: Ended| {
            let (fleet, succeeded) = (Arc::clone(&begun.fleet), matches!(ended, Ended::Done));
            if succeeded && is_save {
                shared.counters.fleet_sealed.increment();
            }
            begun.ended(succeeded);
            shared.write_to_fleet(&fleet);
        };
        if let Some(id) = self.use_storage(fleet, Lane::Write, storage_key, operation, then) {
            fleet.writes.begun(key, id);
        }
        true
    }
}

/// A write whose key waits for its end. Dropped, it has failed: it was not begun, or nobody could be told of its end.
struct Begun {
    fleet: Arc<Fleet>,
    key: EntryKey,
    number: u64,
    succeeded: bool,
}

impl Begun {
    fn ended(mut self, succeeded: bool) {
        self.succeeded = succeeded;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.fleet.writes.ended(&self.key, self.number, self.succeeded);
    }
}

impl Fleet {
    /// The record of an entry: the purges that it is newer than, and the text that would be its file.
    fn sealed(
        &self,
        storage_key: &str,
        entry: &Entry,
        metadata: ResponseMetadata,
        purges: &str,
    ) -> Result<Vec<u8>, String> {
        let pem = disk_format::pem_of(&entry.bundle);
        let stored = StoredEntry { key: entry.key().to_owned(), metadata, not_after: entry.not_after(), pem };
        let text = disk_format::encode(&stored, &self.backend).map_err(|error| error.to_string())?;
        let head = format!("{PURGES_FIELD}{purges}\n");
        self.seal(storage_key, &[head.as_bytes(), &text]).map_err(|error: RecordError| error.to_string())
    }
}

/// Begins a record's text: which purges of its name it is newer than.
const PURGES_FIELD: &str = "purges: ";

/// Those purges, and the text of the entry; `None` if it is none of ours.
pub(in crate::engine) fn split(text: &[u8]) -> Option<(Vec<PurgeId>, &[u8])> {
    let rest = text.strip_prefix(PURGES_FIELD.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let ids = purge_journal::decode_ids(std::str::from_utf8(&rest[..end]).ok()?)?;
    Some((ids, &rest[end + 1..]))
}
