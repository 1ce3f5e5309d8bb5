//! One fetch per key however many wait for it, and what was withdrawn while it was under way.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::entry::{ClientKind, EntryKey, EntryKeyRef};

/// Names one waiter of the host; the host chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// How a caller came into a flight.
#[derive(Debug)]
pub enum Joined<T> {
    /// It was settled in the meantime; nobody needs to fetch.
    Settled(T),
    /// Somebody fetches already; the token will be told.
    Follower,
    /// The caller is the one that fetches, and must call [`SingleFlight::finish`] in every case.
    Leader(Arc<Flight>),
}

/// One fetch under way: who waits for it, and whether its answer may still be stored.
#[derive(Debug)]
pub struct Flight {
    key: EntryKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: Vec<Token>,
    /// Who wants an answer to a request that begins after this one.
    next: Vec<Token>,
    /// Under which kinds something was stored since the flight began that its client can use: what it has seen of the disk is
    /// out of date.
    has_stored: [bool; ClientKind::ALL.len()],
    /// Since the flight began, every certificate was withdrawn that a client of this kind could use.
    withdrawn: Option<ClientKind>,
    /// Nobody notes withdrawals any more.
    has_ended: bool,
}

impl Flight {
    /// Whether a certificate for clients of this kind was withdrawn after the flight began: what the flight brings
    /// of that kind is older than the withdrawal, and is not stored. After its end it may have been.
    pub fn is_withdrawn(&self, kind: ClientKind) -> bool {
        let state = self.state.lock();
        state.has_ended || state.withdrawn >= Some(kind)
    }

    /// Whether something that its client can use was stored under this kind since the flight began, by another.
    pub fn has_stored(&self, under: ClientKind) -> bool {
        self.state.lock().has_stored[under as usize]
    }

    /// Whether everything was withdrawn since that the one who asked could have used: what the flight brings is older
    /// than what is known by now, be it a "no" or a failure.
    pub fn is_superseded(&self) -> bool {
        self.is_withdrawn(self.key.client)
    }

    /// Who waits, to be told by the caller; the flight goes on.
    pub fn answer(&self) -> Vec<Token> {
        std::mem::take(&mut self.state.lock().tokens)
    }

    fn take_tokens(&self) -> (Vec<Token>, Vec<Token>) {
        let state = &mut *self.state.lock();
        (std::mem::take(&mut state.tokens), std::mem::take(&mut state.next))
    }

    fn withdraw(&self, up_to: ClientKind) {
        let mut state = self.state.lock();
        state.withdrawn = state.withdrawn.max(Some(up_to));
    }
}

/// The fetches under way. Thread-safe.
#[derive(Default)]
pub struct SingleFlight {
    flights: Mutex<Flights>,
}

#[derive(Default)]
struct Flights {
    /// Those that can be joined.
    current: HashMap<EntryKey, Arc<Flight>>,
    /// Those that end for who waits already.
    detached: HashMap<EntryKey, Vec<Arc<Flight>>>,
}

impl Flights {
    fn begin(&mut self, key: EntryKey, tokens: Vec<Token>) -> Arc<Flight> {
        let state = State { tokens, ..State::default() };
        let flight = Arc::new(Flight { key: key.clone(), state: Mutex::new(state) });
        self.current.insert(key, Arc::clone(&flight));
        flight
    }

    fn detach(&mut self, key: EntryKey) -> Option<&Arc<Flight>> {
        let flight = self.current.remove(&key)?;
        let detached = self.detached.entry(key).or_default();
        detached.push(flight);
        detached.last()
    }

    /// Detaches all that can be joined; `note` is told of each.
    fn detach_current(&mut self, note: impl Fn(&Flight)) {
        for (key, flight) in std::mem::take(&mut self.current) {
            note(&flight);
            self.detached.entry(key).or_default().push(flight);
        }
    }

    fn remove(&mut self, flight: &Arc<Flight>) {
        if self.current.get(&flight.key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            self.current.remove(&flight.key);
        } else if let Some(detached) = self.detached.get_mut(&flight.key) {
            detached.retain(|other| !Arc::ptr_eq(other, flight));
            if detached.is_empty() {
                self.detached.remove(&flight.key);
            }
        }
    }
}

