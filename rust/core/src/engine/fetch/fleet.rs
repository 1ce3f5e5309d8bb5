//! The step between disk and backend: what another node was sent. A miss waits for the storage for a moment, and then asks
//! the backend beside it; whichever has the certificate first is served. A refresh, for which nobody waits, looks here
//! first.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk_format;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::{Candidate, Source};
use crate::engine::fleet::{self, Ended, Fleet, HEAD_START, Lane};
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, Entry, EntryKey};
use crate::events::Outcome;
use crate::freshness::Freshness;
use crate::log_sampler::LogKind;
use crate::storage::StorageOperation;
use crate::worker_pool::Priority;

/// A read of the storage, and the fetch that it is for.
pub(super) struct PendingLoad {
    state: Mutex<LoadState>,
    begun_at: Instant,
}

enum LoadState {
    /// The fetch waits for it.
    Waits(Fetch),
    /// The fetch has gone on to the backend; this one serves who waits, if the storage is faster.
    Beside(Fetch),
    /// It was faster, and the host looks at what it has found.
    Offered,
    /// Meanwhile the backend has failed: its fetch waits for the host's word.
    Parked(Fetch),
    Gone,
}

/// The storage's side of a pending load. Dropped with the fetch inside (queue full, fleet ended), it sends the fetch on.
struct Load {
    shared: Arc<Shared>,
    fleet: Arc<Fleet>,
    pending: Arc<PendingLoad>,
    key: EntryKey,
}

/// Why a record is not taken.
enum Unfit {
    /// It is what is held already, or is of no use any more: nothing is wrong with it.
    NotNewer,
    /// It may not be served; holds the reason, if it is worth a word.
    Refused(Option<String>),
}

impl Fetch {
    /// Looks for the entry on the fleet's storage, or goes on to the backend.
    pub(in crate::engine) fn queue_load(self) {
        match self.shared.fleet() {
            Some(fleet) if self.is_worth_a_load() => {
                let stored = self.stored.as_ref().map(|stored| stored.key().client);
                let kind = stored.unwrap_or_else(|| first_kind(self.key.client));
                self.load(&fleet, kind);
            }
            _ => self.queue_request(),
        }
    }

    /// A name that has just failed was looked for then.
    fn is_worth_a_load(&self) -> bool {
        let failure = self.shared.back_off.last_failure(self.key.borrowed());
        failure.is_none_or(|failure| failure.retry_at <= self.shared.clock.now())
    }

    fn load(mut self, fleet: &Arc<Fleet>, kind: ClientKind) {
        let shared = Arc::clone(&self.shared);
        let key = self.key.borrowed().of(kind).to_owned();
        self.loaded = Some(kind);
        let is_awaited = self.priority == Priority::Foreground;
        let head_start = match self.stored.as_deref() {
            _ if self.in_reserve.is_some() => None,
            _ if is_awaited => Some(fleet.head_start().min(self.config.timeout / 4)),
            Some(stored) if self.is_served(stored) => None,
            // Of a prefetch: somebody may come and wait for it.
            _ => Some(HEAD_START * 2),
        };
        let pending =
            Arc::new(PendingLoad { state: Mutex::new(LoadState::Waits(self)), begun_at: Instant::now() });
        let load = Load {
            shared: Arc::clone(&shared),
            fleet: Arc::clone(fleet),
            pending: Arc::clone(&pending),
            key,
        };
        let storage_key = fleet.entry_key(load.key.borrowed());
        // Dropped if it is not begun, it sends the fetch on.
        let then = move |ended| load.ended(ended);
        let begun = shared.use_storage(fleet, Lane::Read, storage_key, StorageOperation::Load, then);
        let Some(head_start) = head_start.filter(|_| begun.is_some()) else { return };
        if head_start.is_zero() {
            PendingLoad::overtake(&pending);
            return;
        }
        let of = Arc::clone(fleet);
        let task = move || {
            if PendingLoad::overtake(&pending) && is_awaited {
                of.note_read(true);
            }
        };
        fleet.after(head_start, Box::new(task));
    }

    /// The backend has not answered: the fleet may still do so, under another kind of key perhaps. Ends with this outcome
    /// otherwise.
    pub(in crate::engine) fn without_answer(mut self, outcome: Outcome) {
        if self.in_reserve.is_some() || self.stored.as_ref().is_some_and(|stored| self.is_served(stored)) {
            return self.finish(outcome);
        }
        self.in_reserve = Some(outcome);
        match self.beside.take() {
            Some(pending) => pending.wait_for(self),
            None => self.load_other_kind(),
        }
    }

