//! What a backend can answer, and what the client makes of it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cached_http_core::backend::{
    Backend, BackendError, BackendRequest, BackendResponse, MAX_BODY_LENGTH, Validators,
};
use cached_http_core::clock::Timestamp;
use cached_http_core::entry::ResponseMetadata;
use cached_http_core::freshness::FreshnessLifetime;
use cached_http_core::settings::LookupSettings;
use serde_json::{Value, json};

use support::tls::Authority;
use support::{Step, TestBackend};

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: Timestamp = Timestamp(784_111_777_000);
const PATIENT: Duration = Duration::from_secs(20);

fn client_with(url: &str, more: Value) -> Result<Backend, BackendError> {
    let mut settings = json!({"url": url, "default_ttl_ms": 1000, "negative_ttl_ms": 1000, "timeout_ms": 10_000,
            "stale_if_error_ms": 0, "refresh_ahead": false});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Backend::new(&LookupSettings::from_json(settings.to_string().as_bytes()).unwrap())
}

fn client(url: &str) -> Backend {
    client_with(url, json!({})).unwrap()
}

fn ask(backend: &Backend, time_left: Duration) -> Result<BackendResponse, BackendError> {
    let request = BackendRequest {
        server_name: "shop.example".into(),
        handshake_params: "cipher_suites=4865%2C4866&local_ip=127.0.0.1".into(),
        validators: Validators::default(),
    };
    backend.fetch(&request, time_left, NOW)
}

