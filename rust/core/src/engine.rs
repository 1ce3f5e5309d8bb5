//! The engine: the only module that knows the others. Read the path of one lookup in this order: [`Engine::lookup`],
//! `engine/lookup.rs` (what memory says), `engine/fetch.rs` and its folder (what a miss sets in motion),
//! `engine/storing.rs` (what is stored, and withdrawn), `engine/disk_writes.rs` and `engine/disk_writer.rs`. What an
//! operator can ask for is in [`operations`].

mod disk_writer;
mod disk_writes;
mod fetch;
mod fleet;
mod life_cycle;
mod lookup;
pub mod operations;
mod outage;
mod shared;
mod storing;
mod timer;
mod withdrawals;

use std::io::{self, PipeReader};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::backend::Backend;
use crate::backoff::Identity;
use crate::counters::{CountersSnapshot, FetchTimes, Sizes};
use crate::disk_store::{DiskError, DiskStore};
use crate::engine::disk_writes::DiskWrite;
use crate::engine::fetch::candidate::Candidate;
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::entry::{ClientKind, Entry, EntryId, EntryKeyRef};
use crate::events::Event;
use crate::freshness::FreshnessSettings;
use crate::record::KeyFileError;
use crate::server_name::{InvalidServerName, NameBuffer, ServerName};
use crate::single_flight::Token;
use crate::storage::{RequestId, StorageAnswer};

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
        Ok(self.shared.purge(key, &DiskWrite::Remove(ClientKind::Ed25519), &PurgedBy::ThisNode).was_known)
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
        self.shared.is_closed()
    }
}
