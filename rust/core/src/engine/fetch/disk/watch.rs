//! The watch over fetches that wait for the disk. A read that takes too long is left behind, and its fetch goes on to the
//! backend; until it returns, the disk is taken to hang.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::fetch::Fetch;
use crate::engine::shared::Shared;
use crate::log_sampler::LogKind;

/// How long a read may take before the disk is taken to hang. A fetch waits for half of its own time at most.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Polling interval for overdue reads.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// The fetches that wait for the disk.
#[derive(Default)]
pub(in crate::engine) struct DiskReads {
    waiting: Mutex<Waiting>,
    /// Timed-out reads that have not returned.
    hanging: AtomicU64,
}

impl DiskReads {
    /// Whether the disk is taken to hang.
    pub(super) fn any_hangs(&self) -> bool {
        self.hanging.load(Ordering::Relaxed) > 0
    }
}

#[derive(Default)]
struct Waiting {
    reads: Vec<Arc<PendingRead>>,
    watched: bool,
}

/// Where a fetch waits, first in the queue and then for its read.
pub(super) struct PendingRead {
    state: Mutex<ReadState>,
    queued_at: Instant,
    read_at: OnceLock<Instant>,
    /// Half of the fetch's own time.
    longest: Duration,
}

enum ReadState {
    Waits(Fetch),
    Gone,
    /// The read that was waited for has not returned.
    Hangs,
}

impl PendingRead {
    pub(super) fn new(fetch: Fetch) -> Self {
        let longest = fetch.config.timeout / 2;
        let state = Mutex::new(ReadState::Waits(fetch));
        PendingRead { state, queued_at: Instant::now(), read_at: OnceLock::new(), longest }
    }

    /// Notes that the read begins; false if nobody waits any more.
    pub(super) fn begin(&self) -> bool {
        let somebody_waits = matches!(*self.state.lock(), ReadState::Waits(_));
        let _ = self.read_at.set(Instant::now());
        somebody_waits
    }

    /// Takes the fetch, if it still waits. A read that was given up hangs no more.
    pub(super) fn take(&self, reads: &DiskReads) -> Option<Fetch> {
        let state = std::mem::replace(&mut *self.state.lock(), ReadState::Gone);
        if matches!(state, ReadState::Hangs) {
            reads.hanging.fetch_sub(1, Ordering::Relaxed);
        }
        if let ReadState::Waits(fetch) = state { Some(fetch) } else { None }
    }

    /// Whether the read takes too long.
    fn hangs(&self) -> bool {
        self.read_at.get().is_some_and(|read_at| read_at.elapsed() >= READ_TIMEOUT.min(self.longest))
    }

    /// Whether the fetch has waited for long enough. A long queue says nothing of the disk's health.
    fn is_overdue(&self, disk_hangs: bool) -> bool {
        self.hangs() || disk_hangs && self.read_at.get().is_none() || self.queued_at.elapsed() >= self.longest
    }
}

impl Shared {
    /// Sends a fetch on to the backend when its patience ends. One thread looks after all of them, while there are any.
    pub(super) fn watch(self: &Arc<Self>, pending: Arc<PendingRead>) {
        let mut waiting = self.disk_reads.waiting.lock();
        waiting.reads.push(pending);
        if !waiting.watched {
            let shared = Arc::clone(self);
            let watcher = thread::Builder::new().name("cached_http_wd".into()).stack_size(WATCHER_STACK_SIZE);
            // A panic ends what is sent on, by its own guards, and no watch.
            let look = move || catch_unwind(AssertUnwindSafe(|| shared.look_after_reads())).unwrap_or(true);
            waiting.watched = watcher.spawn(move || while look() {}).is_ok();
        }
    }

    /// Waits for a moment and sends on whoever has waited for too long; false if nobody waits any more.
    fn look_after_reads(self: &Arc<Self>) -> bool {
        thread::sleep(WATCH_INTERVAL);
        let mut overdue = Vec::new();
        let anybody = {
            let mut waiting = self.disk_reads.waiting.lock();
            waiting.reads.retain(|pending| {
                let mut state = pending.state.lock();
                match *state {
                    ReadState::Waits(_) if !pending.is_overdue(self.disk_reads.any_hangs()) => {
                        return true;
                    }
                    ReadState::Waits(_) if pending.hangs() => {
                        self.disk_reads.hanging.fetch_add(1, Ordering::Relaxed);
                        overdue.push(std::mem::replace(&mut *state, ReadState::Hangs));
                    }
                    ReadState::Waits(_) => overdue.push(std::mem::replace(&mut *state, ReadState::Gone)),
                    ReadState::Gone | ReadState::Hangs => {}
                }
                false
            });
            waiting.watched = !waiting.reads.is_empty();
            waiting.watched
        };
        for state in overdue {
            let ReadState::Waits(fetch) = state else { continue };
            self.counters.disk_errors.increment();
            self.log(LogKind::Disk, fetch.key.borrowed(), || NO_ANSWER.into());
            fetch.queue_load();
        }
        anybody
    }
}

const NO_ANSWER: &str = "the disk under cache_dir does not answer in time; the backend is asked instead, and nothing is read from disk until it does";
const WATCHER_STACK_SIZE: usize = 256 * 1024;