#[track_caller]
fn found(result: Result<BackendResponse, BackendError>) -> (Vec<u8>, ResponseMetadata) {
    match result {
        Ok(BackendResponse::Found { pem, metadata }) => (pem.to_vec(), metadata),
        Ok(BackendResponse::NoCertificate { .. }) => panic!("204"),
        Ok(BackendResponse::NotModified { .. }) => panic!("304"),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn error(result: Result<BackendResponse, BackendError>) -> BackendError {
    result.err().expect("an error")
}

#[test]
fn a_bundle_comes_with_what_the_response_says() {
    let server = TestBackend::start(|_| {
        let fields = "Cache-Control: s-maxage=60\r\nAge: 10\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        vec![Step::respond("200 OK", fields, "PEM")]
    });
    let headers = json!({"headers": [["X-Token", "t1"], ["User-Agent", "mine"]]});
    let backend = client_with(&format!("{}?zone=a", server.url()), headers).unwrap();
    let (pem, metadata) = found(ask(&backend, PATIENT));
    assert_eq!(pem, b"PEM");
    assert_eq!(metadata.fetched_at, NOW);
    assert_eq!(metadata.freshness.lifetime, FreshnessLifetime::Explicit(Duration::from_secs(50)));
    assert_eq!(metadata.etag.as_deref(), Some("\"v1\""));
    assert_eq!(metadata.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));

    let request = server.requests().remove(0);
    assert_eq!(
        request.line,
        "GET /certificates?cipher_suites=4865%2C4866&local_ip=127.0.0.1&server_name=shop.example&zone=a HTTP/1.1"
    );
    assert_eq!(request.header("host"), Some(server.address().to_string().as_str()));
    assert_eq!(request.header("x-token"), Some("t1"));
    assert_eq!(request.header("user-agent"), Some("mine"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn no_content_is_an_answer_with_its_own_lifetime() {
    let server = TestBackend::start(|_| {
        vec![Step::send("HTTP/1.1 204 No Content\r\nCache-Control: max-age=9\r\n\r\n")]
    });
    match ask(&client(&server.url()), PATIENT) {
        Ok(BackendResponse::NoCertificate { metadata }) => {
            assert_eq!(metadata.freshness.lifetime, FreshnessLifetime::Explicit(Duration::from_secs(9)));
        }
        _ => panic!("not a 204"),
    }
}

#[test]
fn chunked_and_close_delimited_bodies_are_whole() {
    let chunked = TestBackend::start(|_| {
        vec![Step::send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nPEM\r\n2\r\n12\r\n0\r\n\r\n",
        )]
    });
    assert_eq!(found(ask(&client(&chunked.url()), PATIENT)).0, b"PEM12");
    let closing = TestBackend::start(|_| vec![Step::send("HTTP/1.0 200 OK\r\n\r\nPEM12"), Step::Close]);
    assert_eq!(found(ask(&client(&closing.url()), PATIENT)).0, b"PEM12");
}

#[test]
fn the_longest_body_is_read_and_one_byte_more_rejected() {
    let server =
        TestBackend::start(|_| vec![Step::respond("200 OK", "", vec![b'x'; MAX_BODY_LENGTH as usize])]);
    assert_eq!(found(ask(&client(&server.url()), PATIENT)).0.len() as u64, MAX_BODY_LENGTH);

    for head in ["Content-Length: 262145\r\n", "Connection: close\r\n"] {
        let server = TestBackend::start(move |_| {
            let body = "x".repeat(MAX_BODY_LENGTH as usize + 1);
            vec![Step::send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}")), Step::Close]
        });
        let message = error(ask(&client(&server.url()), PATIENT)).message;
        assert!(message.ends_with("answered with more than 256 KiB"), "{message}");
    }
}

#[test]
fn other_answers_are_errors_that_name_host_and_status() {
    for (response, says) in [
        ("404 Not Found\r\n", "answered 404 Not Found; a name without a certificate is 204"),
        ("410 Gone\r\n", "answered 410 Gone; a name without a certificate is 204"),
        ("500 Internal Server Error\r\n", "answered 500 Internal Server Error"),
        ("206 Partial Content\r\n", "answered 206 Partial Content"),
        ("304 Not Modified\r\n", "answered 304 Not Modified"),
        ("799 Secret\r\n", "answered 799 (unknown)"),
        ("101 Switching Protocols\r\nUpgrade: x\r\n", "answered 101 Switching Protocols"),
    ] {
        let server = TestBackend::start(move |_| {
            vec![Step::send(format!("HTTP/1.1 {response}Content-Length: 6\r\n\r\nsecret"))]
        });
        let error = error(ask(&client(&server.url()), PATIENT));
        assert_eq!(error.message, format!("backend {}: {says}", server.address()));
        assert_eq!(error.retry_after, None);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let location = other.url().replace("//", "//user:secret@");
    for (location, says) in [
        (location.as_str(), "301 Moved Permanently to 127.0.0.1; redirects"),
        ("/%secret", "Permanently; redirects"),
    ] {
        let fields = format!("Location: {location}\r\n");
        let server = TestBackend::start(move |_| vec![Step::respond("301 Moved Permanently", &fields, "")]);
        let message = error(ask(&client(&server.url()), PATIENT)).message;
        assert!(message.contains(says) && !message.contains("secret"), "{message}");
        assert_eq!(server.count(), 1);
    }
    assert_eq!(other.count(), 0);
}

#[test]
fn retry_after_is_read_and_capped() {
    for (status, value, expected) in [
        ("503 Service Unavailable", "120", Some(120)),
        ("429 Too Many Requests", "Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("503 Service Unavailable", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("503 Service Unavailable", "99999999999999999999999", Some(3600)),
        ("503 Service Unavailable", "soon", None),
        ("500 Internal Server Error", "120", None),
    ] {
        let server = TestBackend::start(move |_| {
            vec![Step::respond(status, &format!("Retry-After: {value}\r\n"), "")]
        });
        let error = error(ask(&client(&server.url()), PATIENT));
        assert_eq!(error.retry_after, expected.map(Duration::from_secs), "{value}");
    }
}

#[test]
fn credentials_in_the_url_are_sent_and_never_shown() {
    let server = TestBackend::start(|_| vec![Step::respond("500 Oh", "", "")]);
    let backend = client(&server.url().replace("//", "//user:pass%20word@"));
    let message = error(ask(&backend, PATIENT)).message;
    assert_eq!(message, format!("backend {}: answered 500 Internal Server Error", server.address()));
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic dXNlcjpwYXNzIHdvcmQ="));
    assert!(!server.requests()[0].line.contains("user"));
    assert!(!format!("{backend:?}").contains("pass"));
}

#[test]
fn connections_are_reused_and_a_closed_one_costs_nothing() {
    let server = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let backend = client(&server.url());
    for _ in 0..5 {
        found(ask(&backend, PATIENT));
    }
    assert_eq!((server.count(), server.connections()), (5, 1));

    // Closes each connection after its answer without saying so.
    let server = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM"), Step::Close]);
    let backend = client(&server.url());
    for _ in 0..20 {
        found(ask(&backend, PATIENT));
    }
}

#[test]
fn a_connection_that_dies_as_it_is_reused_is_replaced_once() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    for end in [Step::Close, Step::Reset] {
        ANSWERED.store(0, Ordering::SeqCst);
        let server = TestBackend::start(move |_| match ANSWERED.fetch_add(1, Ordering::SeqCst) {
            1 => vec![end.clone()],
            _ => vec![Step::respond("200 OK", "", "PEM")],
        });
        let backend = client(&server.url());
        found(ask(&backend, PATIENT));
        found(ask(&backend, PATIENT));
        assert_eq!((server.count(), server.connections()), (3, 2));
    }
}

#[test]
fn many_threads_share_a_client() {
    let server = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let backend = client(&server.url());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(found(ask(&backend, PATIENT)).0, b"PEM")));
        }
    });
    assert_eq!(server.count(), 160);
    assert!(server.connections() <= 8, "{} connections", server.connections());
}

