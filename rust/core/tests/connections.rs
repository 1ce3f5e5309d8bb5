//! Connections to the backend that wait for the next request: they are closed by age, also when there is none.

mod support;

use std::time::{Duration, Instant};

use cached_http_core::backend::{Backend, BackendRequest, BackendResponse, Validators};
use cached_http_core::clock::Timestamp;
use support::host::{Host, MODERN, lookup_settings, next_token};
use support::{Step, TestBackend};

const PATIENT: Duration = Duration::from_secs(60);

fn client(server: &TestBackend) -> Backend {
    Backend::new(&lookup_settings(server, "")).unwrap()
}

fn asks(backend: &Backend) -> bool {
    let request = BackendRequest {
        server_name: "shop.example".into(),
        handshake_params: "".into(),
        validators: Validators::default(),
    };
    matches!(backend.fetch(&request, PATIENT, Timestamp(0)), Ok(BackendResponse::Found { .. }))
}

/// A server that knows of so many open connections, soon.
fn expect_open(server: &TestBackend, wanted: usize) {
    let begin = Instant::now();
    while server.open_connections() != wanted {
        assert!(begin.elapsed() < PATIENT, "{} connections are open", server.open_connections());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn they_close_once_nobody_has_asked_for_their_age() {
    let server = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let backend = client(&server);
    assert!(asks(&backend) && backend.begin_watch() && !backend.begin_watch());
    assert!(backend.close_idle(Instant::now()).is_some(), "it has just been used");
    assert_eq!(server.open_connections(), 1);
    assert_eq!(backend.close_idle(Instant::now() + Backend::IDLE_AGE), None);
    expect_open(&server, 0);
    assert!(asks(&backend) && backend.begin_watch(), "and the next request has one of its own");
    assert_eq!((server.count(), server.connections()), (2, 2));
}

#[test]
fn one_in_use_does_not() {
    let server = TestBackend::start(|_| vec![Step::Hang]);
    let backend = client(&server);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| asks(&backend));
        expect_open(&server, 1);
        assert!(backend.close_idle(Instant::now() + 10 * Backend::IDLE_AGE).is_some());
        assert_eq!(server.open_connections(), 1);
        backend.shutdown();
        assert!(!waiting.join().unwrap());
    });
    assert_eq!(backend.close_idle(Instant::now()), None, "nothing is left to close");
    assert!(!asks(&backend), "and it stays shut down");
    assert_eq!(server.connections(), 1);
}

/// This one waits for the age, in real time.
#[test]
fn an_engine_sees_to_it() {
    let server = TestBackend::start(|_| vec![Step::respond("404 Not Found", "", "")]);
    let mut host = Host::new(&server, None, "");
    for name in ["a.example", "b.example"] {
        let token = next_token();
        host.look_as(name, MODERN, Some(token));
        host.pump_until(token);
    }
    assert_eq!((server.count(), server.open_connections()), (2, 1));
    expect_open(&server, 0);
}
