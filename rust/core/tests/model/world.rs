//! A real engine, a real folder and a real backend on loopback, moved step by step; the model is told what happens and
//! is asked about whatever is served.

use std::collections::HashMap;
use std::ops::Add;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cached_http_core::clock::{Clock, Timestamp};
use cached_http_core::engine::{Engine, Lookup, LookupConfig, LookupRequest};
use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::events::{Event, Outcome};
use cached_http_core::settings::{DEFAULT_MAX_DISK, EngineSettings, LookupSettings};
use cached_http_core::single_flight::Token;

use crate::model::{Model, Moment, Way};
use crate::steps::{Answer, NAMES, OPTIONS, Options, Step};
use crate::support::host::CacheDirectory;
use crate::support::told::{Kept, ToldBackend};
use crate::{answers, disk};

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what happens only sometimes.
const MOMENT: Duration = Duration::from_millis(10);
/// How long nothing has happened once everything has.
const QUIET: Duration = Duration::from_micros(600);

/// What was done, so that a run shows that it is about something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) found: u64,
    pub(crate) from_disk: u64,
    pub(crate) withdrawn: u64,
    pub(crate) failed: u64,
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            hits: self.hits + other.hits,
            stale: self.stale + other.stale,
            found: self.found + other.found,
            from_disk: self.from_disk + other.from_disk,
            withdrawn: self.withdrawn + other.withdrawn,
            failed: self.failed + other.failed,
        }
    }
}

pub(crate) struct World {
    // What is kept goes before the backend, whose threads wait for it.
    pub(crate) kept: Vec<(Kept, Moment)>,
    pub(crate) backend: ToldBackend,
    pub(crate) directory: CacheDirectory,
    pub(crate) engine: Engine,
    config: Arc<LookupConfig>,
    pub(crate) clock: Clock,
    pub(crate) model: Model,
    /// Those of this process, the one in force last.
    options: Vec<Options>,
    waiting: HashMap<Token, Waiting>,
    candidates: Vec<EntryId>,
    host_waits: bool,
    leaves: HashMap<EntryId, Vec<u8>>,
    next_token: u64,
    refreshes: u64,
    /// For whom the request asked that was answered last, and when.
    pub(crate) last_request: Option<(ClientKind, Moment)>,
    pub(crate) tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    name: usize,
    client: ClientKind,
    since: Moment,
}

