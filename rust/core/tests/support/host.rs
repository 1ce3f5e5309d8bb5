//! A host of a engine, as `rust/ffi` and Go are, and a backend with names to ask for.

use std::io::{PipeReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Request, Step, TestBackend};
use cached_http_core::clock::Clock;
use cached_http_core::engine::{Engine, Lookup, LookupConfig, LookupRequest};
use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::events::{Event, LogRecord, Outcome};
use cached_http_core::operations::{Answer, Operation, OperationError};
use cached_http_core::settings::{DEFAULT_MAX_DISK, EngineSettings, LookupSettings};
use cached_http_core::single_flight::Token;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

pub const MODERN: ClientKind = ClientKind::Ecdsa;
pub const RSA_ONLY: ClientKind = ClientKind::RsaOnly;

/// A host with one engine: it confirms every candidate, as Caddy would.
pub struct Host {
    pub engine: Engine,
    pub config: Arc<LookupConfig>,
    pub clock: Clock,
    pub logs: Vec<LogRecord>,
    pub retired: Vec<EntryId>,
    pub reject: Option<&'static str>,
    pub answers: Vec<Result<Answer, OperationError>>,
    reader: PipeReader,
}

impl Host {
    pub fn new(backend: &TestBackend, directory: Option<&Path>, options: &str) -> Self {
        let clock = Clock::manual(std::time::SystemTime::now().into());
        Self::with_clock(backend, directory, options, clock)
    }

    pub fn with_clock(backend: &TestBackend, directory: Option<&Path>, options: &str, clock: Clock) -> Self {
        let settings = engine_settings(backend, directory);
        let engine = Engine::open(&settings, clock.clone()).unwrap();
        let config = engine.lookup_config(&lookup_settings(backend, options)).unwrap();
        let reader = engine.event_reader().unwrap();
        Host {
            engine,
            config,
            clock,
            logs: Vec::new(),
            retired: Vec::new(),
            reject: None,
            answers: Vec::new(),
            reader,
        }
    }

    /// Begins to serve, or to do so with other limits.
    pub fn resize(&self, backend: &TestBackend, directory: Option<&Path>) {
        self.engine.resize(&engine_settings(backend, directory)).unwrap();
    }

    pub fn look(&self, name: &str) -> Lookup {
        self.look_as(name, MODERN, None)
    }

    pub fn look_as(&self, name: &str, client: ClientKind, token: Option<Token>) -> Lookup {
        self.engine.lookup(&self.config, &request(name, client, token))
    }

    /// Looks with a token, and plays the host until the fetch ends.
    pub fn ask(&mut self, name: &str) -> Outcome {
        self.ask_as(name, MODERN)
    }

    pub fn ask_as(&mut self, name: &str, client: ClientKind) -> Outcome {
        let token = next_token();
        match self.look_as(name, client, Some(token)) {
            Lookup::Hit(id) => Outcome::Found(id),
            Lookup::Negative => Outcome::NoCertificate,
            Lookup::Pending => self.pump_until(token),
            Lookup::BackedOff(reason) => Outcome::BackedOff(reason),
            other => panic!("{other:?}"),
        }
    }

    /// Plays the host until a fetch has ended that nobody waits for.
    pub fn pump_one_fetch(&mut self) {
        self.pump_fetches(1);
    }

    /// Plays the host until so many fetches have ended.
    pub fn pump_fetches(&mut self, mut count: u64) {
        while count > 0 {
            for event in self.next_events(1) {
                count -= u64::from(self.handle(event).is_some());
            }
        }
    }

    pub fn pump_until(&mut self, token: Token) -> Outcome {
        loop {
            for event in self.next_events(1) {
                match self.handle(event) {
                    Some((tokens, outcome)) if tokens.contains(&token) => return outcome,
                    _ => {}
                }
            }
        }
    }

    /// Has an operation carried out, and plays the host until it is answered.
    pub fn operate(&mut self, operation: &str) -> Result<Answer, OperationError> {
        let operation = Operation::from_json(operation.as_bytes()).unwrap();
        self.engine.operate(&self.config, operation, next_token()).unwrap();
        self.next_answer()
    }

