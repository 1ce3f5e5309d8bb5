//! The cache: the only module that knows the others. One lookup is read here from top to bottom; what a miss
//! sets in motion is in `fetch`, what becomes of a candidate in `acceptance`.

mod acceptance;
mod answer;
mod disk_read;
mod fetch;
mod lookup;

use std::collections::{HashMap, HashSet};
use std::io::{self, PipeReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::backend::{Backend, BackendError};
use crate::backoff::BackOff;
use crate::bundle::Issuers;
use crate::clock::Clock;
use crate::counters::{Counters, CountersSnapshot, FetchTimes};
use crate::disk_store::{DiskError, DiskStore};
use crate::entry::{ClientCapabilities, Entry, EntryId, EntryKey, EntryKeyRef};
use crate::events::{Event, EventQueue, LogLevel, LogRecord};
use crate::freshness::FreshnessSettings;
use crate::interner::Interner;
use crate::log_sampler::{LogKind, LogSampler};
use crate::memory_store::MemoryStore;
use crate::negative_store::NegativeStore;
use crate::server_name::{InvalidServerName, NameBuffer, ServerName};
use crate::settings::{EngineSettings, LookupSettings};
use crate::single_flight::{SingleFlight, Token};
use crate::worker_pool::{Priority, WorkerPool};

pub use acceptance::UNSUPPORTED_KEY_TYPE;

use acceptance::Candidate;
use disk_read::DiskReads;
use lookup::Held;

/// The store of one backend and cache directory, with its workers. Thread-safe; clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// One module instance's settings and its client of the backend.
pub struct LookupConfig {
    backend: Backend,
    freshness: FreshnessSettings,
    negative_ttl: Duration,
    timeout: Duration,
    warned_uncacheable: AtomicBool,
}

/// Why a cache can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory can't be used.
    #[error(transparent)]
    Directory(#[from] DiskError),
    /// The pipe that the host waits at can't be made.
    #[error("can't make a pipe ({0}); raise the limit of open files")]
    Pipe(io::Error),
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
    /// Nothing is known, and without a token nothing is started.
    Miss,
    /// A fetch is under way; the token will be told by an event.
    Pending,
    /// The name is none that anybody could own.
    InvalidName(InvalidServerName),
    /// The backend failed lately and is not asked again yet; holds the reason of the last failure.
    BackedOff(Arc<str>),
    /// The backend has a certificate, but of a kind this client can't use.
    UnsupportedKeyType,
    /// The cache is closed.
    Closed,
}

/// What a cache holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Entries in memory.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Negatives in memory.
    pub negatives: u64,
    /// Names whose last fetch failed, as far as they are remembered.
    pub failing_names: u64,
    /// Whether no name is asked for, since the backend failed for one after the other.
    pub breaker_is_open: bool,
}

struct Shared {
    clock: Clock,
    backend_name: String,
    memory: MemoryStore,
    negatives: NegativeStore,
    disk: Option<DiskStore>,
    disk_reads: DiskReads,
    /// What the backend no longer has, until it is gone from the disk too.
    tombstones: Mutex<HashSet<EntryKey>>,
    issuers: Interner<Issuers>,
    handshake_params_interner: Interner<str>,
    back_off: BackOff,
    flights: SingleFlight,
    candidates: Mutex<HashMap<EntryId, Candidate>>,
    fetchers: WorkerPool,
    disk_readers: WorkerPool,
    disk_writer: WorkerPool,
    lookup_configs: Mutex<Vec<Weak<LookupConfig>>>,
    events: EventQueue,
    log_sampler: LogSampler,
    counters: Counters,
    fetch_times: FetchTimes,
    closed: AtomicBool,
}

impl Engine {
    /// Opens a cache; fails if its directory can't be used, or the process has no descriptor left.
    pub fn open(settings: &EngineSettings, clock: Clock) -> Result<Self, OpenError> {
        let disk = match &settings.cache_dir {
            Some(directory) => Some(DiskStore::open(directory, &settings.backend)?),
            None => None,
        };
        let shared = Shared {
            clock,
            backend_name: settings.backend.clone(),
            memory: MemoryStore::new(settings.max_memory),
            negatives: NegativeStore::new(settings.max_negative_memory),
            disk,
            disk_reads: DiskReads::default(),
            tombstones: Mutex::default(),
            issuers: Interner::default(),
            handshake_params_interner: Interner::default(),
            back_off: BackOff::default(),
            flights: SingleFlight::default(),
            candidates: Mutex::default(),
            fetchers: WorkerPool::new(
                "cached_http",
                settings.max_concurrent_fetches as usize,
                MAX_QUEUED_FETCHES,
            ),
            disk_readers: WorkerPool::new("cached_http_rd", DISK_READERS, MAX_QUEUED_FETCHES),
            // One thread: writes to one name keep their order.
            disk_writer: WorkerPool::new("cached_http_wr", 1, MAX_QUEUED_WRITES),
            lookup_configs: Mutex::default(),
            events: EventQueue::new().map_err(OpenError::Pipe)?,
            log_sampler: LogSampler::default(),
            counters: Counters::default(),
            fetch_times: FetchTimes::default(),
            closed: AtomicBool::new(false),
        };
        Ok(Engine { shared: Arc::new(shared) })
    }

