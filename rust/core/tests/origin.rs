//! What an origin can answer, and what the client makes of it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cached_http_core::clock::Timestamp;
use cached_http_core::entry::ResponseFacts;
use cached_http_core::freshness::Lifetime;
use cached_http_core::origin::{
    MAX_BODY_LENGTH, Origin, OriginError, OriginRequest, OriginResponse, Validators,
};
use cached_http_core::settings::LookupSettings;
use serde_json::{Value, json};

use support::tls::Authority;
use support::{Step, TestOrigin};

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: Timestamp = Timestamp(784_111_777_000);
const PATIENT: Duration = Duration::from_secs(20);

fn client_with(url: &str, more: Value) -> Result<Origin, OriginError> {
    let mut settings = json!({"url": url, "default_ttl_ms": 1000, "negative_ttl_ms": 1000, "timeout_ms": 10_000,
            "stale_if_error_ms": 0, "refresh_ahead": false});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Origin::new(&LookupSettings::from_json(settings.to_string().as_bytes()).unwrap())
}

fn client(url: &str) -> Origin {
    client_with(url, json!({})).unwrap()
}

fn ask(origin: &Origin, time_left: Duration) -> Result<OriginResponse, OriginError> {
    let request = OriginRequest {
        server_name: "shop.example".into(),
        hello_query: "cipher_suites=4865%2C4866&local_ip=127.0.0.1".into(),
        validators: Validators::default(),
    };
    origin.fetch(&request, time_left, NOW)
}

#[track_caller]
fn found(result: Result<OriginResponse, OriginError>) -> (Vec<u8>, ResponseFacts) {
    match result {
        Ok(OriginResponse::Found { pem, facts }) => (pem.to_vec(), facts),
        Ok(OriginResponse::NotFound { .. }) => panic!("204"),
        Ok(OriginResponse::NotModified { .. }) => panic!("304"),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn error(result: Result<OriginResponse, OriginError>) -> OriginError {
    result.err().expect("an error")
}

#[test]
fn a_bundle_comes_with_what_the_response_says() {
    let server = TestOrigin::start(|_| {
        let fields = "Cache-Control: s-maxage=60\r\nAge: 10\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        vec![Step::respond("200 OK", fields, "PEM")]
    });
    let headers = json!({"headers": [["X-Token", "t1"], ["User-Agent", "mine"]]});
    let origin = client_with(&format!("{}?zone=a", server.url()), headers).unwrap();
    let (pem, facts) = found(ask(&origin, PATIENT));
    assert_eq!(pem, b"PEM");
    assert_eq!(facts.fetched_at, NOW);
    assert_eq!(facts.freshness.lifetime, Lifetime::Explicit(Duration::from_secs(50)));
    assert_eq!(facts.etag.as_deref(), Some("\"v1\""));
    assert_eq!(facts.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));

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
    let server = TestOrigin::start(|_| {
        vec![Step::send("HTTP/1.1 204 No Content\r\nCache-Control: max-age=9\r\n\r\n")]
    });
    match ask(&client(&server.url()), PATIENT) {
        Ok(OriginResponse::NotFound { facts }) => {
            assert_eq!(facts.freshness.lifetime, Lifetime::Explicit(Duration::from_secs(9)));
        }
        _ => panic!("not a 204"),
    }
}

#[test]
fn chunked_and_close_delimited_bodies_are_whole() {
    let chunked = TestOrigin::start(|_| {
        vec![Step::send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nPEM\r\n2\r\n12\r\n0\r\n\r\n",
        )]
    });
    assert_eq!(found(ask(&client(&chunked.url()), PATIENT)).0, b"PEM12");
    let closing = TestOrigin::start(|_| vec![Step::send("HTTP/1.0 200 OK\r\n\r\nPEM12"), Step::Close]);
    assert_eq!(found(ask(&client(&closing.url()), PATIENT)).0, b"PEM12");
}

