//! What went wrong is told with its cause, and neither tells a secret.

mod support;

use std::error::Error;
use std::io;
use std::time::Duration;

use cached_http_core::backend::{Backend, BackendError, BackendRequest, Validators};
use cached_http_core::clock::Timestamp;
use cached_http_core::settings::LookupSettings;
use serde_json::{Value, json};

use support::tls::Authority;
use support::{Step, TestBackend};

/// In every place of a URL that can hold one, and in a header field.
const SECRET: &str = "hunter2";
const SECRET_IN_BASE64: &str = "aHVudGVyMg==";

fn client(scheme: &str, host: &str, more: Value) -> Result<Backend, BackendError> {
    let url = format!("{scheme}://{SECRET}:{SECRET}@{host}/{SECRET}?token={SECRET}");
    let mut settings = json!({"url": url, "default_ttl_ms": 1000, "negative_ttl_ms": 1000, "timeout_ms": 2000,
        "stale_if_error_ms": 0, "refresh_ahead": false, "headers": [["X-Token", SECRET]]});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Backend::new(&LookupSettings::from_json(settings.to_string().as_bytes()).unwrap())
}

/// For what is told at once, on a machine that may be busy.
const PATIENT: Duration = Duration::from_secs(20);

fn failure(backend: &Backend, handshake_params: &str) -> BackendError {
    failure_within(backend, handshake_params, PATIENT)
}

fn failure_within(backend: &Backend, handshake_params: &str, limit: Duration) -> BackendError {
    let request = BackendRequest {
        server_name: "shop.example".into(),
        handshake_params: handshake_params.into(),
        validators: Validators::default(),
    };
    backend.fetch(&request, limit, Timestamp(0)).err().expect("a failure")
}

/// The error, its source, the source's source and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[track_caller]
fn assert_no_secret(error: &BackendError) {
    for error in chain(error) {
        let text = format!("{error} {error:?} {error:#?}");
        assert!(!text.contains(SECRET) && !text.contains(SECRET_IN_BASE64), "{text}");
    }
}

/// The first cause of this type.
#[track_caller]
fn cause<E: Error + 'static>(error: &BackendError) -> &E {
    assert_no_secret(error);
    let found = chain(error).skip(1).find_map(|cause| cause.downcast_ref());
    found.unwrap_or_else(|| panic!("{error}: no such cause in {error:?}"))
}

#[test]
fn a_refused_connection_is_the_systems_own_error() {
    let closed = "127.0.0.1:1"; // a port that was bound and let go may be another test's by now
    let error = failure(&client("http", closed, json!({})).unwrap(), "");
    assert_eq!(cause::<io::Error>(&error).kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), format!("backend {closed}: connection refused"));
}

#[test]
fn a_late_answer_is_the_clients_error() {
    let server = TestBackend::start(|_| vec![Step::Hang]);
    let backend = client("http", &server.address().to_string(), json!({})).unwrap();
    let error = failure_within(&backend, "", Duration::from_millis(500));
    assert!(matches!(cause::<ureq::Error>(&error), ureq::Error::Timeout(_)));
}

#[test]
fn a_malformed_answer_is_the_protocols_error() {
    for answer in ["NOT HTTP\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
        let server = TestBackend::start(move |_| vec![Step::send(answer), Step::Close]);
        let error = failure(&client("http", &server.address().to_string(), json!({})).unwrap(), "");
        assert!(chain(&error).count() > 1, "{answer:?}: {error:?}");
        assert_no_secret(&error);
    }
}

#[test]
fn a_certificate_of_no_trusted_authority_is_the_tls_librarys_error() {
    let server = TestBackend::start_tls(Authority::new().server("localhost", None), |_| vec![]);
    let host = format!("localhost:{}", server.address().port());
    let trusted = json!({"trusted_ca_pem": Authority::new().pem()});
    let error = failure(&client("https", &host, trusted).unwrap(), "");
    assert!(error.to_string().contains("trusted_ca"), "{error}");
    let sources = chain(&error).skip(1);
    let found = sources
        .filter_map(|source| source.downcast_ref::<io::Error>())
        .any(|source| source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
        || chain(&error).any(|source| source.is::<rustls::Error>());
    assert!(found, "{error:?}");
    assert_no_secret(&error);
}

#[test]
fn a_request_that_can_t_be_made_tells_nothing_of_its_url() {
    let backend = client("http", "127.0.0.1:1", json!({})).unwrap();
    for parameters in ["local_ip=\u{7f}", &"x".repeat(70_000)] {
        let error = failure(&backend, parameters);
        assert!(error.to_string().contains("URL"), "{error}");
        assert_no_secret(&error);
    }
}

#[test]
fn settings_name_the_library_that_rejects_them() {
    let error = client("http", "a b", json!({})).err().unwrap();
    let invalid: &ureq::http::uri::InvalidUri = cause(&error);
    assert!(!invalid.to_string().is_empty());

    let der = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let error = client("https", "a.test", json!({"trusted_ca_pem": der})).err().unwrap();
    assert_eq!(error.to_string(), "trusted_ca: certificate 1 can't be used");
    cause::<rustls::Error>(&error);

    let (certificate, _) = Authority::new().issue("client");
    let (_, key) = Authority::new().issue("other");
    let pem = json!({"client_certificate_pem": format!("{certificate}{key}")});
    let error = client("https", "a.test", pem).err().unwrap();
    assert!(matches!(cause::<rustls::Error>(&error), rustls::Error::InconsistentKeys(_)));
    assert!(!format!("{error:?}").contains("PRIVATE KEY"));
}
