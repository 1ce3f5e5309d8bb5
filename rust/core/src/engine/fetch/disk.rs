//! The disk step. Nothing here may fail a handshake. A read can't be interrupted, so the reading and a watching thread
//! share the fetch; whoever takes it goes on with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk_store::DiskStore;
use crate::engine::LookupConfig;
use crate::engine::disk_writes::Pending;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::{Candidate, Source};
use crate::engine::shared::Shared;
use crate::engine::storing::OnDisk;
use crate::entry::{ClientKind, Entry, EntryKey, EntryKeyRef};
use crate::freshness::Freshness;
use crate::log_sampler::LogKind;
use crate::worker_pool::Priority;

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

#[derive(Default)]
struct Waiting {
    reads: Vec<Arc<PendingRead>>,
    watched: bool,
}

/// Where a fetch waits, first in the queue and then for its read.
struct PendingRead {
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
    /// Whether the read takes too long.
    fn hangs(&self) -> bool {
        self.read_at.get().is_some_and(|read_at| read_at.elapsed() >= READ_TIMEOUT.min(self.longest))
    }

    /// Whether the fetch has waited for long enough. A long queue says nothing of the disk's health.
    fn is_overdue(&self, disk_hangs: bool) -> bool {
        self.hangs() || disk_hangs && self.read_at.get().is_none() || self.queued_at.elapsed() >= self.longest
    }
}

/// The reader's side of a pending read. Dropped with the fetch inside (queue full, panic), it sends the fetch to the
/// backend.
struct Read {
    shared: Arc<Shared>,
    pending: Arc<PendingRead>,
    config: Arc<LookupConfig>,
    key: EntryKey,
    handshake_params: Arc<str>,
}

impl Fetch {
    /// Reads the entry from disk, or goes on to the backend if it has none to use, or does not answer.
    pub(in crate::engine) fn queue_read(self) {
        let shared = Arc::clone(&self.shared);
        if shared.disk_reads.hanging.load(Ordering::Relaxed) > 0 {
            return self.queue_load();
        }
        let (key, handshake_params) = (self.key.clone(), Arc::clone(&self.handshake_params));
        let config = Arc::clone(&self.config);
        let (queued_at, read_at, longest) = (Instant::now(), OnceLock::new(), self.config.timeout / 2);
        let pending =
            Arc::new(PendingRead { state: Mutex::new(ReadState::Waits(self)), queued_at, read_at, longest });
        let read = Read {
            shared: Arc::clone(&shared),
            pending: Arc::clone(&pending),
            config,
            key,
            handshake_params,
        };
        shared.watch(pending);
        // A job that is not taken drops its hold.
        let _ = shared.disk_readers.submit(Priority::Foreground, Box::new(move || read.run()));
    }
}

/// What the disk knows of a name.
struct Findings {
    entry: Option<Entry>,
    on_disk: OnDisk,
}

/// What the disk knows of a key.
enum Found {
    /// There is no file.
    Nothing,
    /// There is one: its certificate has ended, or this client can't use it.
    Unusable,
    /// It can't be read, and there may be none.
    Unreadable,
    Entry(Entry),
}

impl Read {
    fn run(self) {
        // If nobody waits any more, the disk has enough to do.
        let somebody_waits = matches!(*self.pending.state.lock(), ReadState::Waits(_));
        let _ = self.pending.read_at.set(Instant::now());
        let findings = somebody_waits.then(|| self.find());
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_loaded");
        if let Some(Findings { entry, on_disk }) = findings
            && let ReadState::Waits(mut fetch) = self.take()
        {
            fetch.on_disk = on_disk;
            match entry {
                Some(entry) => fetch.found_on_disk(entry),
                None => fetch.queue_load(),
            }
        }
        self.shared.sweep_if_due();
    }

