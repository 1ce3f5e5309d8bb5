//! Addresses of the backend's host. The system's resolver can hang for longer than any deadline, so it is asked on
//! a thread of its own: one at a time, however many requests wait, and not for every request.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is used. Short: it is how a backend fails over.
const KEPT: Duration = Duration::from_secs(5);

/// How long a failure is.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// When one that has not answered is taken never to answer, and asked again. glibc's own gives up before.
const GIVEN_UP: Duration = Duration::from_secs(2 * 60);

/// ureq takes no more addresses than these.
const MAX_ADDRESSES: usize = 16;

/// Resolves one host, the backend's. Thread-safe; clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct BackendResolver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    /// Since when the system's resolver has not answered.
    asking_since: Option<Instant>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    addresses: Result<Vec<SocketAddr>, (io::ErrorKind, String)>,
}

impl Resolver for BackendResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(ureq::Error::HostNotFound);
        };
        let host = DefaultResolver::host_and_port(scheme, authority).ok_or(ureq::Error::HostNotFound)?;
        if let Ok(address) = host.parse::<SocketAddr>() {
            return self.taken(&[address]);
        }
        let deadline = Instant::now() + *timeout.after;
        let mut state = self.shared.state.lock();
        loop {
            match state.answer.as_ref().filter(|answer| answer.is_fresh()) {
                Some(Answer { addresses: Ok(addresses), .. }) => return self.taken(addresses),
                Some(Answer { addresses: Err((kind, text)), .. }) => {
                    return Err(io::Error::new(*kind, text.clone()).into());
                }
                None => {}
            }
            if state.asking_since.is_none_or(|since| since.elapsed() >= GIVEN_UP) {
                Shared::ask(&self.shared, host.clone())?;
                state.asking_since = Some(Instant::now());
            }
            if self.shared.answered.wait_until(&mut state, deadline).timed_out() {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
        }
    }
}

impl BackendResolver {
    fn taken(&self, addresses: &[SocketAddr]) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut taken = self.empty();
        addresses.iter().take(MAX_ADDRESSES).for_each(|address| taken.push(*address));
        if taken.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(taken) }
    }
}

impl Shared {
    fn ask(shared: &Arc<Shared>, host: String) -> io::Result<()> {
        let asking = Arc::clone(shared);
        let ask = move || {
            let found = host.to_socket_addrs().map(Iterator::collect);
            asking.answer(found.map_err(|error| (error.kind(), error.to_string())));
        };
        let thread = thread::Builder::new().name("cached_http_dns".into()).stack_size(STACK_SIZE);
        thread.spawn(ask).map(drop)
    }

    fn answer(&self, addresses: Result<Vec<SocketAddr>, (io::ErrorKind, String)>) {
        let mut state = self.state.lock();
        state.answer = Some(Answer { at: Instant::now(), addresses });
        state.asking_since = None;
        self.answered.notify_all();
    }
}

/// What the C library's resolver needs.
const STACK_SIZE: usize = 256 * 1024;

impl Answer {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < if self.addresses.is_ok() { KEPT } else { FAILURE_KEPT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        resolver: &BackendResolver,
        uri: &str,
        patience: Duration,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        let timeout =
            NextTimeout { after: patience.into(), reason: ureq::Timeout::Global, ..NextTimeout::default() };
        let config = ureq::Agent::config_builder().build();
        resolver.resolve(&uri.parse().unwrap(), &config, timeout).map(|addresses| addresses.to_vec())
    }

    #[test]
    fn addresses_are_taken_as_they_stand_and_names_are_looked_up_once() {
        let resolver = BackendResolver::default();
        let patience = Duration::from_secs(10);
        let expected = "127.0.0.1:81".parse().unwrap();
        assert_eq!(resolve(&resolver, "http://127.0.0.1:81/", patience).unwrap(), [expected]);
        assert_eq!(resolve(&resolver, "http://[::1]/", patience).unwrap(), ["[::1]:80".parse().unwrap()]);
        assert!(resolver.shared.state.lock().answer.is_none(), "nobody was asked");
        let found = resolve(&resolver, "http://localhost:81/", patience).unwrap();
        assert!(found.contains(&expected), "{found:?}");
        let asked_at = resolver.shared.state.lock().answer.as_ref().map(|answer| answer.at);
        assert_eq!(resolve(&resolver, "http://localhost:81/", patience).unwrap(), found);
        assert_eq!(resolver.shared.state.lock().answer.as_ref().map(|answer| answer.at), asked_at);
    }

    #[test]
    fn a_resolver_that_hangs_costs_one_thread_and_no_more_than_the_deadline() {
        let resolver = BackendResolver::default();
        resolver.shared.state.lock().asking_since = Some(Instant::now()); // by a thread that never comes back
        let begin = Instant::now();
        let answer = resolve(&resolver, "http://localhost/", Duration::from_millis(50));
        assert!(
            matches!(answer, Err(ureq::Error::Timeout(_))) && begin.elapsed() >= Duration::from_millis(50)
        );
        resolver.shared.answer(Err((io::ErrorKind::Other, "no such host".into())));
        let answer = resolve(&resolver, "http://localhost/", Duration::from_secs(10));
        assert!(matches!(answer, Err(ureq::Error::Io(_))), "the failure is known for a moment");
    }
}
