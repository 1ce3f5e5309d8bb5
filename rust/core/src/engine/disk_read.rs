//! A fetch on its way past the disk. Nothing that fails there may fail a handshake, and a disk can also not answer
//! at all: a read can't be cut, but the fetch need not wait for it. It lies where both the reading thread and a
//! watching one can take it, and whoever does goes on with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk_store::DiskStore;
use crate::engine::Shared;
use crate::engine::acceptance::{Candidate, Source};
use crate::engine::fetch::Fetch;
use crate::engine::lookup::usable_keys;
use crate::entry::{ClientCapabilities, Entry, EntryKey};
use crate::freshness::Freshness;
use crate::log_sampler::LogKind;
use crate::worker_pool::Priority;

/// How long a read may take before the disk is taken to hang. A fetch waits for half of its own time at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often somebody looks who has waited for so long.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// The fetches that wait for the disk.
#[derive(Default)]
pub(super) struct DiskReads {
    waiting: Mutex<Waiting>,
    /// Reads that a fetch has waited for in vain and that have not returned yet.
    hanging: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    places: Vec<Arc<Place>>,
    watched: bool,
}

/// Where a fetch waits, first in the queue and then for its read.
struct Place {
    holder: Mutex<Holder>,
    queued_at: Instant,
    read_at: OnceLock<Instant>,
    /// Half of the fetch's own time.
    longest: Duration,
}

enum Holder {
    Waits(Fetch),
    Gone,
    /// The read that was waited for has not returned.
    Hangs,
}

impl Place {
    /// Whether the read takes too long.
    fn hangs(&self) -> bool {
        self.read_at.get().is_some_and(|read_at| read_at.elapsed() >= PATIENCE.min(self.longest))
    }

    /// Whether the fetch has waited for long enough. A long queue says nothing of the disk's health.
    fn is_overdue(&self, disk_hangs: bool) -> bool {
        self.hangs() || disk_hangs && self.read_at.get().is_none() || self.queued_at.elapsed() >= self.longest
    }
}

/// The reading side's hold on a place. Dropped with the fetch still in it, since the queue is full or the read panics,
/// it sends the fetch on to the backend.
struct Read {
    shared: Arc<Shared>,
    place: Arc<Place>,
    key: EntryKey,
    client: ClientCapabilities,
    handshake_params: Arc<str>,
}

impl Fetch {
    /// Reads the entry from disk, or goes on to the backend if it has none to use, or does not answer.
    pub(super) fn queue_read(self) {
        let shared = Arc::clone(&self.shared);
        if shared.disk_reads.hanging.load(Ordering::Relaxed) > 0 {
            return self.queue_request();
        }
        let (key, client, handshake_params) =
            (self.key.clone(), self.client, Arc::clone(&self.handshake_params));
        let (queued_at, read_at, longest) = (Instant::now(), OnceLock::new(), self.config.timeout / 2);
        let place = Arc::new(Place { holder: Mutex::new(Holder::Waits(self)), queued_at, read_at, longest });
        let read =
            Read { shared: Arc::clone(&shared), place: Arc::clone(&place), key, client, handshake_params };
        shared.watch(place);
        // A job that is not taken drops its hold.
        let _ = shared.disk_readers.submit(Priority::Foreground, Box::new(move || read.run()));
    }
}

impl Read {
    fn run(self) {
        // If nobody waits any more, the disk has enough to do.
        let somebody_waits = matches!(*self.place.holder.lock(), Holder::Waits(_));
        let _ = self.place.read_at.set(Instant::now());
        let found = somebody_waits.then(|| self.find());
        if let Some(found) = found
            && let Holder::Waits(mut fetch) = self.take()
        {
            match found {
                Some(entry) => fetch.found_on_disk(entry),
                None => {
                    fetch.is_not_on_disk = true;
                    fetch.queue_request();
                }
            }
        }
    }

    fn find(&self) -> Option<Entry> {
        let disk = self.shared.disk.as_ref()?;
        usable_keys(self.key.borrowed()).find_map(|key| self.load(disk, key.to_owned()))
    }

