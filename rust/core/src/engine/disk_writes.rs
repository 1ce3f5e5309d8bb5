//! What waits to be written to disk or removed from it: for each key the last that was wanted, so that a save can't
//! undo a later removal, nor a removal a later save. Who reads a key asks here first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use crate::bundle::Bundle;
use crate::disk_format::{self, StoredEntry};
use crate::disk_store::{DiskError, DiskStore, SWEEP_INTERVAL};
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use crate::log_sampler::LogKind;
use crate::worker_pool::Priority;

/// What is to become of a key's file.
#[derive(Clone)]
pub(super) enum DiskWrite {
    Save(Arc<Entry>, ResponseMetadata),
    /// Remove it, unless its certificate is one that clients of this kind can't use.
    Remove(ClientKind),
}

/// Saves that may wait; beyond it an entry stays in memory only.
const MAX_SAVES: usize = 8_192;
/// Removals that may wait, or be tried again, each by itself. Beyond it everything is removed at once.
const MAX_REMOVALS: usize = 65_536;

/// The writes that wait, and removals that the disk has refused. Thread-safe.
#[derive(Default)]
pub(super) struct DiskWrites {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: HashMap<EntryKey, Wanted>,
    order: VecDeque<EntryKey>,
    removals: usize,
    is_scheduled: bool,
    swept_at: Option<Instant>,
    clearing: Clearing,
    next_number: u64,
}

/// Whether everything on disk is to go, since a removal found no room. Until it has, nothing of it is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Clearing {
    #[default]
    NotWanted,
    Wanted,
    UnderWay,
    /// The disk has refused it, and it waits for a better moment.
    HasFailed,
}

struct Wanted {
    number: u64,
    write: DiskWrite,
    /// A removal that may not be made yet: this one, or what a save came in place of. A save that fails leaves the
    /// file that was to go.
    removal: Option<ClientKind>,
    /// Not in the order: the disk has refused it, and it waits for a better moment.
    has_failed: bool,
}

/// What a reader has to know of a key.
pub(super) enum Pending {
    Nothing,
    /// The file is there no more, or will not be.
    Removed,
    /// It is about to be written.
    Saved(Arc<Entry>, ResponseMetadata),
}

impl DiskWrites {
    pub(super) fn pending(&self, key: EntryKeyRef<'_>) -> Pending {
        let state = self.state.lock();
        match state.wanted.get(&key.to_owned()).map(|wanted| &wanted.write) {
            None if state.clearing == Clearing::NotWanted => Pending::Nothing,
            None | Some(DiskWrite::Remove(_)) => Pending::Removed,
            Some(DiskWrite::Save(entry, metadata)) => Pending::Saved(Arc::clone(entry), metadata.clone()),
        }
    }

    pub(super) fn is_pending(&self, key: EntryKeyRef<'_>) -> bool {
        self.state.lock().wanted.contains_key(&key.to_owned())
    }

    /// Notes what is wanted of a key in place of what was. `Err` if there is no room for it.
    fn want(&self, key: EntryKey, write: DiskWrite) -> Result<(), ()> {
        let state = &mut *self.state.lock();
        let previous = state.wanted.get(&key);
        let earlier = previous.and_then(|wanted| wanted.removal);
        let was_removal = previous.is_some_and(|wanted| matches!(wanted.write, DiskWrite::Remove(_)));
        let is_removal = matches!(write, DiskWrite::Remove(_));
        if !is_removal && previous.is_none() && state.wanted.len() - state.removals >= MAX_SAVES {
            return Err(());
        }
        if is_removal && !was_removal && state.removals >= MAX_REMOVALS {
            state.clearing = Clearing::Wanted;
            state.wanted.remove(&key);
            return Ok(());
        }
        // The one before may be of more.
        let (write, removal) = match write {
            DiskWrite::Remove(up_to) => {
                let up_to = earlier.map_or(up_to, |earlier| earlier.max(up_to));
                (DiskWrite::Remove(up_to), Some(up_to))
            }
            save => (save, earlier),
        };
        let is_queued = previous.is_some_and(|wanted| !wanted.has_failed);
        state.removals = state.removals + usize::from(is_removal) - usize::from(was_removal);
        state.next_number += 1;
        let wanted = Wanted { number: state.next_number, write, removal, has_failed: false };
        state.wanted.insert(key.clone(), wanted);
        match is_removal {
            // What must not come back goes before what would be good to have: the process may end at any moment.
            true => state.order.push_front(key),
            false if !is_queued => state.order.push_back(key),
            false => {}
        }
        Ok(())
    }

