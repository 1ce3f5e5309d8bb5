//! One fetch per key however many wait for it.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::entry::EntryKey;

/// Names one waiter of the host; the host chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// How a caller came into a flight.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<T> {
    /// It was settled in the meantime; nobody needs to fetch.
    Settled(T),
    /// Somebody fetches already; the token will be told.
    Follower,
    /// The caller is the one that fetches, and must call [`SingleFlight::finish`] in every case.
    Leader,
}

/// The fetches under way and who waits for each. Thread-safe.
#[derive(Default)]
pub struct SingleFlight {
    waiters: Mutex<HashMap<EntryKey, Vec<Token>>>,
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
        let mut waiters = self.waiters.lock();
        if let Some(tokens) = waiters.get_mut(&key) {
            tokens.extend(token);
            return Joined::Follower;
        }
        if let Some(answer) = settled() {
            return Joined::Settled(answer);
        }
        waiters.insert(key, token.into_iter().collect());
        Joined::Leader
    }

    /// Ends a flight and returns who waited for it.
    pub fn finish(&self, key: &EntryKey) -> Vec<Token> {
        self.waiters.lock().remove(key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EntryKey {
        EntryKey { name: name.into(), ecdsa: true }
    }

    #[test]
    fn the_first_leads_and_the_others_follow() {
        let flights = SingleFlight::default();
        let unsettled = || None::<()>;
        assert_eq!(flights.join(key("a.example"), Some(Token(1)), unsettled), Joined::Leader);
        assert_eq!(flights.join(key("a.example"), Some(Token(2)), unsettled), Joined::Follower);
        assert_eq!(flights.join(key("b.example"), Some(Token(3)), unsettled), Joined::Leader);
        assert_eq!(flights.finish(&key("a.example")), [Token(1), Token(2)]);
        assert_eq!(flights.finish(&key("a.example")), []);
        assert_eq!(flights.join(key("a.example"), Some(Token(4)), || Some("kept")), Joined::Settled("kept"));
        assert_eq!(flights.join(key("a.example"), Some(Token(5)), unsettled), Joined::Leader);
    }
}
