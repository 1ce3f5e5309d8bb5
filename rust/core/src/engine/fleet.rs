//! A second level of the cache on the storage that a fleet of nodes shares: what one node was sent, the others adopt. What the
//! storage does never changes a hit, and fails no handshake that the backend could serve.
//!
//! The engine wants operations of the host by events ([`operations`]): reads (`engine/fetch/fleet.rs`), writes ([`writes`]), and
//! the journal of purges ([`journal`]). Nothing here waits; what takes time goes on in a [`Timer`]'s task or on a worker.

pub(super) mod journal;
mod membership;
mod note;
mod operations;
mod purging;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::disk_format;
use crate::engine::shared::Shared;
use crate::engine::timer::{Task, Timer};
use crate::entry::EntryKeyRef;
use crate::log_sampler::LogKind;
use crate::record::{KeyRing, RecordError};
use crate::settings::FleetSettings;
use crate::storage::{RequestId, StorageAnswer, StorageOperation};
use crate::worker_pool::{Job, Priority, WorkerPool};

pub(super) use membership::check;
pub(super) use operations::{Ended, LEFT_ALONE, Lane};
pub(super) use writes::{FleetWrite, split};

use journal::Journal;
use operations::{Operations, Step, Then};
use writes::Writes;

/// How long a miss waits for the storage before it asks the backend, too.
pub(super) const HEAD_START: Duration = Duration::from_millis(100);
/// So many reads in a row that took longer than that, and no miss waits any more until one is in time.
const LATE_READS: u32 = 8;
/// Threads that seal, open and check; they wait for nothing.
const WORKERS: usize = 4;
const MAX_QUEUED: usize = 16_384;

/// What a node has of its fleet. Thread-safe.
pub(super) struct Fleet {
    /// Where the records of this backend lie on the storage.
    directory: String,
    backend: String,
    settings: Mutex<FleetSettings>,
    keys: RwLock<KeyRing>,
    operations: Operations,
    pub(super) writes: Writes,
    pub(super) journal: Mutex<Journal>,
    /// Held while the note on disk is written.
    noting: Mutex<()>,
    timer: Timer,
    workers: WorkerPool,
    late_reads: AtomicU32,
}

impl Fleet {
    fn new(backend: &str, settings: FleetSettings, keys: KeyRing, journal: Journal) -> Self {
        Fleet {
            directory: format!("cached_http/{}", disk_format::directory_name(backend)),
            backend: backend.to_owned(),
            settings: Mutex::new(settings),
            keys: RwLock::new(keys),
            operations: Operations::default(),
            writes: Writes::default(),
            journal: Mutex::new(journal),
            noting: Mutex::default(),
            timer: Timer::default(),
            workers: WorkerPool::without_reserve("cached_http_fl", WORKERS, MAX_QUEUED),
            late_reads: AtomicU32::new(0),
        }
    }

    /// Where the record of an entry lies.
    pub(super) fn entry_key(&self, key: EntryKeyRef<'_>) -> String {
        let name = disk_format::file_name(&self.backend, &key.to_owned());
        let name = name.trim_end_matches(".pem");
        format!("{}/{}/{name}", self.directory, &name[..2])
    }

    /// Where a text lies that the nodes share; what it is about can't be read off.
    pub(super) fn text_key(&self, about: &str) -> String {
        format!("{}/texts/{}", self.directory, disk_format::text_name(&self.backend, about))
    }

    fn journal_key(&self) -> String {
        format!("{}/purges", self.directory)
    }

    pub(super) fn seal(&self, storage_key: &str, text: &[&[u8]]) -> Result<Vec<u8>, RecordError> {
        self.keys.read().seal(storage_key, text)
    }

    /// How long a miss may wait for a read alone.
    pub(super) fn head_start(&self) -> Duration {
        match self.late_reads.load(Ordering::Relaxed) {
            0..LATE_READS => HEAD_START,
            _ => Duration::ZERO,
        }
    }