#[test]
fn shutdown_cuts_requests_under_way_and_later_ones() {
    let server = TestBackend::start(|_| vec![Step::Hang]);
    let backend = client(&server.url());
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| error(ask(&backend, PATIENT)));
        while server.count() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        backend.shutdown();
        waiting.join().unwrap();
    });
    let later = error(ask(&backend, PATIENT)).message;
    assert!(later.ends_with("shut down"), "{later}");
    assert!(started.elapsed() < PATIENT / 2);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_backend_that_is_not_there() {
    let message = error(ask(&client("http://u:secret@127.0.0.1:1/secret"), PATIENT)).message;
    assert_eq!(message, "backend 127.0.0.1:1: connection refused");

    let started = Instant::now();
    let message = error(ask(&client("http://u:secret@name.invalid/secret"), Duration::from_secs(5))).message;
    assert!(message.starts_with("backend name.invalid: ") && !message.contains("secret"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn proxy_variables_are_ignored() {
    const URL: &str = "CACHED_HTTP_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        found(ask(&client(&url), PATIENT));
        return;
    }
    // Variables belong to the whole process, so the question is put by another one.
    let server = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let proxy = TestBackend::start(|_| vec![Step::respond("200 OK", "", "PROXY")]);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxy_variables_are_ignored"]).env(URL, server.url()).env_remove("NO_PROXY");
    child.env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, format!("http://{}", proxy.address()));
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((server.count(), proxy.connections()), (1, 0));
}

#[test]
fn https_trusts_only_the_given_authority() {
    let authority = Authority::new();
    let server = TestBackend::start_tls(authority.server("127.0.0.1", None), |_| {
        vec![Step::respond("200 OK", "", "PEM")]
    });
    let backend = client_with(&server.url(), json!({"trusted_ca_pem": authority.pem()})).unwrap();
    for _ in 0..3 {
        assert_eq!(found(ask(&backend, PATIENT)).0, b"PEM");
    }
    assert_eq!(server.connections(), 1);

    let stranger = json!({"trusted_ca_pem": Authority::new().pem()});
    for more in [stranger, json!({})] {
        let message = error(ask(&client_with(&server.url(), more).unwrap(), PATIENT)).message;
        assert!(
            message.ends_with("no authority that is trusted; is the option trusted_ca missing?"),
            "{message}"
        );
    }
    let server = TestBackend::start_tls(authority.server("other.example", None), |_| {
        vec![Step::respond("200 OK", "", "PEM")]
    });
    let backend = client_with(&server.url(), json!({"trusted_ca_pem": authority.pem()})).unwrap();
    let message = error(ask(&backend, PATIENT)).message;
    assert!(message.contains("certificate not trusted (") && message.contains("other.example"), "{message}");
    assert_eq!(server.count(), 0);
}

#[test]
fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = TestBackend::start_tls(authority.server("127.0.0.1", Some(&clients)), |_| {
        vec![Step::respond("200 OK", "", "PEM")]
    });
    let (certificate, key) = clients.issue("caddy.example");
    let with = |pem: String| {
        client_with(&server.url(), json!({"trusted_ca_pem": authority.pem(), "client_certificate_pem": pem}))
    };
    found(ask(&with(format!("{certificate}{key}")).unwrap(), PATIENT));

    let (_, other_key) = clients.issue("caddy.example");
    for (pem, says) in [
        (format!("{certificate}{other_key}"), "another certificate's"),
        (format!("{certificate}{key}{other_key}"), "exactly one private key"),
        (certificate.clone(), "exactly one private key"),
        (key.clone(), "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(), "not PEM"),
        (format!("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n{key}"), "can't be used"),
    ] {
        let message = with(pem).unwrap_err().message;
        assert!(message.starts_with("client_certificate: ") && message.contains(says), "{message}");
        assert!(!message.contains("-----"), "{message}");
    }
    let none = client_with(&server.url(), json!({"trusted_ca_pem": authority.pem()})).unwrap();
    let message = error(ask(&none, PATIENT)).message;
    assert!(message.contains("TLS"), "{message}");
    for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"] {
        let message = client_with(&server.url(), json!({"trusted_ca_pem": pem})).unwrap_err().message;
        assert!(message.starts_with("trusted_ca: "), "{message}");
    }
}

#[test]
fn a_silent_tls_handshake_ends_in_time() {
    let server = TestBackend::start(|_| vec![Step::Hang]);
    let started = Instant::now();
    let url = server.url().replace("http://", "https://user:secret@");
    let message = error(ask(&client(&url), Duration::from_millis(500))).message;
    assert!(started.elapsed() < PATIENT / 2, "{:?}", started.elapsed());
    assert_eq!(message, format!("backend {}: no answer within 500ms", server.address()));
}

#[test]
fn a_body_after_no_content_reaches_nobody() {
    let server = TestBackend::start(|request| match request.parameter("server_name") {
        Some("shop.example") => vec![Step::send(
            "HTTP/1.1 204 No Content\r\nContent-Length: 48\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        )],
        _ => vec![Step::respond("200 OK", "", "honest")],
    });
    let backend = client(&server.url());
    assert!(matches!(ask(&backend, PATIENT), Ok(BackendResponse::NoCertificate { .. })));
    let other = BackendRequest {
        server_name: "other.example".into(),
        handshake_params: "".into(),
        validators: Validators::default(),
    };
    assert_eq!(found(backend.fetch(&other, PATIENT, NOW)).0, b"honest");
    assert_eq!(server.connections(), 2);
}