#[test]
fn the_longest_body_is_read_and_one_byte_more_refused() {
    let server =
        TestOrigin::start(|_| vec![Step::respond("200 OK", "", vec![b'x'; MAX_BODY_LENGTH as usize])]);
    assert_eq!(found(ask(&client(&server.url()), PATIENT)).0.len() as u64, MAX_BODY_LENGTH);

    for head in ["Content-Length: 262145\r\n", "Connection: close\r\n"] {
        let server = TestOrigin::start(move |_| {
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
        let server = TestOrigin::start(move |_| {
            vec![Step::send(format!("HTTP/1.1 {response}Content-Length: 6\r\n\r\nsecret"))]
        });
        let error = error(ask(&client(&server.url()), PATIENT));
        assert_eq!(error.message, format!("origin {}: {says}", server.address()));
        assert_eq!(error.retry_after, None);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let location = other.url().replace("//", "//user:secret@");
    for (location, says) in [
        (location.as_str(), "301 Moved Permanently to 127.0.0.1; redirects"),
        ("/%secret", "Permanently; redirects"),
    ] {
        let fields = format!("Location: {location}\r\n");
        let server = TestOrigin::start(move |_| vec![Step::respond("301 Moved Permanently", &fields, "")]);
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
        let server =
            TestOrigin::start(move |_| vec![Step::respond(status, &format!("Retry-After: {value}\r\n"), "")]);
        let error = error(ask(&client(&server.url()), PATIENT));
        assert_eq!(error.retry_after, expected.map(Duration::from_secs), "{value}");
    }
}

#[test]
fn credentials_in_the_url_are_sent_and_never_shown() {
    let server = TestOrigin::start(|_| vec![Step::respond("500 Oh", "", "")]);
    let origin = client(&server.url().replace("//", "//user:pass%20word@"));
    let message = error(ask(&origin, PATIENT)).message;
    assert_eq!(message, format!("origin {}: answered 500 Internal Server Error", server.address()));
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic dXNlcjpwYXNzIHdvcmQ="));
    assert!(!server.requests()[0].line.contains("user"));
    assert!(!format!("{origin:?}").contains("pass"));
}

#[test]
fn connections_are_reused_and_a_closed_one_costs_nothing() {
    let server = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let origin = client(&server.url());
    for _ in 0..5 {
        found(ask(&origin, PATIENT));
    }
    assert_eq!((server.count(), server.connections()), (5, 1));

    // Closes each connection after its answer without saying so.
    let server = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PEM"), Step::Close]);
    let origin = client(&server.url());
    for _ in 0..20 {
        found(ask(&origin, PATIENT));
    }
}

#[test]
fn a_connection_that_dies_as_it_is_reused_is_replaced_once() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    for end in [Step::Close, Step::Reset] {
        ANSWERED.store(0, Ordering::SeqCst);
        let server = TestOrigin::start(move |_| match ANSWERED.fetch_add(1, Ordering::SeqCst) {
            1 => vec![end.clone()],
            _ => vec![Step::respond("200 OK", "", "PEM")],
        });
        let origin = client(&server.url());
        found(ask(&origin, PATIENT));
        found(ask(&origin, PATIENT));
        assert_eq!((server.count(), server.connections()), (3, 2));
    }
}

#[test]
fn many_threads_share_a_client() {
    let server = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let origin = client(&server.url());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(found(ask(&origin, PATIENT)).0, b"PEM")));
        }
    });
    assert_eq!(server.count(), 160);
    assert!(server.connections() <= 8, "{} connections", server.connections());
}

#[test]
fn shutdown_cuts_requests_under_way_and_later_ones() {
    let server = TestOrigin::start(|_| vec![Step::Hang]);
    let origin = client(&server.url());
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| error(ask(&origin, PATIENT)));
        while server.count() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        origin.shutdown();
        waiting.join().unwrap();
    });
    let later = error(ask(&origin, PATIENT)).message;
    assert!(later.ends_with("shut down"), "{later}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(server.count(), 1);
}

#[test]
fn an_origin_that_is_not_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let message = error(ask(&client(&format!("http://u:secret@127.0.0.1:{port}/secret")), PATIENT)).message;
    assert_eq!(message, format!("origin 127.0.0.1:{port}: connection refused"));

    let started = Instant::now();
    let message = error(ask(&client("http://u:secret@name.invalid/secret"), Duration::from_secs(5))).message;
    assert!(message.starts_with("origin name.invalid: ") && !message.contains("secret"), "{message}");
    assert!(started.elapsed() < Duration::from_millis(5300));
}

#[test]
fn proxy_variables_are_ignored() {
    const URL: &str = "CACHED_HTTP_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        found(ask(&client(&url), PATIENT));
        return;
    }
    // Variables belong to the whole process, so the question is put by another one.
    let server = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PEM")]);
    let proxy = TestOrigin::start(|_| vec![Step::respond("200 OK", "", "PROXY")]);
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
    let server = TestOrigin::start_tls(authority.server("127.0.0.1", None), |_| {
        vec![Step::respond("200 OK", "", "PEM")]
    });
    let origin = client_with(&server.url(), json!({"trusted_ca_pem": authority.pem()})).unwrap();
    for _ in 0..3 {
        assert_eq!(found(ask(&origin, PATIENT)).0, b"PEM");
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
    let server = TestOrigin::start_tls(authority.server("other.example", None), |_| {
        vec![Step::respond("200 OK", "", "PEM")]
    });
    let origin = client_with(&server.url(), json!({"trusted_ca_pem": authority.pem()})).unwrap();
    let message = error(ask(&origin, PATIENT)).message;
    assert!(message.contains("certificate not trusted (") && message.contains("other.example"), "{message}");
    assert_eq!(server.count(), 0);
}

#[test]
fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = TestOrigin::start_tls(authority.server("127.0.0.1", Some(&clients)), |_| {
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
    let server = TestOrigin::start(|_| vec![Step::Hang]);
    let started = Instant::now();
    let url = server.url().replace("http://", "https://user:secret@");
    let message = error(ask(&client(&url), Duration::from_millis(500))).message;
    assert!(started.elapsed() < Duration::from_millis(800), "{:?}", started.elapsed());
    assert_eq!(message, format!("origin {}: no answer within 500ms", server.address()));
}

#[test]
fn a_body_after_no_content_reaches_nobody() {
    let server = TestOrigin::start(|request| match request.parameter("server_name") {
        Some("shop.example") => vec![Step::send(
            "HTTP/1.1 204 No Content\r\nContent-Length: 48\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        )],
        _ => vec![Step::respond("200 OK", "", "honest")],
    });
    let origin = client(&server.url());
    assert!(matches!(ask(&origin, PATIENT), Ok(OriginResponse::NotFound { .. })));
    let other = OriginRequest {
        server_name: "other.example".into(),
        hello_query: "".into(),
        validators: Validators::default(),
    };
    assert_eq!(found(origin.fetch(&other, PATIENT, NOW)).0, b"honest");
    assert_eq!(server.connections(), 2);
}