    /// Notes whether a read was in time.
    pub(super) fn note_read(&self, is_late: bool) {
        match is_late {
            true => drop(self.late_reads.fetch_add(1, Ordering::Relaxed)),
            false => self.late_reads.store(0, Ordering::Relaxed),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.settings.lock().timeout
    }

    /// How long nodes with other keys are taken to be there after they have written the journal: a few turns of theirs.
    pub(super) fn foreign_time(&self) -> Duration {
        let settings = self.settings.lock();
        settings.read_interval * 5 + settings.timeout
    }

    /// Does something small after a while.
    pub(super) fn after(&self, delay: Duration, task: Task) {
        self.timer.after(delay, task);
    }

    /// Does something on a worker. A job that there is no room for is dropped, and with it what it holds.
    pub(super) fn work(&self, job: Job) {
        let _ = self.workers.submit(Priority::Foreground, job);
    }

    /// Whether what goes in this lane is not begun, since the storage fails.
    pub(super) fn is_left_alone(&self, lane: Lane) -> bool {
        self.operations.is_left_alone(lane)
    }

    /// Whether reads or writes are left alone.
    pub(super) fn breaker_is_open(&self) -> bool {
        self.operations.breaker_is_open()
    }

    /// Operations that have not returned.
    pub(super) fn operations_under_way(&self) -> usize {
        self.operations.len()
    }

    pub(super) fn close(&self) {
        self.timer.close();
        self.operations.close();
        self.workers.close();
    }
}

impl Shared {
    /// The fleet, if this node is part of one.
    pub(super) fn fleet(&self) -> Option<Arc<Fleet>> {
        self.fleet.read().clone()
    }

    /// Has the host's storage do something; `then` goes on with the outcome on a worker. False if it is not begun, and
    /// `then` is dropped.
    pub(super) fn use_storage(
        self: &Arc<Self>,
        fleet: &Arc<Fleet>,
        lane: Lane,
        key: String,
        operation: StorageOperation,
        then: impl FnOnce(Ended) + Send + 'static,
    ) -> Option<RequestId> {
        match fleet.operations.submit(lane, key, operation, Box::new(then)) {
            Ok((id, steps)) => {
                let (shared, of, timeout) = (Arc::clone(self), Arc::clone(fleet), fleet.timeout());
                fleet.after(
                    timeout,
                    Box::new(move || {
                        let steps = of.operations.give_up(id, timeout);
                        shared.carry_out(&of, steps);
                    }),
                );
                self.carry_out(fleet, steps);
                Some(id)
            }
            Err(then) => {
                self.counters.fleet_skipped.increment();
                drop(then);
                None
            }
        }
    }

    /// What the host says of an operation.
    pub(super) fn storage_answered(self: &Arc<Self>, id: RequestId, answer: StorageAnswer) -> bool {
        let Some(fleet) = self.fleet() else { return false };
        let Some(steps) = fleet.operations.answered(id, answer) else { return false };
        self.carry_out(&fleet, steps);
        // What waits for this one to return, or for a place.
        self.write_to_fleet(&fleet);
        true
    }

    fn carry_out(self: &Arc<Self>, fleet: &Arc<Fleet>, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Want(request) => self.events.push(crate::events::Event::Storage(request)),
                Step::End(then, ended) => self.end_operation(fleet, then, ended),
            }
        }
    }

    fn end_operation(&self, fleet: &Fleet, then: Then, ended: Ended) {
        match &ended {
            Ended::Failed(reason) => {
                self.counters.fleet_failures.increment();
                self.log_of(LogKind::Fleet, None, || format!("the storage of the fleet: {reason}"));
            }
            Ended::Skipped => self.counters.fleet_skipped.increment(),
            Ended::Found(_) | Ended::Missing | Ended::Done => {}
        }
        // Dropped, it knows what to do.
        fleet.work(Box::new(move || then(ended)));
    }

    /// Opens a record, or says why it is refused.
    pub(super) fn opened(
        &self,
        fleet: &Fleet,
        storage_key: &str,
        record: &[u8],
    ) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let error = match fleet.keys.read().open(storage_key, record) {
            Ok(text) => return Some(text),
            Err(error) => error,
        };
        match error {
            RecordError::UnknownKey => self.counters.fleet_unknown_key.increment(),
            RecordError::Damaged | RecordError::TooLarge => self.counters.fleet_damaged.increment(),
        }
        self.log_of(LogKind::FleetRecord, None, || {
            format!("a record on the storage of the fleet is not used: {storage_key}: {error}")
        });
        None
    }
}
