//! What all of an engine's threads share: state, and the two ways in which every part speaks to the host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::backoff::BackOff;
use crate::bundle::Issuers;
use crate::clock::Clock;
use crate::counters::{Counters, FetchTimes};
use crate::disk_store::DiskStore;
use crate::earliest_end::EarliestEnd;
use crate::engine::LookupConfig;
use crate::engine::disk_writes::DiskWrites;
use crate::engine::fetch::candidate::Candidate;
use crate::engine::fetch::disk::DiskReads;
use crate::engine::fleet::Fleet;
use crate::engine::timer::Timer;
use crate::engine::withdrawals::Withdrawals;
use crate::entry::{Entry, EntryId, EntryKeyRef};
use crate::events::{Event, EventQueue, LogLevel, LogRecord};
use crate::interner::Interner;
use crate::log_sampler::{LogKind, LogSampler};
use crate::memory_store::MemoryStore;
use crate::negative_store::NegativeStore;
use crate::shared_names::SharedNames;
use crate::single_flight::SingleFlight;
use crate::worker_pool::WorkerPool;

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) backend_name: String,
    pub(super) memory: MemoryStore,
    /// What the backend has no certificate for.
    pub(super) negatives: NegativeStore,
    /// What it has a certificate for that the client who asked can't use.
    pub(super) unsupported: NegativeStore,
    pub(super) disk: Option<DiskStore>,
    pub(super) disk_reads: DiskReads,
    pub(super) disk_writes: DiskWrites,
    pub(super) withdrawals: Withdrawals,
    /// For what is done later: what the disk has refused, and connections that wait.
    pub(super) timer: Timer,
    pub(super) issuers: Interner<Issuers>,
    pub(super) handshake_params: Interner<str>,
    pub(super) back_off: BackOff,
    pub(super) flights: SingleFlight,
    pub(super) shared_names: SharedNames,
    /// Whether any settings want that.
    pub(super) shares_names: AtomicBool,
    /// Held by whoever stores or withdraws an answer, so that a withdrawal finds it stored or under way.
    pub(super) changes: Mutex<()>,
    pub(super) candidates: Mutex<HashMap<EntryId, Candidate>>,
    pub(super) fetchers: WorkerPool,
    pub(super) disk_readers: WorkerPool,
    pub(super) disk_writer: WorkerPool,
    pub(super) operators: WorkerPool,
    pub(super) waiters: WorkerPool,
    pub(super) lookers: WorkerPool,
    pub(super) lookup_configs: Mutex<Vec<Weak<LookupConfig>>>,
    pub(super) events: EventQueue,
    pub(super) log_sampler: LogSampler,
    pub(super) counters: Counters,
    /// Of certificates handed out.
    pub(super) first_certificate_end: EarliestEnd,
    /// Of those whose refresh fails: when they are served no more.
    pub(super) first_bridge_end: EarliestEnd,
    pub(super) fetch_times: FetchTimes,
    /// What other nodes share with this one, if there are any.
    pub(super) fleet: RwLock<Option<Arc<Fleet>>>,
    /// Entries that were fetched before this time are looked for anew, fresh or not.
    pub(super) due_before: AtomicU64,
    /// The same of entries that come from disk.
    pub(super) due_on_disk_before: AtomicU64,
    pub(super) closed_at: OnceLock<Instant>,
}

/// The longest handshake parameters that entries share and keep, and how many different ones.
const MAX_PARAMS_LENGTH: usize = 1024;
const MAX_PARAMS: usize = 4096;

impl Shared {
    /// Handshake parameters as an entry stores them for its refreshes. Clients choose them, so length and number are
    /// bounded: beyond it a refresh sends the name alone.
    pub(super) fn interned_params(&self, handshake_params: &str) -> Arc<str> {
        let fitting = if handshake_params.len() <= MAX_PARAMS_LENGTH { handshake_params } else { "" };
        self.handshake_params.intern_within(MAX_PARAMS, &fitting.into()).unwrap_or_default()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed_at.get().is_some()
    }

    /// Tells the host of entries that left memory, if it had built something from them.
    pub(super) fn retire(&self, entries: Vec<Arc<Entry>>) {
        entries.iter().for_each(|entry| self.shared_names.remove(entry));
        for entry in entries.into_iter().filter(|entry| entry.was_opened()) {
            self.events.push(Event::Retired(entry.id));
        }
    }

    pub(super) fn log(&self, kind: LogKind, key: EntryKeyRef<'_>, message: impl FnOnce() -> String) {
        self.log_of(kind, Some(key), message);
    }

    pub(super) fn log_of(
        &self,
        kind: LogKind,
        key: Option<EntryKeyRef<'_>>,
        message: impl FnOnce() -> String,
    ) {
        let Some(suppressed) = self.log_sampler.admit(kind, self.clock.now()) else { return };
        let server_name = key.map(|key| key.name.to_string());
        let record = LogRecord { level: LogLevel::Warn, message: message(), server_name, suppressed };
        self.events.push(Event::Log(record));
    }
}
