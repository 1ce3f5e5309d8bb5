//! What one kind of client hears from the backend says nothing to the others, and each hears what a typical one would.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use cached_http_core::engine::{Lookup, LookupRequest};
use cached_http_core::entry::ClientKind;
use cached_http_core::events::Outcome;
use support::host::{CacheDirectory, Host, MODERN, RSA_ONLY, bundle, next_token, request};
use support::{Request, Step, TestBackend};

const LIFETIME: &str = "Cache-Control: s-maxage=100\r\n";
const STALE: &str = r#","stale_if_error_ms":86400000,"refresh_ahead":false"#;
const NO_CERTIFICATE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A backend that answers as the moment says.
struct Phases {
    backend: TestBackend,
    phase: Arc<AtomicU8>,
}

impl Phases {
    fn start(answer: impl Fn(u8, &Request) -> Step + Send + Sync + 'static) -> Self {
        let phase = Arc::new(AtomicU8::new(0));
        let now = Arc::clone(&phase);
        let backend = TestBackend::start(move |request| vec![answer(now.load(Ordering::SeqCst), request)]);
        Phases { backend, phase }
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
    }
}

fn schemes(request: &Request) -> Vec<String> {
    let schemes = request.parameter("signature_schemes").unwrap().replace("%2C", ",");
    schemes.split(',').map(str::to_owned).collect()
}

fn can(request: &Request, scheme: &str) -> bool {
    schemes(request).iter().any(|known| known == scheme)
}

fn certificate(request: &Request, rsa: bool, fields: &str) -> Step {
    Step::respond("200 OK", fields, bundle(request.parameter("server_name").unwrap(), rsa))
}

/// A scanner with an old client must not open the breaker by names that modern clients have made known.
#[test]
fn what_fails_for_old_clients_only_is_no_outage() {
    let phases = Phases::start(|_, request| match can(request, "403") {
        true => certificate(request, false, LIFETIME),
        false => Step::respond("500 Internal Server Error", "", ""),
    });
    let mut host = Host::new(&phases.backend, None, STALE);
    let names: Vec<_> = (0..8).map(|n| format!("known-{n}.example")).collect();
    for name in &names {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    for name in &names {
        assert!(matches!(host.ask_as(name, RSA_ONLY), Outcome::Failed(_)));
    }
    assert!(!host.engine.sizes().breaker_is_open);
    assert!(matches!(host.ask("known-new.example"), Outcome::Found(_)), "a new customer");
}

#[test]
fn the_backend_is_asked_for_a_kind_of_client_and_not_for_the_first_that_comes() {
    let phases = Phases::start(|_, request| certificate(request, false, LIFETIME));
    let mut host = Host::new(&phases.backend, None, STALE);
    for client in ClientKind::ALL {
        assert!(!matches!(host.ask_as(&format!("known-{client:?}.example"), client), Outcome::Failed(_)));
    }
    let [old, modern, newest] = &phases.backend.requests()[..] else { panic!() };
    assert!(!can(old, "403") && can(old, "804") && !can(old, "807"));
    assert!(can(modern, "403") && can(modern, "804") && !can(modern, "807"));
    assert!(can(newest, "403") && can(newest, "804") && can(newest, "807"));
    let other = LookupRequest {
        handshake_params: "local_ip=::1",
        ..request("known-2.example", MODERN, Some(next_token()))
    };
    assert_eq!(host.engine.lookup(&host.config, &other), Lookup::Pending);
    host.pump_one_fetch();
    let last = phases.backend.requests().pop().unwrap();
    assert_eq!((schemes(&last), last.parameter("local_ip")), (schemes(modern), Some("::1")));
}

/// A refresh is for those who use the entry, whoever has fetched it.
#[test]
fn a_refresh_asks_for_the_kind_that_the_entry_serves() {
    let phases = Phases::start(|_, request| certificate(request, false, LIFETIME));
    let mut host = Host::new(&phases.backend, None, STALE);
    assert!(matches!(host.ask_as("known.example", ClientKind::Ed25519), Outcome::Found(_)));
    host.clock.advance(Duration::from_secs(101));
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    host.pump_one_fetch();
    assert!(!can(&phases.backend.requests()[1], "807"));
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)));
}

/// What replaces an entry and must not be written takes its file away.
#[test]
fn what_was_replaced_does_not_come_back_with_a_restart() {
    let phases = Phases::start(|phase, request| match phase {
        0 => certificate(request, false, "Cache-Control: s-maxage=60\r\n"),
        _ => certificate(request, false, "Cache-Control: no-store\r\n"),
    });
    let directory = CacheDirectory::new();
    let pinned = r#","ttl_ms":100000,"stale_if_error_ms":86400000,"refresh_ahead":false"#;
    let mut host = Host::new(&phases.backend, Some(&directory.path), pinned);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    phases.enter(1);
    host.clock.advance(Duration::from_secs(101));
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    host.pump_one_fetch();
    let clock = host.clock.clone();
    host.close();
    let mut host = Host::with_clock(&phases.backend, Some(&directory.path), pinned, clock);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    assert_eq!(phases.backend.count(), 3, "the first one is gone");
    host.close();
}

/// An entry past its use must not hide a better one of another kind, on disk as in memory.
#[test]
fn a_better_entry_of_another_kind_is_found() {
    let phases = Phases::start(|phase, request| match phase {
        0 => certificate(request, true, LIFETIME),
        _ => Step::respond("500 Internal Server Error", "", ""),
    });
    let directory = CacheDirectory::new();
    let mut host = Host::new(&phases.backend, Some(&directory.path), STALE);
    assert!(matches!(host.ask_as("known.example", RSA_ONLY), Outcome::Found(_)));
    host.clock.advance(Duration::from_secs(150));
    let Outcome::Found(fresh) = host.ask("known.example") else { panic!() };
    assert_eq!(host.look_as("known.example", RSA_ONLY, None), Lookup::Hit(fresh), "and not the stale one");
    phases.enter(1);
    host.clock.advance(Duration::from_secs(86_400 - 40)); // past the bridge of the first
    let clock = host.clock.clone();
    host.close();
    let mut host = Host::with_clock(&phases.backend, Some(&directory.path), STALE, clock);
    assert!(matches!(host.ask_as("known.example", RSA_ONLY), Outcome::Found(_)), "the backend is down");
    host.close();
}

/// "It is of another kind" is no longer true once there is none at all.
#[test]
fn that_a_certificate_is_of_another_kind_ends_with_it() {
    let phases = Phases::start(|phase, request| match phase {
        0 => certificate(request, false, "Cache-Control: s-maxage=86400\r\n"),
        1 => Step::send(NO_CERTIFICATE),
        _ => certificate(request, true, LIFETIME),
    });
    let mut host = Host::new(&phases.backend, None, "");
    assert_eq!(host.ask_as("known.example", RSA_ONLY), Outcome::UnsupportedKeyType);
    phases.enter(1);
    assert_eq!(host.ask("known.example"), Outcome::NoCertificate);
    phases.enter(2);
    host.clock.advance(Duration::from_secs(61));
    assert!(matches!(host.ask_as("known.example", RSA_ONLY), Outcome::Found(_)));
}
