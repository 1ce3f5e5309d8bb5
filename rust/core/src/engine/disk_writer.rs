//! The one thread that writes to disk: saves, removals, and the sweep that keeps the disk within its bounds.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::bundle::Bundle;
use crate::disk_format::{self, StoredEntry};
use crate::disk_store::{DiskStore, SWEEP_INTERVAL};
use crate::engine::disk_writes::{DiskWrite, Next, NoRoom, Removal};
use crate::engine::shared::Shared;
use crate::entry::{Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use crate::log_sampler::LogKind;
use crate::worker_pool::Priority;

/// How long entries are written after the close: the host waits no longer.
const WRITES_AFTER_CLOSE: Duration = Duration::from_secs(3);

impl Shared {
    /// Writes or removes in the background; a disk that fails fails no handshake.
    pub(super) fn queue_write(self: &Arc<Self>, key: EntryKeyRef<'_>, write: DiskWrite) {
        if self.disk.is_none() {
            return;
        }
        match self.disk_writes.want(key.to_owned(), write) {
            Ok(()) => {}
            Err(NoRoom::Save) => {
                return self
                    .disk_failed(key, &"the disk under cache_dir is too slow: an entry is not written");
            }
            Err(NoRoom::Removal) => {
                self.due_on_disk_before.fetch_max(self.clock.now().0, Ordering::Relaxed);
                return self.log_of(LogKind::Advice, None, || TOO_MANY_UNSEEN.into());
            }
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
        self.timer.revive();
        if self.disk_writes.schedule() {
            let turn = Turn { shared: Arc::clone(self), is_over: false };
            // One that is not taken, for want of a thread, is dropped; the next write schedules another.
            let _ = self.disk_writer.submit(Priority::Foreground, Box::new(move || turn.run()));
        }
    }

    fn make_writes(&self) {
        let Some(disk) = &self.disk else { return };
        let mut sweeps = self.disk_writes.is_sweep_due();
        loop {
            if let Some(last_number) = self.disk_writes.begin_clearing() {
                self.clear(disk, last_number);
                sweeps = true; // which removes the files
            }
            match self.disk_writes.next() {
                // Another engine may write there by now, and know better.
                Some(Next::Save { key, number, .. }) if self.is_abandoned() => {
                    self.disk_writes.ended(&key, number, false);
                }
                Some(Next::Save { key, number, entry, metadata }) => {
                    self.save(disk, &key, number, &entry, metadata);
                }
                Some(Next::Removals(removals)) => self.remove_from(disk, removals),
                // What waits to be written goes before the next step.
                None => {
                    sweeps = sweeps && !self.is_closed() && self.sweep(disk);
                    if !sweeps && self.disk_writes.rest() {
                        return;
                    }
                }
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        self.closed_at.get().is_some_and(|closed_at| closed_at.elapsed() > WRITES_AFTER_CLOSE)
    }

    fn save(&self, disk: &DiskStore, key: &EntryKey, number: u64, entry: &Entry, metadata: ResponseMetadata) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_save");
        let pem = disk_format::pem_of(&entry.bundle);
        let stored = StoredEntry { key: entry.key().to_owned(), metadata, not_after: entry.not_after(), pem };
        let result = disk.save(&stored);
        match &result {
            Ok(()) => self.counters.disk_writes.increment(),
            Err(error) => self.disk_failed(key.borrowed(), error),
        }
        self.disk_writes.ended(key, number, result.is_ok());
        if result.is_ok() {
            self.disk_writes.retry();
        }
    }

    fn remove_from(&self, disk: &DiskStore, removals: Vec<Removal>) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_remove");
        let (kept, removed): (Vec<_>, Vec<_>) =
            removals.into_iter().partition(|removal| is_of_another_kind(disk, removal));
        let done = disk.remove_many(removed.iter().map(|removal| &removal.key));
        let (had_file, failed): (HashSet<_>, HashSet<_>) =
            (done.removed.into_iter().collect(), done.failed.into_iter().collect());
        for error in &done.errors {
            self.counters.disk_errors.increment();
            self.log_of(LogKind::Disk, None, || error.to_string());
        }
        for Removal { key, number, purged, .. } in kept.iter().chain(&removed) {
            if let Some(purged) = purged.as_ref().filter(|_| had_file.contains(key)) {
                purged.lock().insert(key.name.clone());
            }
            self.disk_writes.ended(key, *number, !failed.contains(key));
        }
    }

    /// Tries again in a while what the disk has refused, though nobody asks it for anything meanwhile.
    fn plan_retry(self: &Arc<Self>) {
        if self.disk_writes.plan_retry() {
            let shared = Arc::downgrade(self);
            let task = move || {
                let Some(shared) = shared.upgrade() else { return };
                shared.disk_writes.retry_as_planned();
                shared.schedule_writes();
            };
            self.timer.after(SWEEP_INTERVAL, Box::new(task));
        }
    }

    /// Has everything on disk removed. The caller holds `changes`.
    pub(super) fn queue_clearing(self: &Arc<Self>) {
        if self.disk.is_some() {
            self.disk_writes.want_clearing();
            self.schedule_writes();
        }
    }

    /// What the disk has refused, once more, before the engine ends.
    pub(super) fn make_last_writes(&self) {
        self.disk_writes.retry();
        self.make_writes();
    }

    fn clear(&self, disk: &DiskStore, last_number: u64) {
        let result = disk.remove_all();
        self.disk_writes.end_clearing(last_number, result.as_ref().ok().copied());
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
        self.disk_writes.note_sweep();
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

const TOO_MANY_UNSEEN: &str = "the backend has no certificate for very many names whose files could not be looked for on disk: \
    what is found there from before is served once more, while the backend is asked";

/// A turn of the writer, whatever becomes of it.
struct Turn {
    shared: Arc<Shared>,
    is_over: bool,
}

impl Turn {
    fn run(mut self) {
        self.shared.make_writes();
        self.is_over = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.disk_writes.give_up_turn();
        }
        self.shared.plan_retry();
    }
}

/// Whether what lies under the key is to stay. Whatever can't be read goes: it may be what was withdrawn.
fn is_of_another_kind(disk: &DiskStore, Removal { key, up_to, .. }: &Removal) -> bool {
    if *up_to >= key.client {
        return false;
    }
    // What can't be read is told by who reads it for a handshake.
    let Ok(Some(stored)) = disk.load(key) else { return false };
    Bundle::parse(&stored.pem).is_ok_and(|bundle| !up_to.can_use(bundle.private_key().algorithm()))
}
