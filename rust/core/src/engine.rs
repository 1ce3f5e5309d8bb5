//! The engine: the only module that knows the others. Read the path of one lookup in this order: [`Engine::lookup`],
//! `engine/lookup.rs` (what memory says), `engine/fetch.rs` and its folder (what a miss sets in motion),
//! `engine/storing.rs` (what is stored, and withdrawn), `engine/disk_writes.rs` and `engine/disk_writer.rs`. What an
//! operator can ask for is in [`operations`].

mod disk_writer;
mod disk_writes;
mod fetch;
mod fleet;
mod lookup;
pub mod operations;
mod outage;
mod shared;
mod storing;

use std::io::{self, PipeReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Backend, BackendError};
use crate::backoff::{BackOff, Identity};
use crate::clock::Clock;
use crate::counters::{Counters, CountersSnapshot, FetchTimes, Sizes};
use crate::disk_store::{DiskError, DiskStore};
use crate::earliest_end::EarliestEnd;
use crate::engine::disk_writes::{DiskWrite, DiskWrites};
use crate::engine::fetch::candidate::Candidate;
use crate::engine::fetch::disk::DiskReads;
use crate::engine::operations::looks::{LOOKERS, MAX_QUEUED_LOOKS};
use crate::engine::operations::{MAX_QUEUED_OPERATIONS, OPERATORS, WAITERS};
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::entry::{ClientKind, Entry, EntryId, EntryKeyRef};
use crate::events::{Event, EventQueue, Outcome};
use crate::freshness::FreshnessSettings;
use crate::interner::Interner;
use crate::log_sampler::LogSampler;
use crate::memory_store::MemoryStore;
use crate::negative_store::NegativeStore;
use crate::record::KeyFileError;
use crate::server_name::{InvalidServerName, NameBuffer, ServerName};
use crate::settings::{EngineSettings, LookupSettings};
use crate::shared_names::SharedNames;
use crate::single_flight::{SingleFlight, Token};
use crate::storage::{RequestId, StorageAnswer};
use crate::worker_pool::{Priority, WorkerPool};

/// The store of one backend and cache directory, with its workers. Thread-safe; clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// One module instance's settings and its client of the backend.
pub struct LookupConfig {
    backend: Backend,
    /// Stands for what the backend knows the client by.
    identity: Identity,
    freshness: FreshnessSettings,
    negative_ttl: Duration,
    share_names: bool,
    timeout: Duration,
    warned_uncacheable: AtomicBool,
}

