//! Asking the backend for a name though no handshake wants it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::engine::fetch::Fetch;
use crate::engine::shared::Shared;
use crate::engine::{Engine, Lookup, LookupConfig};
use crate::entry::{ClientKind, EntryKeyRef};
use crate::server_name::{NameBuffer, ServerName};
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

impl Engine {
    /// Asks for a name as clients of this kind would. Never waits: the token is told by an event, unless the answer is
    /// another than [`Lookup::Pending`]. [`Lookup::Miss`] if there is nothing to refresh of this kind: a name that is not known is
    /// asked for as by [`ClientKind::Ecdsa`], which browsers are.
    pub fn ask(
        &self,
        config: &Arc<LookupConfig>,
        server_name: &[u8],
        client: ClientKind,
        mode: AskMode,
        token: Token,
    ) -> Lookup {
        let mut buffer = NameBuffer::default();
        match ServerName::parse(server_name, &mut buffer) {
            Err(invalid) => Lookup::InvalidName(invalid),
            Ok(_) if self.is_closed() => Lookup::Closed,
            Ok(name) => {
                let key = EntryKeyRef { name: name.as_str(), client };
                match mode {
                    AskMode::Refresh => self.shared.refresh_now(config, key, token),
                    AskMode::Prefetch => self.shared.prefetch(config, key, token),
                }
            }
        }
    }
}

impl Shared {
    fn refresh_now(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        key: EntryKeyRef<'_>,
        token: Token,
    ) -> Lookup {
        let stored = self.memory.peek(key);
        if stored.is_none() && key.client != ClientKind::Ecdsa {
            return Lookup::Miss;
        }
        let begun = stored.as_ref().is_some_and(|entry| entry.begin_refresh());
        match self.flights.join(key.to_owned(), Some(token), || None::<()>) {
            Joined::Leader(flight) => {
                let fetch = match &stored {
                    Some(entry) => Fetch::refresh(self, config, flight, entry),
                    None => Fetch::new(self, config, flight, key.to_owned(), "").in_background(),
                };
                fetch.past_the_back_off().queue_request();
            }
            Joined::Follower | Joined::Settled(()) => {
                stored.filter(|_| begun).inspect(|entry| entry.end_refresh());
            }
        }
        Lookup::Pending
    }

    fn prefetch(self: &Arc<Self>, config: &Arc<LookupConfig>, key: EntryKeyRef<'_>, token: Token) -> Lookup {
        let now = self.clock.now();
        let held = || self.held(config, key, now);
        match self.flights.join(key.to_owned(), Some(token), held) {
            Joined::Settled(answer) => answer,
            Joined::Follower => Lookup::Pending,
            Joined::Leader(flight) => {
                match self.memory.peek(key) {
                    Some(entry) => {
                        entry.begin_refresh();
                        Fetch::refresh(self, config, flight, &entry).queue_request();
                    }
                    None => Fetch::new(self, config, flight, key.to_owned(), "").in_background().start(),
                }
                Lookup::Pending
            }
        }
    }

    /// What makes a request needless.
    fn held(&self, config: &LookupConfig, key: EntryKeyRef<'_>, now: Timestamp) -> Option<Lookup> {
        match self.cached_answer(config, key, true, now)?.answer {
            answer @ (Lookup::Hit(_) | Lookup::UnsupportedKeyType) => Some(answer),
            _ => None,
        }
    }
}