    /// Applies the resource limits of newer settings; backend and directory stay.
    pub fn resize(&self, settings: &EngineSettings) {
        let evicted = self.shared.memory.resize(settings.max_memory);
        self.shared.retire(evicted);
        self.shared.negatives.resize(settings.max_negative_memory);
        self.shared.fetchers.resize(settings.max_concurrent_fetches as usize);
    }

    /// Makes a config whose lookups use these settings.
    pub fn config(&self, settings: &LookupSettings) -> Result<Arc<LookupConfig>, BackendError> {
        let config = Arc::new(LookupConfig {
            backend: Backend::new(settings)?,
            freshness: FreshnessSettings {
                pinned: settings.ttl,
                default: settings.default_ttl,
                stale_if_error: settings.stale_if_error,
                refresh_ahead: settings.refresh_ahead,
            },
            negative_ttl: settings.negative_ttl,
            timeout: settings.timeout,
            warned_uncacheable: AtomicBool::new(false),
        });
        let mut lookup_configs = self.shared.lookup_configs.lock();
        lookup_configs.retain(|known| known.strong_count() > 0);
        lookup_configs.push(Arc::downgrade(&config));
        Ok(config)
    }

    /// Looks a name up; never waits and does no I/O. With a token a miss joins the name's fetch, for which
    /// `handshake_params` holds the further query parameters.
    pub fn lookup(
        &self,
        config: &Arc<LookupConfig>,
        server_name: &[u8],
        client: ClientCapabilities,
        handshake_params: &str,
        token: Option<Token>,
    ) -> Lookup {
        let mut buffer = NameBuffer::default();
        let name = match ServerName::parse(server_name, &mut buffer) {
            Ok(name) => name,
            Err(rejection) => {
                self.shared.counters.invalid_names.increment();
                return Lookup::InvalidName(rejection);
            }
        };
        let key = EntryKeyRef { name: name.as_str(), ecdsa: client.ecdsa };
        let now = self.shared.clock.now();
        if let Some(Held { answer, due }) = self.shared.held(config, key, client, now) {
            if let Some(entry) = due {
                self.shared.refresh(config, &entry, now);
            }
            match answer {
                Lookup::Hit(_) => self.shared.counters.hits.increment(),
                Lookup::Stale(_) => self.shared.counters.stale_hits.increment(),
                _ => self.shared.counters.negative_hits.increment(),
            }
            return answer;
        }
        match token {
            Some(token) => self.shared.join_fetch(config, key, client, handshake_params, token),
            None => Lookup::Miss,
        }
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
        Sizes {
            entries: shared.memory.len() as u64,
            entry_bytes: shared.memory.bytes(),
            negatives: shared.negatives.len() as u64,
            failing_names: shared.back_off.len() as u64,
            breaker_is_open: shared.back_off.breaker_is_open(),
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
        for config in shared.lookup_configs.lock().drain(..).filter_map(|known| known.upgrade()) {
            config.backend.shutdown();
        }
        shared.disk_readers.close();
        shared.fetchers.close();
        let undecided = std::mem::take(&mut *shared.candidates.lock());
        drop(undecided);
        // An config that a late handshake still holds would keep all of it, keys included.
        shared.memory.clear();
        let last = Arc::clone(shared);
        let drained = move || {
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

/// Misses that may wait for a worker; beyond it a lookup is turned away at once.
const MAX_QUEUED_FETCHES: usize = 16_384;
/// Entries that may wait to be written; beyond it an entry stays in memory only.
const MAX_QUEUED_WRITES: usize = 8_192;
const DISK_READERS: usize = 4;
/// The longest hello query that entries share and keep, and how many different ones.
const MAX_QUERY_LENGTH: usize = 1024;
const MAX_QUERIES: usize = 4096;

impl Shared {
    /// A hello query as an entry keeps it for its refreshes. Clients choose what is in it, so neither length nor
    /// number may grow with their imagination: beyond it a refresh sends the name alone.
    fn kept_query(&self, handshake_params: &str) -> Arc<str> {
        let kept = if handshake_params.len() <= MAX_QUERY_LENGTH { handshake_params } else { "" };
        self.handshake_params_interner.intern_within(MAX_QUERIES, &kept.into()).unwrap_or_default()
    }

    /// Tells the host of entries that left memory, if it had built something from them.
    fn retire(&self, entries: Vec<Arc<Entry>>) {
        self.counters.evictions.add(entries.len() as u64);
        for entry in entries.into_iter().filter(|entry| entry.was_opened()) {
            self.events.push(Event::Retired(entry.id));
        }
    }

    fn log(&self, kind: LogKind, key: EntryKeyRef<'_>, message: impl FnOnce() -> String) {
        let Some(suppressed) = self.log_sampler.admit(kind, self.clock.now()) else { return };
        let server_name = Some(key.name.to_string());
        let record = LogRecord { level: LogLevel::Warn, message: message(), server_name, suppressed };
        self.events.push(Event::Log(record));
    }
}
