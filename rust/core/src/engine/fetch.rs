//! What a miss sets in motion, in the order of its steps: the disk ([`disk`]), the fleet ([`fleet`]), the backend ([`request`]), its answer
//! ([`response`]), a candidate for the host ([`candidate`]), and the end. Each step is a source with a deadline of
//! its own, and hands the fetch on when it has nothing.
//!
//! One [`Fetch`] is one flight; it ends its flight exactly once, dropped or panicking included.

pub(super) mod candidate;
pub(super) mod disk;
mod fleet;
mod request;
mod response;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::LookupConfig;
use crate::engine::fetch::fleet::PendingLoad;
use crate::engine::shared::Shared;
use crate::engine::storing::OnDisk;
use crate::entry::{ClientKind, Entry, EntryId, EntryKey};
use crate::events::{Event, Outcome};
use crate::single_flight::Flight;
use crate::worker_pool::Priority;

/// A flight and what it needs to get its answer. It belongs to no handshake: a client that leaves ends nothing.
pub(super) struct Fetch {
    shared: Arc<Shared>,
    config: Arc<LookupConfig>,
    flight: Arc<Flight>,
    /// What is asked for, by a client of which kind.
    key: EntryKey,
    handshake_params: Arc<str>,
    /// What is stored already: a refresh is to replace it, and it can make the request conditional.
    stored: Option<Arc<Entry>>,
    priority: Priority,
    /// What the disk has of the name, by kind of key.
    on_disk: [OnDisk; ClientKind::ALL.len()],
    /// Whether the fleet's storage has a record of the name.
    is_in_fleet: bool,
    /// Under which kind it was looked for there.
    loaded: Option<ClientKind>,
    /// The read of the storage that goes on beside the request.
    beside: Option<Arc<PendingLoad>>,
    /// Serves who waits for another fetch, which ends the flight.
    is_companion: bool,
    /// How the backend has failed: the end, if the storage has nothing either.
    in_reserve: Option<Outcome>,
    /// The candidate that the host has agreed to, which ends the flight whether or not its client can use it.
    accepted: Option<EntryId>,
    deadline: Instant,
    asked_backend: bool,
    /// Whether the backend said that what is stored is right.
    not_modified: bool,
    /// An operator wants to know it now, whatever failed before.
    past_the_back_off: bool,
    outcome_if_dropped: Outcome,
    finished: bool,
}

impl Fetch {
    pub(super) fn new(
        shared: &Arc<Shared>,
        config: &Arc<LookupConfig>,
        flight: Arc<Flight>,
        key: EntryKey,
        handshake_params: &str,
    ) -> Self {
        Fetch {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            flight,
            key,
            handshake_params: handshake_params.into(),
            stored: None,
            priority: Priority::Foreground,
            on_disk: [OnDisk::Unknown; ClientKind::ALL.len()],
            is_in_fleet: false,
            loaded: None,
            beside: None,
            is_companion: false,
            in_reserve: None,
            accepted: None,
            deadline: Instant::now() + config.timeout,
            asked_backend: false,
            not_modified: false,
            past_the_back_off: false,
            outcome_if_dropped: Outcome::Overloaded,
            finished: false,
        }
    }

    /// A fetch that replaces an entry, which goes on being served. Nobody waits, so it is for whoever could use it.
    pub(super) fn refresh(
        shared: &Arc<Shared>,
        config: &Arc<LookupConfig>,
        flight: Arc<Flight>,
        stored: &Arc<Entry>,
    ) -> Self {
        let mut fetch = Self::new(shared, config, flight, stored.key().to_owned(), &stored.handshake_params);
        fetch.stored = Some(Arc::clone(stored));
        fetch.priority = Priority::Background;
        shared.counters.refreshes.increment();
        fetch
    }

    /// One that no handshake waits for.
    pub(super) fn in_background(mut self) -> Self {
        self.priority = Priority::Background;
        self
    }

    pub(super) fn past_the_back_off(mut self) -> Self {
        self.past_the_back_off = true;
        self
    }

    /// Begins with the first source; returns at once.
    pub(super) fn start(self) {
        match self.shared.disk {
            Some(_) => self.queue_read(),
            None => self.queue_load(),
        }
    }

    /// Ends the flight and tells whoever waits.
    fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        if self.is_companion {
            return self.end_companion(outcome);
        }
        if let Some(stored) = &self.stored {
            self.let_go(stored, &outcome);
        }
        let (tokens, next) = self.shared.flights.finish(&self.flight);
        let server_name = self.key.name.as_str().into();
        self.shared.events.push(Event::Finished {
            server_name,
            asked_backend: self.asked_backend,
            not_modified: self.not_modified,
            accepted: self.accepted,
            tokens,
            outcome,
        });
        for token in next {
            self.shared.refresh_now(&self.config, self.key.borrowed(), token);
        }
    }

    /// Tells whoever waits, if there is something good to tell; the flight goes on.
    fn end_companion(&mut self, outcome: Outcome) {
        let is_served = matches!(outcome, Outcome::Found(_));
        if is_served {
            self.shared.events.push(Event::Finished {
                server_name: self.key.name.as_str().into(),
                asked_backend: false,
                not_modified: false,
                accepted: self.accepted,
                tokens: self.flight.answer(),
                outcome,
            });
        }
        if let Some(pending) = self.beside.take() {
            pending.decided(is_served);
        }
    }

    /// Lets an entry be refreshed again: after a while, if neither the backend could be asked nor the fleet had a newer
    /// one, or each handshake would cost an operation of the storage.
    fn let_go(&self, stored: &Arc<Entry>, outcome: &Outcome) {
        match (outcome, self.shared.fleet()) {
            (Outcome::BackedOff(_), Some(fleet)) => {
                let held = Held(Arc::clone(stored));
                fleet.after(LOOK_AGAIN, Box::new(move || drop(held)));
            }
            _ => stored.end_refresh(),
        }
    }
}

/// An entry that is not refreshed until this is dropped, be it because the fleet ends.
struct Held(Arc<Entry>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end_refresh();
    }
}

/// How long an entry is not looked for on the fleet's storage again while the backend is not asked.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.finished {
            let outcome = std::mem::replace(&mut self.outcome_if_dropped, Outcome::Overloaded);
            self.end(outcome);
        }
    }
}
