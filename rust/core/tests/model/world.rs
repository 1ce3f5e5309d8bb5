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
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// Undecided, with the names that they are for.
    candidates: Vec<(EntryId, usize)>,
    host_waits: bool,
    leaves: HashMap<EntryId, Vec<u8>>,
    next_token: u64,
    /// Requests and events of each name.
    seen: [u64; NAMES.len()],
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
            seen: [0; NAMES.len()],
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
                    let (id, name) = self.candidates.remove(which % self.candidates.len());
                    let before = self.seen[name];
                    self.decide(id, *agrees);
                    self.settle_until(|world| world.seen[name] > before);
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
            self.settle_until(|_| true);
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
        let (since, refreshes) = (self.model.tick(), self.engine.counters().refreshes);
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
                let may_join = refreshes > 0 || self.waiting.values().any(waits_already);
                self.waiting.insert(token, Waiting { name, client, since });
                let (before, begin) = (self.seen[name], Instant::now());
                return self
                    .settle_until(|world| world.seen[name] > before || may_join && begin.elapsed() > MOMENT);
            }
            Lookup::UnsupportedKeyType | Lookup::BackedOff(_) => {}
            other => panic!("{other:?}"),
        }
        let (begun, before) = (self.engine.counters().refreshes - refreshes, self.seen[name]);
        self.settle_until(|world| world.seen[name] >= before + begun);
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
        // 0 is the last that came.
        let (kept, asked) = self.kept.remove(self.kept.len() - 1 - which % self.kept.len());
        let (steps, must_be_offered) = answers::answer(self, &kept, asked, answer);
        let (name, offered) = (answers::name_of(&kept.request), self.leaves.len());
        let (before, begin) = (self.seen[name], Instant::now());
        kept.answer(&steps);
        self.settle_until(|world| match must_be_offered {
            true => world.leaves.len() > offered || begin.elapsed() > PATIENCE / 2,
            false => world.seen[name] > before,
        });
        let is_offered = self.leaves.len() > offered;
        assert!(!must_be_offered || is_offered, "a sound certificate is not offered: {answer:?}");
    }

    fn move_clock(&mut self, seconds: i64) {
        // A host decides within no time.
        self.decide_all();
        self.settle_until(|_| true);
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
        self.options = vec![options];
    }

    /// Lets happen what happens by itself, until it is enough and there is no more.
    fn settle_until(&mut self, is_enough: impl Fn(&World) -> bool) {
        let begin = Instant::now();
        let mut last = begin;
        while last.elapsed() < QUIET || !is_enough(self) {
            assert!(begin.elapsed() < PATIENCE, "nothing happens; waiting: {:?}", self.waiting);
            let events = self.engine.next_events(64).expect("the engine is open");
            if events.is_empty() {
                match self.backend.try_next() {
                    Some(kept) => {
                        self.seen[answers::name_of(&kept.request)] += 1;
                        let asked = self.model.tick();
                        self.kept.push((kept, asked));
                        last = Instant::now();
                    }
                    None => std::thread::sleep(QUIET / 10),
                }
                continue;
            }
            for event in events {
                self.handle(event);
            }
            last = Instant::now();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Candidate(id) => {
                if let Some(entry) = self.engine.entry(id) {
                    self.leaves.insert(id, entry.bundle.chain().next().unwrap().to_vec());
                    let name = index_of(entry.key().name);
                    self.seen[name] += 1;
                    self.candidates.push((id, name));
                    if !self.host_waits {
                        self.decide_all();
                    }
                }
            }
            Event::Finished { server_name, asked_backend, tokens, outcome, .. } => {
                let name = index_of(&server_name);
                self.seen[name] += 1;
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
        for (id, _) in std::mem::take(&mut self.candidates) {
            self.decide(id, true);
        }
    }

    fn decide(&mut self, id: EntryId, agrees: bool) {
        let decided = match agrees {
            true => self.engine.confirm(id),
            false => self.engine.reject(id, "the host's parser disagrees"),
        };
        assert!(decided, "a candidate is gone");
    }
}

fn index_of(name: &str) -> usize {
    NAMES.iter().position(|known| *known == name).expect("one of the names")
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