impl SingleFlight {
    /// Joins the flight of `key`, or starts it. `settled` looks once more, under the lock: a leader stores
    /// its answer before it finishes, so a caller sees either the flight or the answer.
    /// Without a token nobody waits: a refresh.
    pub fn join<T>(
        &self,
        key: EntryKey,
        token: Option<Token>,
        settled: impl FnOnce() -> Option<T>,
    ) -> Joined<T> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.current.get(&key) {
            flight.state.lock().tokens.extend(token);
            return Joined::Follower;
        }
        if let Some(answer) = settled() {
            return Joined::Settled(answer);
        }
        Joined::Leader(flights.begin(key, token.into_iter().collect()))
    }

    /// Starts a flight of `key`; behind the one under way, if there is one. A follower's token is among those that
    /// [`SingleFlight::finish`] returns for the next.
    pub fn join_next(&self, key: EntryKey, token: Token) -> Joined<()> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.current.get(&key) {
            flight.state.lock().next.push(token);
            return Joined::Follower;
        }
        Joined::Leader(flights.begin(key, vec![token]))
    }

    /// Ends a flight and returns who waited for it, and who waits for the next one.
    pub fn finish(&self, flight: &Arc<Flight>) -> (Vec<Token>, Vec<Token>) {
        let mut flights = self.flights.lock();
        flight.state.lock().has_ended = true;
        flights.remove(flight);
        flight.take_tokens()
    }

    /// Who waits for any flight, by name: nobody tells them any more but the caller. The flights go on to their ends,
    /// and nobody joins them.
    pub fn detach_all(&self) -> Vec<(Box<str>, Vec<Token>)> {
        let mut flights = self.flights.lock();
        flights.detach_current(|_| {});
        let all = flights.detached.values().flatten();
        let waiting = all.map(|flight| {
            let (tokens, next) = flight.take_tokens();
            (flight.key.name.as_str().into(), [tokens, next].concat())
        });
        waiting.filter(|(_, tokens)| !tokens.is_empty()).collect()
    }

    /// Notes that something is stored which clients from this kind on can use.
    pub fn note_stored(&self, stored: EntryKeyRef<'_>, kind: ClientKind) {
        let flights = self.flights.lock();
        let can_use = ClientKind::ALL.into_iter().filter(|client| *client >= kind);
        for key in can_use.map(|client| stored.of(client).to_owned()) {
            let under_way = flights.current.get(&key).into_iter();
            for flight in under_way.chain(flights.detached.get(&key).into_iter().flatten()) {
                flight.state.lock().has_stored[stored.client as usize] = true;
            }
        }
    }

    /// Notes what a flight was told: that the backend has no certificate of its name that a client of its kind could
    /// use. Whoever comes from now on must not wait for an answer that was asked for before.
    pub fn withdraw(&self, by: &Arc<Flight>) {
        let mut flights = self.flights.lock();
        let up_to = by.key.client;
        for key in by.key.borrowed().all_kinds().map(EntryKeyRef::to_owned) {
            let Some(flight) = flights.current.get(&key) else { continue };
            flight.withdraw(up_to);
            if flight.is_superseded() && !Arc::ptr_eq(flight, by) {
                flights.detach(key);
            }
        }
    }

    /// The same for all names.
    pub fn detach_every(&self) {
        self.flights.lock().detach_current(|flight| flight.withdraw(ClientKind::Ed25519));
    }

    /// Notes that all that is known of a name is to be forgotten: whoever comes from now on starts a flight of its
    /// own; those under way end for those who wait already. True if there was one.
    pub fn detach(&self, name: EntryKeyRef<'_>) -> bool {
        let mut flights = self.flights.lock();
        let mut found = false;
        for key in name.all_kinds() {
            if let Some(flight) = flights.detach(key.to_owned()) {
                flight.withdraw(ClientKind::Ed25519);
                found = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
