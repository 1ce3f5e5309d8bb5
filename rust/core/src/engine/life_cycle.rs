//! How an engine begins, changes and ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Backend, BackendError};
use crate::backoff::BackOff;
use crate::clock::Clock;
use crate::counters::{Counters, FetchTimes};
use crate::disk_store::DiskStore;
use crate::earliest_end::EarliestEnd;
use crate::engine::disk_writes::DiskWrites;
use crate::engine::fetch::disk::DiskReads;
use crate::engine::fleet;
use crate::engine::operations::looks::{LOOKERS, MAX_QUEUED_LOOKS};
use crate::engine::operations::{MAX_QUEUED_OPERATIONS, OPERATORS, WAITERS};
use crate::engine::shared::Shared;
use crate::engine::timer::Timer;
use crate::engine::withdrawals::Withdrawals;
use crate::engine::{Engine, LookupConfig, OpenError};
use crate::events::{Event, EventQueue, Outcome};
use crate::freshness::FreshnessSettings;
use crate::interner::Interner;
use crate::log_sampler::LogSampler;
use crate::memory_store::MemoryStore;
use crate::negative_store::NegativeStore;
use crate::record::KeyFileError;
use crate::settings::{EngineSettings, LookupSettings};
use crate::shared_names::SharedNames;
use crate::single_flight::SingleFlight;
use crate::worker_pool::{Priority, WorkerPool};

impl Engine {
    /// Opens a cache; fails if its directory can't be used, or the process has no descriptor left.
    pub fn open(settings: &EngineSettings, clock: Clock) -> Result<Self, OpenError> {
        if let Some(distributed) = &settings.distributed {
            fleet::check(&distributed.key_files)?;
        }
        let disk = match &settings.cache_dir {
            Some(directory) => Some(DiskStore::open(directory, &settings.backend)?),
            None => None,
        };
        let events = EventQueue::new().map_err(OpenError::Pipe)?;
        // From here on nothing fails: what the last one has left is its own now.
        let disk_writes = DiskWrites::default();
        if let Some(disk) = &disk {
            disk.set_limit(settings.max_disk.get());
            disk_writes.take_over(disk.folder());
        }
        let shared = Shared {
            clock,
            backend_name: settings.backend.clone(),
            memory: MemoryStore::new(settings.max_memory),
            negatives: NegativeStore::new(
                settings.max_negative_memory - settings.max_negative_memory / UNSUPPORTED_SHARE,
            ),
            disk,
            unsupported: NegativeStore::new(settings.max_negative_memory / UNSUPPORTED_SHARE),
            disk_reads: DiskReads::default(),
            disk_writes,
            withdrawals: Withdrawals::default(),
            timer: Timer::default(),
            issuers: Interner::default(),
            handshake_params: Interner::default(),
            back_off: BackOff::default(),
            flights: SingleFlight::default(),
            shared_names: SharedNames::default(),
            shares_names: AtomicBool::new(false),
            changes: Mutex::default(),
            candidates: Mutex::default(),
            fetchers: WorkerPool::new(
                "cached_http",
                settings.max_concurrent_fetches as usize,
                MAX_QUEUED_FETCHES,
            ),
            disk_readers: WorkerPool::without_reserve("cached_http_rd", DISK_READERS, MAX_QUEUED_FETCHES),
            // One thread: writes to one name keep their order.
            disk_writer: WorkerPool::without_reserve("cached_http_wr", 1, MAX_QUEUED_FETCHES),
            operators: WorkerPool::without_reserve("cached_http_op", OPERATORS, MAX_QUEUED_OPERATIONS),
            waiters: WorkerPool::without_reserve("cached_http_wa", WAITERS, MAX_QUEUED_OPERATIONS),
            lookers: WorkerPool::without_reserve("cached_http_lo", LOOKERS, MAX_QUEUED_LOOKS),
            lookup_configs: Mutex::default(),
            events,
            log_sampler: LogSampler::default(),
            counters: Counters::default(),
            fetch_times: FetchTimes::default(),
            first_certificate_end: EarliestEnd::default(),
            first_bridge_end: EarliestEnd::default(),
            fleet: RwLock::default(),
            due_before: AtomicU64::new(0),
            due_on_disk_before: AtomicU64::new(0),
            closed_at: OnceLock::new(),
        };
        Ok(Engine { shared: Arc::new(shared) })
    }

