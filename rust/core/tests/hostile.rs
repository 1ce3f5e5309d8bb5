//! What a hostile or broken backend can do: each of it ends in time, costs little memory, and says nothing secret.

mod support;

use std::time::{Duration, Instant};

use cached_http_core::backend::{Backend, BackendRequest, MAX_BODY_LENGTH, Validators};
use cached_http_core::clock::Timestamp;
use cached_http_core::settings::LookupSettings;
use support::{Step, TestBackend, memory};

fn client(url: &str) -> Backend {
    let json = serde_json::json!({"url": url, "default_ttl_ms": 1000, "negative_ttl_ms": 1000, "timeout_ms": 10_000,
        "stale_if_error_ms": 0, "refresh_ahead": false});
    Backend::new(&LookupSettings::from_json(json.to_string().as_bytes()).unwrap()).unwrap()
}

/// Each behaviour must end within its deadline, as an error that shows neither credentials nor body.
#[test]
fn hostile_backends_are_survived() {
    const DEADLINE: Duration = Duration::from_millis(500);
    const GRACE: Duration = Duration::from_millis(300);
    let pause = Duration::from_millis(5);
    let ok = "HTTP/1.1 200 OK\r\n";
    let send = |text: &str| vec![Step::send(text), Step::Hang];
    let timeout = "no answer within 500ms";
    let behaviours: Vec<(&str, Vec<Step>, &str)> = vec![
        ("hangs", vec![Step::Hang], timeout),
        ("drips its status line", vec![Step::SendForever(b"H".to_vec(), pause)], "answered no valid HTTP"),
        ("drips header fields", vec![Step::send(ok), Step::SendForever(b"a: b\r\n".to_vec(), pause)], ""),
        (
            "drips one field",
            vec![Step::send(format!("{ok}a: ")), Step::SendForever(b"b".to_vec(), pause)],
            timeout,
        ),
        (
            "drips its body",
            vec![
                Step::send(format!("{ok}Content-Length: 9999\r\n\r\n")),
                Step::SendForever(b"secret".to_vec(), pause),
            ],
            timeout,
        ),
        (
            "drips chunks",
            vec![
                Step::send(format!("{ok}Transfer-Encoding: chunked\r\n\r\n")),
                Step::SendForever(b"1\r\ns\r\n".to_vec(), pause),
            ],
            timeout,
        ),
        (
            "never ends a chunk's extension",
            vec![
                Step::send(format!("{ok}Transfer-Encoding: chunked\r\n\r\n1;")),
                Step::SendForever(vec![b'a'; 4096], Duration::ZERO),
            ],
            "",
        ),
        (
            "sends chunks without end",
            vec![
                Step::send(format!("{ok}Transfer-Encoding: chunked\r\n\r\n")),
                Step::SendForever([b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat(), Duration::ZERO),
            ],
            "more than 256 KiB",
        ),
        (
            "sends an endless close-delimited body",
            vec![Step::send(format!("{ok}\r\n")), Step::SendForever(vec![b'x'; 4096], Duration::ZERO)],
            "more than 256 KiB",
        ),
        ("has a huge header", send(&format!("{ok}a: {}\r\n\r\n", "x".repeat(5 << 20))), "more than 16 KiB"),
        ("has 5,000 fields", send(&format!("{ok}{}\r\n", "a: b\r\n".repeat(5000))), "too many headers"),
        (
            "sends endless 1xx",
            vec![Step::SendForever(b"HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n".to_vec(), Duration::ZERO)],
            "",
        ),
        (
            "drips endless 1xx",
            vec![Step::SendForever(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), pause)],
            timeout,
        ),
        (
            "redirects to itself",
            vec![Step::respond("302 Found", "Location: /?secret\r\n", "secret")],
            "answered 302 Found; redirects are not followed",
        ),
        (
            "ends its body early",
            vec![Step::send(format!("{ok}Content-Length: 100\r\n\r\nsecret")), Step::Close],
            "closed before the whole answer",
        ),
        (
            "resets in its body",
            vec![Step::send(format!("{ok}Content-Length: 100\r\n\r\nsecret")), Step::Reset],
            "",
        ),
        (
            "ends in a chunk",
            vec![Step::send(format!("{ok}Transfer-Encoding: chunked\r\n\r\n64\r\nsecret")), Step::Close],
            "closed before the whole answer",
        ),
        (
            "ends before the last chunk",
            vec![Step::send(format!("{ok}Transfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n")), Step::Close],
            "closed before the whole answer",
        ),
        (
            "has a chunk of no length",
            send(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nsecret\r\n")),
            "answered no valid HTTP",
        ),
        (
            "has two lengths",
            send(&format!("{ok}Content-Length: 6\r\nContent-Length: 5\r\n\r\nsecret")),
            "answered no valid HTTP",
        ),
        (
            "has a negative length",
            send(&format!("{ok}Content-Length: -6\r\n\r\nsecret")),
            "answered no valid HTTP",
        ),
        (
            "has a length and chunks",
            send(&format!(
                "{ok}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n"
            )),
            "both Transfer-Encoding and Content-Length",
        ),
        (
            "claims 1 TiB",
            send(&format!("{ok}Content-Length: 1099511627776\r\n\r\nsecret")),
            "more than 256 KiB",
        ),
        (
            "sends gzip nobody asked for",
            vec![Step::respond("200 OK", "Content-Encoding: gzip\r\n", "secret")],
            "Content-Encoding",
        ),
        ("sends garbage", send("\u{1}\u{2}secret \r\n\r\n\r\n"), "answered no valid HTTP"),
        ("speaks another protocol", send("SSH-2.0-secret\r\n\r\n"), "answered no valid HTTP"),
        ("closes at once", vec![Step::Close], "connection closed"),
        ("resets at once", vec![Step::Reset], "connection reset"),
    ];
    let request = BackendRequest {
        server_name: "shop.example".into(),
        handshake_params: "".into(),
        validators: Validators::default(),
    };
    let (count, mut slowest, mut largest) = (behaviours.len(), Duration::ZERO, 0);
    for (behaviour, steps, says) in behaviours {
        let server = TestBackend::start(move |_| steps.clone());
        let backend = client(&server.url().replace("//", "//user:secret@").replace("certificates", "secret"));
        let before = memory::reset_peak();
        let started = Instant::now();
        let error = backend.fetch(&request, DEADLINE, Timestamp(784_111_777_000)).err();
        let took = started.elapsed();
        let message = error.unwrap_or_else(|| panic!("{behaviour}: it was taken for an answer")).message;
        let grown = memory::peak_kib() - before;
        assert!(grown <= (MAX_BODY_LENGTH as i64 >> 10) + 8 * 1024, "{behaviour}: {grown} KiB");
        (slowest, largest) = (slowest.max(took), largest.max(grown));
        assert!(took < DEADLINE + GRACE, "{behaviour}: {took:?}");
        assert!(message.contains(says), "{behaviour}: {message}");
        assert!(message.starts_with(&format!("backend {}: ", server.address())), "{behaviour}: {message}");
        assert!(!message.contains("secret") && message.len() < 300, "{behaviour}: {message}");
    }
    println!(
        "{count} hostile behaviours at a deadline of {DEADLINE:?}: the slowest ended after {slowest:?}, memory grew by \
         {largest} KiB at most, the backend's own included"
    );
}
