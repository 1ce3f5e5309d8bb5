//! A node: an engine whose host runs by itself, and a backend that counts by name.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cached_http_core::clock::Clock;
use cached_http_core::counters::CountersSnapshot;
use cached_http_core::engine::operations::{AskMode, Asked};
use cached_http_core::engine::{Engine, Lookup, LookupConfig};
use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::events::{Event, LogRecord, Outcome};
use cached_http_core::operations::{Answer, Operation, OperationError};
use cached_http_core::settings::{DEFAULT_MAX_DISK, EngineSettings, FleetSettings};
use cached_http_core::single_flight::Token;
use parking_lot::Mutex;

use crate::storage::Storage;
use crate::support::host::{bundle, lookup_settings, next_token, request};
use crate::support::{Request, Step, TestBackend};

pub(crate) const READ_INTERVAL: Duration = Duration::from_millis(40);
pub(crate) const TIMEOUT: Duration = Duration::from_millis(400);
pub(crate) const MAX_CONCURRENT: u32 = 8;

/// What the backend says of every name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// A certificate, the same one until it is renewed, with a lifetime in seconds.
    Certificate(u32),
    No,
    /// An RSA certificate.
    Rsa,
    /// "No" to clients that can use RSA alone, a certificate to all others.
    NoToRsaOnly,
    Nothing,
    /// It says so after a while.
    Late(Duration),
}

pub(crate) struct World {
    pub(crate) storage: Arc<Storage>,
    pub(crate) backend: TestBackend,
    pub(crate) clock: Clock,
    pub(crate) folder: tempfile::TempDir,
    says: Arc<Mutex<Says>>,
    bundles: Arc<Mutex<HashMap<String, String>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let says = Arc::new(Mutex::new(Says::Certificate(3_600)));
        let bundles: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let backend = TestBackend::start({
            let (says, bundles) = (Arc::clone(&says), Arc::clone(&bundles));
            move |request| answer(*says.lock(), &bundles, request)
        });
        let folder = tempfile::tempdir().unwrap();
        write_key(&folder.path().join("fleet.key"), 1);
        let clock = Clock::manual(std::time::SystemTime::now().into());
        World { storage: Arc::default(), backend, clock, folder, says, bundles }
    }

    pub(crate) fn backend_says(&self, says: Says) {
        *self.says.lock() = says;
    }

    /// The backend has a new certificate for each name.
    pub(crate) fn renew(&self) {
        self.bundles.lock().clear();
    }

    pub(crate) fn node(&self) -> Node {
        self.node_with(&self.clock, None, &[self.folder.path().join("fleet.key")])
    }

    pub(crate) fn node_with_disk(&self, directory: &Path) -> Node {
        self.node_with(&self.clock, Some(directory), &[self.folder.path().join("fleet.key")])
    }

    pub(crate) fn node_with(&self, clock: &Clock, directory: Option<&Path>, keys: &[PathBuf]) -> Node {
        Node::start(self, clock.clone(), directory, keys, TIMEOUT)
    }

    /// One that gives the storage more time than a handshake takes on a busy machine.
    pub(crate) fn patient_node(&self, timeout: Duration) -> Node {
        Node::start(self, self.clock.clone(), None, &[self.folder.path().join("fleet.key")], timeout)
    }

    pub(crate) fn requests(&self) -> usize {
        self.backend.count()
    }
}

fn answer(says: Says, bundles: &Mutex<HashMap<String, String>>, request: &Request) -> Vec<Step> {
    let name = request.parameter("server_name").unwrap_or_default().to_owned();
    let certificate = |lifetime: u32| {
        let bundle = bundles.lock().entry(name.clone()).or_insert_with(|| bundle(&name, false)).clone();
        Step::respond("200 OK", &format!("Cache-Control: s-maxage={lifetime}\r\n"), bundle)
    };
    match says {
        Says::Certificate(lifetime) => vec![certificate(lifetime)],
        Says::Rsa => {
            let sent = bundles.lock().entry(name.clone()).or_insert_with(|| bundle(&name, true)).clone();
            vec![Step::respond("200 OK", "Cache-Control: s-maxage=3600\r\n", sent)]
        }
        Says::NoToRsaOnly
            if request.parameter("signature_schemes").is_some_and(|schemes| schemes.starts_with("403")) =>
        {
            vec![certificate(3_600)]
        }
        Says::No | Says::NoToRsaOnly => vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")],
        Says::Nothing => vec![Step::Close],
        Says::Late(delay) => vec![Step::Wait(delay), certificate(3_600)],
    }
}

