//! A fetch on its way past the disk. Nothing that fails there may fail a handshake, and a disk can also not answer
//! at all: a read can't be cut, but the fetch need not wait for it. It lies where both the reading thread and a
//! watching one can take it, and whoever does goes on with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cache::Shared;
use crate::cache::acceptance::{Candidate, Source};
use crate::cache::fetch::Fetch;
use crate::cache::lookup::usable_keys;
use crate::disk_store::DiskStore;
use crate::entry::{ClientAbilities, Entry, EntryKey};
use crate::freshness::Freshness;
use crate::log_sampler::LogKind;
use crate::worker_pool::Urgency;

/// How long a fetch waits for the disk, or for half of its own time, if that is less.
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
    places: Vec<(Instant, Arc<Place>)>,
    watched: bool,
}

/// Where a fetch waits.
type Place = Mutex<Holder>;

enum Holder {
    Waits(Fetch),
    Gone,
    GaveUp,
}

/// The reading side's hold on a place. Dropped with the fetch still in it, since nothing was found, the queue is full
/// or the read panics, it sends the fetch on to the origin.
struct Read {
    shared: Arc<Shared>,
    place: Arc<Place>,
    key: EntryKey,
    client: ClientAbilities,
    hello_query: Arc<str>,
}

impl Fetch {
    /// Reads the entry from disk, or goes on to the origin if it has none to use, or does not answer.
    pub(super) fn queue_read(self) {
        let shared = Arc::clone(&self.shared);
        if shared.disk_reads.hanging.load(Ordering::Relaxed) > 0 {
            return self.queue_request();
        }
        let patience_ends = Instant::now() + PATIENCE.min(self.instance.timeout / 2);
        let (key, client, hello_query) = (self.key.clone(), self.client, Arc::clone(&self.hello_query));
        let place = Arc::new(Mutex::new(Holder::Waits(self)));
        let read = Read { shared: Arc::clone(&shared), place: Arc::clone(&place), key, client, hello_query };
        shared.watch(patience_ends, place);
        // A job that is not taken drops its hold.
        let _ = shared.disk_readers.submit(Urgency::Foreground, Box::new(move || read.run()));
    }
}

impl Read {
    fn run(self) {
        // If nobody waits any more, the disk has enough to do.
        let somebody_waits = matches!(*self.place.lock(), Holder::Waits(_));
        if somebody_waits
            && let Some(entry) = self.find()
            && let Holder::Waits(fetch) = self.take()
        {
            fetch.found_on_disk(entry);
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
        usable.then(|| Entry::new(key, Arc::new(bundle), stored.facts, shared.kept_query(&self.hello_query)))
    }

    /// What was in the place; a fetch that gave up is told of the read's end.
    fn take(&self) -> Holder {
        let holder = std::mem::replace(&mut *self.place.lock(), Holder::Gone);
        if matches!(holder, Holder::GaveUp) {
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
        if self.instance.evaluate(&entry, self.shared.clock.now()) == Freshness::Expired {
            self.kept = Some(Arc::new(entry));
            return self.queue_request();
        }
        self.shared.counters.disk_hits.increment();
        Candidate::offer(self, entry, Source::Disk);
    }
}

impl Shared {
    /// Sends a fetch on to the origin when its patience ends. One thread looks after all of them, while there are any.
    fn watch(self: &Arc<Self>, patience_ends: Instant, place: Arc<Place>) {
        let mut waiting = self.disk_reads.waiting.lock();
        waiting.places.push((patience_ends, place));
        if !waiting.watched {
            let shared = Arc::clone(self);
            let watcher = thread::Builder::new().name("cached_http_wd".into()).stack_size(WATCHER_STACK_SIZE);
            waiting.watched = watcher.spawn(move || while shared.look_after_reads() {}).is_ok();
        }
    }

    /// Waits for a moment and sends on whoever has waited for too long; false if nobody waits any more.
    fn look_after_reads(self: &Arc<Self>) -> bool {
        thread::sleep(WATCH_INTERVAL);
        let now = Instant::now();
        let mut impatient = Vec::new();
        let anybody = {
            let mut waiting = self.disk_reads.waiting.lock();
            waiting.places.retain(|(patience_ends, place)| {
                let mut holder = place.lock();
                match *holder {
                    Holder::Waits(_) if now < *patience_ends => return true,
                    Holder::Waits(_) => {
                        self.disk_reads.hanging.fetch_add(1, Ordering::Relaxed);
                        impatient.push(std::mem::replace(&mut *holder, Holder::GaveUp));
                    }
                    Holder::Gone | Holder::GaveUp => {}
                }
                false
            });
            waiting.watched = !waiting.places.is_empty();
            waiting.watched
        };
        for holder in impatient {
            let Holder::Waits(fetch) = holder else { continue };
            self.counters.disk_errors.increment();
            self.log(LogKind::Disk, fetch.key.borrowed(), || NO_ANSWER.into());
            fetch.queue_request();
        }
        anybody
    }
}

const NO_ANSWER: &str = "the disk under cache_dir does not answer; the origin is asked instead, and nothing is read from disk until it does";
const WATCHER_STACK_SIZE: usize = 256 * 1024;