    fn is_served(&self, stored: &Entry) -> bool {
        self.config.evaluate(stored, self.shared.clock.now()) != Freshness::Expired
    }

    fn load_other_kind(self) {
        let other = self.loaded.and_then(|loaded| other_kind(self.key.client, loaded));
        match (other, self.shared.fleet()) {
            (Some(kind), Some(fleet)) => self.load(&fleet, kind),
            _ => self.go_on(),
        }
    }

    /// The storage has nothing that is of use.
    pub(super) fn go_on(mut self) {
        if self.is_companion {
            return; // whose fetch is with the backend
        }
        match self.in_reserve.take() {
            Some(outcome) if self.is_before_other_kind() => {
                self.in_reserve = Some(outcome);
                self.load_other_kind();
            }
            Some(outcome) => self.finish(outcome),
            None => {
                // Nobody has waited for a refresh, and its request has all its time.
                if self.priority == Priority::Background {
                    self.deadline = Instant::now() + self.config.timeout;
                }
                self.queue_request();
            }
        }
    }

    fn is_before_other_kind(&self) -> bool {
        self.loaded.is_some_and(|loaded| other_kind(self.key.client, loaded).is_some())
    }

    /// One that serves who waits for this fetch, and leaves the flight to it.
    fn companion(&self) -> Fetch {
        let mut companion = Fetch::new(
            &self.shared,
            &self.config,
            Arc::clone(&self.flight),
            self.key.clone(),
            &self.handshake_params,
        );
        companion.is_companion = true;
        companion.priority = self.priority;
        companion
    }
}

/// Under which kind most of what such a client can use was stored: one read is enough for nearly all.
fn first_kind(client: ClientKind) -> ClientKind {
    client.min(ClientKind::Ecdsa)
}

/// Where to look if the backend has failed, too.
fn other_kind(client: ClientKind, loaded: ClientKind) -> Option<ClientKind> {
    client.usable().iter().copied().find(|kind| *kind != loaded && loaded == first_kind(client))
}

impl PendingLoad {
    /// Sends the fetch on to the backend, if it still waits.
    fn overtake(pending: &Arc<Self>) -> bool {
        let mut state = pending.state.lock();
        if !matches!(*state, LoadState::Waits(_)) {
            return false;
        }
        let LoadState::Waits(mut fetch) = std::mem::replace(&mut *state, LoadState::Gone) else {
            return false;
        };
        *state = LoadState::Beside(fetch.companion());
        drop(state);
        fetch.beside = Some(Arc::clone(pending));
        fetch.queue_request();
        true
    }

    /// Has a fetch that has come back from the backend with nothing wait for the storage.
    fn wait_for(&self, fetch: Fetch) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, LoadState::Gone) {
            LoadState::Beside(companion) => {
                *state = LoadState::Waits(fetch);
                drop(state);
                drop(companion);
            }
            LoadState::Offered => *state = LoadState::Parked(fetch),
            LoadState::Waits(_) | LoadState::Parked(_) | LoadState::Gone => {
                drop(state);
                fetch.load_other_kind();
            }
        }
    }

    /// The host has given its word on what was faster than the backend.
    pub(super) fn decided(&self, is_served: bool) {
        if let LoadState::Parked(mut fetch) = self.take() {
            match fetch.in_reserve.take() {
                Some(outcome) if is_served => fetch.finish(outcome), // nobody waits for it any more
                outcome => {
                    fetch.in_reserve = outcome;
                    fetch.load_other_kind();
                }
            }
        }
    }

    fn take(&self) -> LoadState {
        std::mem::replace(&mut *self.state.lock(), LoadState::Gone)
    }
}

impl Load {
    fn ended(self, ended: Ended) {
        if self.pending.begun_at.elapsed() <= HEAD_START && matches!(ended, Ended::Found(_) | Ended::Missing)
        {
            self.fleet.note_read(false);
        }
        match ended {
            Ended::Found(record) if !self.fleet.journal.lock().has_begun() => self.wait_for_journal(record),
            // Nobody could say whether it is older than a purge.
            Ended::Found(_) if !self.fleet.journal.lock().is_known() => self.nothing(),
            Ended::Found(record) => self.found(&record),
            Ended::Missing => {
                self.shared.counters.fleet_missing.increment();
                self.nothing();
            }
            Ended::Done | Ended::Failed(_) | Ended::Skipped => self.nothing(),
        }
    }

