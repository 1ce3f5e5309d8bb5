//! A real engine, a real folder and a real backend on loopback, moved step by step; the model is told what happens and
//! is asked about whatever is served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cached_http_core::clock::{Clock, Timestamp};
use cached_http_core::engine::operations::{AskMode, Asked};
use cached_http_core::engine::{Engine, Lookup, LookupConfig, LookupRequest};
use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::operations::Operation;
use cached_http_core::single_flight::Token;

use crate::host::{MOMENT, PATIENCE, QUIET};
use crate::model::{Model, Moment, Way};
use crate::settings::{engine_settings, lookup_settings};
use crate::steps::{Answer, NAMES, OPTIONS, Options, Step};
use crate::support::host::CacheDirectory;
use crate::support::told::{Kept, ToldBackend};
use crate::tally::Tally;
use crate::{answers, disk};

pub(crate) struct World {
    // What is kept goes before the backend, whose threads wait for it.
    pub(crate) kept: Vec<Question>,
    pub(crate) backend: ToldBackend,
    pub(crate) directory: CacheDirectory,
    pub(crate) engine: Engine,
    pub(crate) config: Arc<LookupConfig>,
    pub(crate) clock: Clock,
    pub(crate) model: Model,
    /// Those of this process, the one in force last.
    pub(crate) options: Vec<Options>,
    pub(crate) waiting: HashMap<Token, Waiting>,
    /// Undecided, with the names that they are for.
    pub(crate) candidates: Vec<(EntryId, usize)>,
    pub(crate) host_waits: bool,
    pub(crate) leaves: HashMap<EntryId, Vec<u8>>,
    pub(crate) next_token: u64,
    /// Requests and events of each name.
    pub(crate) seen: [u64; NAMES.len()],
    /// For whom the request asked that was answered last, and when.
    pub(crate) last_request: Option<(ClientKind, Moment)>,
    /// Operations.
    pub(crate) answered: u64,
    pub(crate) tally: Tally,
}

/// A request that the backend keeps, and when it came: in the order of events, and by the clock.
pub(crate) struct Question {
    pub(crate) kept: Kept,
    pub(crate) asked: Moment,
    pub(crate) asked_at: Timestamp,
}

/// A handshake that waits, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) name: usize,
    pub(crate) client: ClientKind,
    pub(crate) since: Moment,
    /// An operator waits: for a request that began after his.
    pub(crate) is_refresh: bool,
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
            answered: 0,
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
            Step::PurgeAll => self.purge_all(),
            Step::Refresh { name } => self.refresh(*name),
            Step::Clock(seconds) => self.move_clock(*seconds),
            Step::Restart => self.restart(),
            Step::Reload { options, is_small } => {
                self.engine.resize(&engine_settings(&self.backend, &self.directory.path, *is_small)).unwrap();
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
                self.waiting.insert(token, Waiting { name, client, since, is_refresh: false });
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

    fn purge_all(&mut self) {
        let answered = self.answered;
        self.engine.operate(&self.config, Operation::PurgeAll {}, Token(0)).unwrap();
        self.settle_until(|world| world.answered > answered);
        (0..NAMES.len()).for_each(|name| self.model.purged(name));
        self.tally.withdrawn += 1;
    }

    fn refresh(&mut self, name: usize) {
        let token = Token(self.next_token);
        self.next_token += 1;
        let client = ClientKind::Ecdsa;
        let waiting = Waiting { name, client, since: self.model.tick(), is_refresh: true };
        let server_name = NAMES[name].as_bytes();
        let asked = self.engine.ask(&self.config, server_name, client, AskMode::Refresh, token);
        assert_eq!(asked, Asked::Pending);
        self.waiting.insert(token, waiting);
        let (before, begin) = (self.seen[name], Instant::now());
        // It may have joined what is under way.
        self.settle_until(|world| world.seen[name] > before || begin.elapsed() > MOMENT);
    }

    /// One of the requests is answered, and what it was for ends.
    fn answer(&mut self, which: usize, answer: Answer) {
        if self.kept.is_empty() {
            return;
        }
        // 0 is the last that came.
        let question = self.kept.remove(self.kept.len() - 1 - which % self.kept.len());
        let (steps, must_be_offered) = answers::answer(self, &question, answer);
        let (name, offered) = (answers::name_of(&question.kept.request), self.leaves.len());
        let (before, begin) = (self.seen[name], Instant::now());
        question.kept.answer(&steps);
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
}
