//! A core file has no copy of a stored key: the kernel writes one of a child that holds a name's certificate and key.
//!
//! What aws-lc makes of a key while it signs is not protected; it is what shows here that the search sees something.
#![cfg(target_os = "linux")]

// Linked for its global allocator, which wipes what it frees.
extern crate cached_http as _;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cached_http_core::clock::Clock;
use cached_http_core::engine::{Engine, Lookup, LookupRequest};
use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::events::{Event, Outcome};
use cached_http_core::settings::{EngineSettings, LookupSettings};
use cached_http_core::single_flight::Token;
use rcgen::{CertificateParams, KeyPair};

const NAME: &str = "shop.example";
/// In the child: the backend's URL, and whether a parsed key is held.
const URL: &str = "CACHED_HTTP_TEST_CORE_FILE_OF";
const HOT: &str = "CACHED_HTTP_TEST_CORE_FILE_HOT";

#[test]
fn a_core_file_has_no_copy_of_a_stored_key() {
    if let Ok(url) = std::env::var(URL) {
        return hold_and_abort(&url, std::env::var_os(HOT).is_some());
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.contains(['|', '/']) {
        eprintln!("skipped: this kernel writes core files to {pattern}");
        return;
    }
    for (kind, algorithm) in
        [("P-256", &rcgen::PKCS_ECDSA_P256_SHA256), ("RSA-2048", &rcgen::PKCS_RSA_SHA256)]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
        let url = serve(certificate.pem() + &key.serialize_pem());
        let secrets = secrets_of(key.serialized_der());
        let copies = |hot| {
            let core = core_file(&url, hot);
            let copies: usize = secrets.iter().map(|secret| count(&core, secret)).sum();
            println!(
                "{kind}, {}: {copies} copies in {} MiB",
                if hot { "signing" } else { "stored" },
                core.len() >> 20
            );
            copies
        };
        assert!(copies(true) > 0, "{kind}: the search is blind");
        assert_eq!(copies(false), 0, "{kind}");
    }
}

/// The child: fetches the name, shows that it can sign, and aborts.
fn hold_and_abort(url: &str, hot: bool) {
    let settings = format!(
        r#"{{"backend":"{url}","max_memory":1000000,"max_negative_memory":10000,"max_concurrent_fetches":2}}"#
    );
    let engine =
        Engine::open(&EngineSettings::from_json(settings.as_bytes()).unwrap(), Clock::system()).unwrap();
    let settings = format!(
        r#"{{"url":"{url}","default_ttl_ms":60000,"negative_ttl_ms":60000,"timeout_ms":5000,"stale_if_error_ms":0,"refresh_ahead":false}}"#
    );
    let config = engine.lookup_config(&LookupSettings::from_json(settings.as_bytes()).unwrap()).unwrap();
    let look = |token| {
        let (server_name, client) = (NAME.as_bytes(), ClientKind::Ecdsa);
        engine
            .lookup(&config, &LookupRequest { server_name, client, handshake_params: "", token, peek: false })
    };
    assert_eq!(look(Some(Token(1))), Lookup::Pending);
    let id = fetched(&engine);
    assert_eq!(look(None), Lookup::Hit(id), "it is stored");
    let signing_key = engine.entry(id).unwrap().bundle.private_key().signing_key().unwrap();
    wait_for_workers();
    if !hot {
        drop(signing_key);
    }
    println!("READY");
    std::process::abort();
}

/// What the backend sent is wiped when the worker that asked has done all its work, which may be a moment later.
fn wait_for_workers() {
    let is_idle = |task: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        !status.starts_with("Name:\tcached_http") || status.contains("State:\tS")
    };
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(20));
        while !fs::read_dir("/proc/self/task").unwrap().all(is_idle) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Plays the host, who opens each candidate.
fn fetched(engine: &Engine) -> EntryId {
    let mut reader = engine.event_reader().unwrap();
    loop {
        let taken = engine.next_events(8).unwrap();
        if taken.is_empty() {
            assert!(reader.read(&mut [0; 64]).unwrap() > 0);
        }
        for event in taken {
            match event {
                Event::Candidate(id) => {
                    drop(engine.entry(id).unwrap().bundle.private_key().signing_key().unwrap());
                    assert!(engine.confirm(id));
                }
                Event::Finished { outcome: Outcome::Found(id), .. } => return id,
                Event::Finished { outcome, .. } => panic!("{outcome:?}"),
                Event::Log(_) | Event::Retired(_) | Event::Answered { .. } | Event::Storage(_) => {}
            }
        }
    }
}

/// Runs a child to its end, and returns its core file.
fn core_file(url: &str, hot: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("sh");
    child.args([
        "-c",
        r#"ulimit -c unlimited && exec "$0" --exact a_core_file_has_no_copy_of_a_stored_key --nocapture"#,
    ]);
    child.arg(std::env::current_exe().unwrap()).current_dir(&folder).env(URL, url).stderr(Stdio::null());
    if hot {
        child.env(HOT, "1");
    }
    let output = child.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("READY"), "{printed}");
    fs::read(written_in(folder.path())).unwrap()
}

fn written_in(folder: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.next().expect("a core file; is there room for it?")
}

/// A backend that answers everything with one bundle; ends with the process.
fn serve(bundle: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{bundle}", bundle.len())
                .unwrap();
        }
    });
    url
}

/// Parts of a PKCS #8 key that are secret, in both byte orders and as PEM text. Montgomery forms are not seen.
fn secrets_of(der: &[u8]) -> Vec<Vec<u8>> {
    const PART: usize = 16;
    const PEM_LINE: usize = 48; // bytes
    // An EC key's scalar is its bytes 36 to 68; an RSA key ends with primes, exponents and a coefficient.
    let places =
        if der.len() < 300 { vec![48] } else { vec![der.len() - 600, der.len() - 300, der.len() - 100] };
    let mut secrets = Vec::new();
    for place in places {
        let place = place.next_multiple_of(PEM_LINE);
        let part = &der[place..place + PART];
        secrets.push(part.to_vec());
        secrets.push(part.iter().rev().copied().collect());
        // The last character has bits of the byte that follows.
        let mut text = STANDARD.encode(part).into_bytes();
        text.truncate(PART / 3 * 4);
        secrets.push(text);
    }
    secrets
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    let first = needle[0];
    let mut found = 0;
    for (place, byte) in haystack.iter().enumerate() {
        if *byte == first && haystack[place..].starts_with(needle) {
            found += 1;
        }
    }
    found
}
