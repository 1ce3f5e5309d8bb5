//! The connections of a client. Those that wait for the next request are closed by ureq when one is made and they are
//! past their age; by this when none is.

use std::ops::Deref;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{Connector, TcpConnector};

use super::resolver::BackendResolver;
use super::tls::SharedConnector;

/// How long a connection waits.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_secs(15);

/// Thread-safe.
pub(super) struct Connections {
    config: Config,
    /// What is known of the backend, its addresses and TLS sessions, outlives its connections.
    connector: SharedConnector,
    resolver: BackendResolver,
    state: Mutex<State>,
}

struct State {
    /// Dropping it closes its connections.
    agent: Agent,
    under_way: usize,
    last_use: Instant,
    is_watched: bool,
    is_shut_down: bool,
}

/// The agent for one request, until it is dropped.
pub(super) struct Lent<'a> {
    agent: Agent,
    connections: &'a Connections,
}

impl Connections {
    pub(super) fn new(config: Config) -> Self {
        let (connector, resolver) = (SharedConnector::default(), BackendResolver::default());
        let agent = agent(&config, &connector, &resolver);
        let state =
            State { agent, under_way: 0, last_use: Instant::now(), is_watched: false, is_shut_down: false };
        Connections { config, connector, resolver, state: Mutex::new(state) }
    }

    pub(super) fn lend(&self) -> Lent<'_> {
        let mut state = self.state.lock();
        state.under_way += 1;
        Lent { agent: state.agent.clone(), connections: self }
    }

    /// Cuts requests under way and has further ones fail.
    pub(super) fn shut_down(&self) {
        let agent = {
            let mut state = self.state.lock();
            state.is_shut_down = true;
            state.agent.clone()
        };
        agent.shutdown();
    }

    /// Whether somebody has to begin to call [`Connections::close_idle`].
    pub(super) fn begin_watch(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::replace(&mut state.is_watched, true)
    }

    /// Closes all if none was used for their age; else says when to try again.
    pub(super) fn close_idle(&self, now: Instant) -> Option<Duration> {
        let idle = {
            let mut state = self.state.lock();
            let left = match state.under_way {
                0 => (state.last_use + MAX_IDLE_AGE).saturating_duration_since(now),
                _ => MAX_IDLE_AGE,
            };
            if !left.is_zero() && !state.is_shut_down {
                return Some(left);
            }
            state.is_watched = false;
            // One that is shut down has none, and stays.
            let next = || agent(&self.config, &self.connector, &self.resolver);
            (!state.is_shut_down).then(|| std::mem::replace(&mut state.agent, next()))
        };
        drop(idle); // outside the lock: closing may take a while
        None
    }
}

/// ureq's own chain of connectors without those for proxies: no variable can turn one on.
fn agent(config: &Config, connector: &SharedConnector, resolver: &BackendResolver) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(connector.clone());
    Agent::with_parts(config.clone(), connector, resolver.clone())
}

impl Deref for Lent<'_> {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.connections.state.lock();
        state.under_way -= 1;
        state.last_use = Instant::now();
    }
}