pub(crate) fn write_key(path: &Path, key: u8) {
    fs::write(path, format!("{key:02x}").repeat(32)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<LookupConfig>,
    settings: EngineSettings,
    told: Arc<Told>,
    pump: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    waiting: Mutex<HashMap<Token, Sender<Outcome>>>,
    answers: Mutex<HashMap<Token, Sender<Result<Answer, OperationError>>>>,
    logs: Mutex<Vec<LogRecord>>,
}

impl Node {
    fn start(
        world: &World,
        clock: Clock,
        directory: Option<&Path>,
        keys: &[PathBuf],
        timeout: Duration,
    ) -> Self {
        let settings = EngineSettings {
            backend: world.backend.url(),
            cache_dir: directory.map(Path::to_owned),
            max_disk: DEFAULT_MAX_DISK,
            max_memory: 64 << 20,
            max_negative_memory: 1 << 20,
            max_concurrent_fetches: 32,
            distributed: Some(FleetSettings {
                storage: "one".into(),
                key_files: keys.to_vec(),
                read_interval: READ_INTERVAL,
                timeout,
                max_concurrent: MAX_CONCURRENT,
            }),
        };
        let engine = Engine::open(&settings, clock).unwrap();
        let options = r#","stale_if_error_ms":86400000,"refresh_ahead":true"#;
        let config = engine.lookup_config(&lookup_settings(&world.backend, options)).unwrap();
        let told = Arc::<Told>::default();
        let pump = {
            let (engine, told, storage) = (engine.clone(), Arc::clone(&told), Arc::clone(&world.storage));
            let mut reader = engine.event_reader().unwrap();
            thread::spawn(move || {
                while let Some(events) = engine.next_events(16) {
                    if events.is_empty() {
                        assert!(reader.read(&mut [0; 64]).unwrap() > 0);
                    }
                    events.into_iter().for_each(|event| handle(&engine, &told, &storage, event));
                }
            })
        };
        engine.resize(&settings).unwrap();
        Node { engine, config, settings, told, pump: Some(pump) }
    }

    /// Reads the keys of the fleet anew, or other ones.
    pub(crate) fn takes_keys(&mut self, keys: &[PathBuf]) {
        self.settings.distributed.as_mut().unwrap().key_files = keys.to_vec();
        self.engine.resize(&self.settings).unwrap();
    }

    /// Is reloaded with another storage.
    pub(crate) fn takes_storage(&mut self, storage: &str) {
        self.settings.distributed.as_mut().unwrap().storage = storage.into();
        self.engine.resize(&self.settings).unwrap();
    }

    /// Is reloaded without the fleet.
    pub(crate) fn leaves(&mut self) {
        self.settings.distributed = None;
        self.engine.resize(&self.settings).unwrap();
    }

    /// The same while others use it.
    pub(crate) fn is_made_leave(&self) {
        let settings = EngineSettings { distributed: None, ..self.settings.clone() };
        self.engine.resize(&settings).unwrap();
    }

    /// Asks for a name without a handshake; whoever waits for it then joins.
    pub(crate) fn prefetches(&self, name: &str) -> Asked {
        let asked_as = ClientKind::Ecdsa;
        self.engine.ask(&self.config, name.as_bytes(), asked_as, AskMode::Prefetch, next_token())
    }

    pub(crate) fn look(&self, name: &str) -> Lookup {
        self.engine.lookup(&self.config, &request(name, ClientKind::Ecdsa, None))
    }

    /// A client's handshake.
    pub(crate) fn ask(&self, name: &str) -> Outcome {
        self.ask_as(name, ClientKind::Ecdsa)
    }

    pub(crate) fn ask_as(&self, name: &str, client: ClientKind) -> Outcome {
        let (token, (tell, told)) = (next_token(), channel());
        self.told.waiting.lock().insert(token, tell);
        match self.engine.lookup(&self.config, &request(name, client, Some(token))) {
            Lookup::Hit(id) | Lookup::Stale(id) => Outcome::Found(id),
            Lookup::Negative => Outcome::NoCertificate,
            Lookup::BackedOff(reason) => Outcome::BackedOff(reason),
            Lookup::Pending => told.recv_timeout(Duration::from_secs(20)).expect("an end of the fetch"),
            other => panic!("{other:?}"),
        }
    }

    /// A handshake that must succeed: the DER text of its certificate.
    pub(crate) fn gets(&self, name: &str) -> Vec<u8> {
        loop {
            match self.ask(name) {
                // It may have been replaced, or purged, meanwhile.
                Outcome::Found(id) => match self.leaf(id) {
                    Some(leaf) => return leaf,
                    None => continue,
                },
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    /// The certificate that is served from memory.
    pub(crate) fn holds(&self, name: &str) -> Option<Vec<u8>> {
        loop {
            match self.look(name) {
                Lookup::Hit(id) | Lookup::Stale(id) => match self.leaf(id) {
                    None => continue,
                    leaf => return leaf,
                },
                _ => return None,
            }
        }
    }

    fn leaf(&self, id: EntryId) -> Option<Vec<u8>> {
        Some(self.engine.entry(id)?.bundle.chain().next()?.to_vec())
    }

    pub(crate) fn operate(&self, operation: &str) -> Result<Answer, OperationError> {
        let (token, (tell, told)) = (next_token(), channel());
        self.told.answers.lock().insert(token, tell);
        let operation = Operation::from_json(operation.as_bytes()).unwrap();
        self.engine.operate(&self.config, operation, token).unwrap();
        told.recv_timeout(Duration::from_secs(20)).expect("an answer")
    }

    /// Purges a name and waits for no answer.
    pub(crate) fn begins_to_purge(&self, name: &str) {
        let operation = format!(r#"{{"purge":{{"names":["{name}"]}}}}"#);
        let operation = Operation::from_json(operation.as_bytes()).unwrap();
        self.engine.operate(&self.config, operation, next_token()).unwrap();
    }

    pub(crate) fn purge(&self, name: &str) -> Result<Answer, OperationError> {
        self.operate(&format!(r#"{{"purge":{{"names":["{name}"]}}}}"#))
    }

    pub(crate) fn counters(&self) -> CountersSnapshot {
        self.engine.counters()
    }

    pub(crate) fn logs(&self) -> Vec<String> {
        self.told.logs.lock().iter().map(|record| record.message.clone()).collect()
    }

    /// Waits until all is written that is to be.
    pub(crate) fn has_written(&self) {
        until(|| self.engine.sizes().fleet_writes == 0);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.engine.close();
        let ended = self.pump.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn handle(engine: &Engine, told: &Told, storage: &Arc<Storage>, event: Event) {
    match event {
        Event::Candidate(id) => drop(engine.confirm(id)),
        Event::Finished { tokens, outcome, .. } => {
            let mut waiting = told.waiting.lock();
            for token in tokens {
                if let Some(waits) = waiting.remove(&token) {
                    let _ = waits.send(outcome.clone());
                }
            }
        }
        Event::Answered { token, answer } => {
            if let Some(waits) = told.answers.lock().remove(&token) {
                let _ = waits.send(*answer);
            }
        }
        Event::Storage(request) => storage.carry_out(engine, request),
        Event::Log(record) => told.logs.lock().push(record),
        Event::Retired(_) => {}
    }
}

/// Something that comes out as wanted unless the machine is busy each time: beside a storage that takes 100 ms, the backend
/// is asked.
#[track_caller]
pub(crate) fn usually<T: PartialEq + std::fmt::Debug>(wanted: T, mut run: impl FnMut() -> T) {
    let mut last = run();
    for _ in 0..4 {
        if last != wanted {
            last = run();
        }
    }
    assert_eq!(last, wanted);
}

/// Longer than a breaker leaves a storage alone, which is half a minute at most.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "it does not come about");
        thread::sleep(Duration::from_millis(2));
    }
}
