//! Every file of the public corpora through the parser: no panic, no delay, nothing accepted that Go (as
//! Caddy's own getter uses it) rejects, and what Go accepts and we reject is the list in
//! `corpus_rejections.tsv`, no row more or less.
//!
//! The corpora are too large for this repository. They are looked for in `../shared/corpora` beside it, or
//! in `$CACHED_HTTP_CORPORA`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cached_http_core::bundle::{Bundle, BundleError};
use cached_http_core::clock::Timestamp;
use cached_http_core::keys::{MAX_SIGNATURE_LENGTH, PrivateKey, SignatureScheme, SigningInput, SigningKey};
use zeroize::Zeroizing;

const REJECTIONS: &str = include_str!("corpus_rejections.tsv");

/// Generous for a debug build on a busy machine; 50 ms is the aim.
const TIME_LIMIT: Duration = Duration::from_millis(500);

/// Bundles that Go takes only in the order and spelling of their plain sibling. Ours are repaired on the
/// way in, and must come out equal to that sibling.
const REPAIRED: [(&str, &str); 4] = [
    ("cfssl-bundler_cfssl-leaf-rsa3072/bom.pem", "cfssl/bundler_cfssl-leaf-rsa3072.pem"),
    ("cfssl-bundler_cfssl-leaf-rsa3072/chain-reversed.pem", "cfssl/bundler_cfssl-leaf-rsa3072.pem"),
    ("rustls-test-ca_ecdsa-p256_end/bom.pem", "rustls/test-ca_ecdsa-p256_end.pem"),
    ("rustls-test-ca_ecdsa-p256_end/chain-reversed.pem", "rustls/test-ca_ecdsa-p256_end.pem"),
];

/// One line of EXPECTED.tsv.
struct Expected {
    path: String,
    verdict: String,
    caddy: String,
}

/// The longest parse, and of which file.
#[derive(Default)]
struct Slowest(Duration, String);

impl std::fmt::Display for Slowest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "slowest {:?} ({})", self.0, self.1)
    }
}

struct Corpus {
    folder: PathBuf,
    files: Vec<Expected>,
}

impl Corpus {
    /// The corpora, or `None` after saying that they are not there.
    fn open() -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
        let folder = std::env::var_os("CACHED_HTTP_CORPORA").map_or(beside, PathBuf::from);
        let Ok(table) = fs::read_to_string(folder.join("EXPECTED.tsv")) else {
            println!(
                "SKIPPED: no EXPECTED.tsv in {}; set CACHED_HTTP_CORPORA to the corpora",
                folder.display()
            );
            return None;
        };
        let files = table.lines().skip(2).map(|line| {
            let field = |column: usize| line.split('\t').nth(column).expect("nine columns").to_owned();
            Expected { path: field(0), verdict: field(2), caddy: field(4) }
        });
        Some(Corpus { files: files.collect(), folder })
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Expected, Vec<u8>)> {
        let wanted = self.files.iter().filter(move |file| file.path.starts_with(kind));
        wanted.map(|file| (file, fs::read(self.folder.join(&file.path)).expect("a file of EXPECTED.tsv")))
    }
}

/// The listed rejections of one kind of file: path to the error's name.
fn listed(kind: &str) -> BTreeMap<&'static str, &'static str> {
    let rows = REJECTIONS.lines().filter(|line| !line.starts_with('#') && line.starts_with(kind));
    rows.map(|row| {
        let mut fields = row.split('\t');
        let (path, error, why) = (fields.next(), fields.next(), fields.next());
        assert!(why.is_some_and(|why| !why.is_empty()), "{row}: path, error and reason, with tabs between");
        (path.unwrap(), error.unwrap())
    })
    .collect()
}

/// Runs one parse: it must neither panic nor take long, though the machine may have been busy a few times.
fn timed<T>(path: &str, slowest: &mut Slowest, parse: impl Fn() -> T) -> T {
    let run = || {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(&parse)).unwrap_or_else(|_| panic!("{path}: a panic"));
        (outcome, started.elapsed())
    };
    let (mut outcome, mut took) = run();
    for _ in 0..4 {
        if took > TIME_LIMIT {
            (outcome, took) = run();
        }
    }
    assert!(took <= TIME_LIMIT, "{path}: {took:?}");
    if took > slowest.0 {
        *slowest = Slowest(took, path.to_owned());
    }
    outcome
}

/// Rejections found but not listed, and listed but not found, as lines to compare with the list.
fn differences(kind: &str, found: &BTreeMap<String, String>) -> Vec<String> {
    let listed = listed(kind);
    let unlisted = found.iter().filter(|(path, error)| listed.get(path.as_str()) != Some(&error.as_str()));
    let stale = listed.iter().filter(|(path, error)| found.get(**path).map(String::as_str) != Some(**error));
    unlisted
        .map(|(path, error)| format!("+ {path}\t{error}"))
        .chain(stale.map(|(path, error)| format!("- {path}\t{error}")))
        .collect()
}