impl World {
    pub(crate) fn new() -> Self {
        let (backend, directory) = (ToldBackend::start(), CacheDirectory::new());
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_800_000_000));
        let engine = Engine::open(&engine_settings(&backend, &directory.path, false), clock.clone()).unwrap();
        let config = engine.lookup_config(&lookup_settings(&backend, OPTIONS[0])).unwrap();
        World {
            kept: Vec::new(),
            backend,
            directory,
            engine,
            config,
            clock,
            model: Model::default(),
            options: vec![OPTIONS[0]],
            waiting: HashMap::new(),
            candidates: Vec::new(),
            host_waits: false,
            leaves: HashMap::new(),
            next_token: 1,
            refreshes: 0,
            last_request: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Ask { name, client } => self.ask(*name, *client),
            Step::Answer { which, answer } => self.answer(*which, *answer),
            Step::Purge { name } => {
                self.engine.purge(NAMES[*name].as_bytes()).unwrap();
                self.model.purged(*name);
                self.tally.withdrawn += 1;
            }
            Step::Clock(seconds) => self.move_clock(*seconds),
            Step::Restart => self.restart(),
            Step::Reload { options, is_small } => {
                self.engine.resize(&engine_settings(&self.backend, &self.directory.path, *is_small));
                let settings = lookup_settings(&self.backend, OPTIONS[*options]);
                self.config = self.engine.lookup_config(&settings).unwrap();
                self.options.push(OPTIONS[*options]);
            }
            Step::Disk { which, fault } => disk::happen(&self.directory.path, *which, *fault),
            Step::HostWaits(waits) => {
                self.host_waits = *waits;
                self.decide_all();
            }
            Step::Decide { which, agrees } => {
                if !self.candidates.is_empty() {
                    let id = self.candidates.remove(which % self.candidates.len());
                    self.decide(id, *agrees);
                    self.settle(PATIENCE);
                }
            }
        }
    }

    /// Every request is answered, and then nobody waits any more.
    pub(crate) fn end(mut self) -> Tally {
        self.host_waits = false;
        self.decide_all();
        while !self.kept.is_empty() {
            self.answer(0, Answer::Error(0));
        }
        let until = Instant::now() + PATIENCE;
        while !self.waiting.is_empty() && Instant::now() < until {
            self.settle(MOMENT);
            while !self.kept.is_empty() {
                self.answer(0, Answer::Error(0));
            }
        }
        assert!(self.waiting.is_empty(), "not told: {:?}", self.waiting);
        self.restart();
        self.tally
    }

    fn ask(&mut self, name: usize, client: ClientKind) {
        let token = Token(self.next_token);
        self.next_token += 1;
        // Whoever fetches says for whom; a refresh asks on behalf of the last who did.
        let handshake_params = format!("client={client:?}");
        let request = LookupRequest {
            server_name: NAMES[name].as_bytes(),
            client,
            handshake_params: &handshake_params,
            token: Some(token),
            peek: false,
        };
        let since = self.model.tick();
        match self.engine.lookup(&self.config, &request) {
            Lookup::Hit(id) => {
                self.tally.hits += 1;
                self.is_served(name, client, id, Way::Fresh);
            }
            Lookup::Stale(id) => {
                self.tally.stale += 1;
                self.is_served(name, client, id, Way::Stale);
            }
            Lookup::Negative => {
                assert!(self.model.may_deny(name, client), "{} is denied to {client:?}", NAMES[name]);
            }
            Lookup::Pending => {
                let waits_already = |waiting: &Waiting| waiting.name == name;
                let may_join = self.refreshes > 0 || self.waiting.values().any(waits_already);
                self.waiting.insert(token, Waiting { name, client, since });
                return self.settle(if may_join { MOMENT } else { PATIENCE });
            }
            Lookup::UnsupportedKeyType | Lookup::BackedOff(_) => {}
            other => panic!("{other:?}"),
        }
        self.settle(Duration::ZERO);
    }

    fn is_served(&mut self, name: usize, client: ClientKind, id: EntryId, way: Way) {
        let options = match way {
            Way::Waited { .. } => &self.options[..],
            Way::Fresh | Way::Stale => &self.options[self.options.len() - 1..],
        };
        let leaf = match self.engine.entry(id) {
            Some(entry) => entry.bundle.chain().next().unwrap().to_vec(),
            None => self.leaves[&id].clone(),
        };
        let objection = self.model.objection((name, client), &leaf, way, options, self.clock.now());
        if let Some(objection) = objection {
            panic!("{} is served to {client:?} ({way:?}): {objection}", NAMES[name]);
        }
    }

    /// One of the requests is answered, and what it was for ends.
    fn answer(&mut self, which: usize, answer: Answer) {
        if self.kept.is_empty() {
            return;
        }
        let (kept, asked) = self.kept.remove(which % self.kept.len());
        let (steps, must_be_offered) = answers::answer(self, &kept, asked, answer);
        let offered = self.leaves.len();
        kept.answer(&steps);
        self.settle(PATIENCE);
        assert!(
            !must_be_offered || self.leaves.len() > offered,
            "a sound certificate is not offered: {answer:?}"
        );
    }

    fn move_clock(&mut self, seconds: i64) {
        // A host decides within no time.
        self.decide_all();
        let by = Duration::from_secs(seconds.unsigned_abs());
        match seconds {
            0.. => self.clock.advance(by),
            _ => self.clock.set(Timestamp(self.clock.now().0 - by.as_millis() as u64)),
        }
    }

    fn restart(&mut self) {
        disk::mend(&self.directory.path);
        self.engine.close();
        self.kept.clear();
        self.candidates.clear();
        let until = Instant::now() + PATIENCE;
        while let Some(events) = self.engine.next_events(64) {
            assert!(Instant::now() < until, "the engine does not end");
            for event in events {
                self.handle(event);
            }
            std::thread::sleep(QUIET / 10);
        }
        assert!(self.waiting.is_empty(), "not told when it was closed: {:?}", self.waiting);
        while self.backend.try_next().is_some() {}
        let settings = engine_settings(&self.backend, &self.directory.path, false);
        self.engine = Engine::open(&settings, self.clock.clone()).unwrap();
        let options = *self.options.last().unwrap();
        self.config = self.engine.lookup_config(&lookup_settings(&self.backend, options)).unwrap();
        (self.options, self.refreshes) = (vec![options], 0);
    }

    /// Lets happen what happens by itself: waits for the first of it, and until there is no more.
    fn settle(&mut self, for_the_first: Duration) {
        let refreshes = self.engine.counters().refreshes;
        let for_the_first = if refreshes > self.refreshes { PATIENCE } else { for_the_first };
        self.refreshes = refreshes;
        let mut until = Instant::now() + for_the_first;
        let must_happen = for_the_first == PATIENCE;
        let mut happened = false;
        loop {
            let events = self.engine.next_events(64).expect("the engine is open");
            let kept = if events.is_empty() { self.backend.try_next() } else { None };
            if events.is_empty() && kept.is_none() {
                if Instant::now() >= until {
                    assert!(happened || !must_happen, "nothing happens; {:?} wait", self.waiting);
                    return;
                }
                std::thread::sleep(QUIET / 10);
                continue;
            }
            happened = true;
            if let Some(kept) = kept {
                let asked = self.model.tick();
                self.kept.push((kept, asked));
            }
            for event in events {
                self.handle(event);
            }
            until = Instant::now() + QUIET;
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Candidate(id) => {
                if let Some(entry) = self.engine.entry(id) {
                    self.leaves.insert(id, entry.bundle.chain().next().unwrap().to_vec());
                    self.candidates.push(id);
                    if !self.host_waits {
                        self.decide_all();
                    }
                }
            }
            Event::Finished { server_name, asked_backend, tokens, outcome, .. } => {
                let name = NAMES.iter().position(|name| **name == *server_name).unwrap();
                self.finished(name, asked_backend, &tokens, &outcome);
            }
            Event::Retired(_) | Event::Log(_) => {}
        }
    }

    fn finished(&mut self, name: usize, asked_backend: bool, tokens: &[Token], outcome: &Outcome) {
        let told: Vec<_> = tokens
            .iter()
            .map(|token| self.waiting.remove(token).unwrap_or_else(|| panic!("{token:?} is told twice")))
            .collect();
        assert!(told.iter().all(|waiting| waiting.name == name));
        match outcome {
            Outcome::Found(id) => {
                for waiting in &told {
                    self.tally.found += 1;
                    self.tally.from_disk += u64::from(!asked_backend);
                    let way = Way::Waited { since: waiting.since, asked_backend };
                    self.is_served(name, waiting.client, *id, way);
                }
            }
            Outcome::NoCertificate => {
                self.tally.withdrawn += 1;
                answers::no_certificate(self, name, told.first().map(|first| (first.client, first.since)));
            }
            Outcome::Failed(_) | Outcome::BackedOff(_) | Outcome::Overloaded => self.tally.failed += 1,
        }
    }

    fn decide_all(&mut self) {
        for id in std::mem::take(&mut self.candidates) {
            self.decide(id, true);
        }
        // Called from within, too: what follows is settled by the caller.
    }

    fn decide(&mut self, id: EntryId, agrees: bool) {
        let decided = match agrees {
            true => self.engine.confirm(id),
            false => self.engine.reject(id, "the host's parser disagrees"),
        };
        assert!(decided, "a candidate is gone");
    }
}

fn engine_settings(backend: &ToldBackend, directory: &Path, is_small: bool) -> EngineSettings {
    EngineSettings {
        backend: backend.backend.url(),
        cache_dir: Some(directory.to_owned()),
        max_disk: DEFAULT_MAX_DISK,
        // Room for one or two.
        max_memory: if is_small { 3_000 } else { 1 << 20 },
        max_negative_memory: 1 << 16,
        max_concurrent_fetches: 64,
    }
}

fn lookup_settings(backend: &ToldBackend, options: Options) -> LookupSettings {
    let json = serde_json::json!({
        "url": backend.backend.url(),
        "ttl_ms": options.ttl.map(|seconds| seconds * 1_000),
        "default_ttl_ms": options.default_ttl * 1_000,
        "negative_ttl_ms": 60_000,
        "timeout_ms": 60_000,
        "stale_if_error_ms": options.stale_if_error * 1_000,
        "refresh_ahead": options.refresh_ahead,
    });
    LookupSettings::from_json(json.to_string().as_bytes()).unwrap()
}
