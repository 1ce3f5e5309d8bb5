//! Asking the backend for a name though no handshake wants it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::engine::fetch::Fetch;
use crate::engine::operations::normal_form;
use crate::engine::shared::Shared;
use crate::engine::{Engine, Lookup, LookupConfig};
use crate::entry::{ClientKind, EntryKeyRef};
use crate::server_name::InvalidServerName;
use crate::single_flight::{Joined, Token};

/// Why the backend is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskMode {
    /// Whatever is known: the operator wants to know it now. What is held is served until a newer one is accepted.
    /// A back-off is by-passed.
    Refresh,
    /// To have it when handshakes come. What is held and fresh, in memory or on disk, is left alone.
    Prefetch,
}

/// What was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A fetch is under way; the token will be told by an event.
    Pending,
    /// Of a prefetch: a fresh entry is held.
    Held,
    /// Of a prefetch: what the backend has is of a kind that these clients can't use.
    UnsupportedKeyType,
    /// Of a prefetch: too much waits to be written to disk. It may be asked for again in a moment.
    Busy,
    /// Of a refresh: nothing of this kind is held.
    NothingHeld,
    /// The name is none that anybody could own.
    InvalidName(InvalidServerName),
    /// The cache is closed.
    Closed,
}

impl Engine {
    /// Asks for a name as clients of this kind would. Never waits. A refresh of a name that is not known asks as
    /// [`ClientKind::Ecdsa`], which browsers are.
    pub fn ask(
        &self,
        config: &Arc<LookupConfig>,
        server_name: &[u8],
        client: ClientKind,
        mode: AskMode,
        token: Token,
    ) -> Asked {
        match normal_form(server_name) {
            Err(invalid) => Asked::InvalidName(invalid),
            Ok(_) if self.is_closed() => Asked::Closed,
            Ok(name) => {
                let key = EntryKeyRef { name: &name, client };
                match mode {
                    AskMode::Refresh => self.shared.ask_to_refresh(config, key, token),
                    AskMode::Prefetch => self.shared.prefetch(config, key, token),
                }
            }
        }
    }
}

impl Shared {
    fn ask_to_refresh(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        key: EntryKeyRef<'_>,
        token: Token,
    ) -> Asked {
        if self.memory.peek(key).is_none() && key.client != ClientKind::Ecdsa {
            return Asked::NothingHeld;
        }
        self.refresh_now(config, key, token);
        Asked::Pending
    }

    /// Asks after what is under way has ended: that was asked for before.
    pub(in crate::engine) fn refresh_now(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        key: EntryKeyRef<'_>,
        token: Token,
    ) {
        let Joined::Leader(flight) = self.flights.join_next(key.to_owned(), token) else { return };
        // After the flight has begun: a withdrawal now marks it.
        let fetch = match self.memory.peek(key) {
            Some(entry) => {
                entry.begin_refresh();
                Fetch::refresh(self, config, flight, &entry)
            }
            None => Fetch::new(self, config, flight, key.to_owned(), "").in_background(),
        };
        fetch.past_the_back_off().queue_request();
    }

    fn prefetch(self: &Arc<Self>, config: &Arc<LookupConfig>, key: EntryKeyRef<'_>, token: Token) -> Asked {
        let now = self.clock.now();
        let settled = || match self.held(config, key, now) {
            // The disk may be slower than the backend, and what finds no room there is lost with a restart.
            None if self.disk_writes.is_half_full() => Some(Asked::Busy),
            held => held,
        };
        match self.flights.join(key.to_owned(), Some(token), settled) {
            Joined::Settled(answer) => answer,
            Joined::Follower => Asked::Pending,
            Joined::Leader(flight) => {
                match self.memory.peek(key) {
                    Some(entry) => {
                        entry.begin_refresh();
                        Fetch::refresh(self, config, flight, &entry).queue_load();
                    }
                    None => Fetch::new(self, config, flight, key.to_owned(), "").in_background().start(),
                }
                Asked::Pending
            }
        }
    }

    /// What makes a request needless.
    fn held(&self, config: &LookupConfig, key: EntryKeyRef<'_>, now: Timestamp) -> Option<Asked> {
        match self.cached_answer(config, key, true, now)?.answer {
            Lookup::Hit(_) => Some(Asked::Held),
            Lookup::UnsupportedKeyType => Some(Asked::UnsupportedKeyType),
            _ => None,
        }
    }
}