fn name_of(error: &impl Debug) -> String {
    format!("{error:?}")
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// The file itself if it is DER, else the first block whose label ends so.
fn der_of(file: &[u8], label_end: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(file);
    if !text.contains("-----BEGIN") {
        return Some(file.to_vec());
    }
    let marker = format!("{label_end}-----");
    let (_, rest) = text.split_once(&marker)?;
    let (body, _) = rest.split_once("-----END")?;
    let body: String = body.chars().filter(|character| !character.is_whitespace()).collect();
    BASE64_STANDARD.decode(body).ok()
}

#[test]
fn bundles() {
    let Some(corpus) = Corpus::open() else { return };
    let (mut accepted, mut rejected, mut slowest) = (0, BTreeMap::new(), Slowest::default());
    let mut repaired = Vec::new();
    for (file, text) in corpus.of("pem/") {
        let go_accepts = file.verdict == "accept" && file.caddy == "accept";
        let outcome = timed(&file.path, &mut slowest, || Bundle::parse(&text));
        if let Ok(bundle) = &outcome {
            let when = Timestamp(1_700_000_000_000);
            let _ = timed(&file.path, &mut slowest, || bundle.check("www.example.com", when));
            signs(&bundle.private_key().signing_key().expect("a key that was accepted"), &file.path);
        }
        match outcome {
            Ok(bundle) if !go_accepts => {
                let short = file.path.trim_start_matches("pem/assembled/variants/");
                let sibling = REPAIRED.iter().find(|(path, _)| *path == short);
                let (_, sibling) =
                    sibling.unwrap_or_else(|| panic!("{}: accepted, but Go rejects it", file.path));
                let plain = fs::read(corpus.folder.join("pem/assembled").join(sibling)).expect("a sibling");
                let plain = Bundle::parse(&plain).expect("a plain bundle");
                assert!(bundle.chain().eq(plain.chain()), "{}", file.path);
                assert_eq!(*bundle.private_key().der(), *plain.private_key().der(), "{}", file.path);
                repaired.push(short.to_owned());
            }
            Ok(_) => accepted += 1,
            Err(error) if go_accepts => drop(rejected.insert(file.path.clone(), name_of(&error))),
            Err(_) => {}
        }
    }
    let differences = differences("pem/", &rejected);
    assert!(differences.is_empty(), "corpus_rejections.tsv:\n{}", differences.join("\n"));
    assert_eq!(repaired.len(), REPAIRED.len(), "{repaired:?}");
    println!(
        "corpus pem: {} files, {accepted} accepted as by Go, {} repaired, {} rejected that Go accepts, {slowest}",
        corpus.of("pem/").count(),
        repaired.len(),
        rejected.len()
    );
}

#[test]
fn private_keys() {
    let Some(corpus) = Corpus::open() else { return };
    let (mut accepted, mut rejected, mut slowest) = (0, BTreeMap::new(), Slowest::default());
    for (file, content) in corpus.of("keys/") {
        let alone = timed(&file.path, &mut slowest, || Bundle::parse(&content));
        assert!(alone.is_err(), "{}: a bundle without a certificate", file.path);
        let Some(der) = der_of(&content, "PRIVATE KEY") else {
            assert_eq!(file.verdict, "reject", "{}: this test can't find its key", file.path);
            continue;
        };
        let go_accepts = file.verdict == "accept";
        let der: Zeroizing<Box<[u8]>> = Zeroizing::new(der.into());
        match timed(&file.path, &mut slowest, || PrivateKey::from_der(der.clone())) {
            Ok(key) => {
                signs(&key.signing_key().expect("a key that was accepted"), &file.path);
                assert!(go_accepts, "{}: accepted, but Go rejects it", file.path);
                accepted += 1;
            }
            Err(error) if go_accepts => drop(rejected.insert(file.path.clone(), name_of(&error))),
            Err(_) => {}
        }
    }
    let differences = differences("keys/", &rejected);
    assert!(differences.is_empty(), "corpus_rejections.tsv:\n{}", differences.join("\n"));
    println!(
        "corpus keys: {} files, {accepted} accepted as by Go, {} rejected that Go accepts, {slowest}",
        corpus.of("keys/").count(),
        rejected.len()
    );
}

#[test]
fn certificates() {
    let Some(corpus) = Corpus::open() else { return };
    let (mut parsed, mut slowest) = (0, Slowest::default());
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(["own.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (file, content) in corpus.of("certs/") {
        let alone = timed(&file.path, &mut slowest, || Bundle::parse(&content));
        assert!(alone.is_err(), "{}: a bundle without a key", file.path);
        let Some(der) = der_of(&content, "CERTIFICATE") else { continue };
        // Alone with a foreign key, and as a certificate to put in order behind a leaf.
        let certificate = pem("CERTIFICATE", &der);
        let foreign = certificate.clone() + &key.serialize_pem();
        assert!(
            timed(&file.path, &mut slowest, || Bundle::parse(foreign.as_bytes())).is_err(),
            "{}",
            file.path
        );
        let behind = own.pem() + &certificate + &key.serialize_pem();
        match timed(&file.path, &mut slowest, || Bundle::parse(behind.as_bytes())) {
            Ok(bundle) => {
                assert_eq!(bundle.chain().next(), Some(own.der().as_ref()), "{}", file.path);
                parsed += 1;
            }
            Err(error) => assert_eq!(error, BundleError::MalformedCertificate(2), "{}", file.path),
        }
    }
    println!("corpus certs: {} files, {parsed} parsed, {slowest}", corpus.of("certs/").count());
}

fn signs(key: &SigningKey, path: &str) {
    let mut signature = [0; MAX_SIGNATURE_LENGTH];
    let made = (0x0401..=0x0807)
        .filter_map(SignatureScheme::from_code_point)
        .any(|scheme| key.sign_into(scheme, SigningInput::Message(b"corpus"), &mut signature).is_ok());
    assert!(made, "{path}: accepted, but signs nothing");
}