    /// Whether the caller must schedule the writer.
    fn schedule(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_scheduled, true)
    }

    /// Whether the caller is to remove everything; holds the last write that it stands for.
    fn begin_clearing(&self) -> Option<u64> {
        let state = &mut *self.state.lock();
        let is_wanted = state.clearing == Clearing::Wanted;
        is_wanted.then(|| {
            state.clearing = Clearing::UnderWay;
            state.next_number
        })
    }

    fn end_clearing(&self, last_number: u64, succeeded: bool) {
        let state = &mut *self.state.lock();
        if succeeded {
            let is_made = |wanted: &Wanted| {
                wanted.number <= last_number && matches!(wanted.write, DiskWrite::Remove(_))
            };
            state.wanted.retain(|_, wanted| !is_made(wanted));
            let removals = |wanted: &&Wanted| matches!(wanted.write, DiskWrite::Remove(_));
            state.removals = state.wanted.values().filter(removals).count();
        }
        // If it is wanted again by now, that comes next.
        if state.clearing == Clearing::UnderWay {
            state.clearing = if succeeded { Clearing::NotWanted } else { Clearing::HasFailed };
        }
    }

    fn next(&self) -> Option<(EntryKey, u64, DiskWrite)> {
        let state = &mut *self.state.lock();
        while let Some(key) = state.order.pop_front() {
            if let Some(wanted) = state.wanted.get(&key) {
                return Some((key, wanted.number, wanted.write.clone()));
            }
        }
        None
    }

    /// Ends the caller's turn, unless something came meanwhile.
    fn rest(&self) -> bool {
        let state = &mut *self.state.lock();
        state.is_scheduled = !state.order.is_empty() || state.clearing == Clearing::Wanted;
        !state.is_scheduled
    }

    /// Whether it is time for a step of the sweep.
    fn is_sweep_due(&self) -> bool {
        self.state.lock().swept_at.is_none_or(|swept_at| swept_at.elapsed() >= SWEEP_INTERVAL)
    }

    /// Notes how a write ended. If something else is wanted of the key by now, that comes next.
    fn ended(&self, key: &EntryKey, number: u64, succeeded: bool) {
        let state = &mut *self.state.lock();
        let Some(wanted) = state.wanted.get_mut(key) else { return };
        if wanted.number != number {
            // A newer write came meanwhile and was not queued: queue it now.
            state.order.push_back(key.clone());
            return;
        }
        let is_removal = matches!(wanted.write, DiskWrite::Remove(_));
        if is_removal && !succeeded {
            wanted.has_failed = true;
            return;
        }
        if !succeeded && let Some(up_to) = wanted.removal {
            wanted.write = DiskWrite::Remove(up_to);
            state.removals += 1;
            state.order.push_back(key.clone());
            return;
        }
        state.wanted.remove(key);
        state.removals -= usize::from(is_removal);
    }

    /// Lines up what the disk has refused: it works again.
    fn retry(&self) {
        let state = &mut *self.state.lock();
        if state.clearing == Clearing::HasFailed {
            state.clearing = Clearing::Wanted;
        }
        let failed = state.wanted.iter_mut().filter(|(_, wanted)| wanted.has_failed);
        for (key, wanted) in failed {
            wanted.has_failed = false;
            state.order.push_back(key.clone());
        }
    }
}

impl Shared {
    /// Writes or removes in the background; a disk that fails fails no handshake.
    pub(super) fn queue_write(self: &Arc<Self>, key: EntryKeyRef<'_>, write: DiskWrite) {
        if self.disk.is_none() {
            return;
        }
        if self.disk_writes.want(key.to_owned(), write).is_err() {
            return self.disk_failed(key, &"the disk under cache_dir is too slow: an entry is not written");
        }
        self.schedule_writes();
    }