/// Why an engine can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory can't be used.
    #[error(transparent)]
    Directory(#[from] DiskError),
    /// A key of its fleet can't be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The pipe that the host waits at can't be made.
    #[error("can't make a pipe ({0}); raise the limit of open files")]
    Pipe(#[source] io::Error),
}

/// One handshake's question.
#[derive(Clone, Copy, Debug)]
pub struct LookupRequest<'a> {
    /// The SNI as the client sent it.
    pub server_name: &'a [u8],
    /// What the client can use.
    pub client: ClientKind,
    /// Further query parameters for the backend beside those of the client's kind, percent-encoded; read on a miss only.
    pub handshake_params: &'a str,
    /// Who waits. Without a token a miss starts nothing; a refresh that is due begins all the same.
    pub token: Option<Token>,
    /// Another question about a handshake that has asked already: it is not counted, and an answer that must not be
    /// stored holds for it for a moment.
    pub peek: bool,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A fresh entry.
    Hit(EntryId),
    /// An entry past its lifetime, to be served; a newer one is being fetched, or will be once the backend is
    /// back.
    Stale(EntryId),
    /// The backend has nothing for the name.
    Negative,
    /// Nothing is known, and without a token nothing was started.
    Miss,
    /// A fetch is under way; the token will be told by an event.
    Pending,
    /// The name is none that anybody could own.
    InvalidName(InvalidServerName),
    /// The backend failed lately and is not asked again yet; holds the reason of the last failure.
    BackedOff(Arc<str>),
    /// The backend has a certificate, but of a kind that this client can't use.
    UnsupportedKeyType,
    /// The cache is closed.
    Closed,
}

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
        if let Some(disk) = &disk {
            disk.set_limit(settings.max_disk.get());
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
            disk_writes: DiskWrites::default(),
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
            events: EventQueue::new().map_err(OpenError::Pipe)?,
            log_sampler: LogSampler::default(),
            counters: Counters::default(),
            fetch_times: FetchTimes::default(),
            first_certificate_end: EarliestEnd::default(),
            first_bridge_end: EarliestEnd::default(),
            fleet: RwLock::default(),
            due_before: AtomicU64::new(0),
            closed: AtomicBool::new(false),
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

    /// Looks a name up; never waits and does no I/O. With a token a miss joins the name's fetch, or starts it.
    pub fn lookup(&self, config: &Arc<LookupConfig>, request: &LookupRequest<'_>) -> Lookup {
        self.shared.lookup(config, request)
    }

    /// Forgets all that is known of a name, in every variant: certificates in memory and on disk, "no such name",
    /// failures. What is under way is not stored. True if there was anything. Its files are removed soon after; who must know
    /// that they are uses [`Engine::operate`].
    pub fn purge(&self, server_name: &[u8]) -> Result<bool, InvalidServerName> {
        let mut buffer = NameBuffer::default();
        let name = ServerName::parse(server_name, &mut buffer)?;
        let key = EntryKeyRef { name: name.as_str(), client: ClientKind::RsaOnly };
        Ok(self.shared.purge(key, &DiskWrite::Remove(ClientKind::Ed25519), &PurgedBy::ThisNode))
    }

    /// The entry with this id, while it is a candidate or in memory.
    pub fn entry(&self, id: EntryId) -> Option<Arc<Entry>> {
        let candidate = self.shared.candidates.lock().get(&id).map(Candidate::entry);
        candidate.or_else(|| self.shared.memory.entry(id))
    }

    /// Accepts a candidate: it is kept, and whoever waits is told. False if there is no such candidate.
    pub fn confirm(&self, id: EntryId) -> bool {
        let candidate = self.shared.candidates.lock().remove(&id);
        candidate.map(Candidate::confirm).is_some()
    }

    /// Rejects a candidate for the host's reason. False if there is no such candidate.
    pub fn reject(&self, id: EntryId, reason: &str) -> bool {
        let candidate = self.shared.candidates.lock().remove(&id);
        candidate.map(|candidate| candidate.reject(reason)).is_some()
    }

    /// What became of an operation that the host's storage was to carry out. False if there is no such request.
    pub fn storage_answered(&self, id: RequestId, answer: StorageAnswer) -> bool {
        self.shared.storage_answered(id, answer)
    }

    /// Takes up to `max` events; `None` once the cache is closed and drained. It never waits: after a call that
    /// found nothing, reading [`Engine::event_reader`] does.
    pub fn next_events(&self, max: usize) -> Option<Vec<Event>> {
        self.shared.events.take(max)
    }

    /// A pipe that receives a byte when there are events again after [`Engine::next_events`] found none.
    pub fn event_reader(&self) -> Result<PipeReader, OpenError> {
        self.shared.events.reader().map_err(OpenError::Pipe)
    }

    /// Totals since it was opened.
    pub fn counters(&self) -> CountersSnapshot {
        self.shared.counters.snapshot()
    }

    /// How long requests took.
    pub fn fetch_times(&self) -> &FetchTimes {
        &self.shared.fetch_times
    }

    /// What it holds now.
    pub fn sizes(&self) -> Sizes {
        let shared = &self.shared;
        let now = shared.clock.now();
        let disk = shared.disk.as_ref().map(DiskStore::usage).unwrap_or_default();
        let fleet = shared.fleet();
        let fleet = fleet.as_ref();
        Sizes {
            entries: shared.memory.len() as u64,
            entry_bytes: shared.memory.bytes(),
            negatives: shared.negatives.len() as u64,
            failing_names: shared.back_off.len() as u64,
            breaker_is_open: shared.back_off.breaker_is_open(),
            first_certificate_end: shared.first_certificate_end.earliest(now),
            first_bridge_end: shared.first_bridge_end.earliest(now),
            disk_entries: disk.entries,
            disk_bytes: disk.bytes,
            fleet_breaker_is_open: fleet.is_some_and(|fleet| fleet.breaker_is_open()),
            fleet_operations: fleet.map_or(0, |fleet| fleet.operations_under_way() as u64),
            fleet_writes: fleet.map_or(0, |fleet| fleet.writes.len() as u64),
            fleet_purges_read_at: fleet.and_then(|fleet| fleet.journal.lock().read_at()),
        }
    }

    /// Whether [`Engine::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Ends it: fetches are cut, waiters told; writes that wait are still made, and then
    /// [`Engine::next_events`] ends. Returns at once; a second call does nothing.
    pub fn close(&self) {
        let shared = &self.shared;
        if shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
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
            fleet.close();
        }
        shared.disk_readers.close();
        shared.fetchers.close();
        let undecided = std::mem::take(&mut *shared.candidates.lock());
        drop(undecided);
        // A lookup config that a late handshake still holds would keep all of it, keys included.
        shared.memory.clear();
        let last = Arc::clone(shared);
        let drained = move || {
            last.make_last_writes();
            last.events.close();
            last.disk_writer.close();
        };
        // A queue too full to take the last job means a disk that hangs: nothing is worth waiting for.
        if shared.disk.is_none()
            || shared.disk_writer.submit(Priority::Foreground, Box::new(drained)).is_err()
        {
            shared.events.close();
        }
    }
}

const CLOSED: &str = "the cache was closed while its backend was asked";

/// Misses that may wait for a worker; beyond it a lookup is turned away at once.
const MAX_QUEUED_FETCHES: usize = 16_384;
const DISK_READERS: usize = 4;
/// The part of the memory for negatives that is for certificates which the client who asked can't use.
const UNSUPPORTED_SHARE: u64 = 4;