    /// Plays the host until an operation is answered.
    pub fn next_answer(&mut self) -> Result<Answer, OperationError> {
        loop {
            if let Some(answer) = self.answers.pop() {
                return answer;
            }
            for event in self.next_events(1) {
                self.handle(event);
            }
        }
    }

    /// Waits until there are events.
    pub fn next_events(&mut self, max: usize) -> Vec<Event> {
        loop {
            let events = self.engine.next_events(max).expect("the engine is open");
            if !events.is_empty() {
                return events;
            }
            self.wait();
        }
    }

    fn wait(&mut self) {
        let count = self.reader.read(&mut [0; 64]).unwrap();
        assert!(count > 0, "the cache holds the other end");
    }

    pub fn handle(&mut self, event: Event) -> Option<(Vec<Token>, Outcome)> {
        match event {
            Event::Candidate(id) => match self.reject {
                None => assert!(self.engine.confirm(id)),
                Some(reason) => assert!(self.engine.reject(id, reason)),
            },
            Event::Finished { tokens, outcome, .. } => return Some((tokens, outcome)),
            Event::Retired(id) => self.retired.push(id),
            Event::Log(record) => self.logs.push(record),
            Event::Answered { answer, .. } => self.answers.push(*answer),
            Event::Storage(wanted) => panic!("there is no fleet: {wanted:?}"),
        }
        None
    }

    /// Closes the cache and waits until pending writes are made.
    pub fn close(mut self) {
        self.engine.close();
        while let Some(events) = self.engine.next_events(16) {
            if events.is_empty() {
                self.wait();
            }
        }
    }
}

pub fn engine_settings(backend: &TestBackend, directory: Option<&Path>) -> EngineSettings {
    EngineSettings {
        backend: backend.url(),
        cache_dir: directory.map(Path::to_owned),
        max_disk: DEFAULT_MAX_DISK,
        max_memory: 1 << 20,
        max_negative_memory: 1 << 16,
        max_concurrent_fetches: 8,
        distributed: None,
    }
}

/// A folder that the cache makes itself, 0700, inside one that goes with the test.
pub struct CacheDirectory {
    pub path: std::path::PathBuf,
    _parent: tempfile::TempDir,
}

impl CacheDirectory {
    pub fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        CacheDirectory { path: parent.path().join("cache"), _parent: parent }
    }
}

/// The files in a folder and those below, in no order.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for found in std::fs::read_dir(directory).into_iter().flatten().map(|found| found.unwrap().path()) {
        if found.is_dir() { files.extend(files_below(&found)) } else { files.push(found) }
    }
    files
}

pub fn request(name: &str, client: ClientKind, token: Option<Token>) -> LookupRequest<'_> {
    let server_name = name.as_bytes();
    LookupRequest { server_name, client, handshake_params: "local_ip=127.0.0.1", token, peek: false }
}

pub fn next_token() -> Token {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Token(NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn lookup_settings(backend: &TestBackend, options: &str) -> LookupSettings {
    // Neither is on unless a test is about it.
    let rest = match options.contains("stale_if_error_ms") {
        true => "",
        false => r#","stale_if_error_ms":0,"refresh_ahead":false"#,
    };
    let timeout = match options.contains("timeout_ms") {
        true => "",
        false => r#","timeout_ms":5000"#,
    };
    let json = format!(
        r#"{{"url":"{}","default_ttl_ms":3600000,"negative_ttl_ms":60000{timeout}{options}{rest}}}"#,
        backend.url()
    );
    LookupSettings::from_json(json.as_bytes()).unwrap()
}

pub fn bundle(name: &str, rsa: bool) -> String {
    let key = if rsa {
        KeyPair::generate_for(&PKCS_RSA_SHA256)
    } else {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
    };
    let key = key.unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    certificate.pem() + &key.serialize_pem()
}

/// Serves an ECDSA bundle for every name that starts with "known", and 204 for the others.
pub fn backend(fields: &'static str) -> TestBackend {
    TestBackend::start(move |request| vec![answer(request, fields)])
}

pub fn answer(request: &Request, fields: &str) -> Step {
    let name = request.parameter("server_name").unwrap_or_default();
    match name.starts_with("known") {
        true => Step::respond("200 OK", fields, bundle(name, false)),
        false => Step::send(format!("HTTP/1.1 204 No Content\r\n{fields}\r\n")),
    }
}