    /// Which purges there are is about to be known; until then a record may be older than one.
    fn wait_for_journal(self, record: Vec<u8>) {
        let fleet = Arc::clone(&self.fleet);
        let task = move || {
            let fleet = Arc::clone(&self.fleet);
            fleet.work(Box::new(move || self.ended(Ended::Found(record))));
        };
        fleet.after(Duration::from_millis(2), Box::new(task));
    }

    fn nothing(&self) {
        if let LoadState::Waits(fetch) = self.pending.take() {
            fetch.go_on();
        }
    }

    fn found(&self, record: &[u8]) {
        let mut state = self.pending.state.lock();
        let mut fetch = match std::mem::replace(&mut *state, LoadState::Gone) {
            LoadState::Waits(fetch) => fetch,
            LoadState::Beside(mut companion) => {
                *state = LoadState::Offered;
                companion.beside = Some(Arc::clone(&self.pending));
                companion
            }
            LoadState::Offered | LoadState::Parked(_) | LoadState::Gone => return,
        };
        drop(state);
        fetch.is_in_fleet = true;
        // A flight is superseded by a purge as well, which says nothing of a record that knows of it.
        if fetch.flight.is_superseded() && self.shared.is_denied(&fetch.config, fetch.key.borrowed()) {
            // The backend has said "no" meanwhile, and did not know of this record.
            self.shared.withdraw_from_fleet(fetch.key.borrowed(), iter::once(self.key.borrowed()));
            return fetch.go_on();
        }
        match self.entry(&mut fetch, record) {
            Ok(entry) => {
                self.shared.counters.fleet_adopted.increment();
                return Candidate::offer(fetch, entry, Source::Fleet);
            }
            Err(Unfit::NotNewer) => {}
            Err(Unfit::Refused(reason)) => {
                self.shared.counters.fleet_unfit.increment();
                if let Some(reason) = reason {
                    self.shared.log(LogKind::FleetRecord, self.key.borrowed(), || {
                        format!("a record on the storage of the fleet is not used: {reason}")
                    });
                }
            }
        }
        fetch.go_on();
    }

    /// What a record holds, if it may be served and is of use to this fetch.
    fn entry(&self, fetch: &mut Fetch, record: &[u8]) -> Result<Entry, Unfit> {
        let (shared, now) = (&self.shared, self.shared.clock.now());
        let refused = |reason: &dyn std::fmt::Display| Unfit::Refused(Some(reason.to_string()));
        let storage_key = self.fleet.entry_key(self.key.borrowed());
        // It is counted by what is wrong with it.
        let text = shared.opened(&self.fleet, &storage_key, record).ok_or(Unfit::NotNewer)?;
        let (purges, text) = fleet::split(&text).ok_or_else(|| refused(&"it is not an entry"))?;
        let knows_all = self.fleet.journal.lock().of_name(&self.key.name).all(|id| purges.contains(&id));
        if !knows_all {
            return Err(Unfit::Refused(None)); // older than a purge, which is as it should be
        }
        let stored =
            disk_format::decode(text, &shared.backend_name, &self.key).map_err(|error| refused(&error))?;
        let as_capable = ClientKind::ALL.into_iter().filter(|kind| *kind >= fetch.key.client);
        let mut denials =
            as_capable.filter_map(|kind| shared.negatives.negative(fetch.key.borrowed().of(kind)));
        if denials.any(|denied| stored.metadata.fetched_at <= denied.fetched_at) {
            return Err(Unfit::Refused(None)); // the backend has said "no" since
        }
        let checked = shared.checked_bundle(&stored.pem, &self.key, now);
        let bundle = match checked {
            Ok(bundle) => bundle,
            // One whose certificate has ended lies there until somebody writes a newer one.
            Err(_) if stored.not_after <= now => return Err(Unfit::NotNewer),
            Err(error) => return Err(refused(&error)),
        };
        if !fetch.key.client.can_use(bundle.private_key().algorithm()) {
            return Err(Unfit::NotNewer);
        }
        let entry = fetch.entry(self.key.clone(), Arc::new(bundle), stored.metadata);
        let freshness = fetch.config.evaluate(&entry, now);
        match &fetch.stored {
            Some(held) if fetch.is_served(held) => {
                let is_newer = entry.metadata.fetched_at > held.metadata.fetched_at;
                let is_fresh = matches!(freshness, Freshness::Fresh | Freshness::RefreshDue);
                if is_newer && is_fresh { Ok(entry) } else { Err(Unfit::NotNewer) }
            }
            _ if freshness == Freshness::Expired => {
                // Worth a conditional request.
                fetch.stored.get_or_insert_with(|| Arc::new(entry));
                Err(Unfit::NotNewer)
            }
            _ => Ok(entry),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.nothing();
    }
}