    /// Applies the resource limits of newer settings; backend and directory stay. The host does so when it begins to serve: what
    /// was purged before a stop, or is past its end, begins to leave the disk then, and the fleet is joined. Fails if a key of
    /// the fleet can't be read; then the rest applies.
    pub fn resize(&self, settings: &EngineSettings) -> Result<(), KeyFileError> {
        let evicted = self.shared.memory.resize(settings.max_memory);
        self.shared.counters.evictions.add(evicted.len() as u64);
        self.shared.retire(evicted);
        let unsupported = settings.max_negative_memory / UNSUPPORTED_SHARE;
        self.shared.negatives.resize(settings.max_negative_memory - unsupported);
        self.shared.unsupported.resize(unsupported);
        self.shared.fetchers.resize(settings.max_concurrent_fetches as usize);
        if let Some(disk) = &self.shared.disk {
            disk.set_limit(settings.max_disk.get());
            self.shared.sweep_if_due();
        }
        self.shared.join_fleet(settings.distributed.as_ref())
    }

    /// Makes what lookups with these settings are made with.
    pub fn lookup_config(&self, settings: &LookupSettings) -> Result<Arc<LookupConfig>, BackendError> {
        let config = Arc::new(LookupConfig {
            backend: Backend::new(settings)?,
            identity: settings.identity(),
            freshness: FreshnessSettings {
                pinned: settings.ttl,
                default: settings.default_ttl,
                stale_if_error: settings.stale_if_error,
                refresh_ahead: settings.refresh_ahead,
            },
            negative_ttl: settings.negative_ttl,
            share_names: settings.share_names,
            timeout: settings.timeout,
            warned_uncacheable: AtomicBool::new(false),
        });
        self.shared.shares_names.fetch_or(settings.share_names, Ordering::Relaxed);
        // Newer settings may bridge for longer.
        self.shared.first_bridge_end.forget();
        let mut lookup_configs = self.shared.lookup_configs.lock();
        lookup_configs.retain(|known| known.strong_count() > 0);
        lookup_configs.push(Arc::downgrade(&config));
        Ok(config)
    }

    /// Ends it: fetches are cut, waiters told; writes that wait are still made, and then
    /// [`Engine::next_events`] ends. Returns at once; a second call does nothing.
    pub fn close(&self) {
        let shared = &self.shared;
        if shared.closed_at.set(Instant::now()).is_err() {
            return;
        }
        shared.timer.close();
        for (server_name, tokens) in shared.flights.detach_all() {
            let outcome = Outcome::Failed(CLOSED.into());
            let finished = Event::Finished {
                server_name,
                asked_backend: false,
                not_modified: false,
                accepted: None,
                tokens,
                outcome,
            };
            shared.events.push(finished);
        }
        for config in shared.lookup_configs.lock().drain(..).filter_map(|known| known.upgrade()) {
            config.backend.shutdown();
        }
        shared.operators.close();
        shared.waiters.close();
        shared.lookers.close();
        if let Some(fleet) = shared.fleet() {
            shared.leave(&fleet);
        }
        shared.disk_readers.close();
        shared.fetchers.close();
        let undecided = std::mem::take(&mut *shared.candidates.lock());
        drop(undecided);
        // A lookup config that a late handshake still holds would keep all of it, keys included.
        shared.memory.clear();
        let end = End(Arc::clone(shared));
        if let Some(disk) = &shared.disk {
            let left = shared.disk_writes.leave(disk.folder());
            // Without a thread for the last job, what waits is lost.
            let _ = shared.disk_writer.submit(Priority::Foreground, Box::new(move || end.write(left)));
        }
    }
}

/// The last job. Dropped, be it that it is not taken or panics, it ends the events, for which the host waits.
struct End(Arc<Shared>);

impl End {
    fn write(self, left: u64) {
        self.0.make_last_writes();
        if let Some(disk) = &self.0.disk {
            self.0.disk_writes.leave_rest(disk.folder(), left);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.events.close();
        self.0.disk_writer.close();
    }
}

const CLOSED: &str = "the cache was closed while its backend was asked";

/// Misses that may wait for a worker; beyond it a lookup is turned away at once.
const MAX_QUEUED_FETCHES: usize = 16_384;
const DISK_READERS: usize = 4;
/// The part of the memory for negatives that is for certificates which the client who asked can't use.
const UNSUPPORTED_SHARE: u64 = 4;