    /// A disk that is only read is swept, too.
    pub(super) fn sweep_if_due(self: &Arc<Self>) {
        if self.disk_writes.is_sweep_due() {
            self.schedule_writes();
        }
    }

    fn schedule_writes(self: &Arc<Self>) {
        if self.disk_writes.schedule() {
            let shared = Arc::clone(self);
            // A pool that is closed takes none; then nothing is worth writing.
            let _ = self.disk_writer.submit(Priority::Foreground, Box::new(move || shared.make_writes()));
        }
    }

    fn make_writes(&self) {
        let Some(disk) = &self.disk else { return };
        let mut sweeps = self.disk_writes.is_sweep_due();
        loop {
            if let Some(last_number) = self.disk_writes.begin_clearing() {
                self.clear(disk, last_number);
            }
            let Some((key, number, write)) = self.disk_writes.next() else {
                // What waits to be written goes before the next step.
                sweeps = sweeps && !self.closed.load(Ordering::Acquire) && self.sweep(disk);
                if !sweeps && self.disk_writes.rest() {
                    return;
                }
                continue;
            };
            let is_removal = matches!(write, DiskWrite::Remove(_));
            let result = match write {
                DiskWrite::Save(entry, metadata) => save(disk, &entry, metadata),
                DiskWrite::Remove(up_to) => remove(disk, &key, up_to),
            };
            match &result {
                Ok(()) if is_removal => {}
                Ok(()) => self.counters.disk_writes.increment(),
                Err(error) => self.disk_failed(key.borrowed(), error),
            }
            self.disk_writes.ended(&key, number, result.is_ok());
            if result.is_ok() && !is_removal {
                self.disk_writes.retry();
            }
        }
    }

    /// What the disk has refused, once more, before the engine ends.
    pub(super) fn make_last_writes(&self) {
        self.disk_writes.retry();
        self.make_writes();
    }

    fn clear(&self, disk: &DiskStore, last_number: u64) {
        let result = disk.remove_all();
        self.disk_writes.end_clearing(last_number, result.is_ok());
        if let Err(error) = result {
            self.counters.disk_errors.increment();
            self.log_of(LogKind::Disk, None, || error.to_string());
        }
    }

    /// One step of keeping the disk within its bounds; true if the next is to follow at once.
    fn sweep(&self, disk: &DiskStore) -> bool {
        let configs: Vec<_> = {
            let configs = self.lookup_configs.lock();
            configs.iter().filter_map(Weak::upgrade).map(|config| config.freshness).collect()
        };
        let report = disk.sweep_step(self.clock.now(), &configs);
        self.disk_writes.state.lock().swept_at = Some(Instant::now());
        match report {
            Ok(report) => report.more,
            Err(error) => {
                self.counters.disk_errors.increment();
                self.log_of(LogKind::Disk, None, || error.to_string());
                false
            }
        }
    }

    pub(super) fn disk_failed(&self, key: EntryKeyRef<'_>, error: &dyn std::fmt::Display) {
        self.counters.disk_errors.increment();
        self.log(LogKind::Disk, key, || error.to_string());
    }
}

fn save(disk: &DiskStore, entry: &Entry, metadata: ResponseMetadata) -> Result<(), DiskError> {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("disk_save");
    let pem = disk_format::pem_of(&entry.bundle);
    disk.save(&StoredEntry { key: entry.key().to_owned(), metadata, not_after: entry.not_after(), pem })
}

/// Whatever can't be read, or told to be of another kind, is removed: it may be what was withdrawn.
fn remove(disk: &DiskStore, key: &EntryKey, up_to: ClientKind) -> Result<(), DiskError> {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("disk_remove");
    if up_to < key.client
        && let Ok(Some(stored)) = disk.load(key)
        && Bundle::parse(&stored.pem).is_ok_and(|bundle| !up_to.can_use(bundle.private_key().algorithm()))
    {
        return Ok(());
    }
    disk.remove(key)
}