    /// Looks for what this client can use; if there is nothing, whether there is anything at all of the name: a
    /// later "no" has to remove it.
    fn find(&self) -> Findings {
        let Some(disk) = &self.shared.disk else { return Findings { entry: None, on_disk: OnDisk::Nothing } };
        let key = self.key.borrowed();
        let mut on_disk = OnDisk::Nothing;
        let mut past_use = None;
        for kind in key.client.usable() {
            match self.load(disk, key.of(*kind)) {
                Found::Nothing => {}
                Found::Unusable => on_disk = OnDisk::Something,
                Found::Unreadable => on_disk = on_disk.max(OnDisk::Unknown),
                // Worth a conditional request, if there is no better one of another kind.
                Found::Entry(entry)
                    if self.config.evaluate(&entry, self.shared.clock.now()) == Freshness::Expired =>
                {
                    on_disk = OnDisk::Something;
                    past_use.get_or_insert(entry);
                }
                Found::Entry(entry) => return Findings { entry: Some(entry), on_disk: OnDisk::Something },
            }
        }
        for kind in ClientKind::ALL.into_iter().filter(|kind| !key.client.usable().contains(kind)) {
            on_disk = on_disk.max(match self.shared.disk_writes.pending(key.of(kind)) {
                Pending::Removed => OnDisk::Nothing,
                Pending::Saved(..) => OnDisk::Something, // it will be
                Pending::Nothing => match disk.load(&key.of(kind).to_owned()) {
                    Ok(None) => OnDisk::Nothing,
                    Ok(Some(_)) => OnDisk::Something,
                    Err(error) => {
                        self.shared.disk_failed(key.of(kind), &error);
                        OnDisk::Unknown
                    }
                },
            });
        }
        Findings { entry: past_use, on_disk }
    }

    fn load(&self, disk: &DiskStore, key: EntryKeyRef<'_>) -> Found {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_read", |_| Found::Unreadable);
        let shared = &self.shared;
        let (bundle, metadata) = match shared.disk_writes.pending(key) {
            Pending::Removed => return Found::Nothing,
            Pending::Saved(entry, metadata) => (Arc::clone(&entry.bundle), metadata),
            Pending::Nothing => match disk.load(&key.to_owned()) {
                Ok(None) => return Found::Nothing,
                Ok(Some(stored)) => {
                    // Not worth a word: an entry of long ago whose certificate has ended is simply fetched again.
                    match shared.checked_bundle(&stored.pem, &key.to_owned(), shared.clock.now()) {
                        Ok(bundle) => (Arc::new(bundle), stored.metadata),
                        Err(_) => return Found::Unusable,
                    }
                }
                Err(error) => {
                    shared.disk_failed(key, &error);
                    return Found::Unreadable;
                }
            },
        };
        if !self.key.client.can_use(bundle.private_key().algorithm()) {
            return Found::Unusable;
        }
        let handshake_params = shared.interned_params(&self.handshake_params);
        Found::Entry(Entry::new(key.to_owned(), bundle, metadata, handshake_params))
    }

    /// Takes the fetch, if it still waits. A read that was given up hangs no more.
    fn take(&self) -> ReadState {
        let state = std::mem::replace(&mut *self.pending.state.lock(), ReadState::Gone);
        if matches!(state, ReadState::Hangs) {
            self.shared.disk_reads.hanging.fetch_sub(1, Ordering::Relaxed);
        }
        state
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if let ReadState::Waits(fetch) = self.take() {
            fetch.queue_load();
        }
    }
}

impl Fetch {
    /// Past its lifetime an entry still serves, as in memory: its next lookup sets a refresh in motion.
    fn found_on_disk(mut self, entry: Entry) {
        if self.config.evaluate(&entry, self.shared.clock.now()) == Freshness::Expired {
            self.stored = Some(Arc::new(entry));
            return self.queue_load();
        }
        self.shared.counters.disk_hits.increment();
        Candidate::offer(self, entry, Source::Disk);
    }
}

impl Shared {
    /// Sends a fetch on to the backend when its patience ends. One thread looks after all of them, while there are any.
    fn watch(self: &Arc<Self>, pending: Arc<PendingRead>) {
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
            let hanging = &self.disk_reads.hanging;
            waiting.reads.retain(|pending| {
                let mut state = pending.state.lock();
                match *state {
                    ReadState::Waits(_) if !pending.is_overdue(hanging.load(Ordering::Relaxed) > 0) => {
                        return true;
                    }
                    ReadState::Waits(_) if pending.hangs() => {
                        hanging.fetch_add(1, Ordering::Relaxed);
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
