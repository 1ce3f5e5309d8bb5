//! The step between disk and backend: what another node was sent. A miss waits for the storage for a moment, and then asks
//! the backend beside it; whichever has the certificate first is served. A refresh, for which nobody waits, looks here
//! first.

mod load;
mod pending;

use std::sync::Arc;
use std::time::Instant;

use crate::engine::fetch::Fetch;
use crate::engine::fleet::{Fleet, HEAD_START, Lane};
use crate::entry::{ClientKind, Entry};
use crate::events::Outcome;
use crate::freshness::Freshness;
use crate::storage::StorageOperation;
use crate::worker_pool::Priority;

use self::load::Load;
pub(in crate::engine::fetch) use self::pending::PendingLoad;

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
        let pending = PendingLoad::new(self);
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