    /// The entry on disk, if it is whole, in date and usable by this client.
    fn load(&self, disk: &DiskStore, key: EntryKey) -> Option<Entry> {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_read");
        let shared = &self.shared;
        if shared.tombstones.lock().contains(&key) {
            return None;
        }
        let stored = match disk.load(&key) {
            Ok(stored) => stored?,
            Err(error) => {
                shared.disk_failed(key.borrowed(), &error);
                return None;
            }
        };
        // Not worth a word: an entry of long ago whose certificate has ended is simply fetched again.
        let bundle = shared.checked_bundle(&stored.pem, &key, shared.clock.now()).ok()?;
        let usable = self.client.can_use(bundle.private_key().algorithm());
        usable.then(|| {
            Entry::new(key, Arc::new(bundle), stored.metadata, shared.kept_query(&self.handshake_params))
        })
    }

    /// What was in the place; a fetch that gave up is told of the read's end.
    fn take(&self) -> Holder {
        let holder = std::mem::replace(&mut *self.place.holder.lock(), Holder::Gone);
        if matches!(holder, Holder::Hangs) {
            self.shared.disk_reads.hanging.fetch_sub(1, Ordering::Relaxed);
        }
        holder
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if let Holder::Waits(fetch) = self.take() {
            fetch.queue_request();
        }
    }
}

impl Fetch {
    /// Past its lifetime an entry still serves, as in memory: its next lookup sets a refresh in motion.
    fn found_on_disk(mut self, entry: Entry) {
        if self.config.evaluate(&entry, self.shared.clock.now()) == Freshness::Expired {
            self.kept = Some(Arc::new(entry));
            return self.queue_request();
        }
        self.shared.counters.disk_hits.increment();
        Candidate::offer(self, entry, Source::Disk);
    }
}

impl Shared {
    /// Sends a fetch on to the backend when its patience ends. One thread looks after all of them, while there are any.
    fn watch(self: &Arc<Self>, place: Arc<Place>) {
        let mut waiting = self.disk_reads.waiting.lock();
        waiting.places.push(place);
        if !waiting.watched {
            let shared = Arc::clone(self);
            let watcher = thread::Builder::new().name("cached_http_wd".into()).stack_size(WATCHER_STACK_SIZE);
            waiting.watched = watcher.spawn(move || while shared.look_after_reads() {}).is_ok();
        }
    }

    /// Waits for a moment and sends on whoever has waited for too long; false if nobody waits any more.
    fn look_after_reads(self: &Arc<Self>) -> bool {
        thread::sleep(WATCH_INTERVAL);
        let mut overdue = Vec::new();
        let anybody = {
            let mut waiting = self.disk_reads.waiting.lock();
            let hanging = &self.disk_reads.hanging;
            waiting.places.retain(|place| {
                let mut holder = place.holder.lock();
                match *holder {
                    Holder::Waits(_) if !place.is_overdue(hanging.load(Ordering::Relaxed) > 0) => {
                        return true;
                    }
                    Holder::Waits(_) if place.hangs() => {
                        hanging.fetch_add(1, Ordering::Relaxed);
                        overdue.push(std::mem::replace(&mut *holder, Holder::Hangs));
                    }
                    Holder::Waits(_) => overdue.push(std::mem::replace(&mut *holder, Holder::Gone)),
                    Holder::Gone | Holder::Hangs => {}
                }
                false
            });
            waiting.watched = !waiting.places.is_empty();
            waiting.watched
        };
        for holder in overdue {
            let Holder::Waits(fetch) = holder else { continue };
            self.counters.disk_errors.increment();
            self.log(LogKind::Disk, fetch.key.borrowed(), || NO_ANSWER.into());
            fetch.queue_request();
        }
        anybody
    }
}

const NO_ANSWER: &str = "the disk under cache_dir does not answer in time; the backend is asked instead, and nothing is read from disk until it does";
const WATCHER_STACK_SIZE: usize = 256 * 1024;
