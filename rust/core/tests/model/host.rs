//! The host's part: it takes events, decides on candidates, and asks the model about whatever is served.

use std::time::{Duration, Instant};

use cached_http_core::entry::{ClientKind, EntryId};
use cached_http_core::events::{Event, Outcome};
use cached_http_core::single_flight::Token;

use crate::answers;
use crate::model::Way;
use crate::steps::NAMES;
use crate::world::{Question, World};

/// How long what must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for what happens only sometimes.
pub(crate) const MOMENT: Duration = Duration::from_millis(10);
/// How long nothing has happened once everything has.
pub(crate) const QUIET: Duration = Duration::from_micros(600);

impl World {
    /// Lets happen what happens by itself, until it is enough and there is no more.
    pub(crate) fn settle_until(&mut self, is_enough: impl Fn(&World) -> bool) {
        let begin = Instant::now();
        let mut last = begin;
        while last.elapsed() < QUIET || !is_enough(self) {
            assert!(begin.elapsed() < PATIENCE, "nothing happens; waiting: {:?}", self.waiting);
            let events = self.engine.next_events(64).expect("the engine is open");
            if events.is_empty() {
                match self.backend.try_next() {
                    Some(kept) => {
                        self.seen[answers::name_of(&kept.request)] += 1;
                        let (asked, asked_at) = (self.model.tick(), self.clock.now());
                        self.kept.push(Question { kept, asked, asked_at });
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

    pub(crate) fn handle(&mut self, event: Event) {
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
            Event::Answered { .. } => self.answered += 1,
            Event::Storage(wanted) => panic!("there is no fleet: {wanted:?}"),
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
                answers::no_certificate(
                    self,
                    name,
                    told.iter().find(|waiting| !waiting.is_refresh).map(|first| (first.client, first.since)),
                );
            }
            Outcome::Failed(_)
            | Outcome::BackedOff(_)
            | Outcome::Overloaded
            | Outcome::UnsupportedKeyType => self.tally.failed += 1,
        }
    }

    pub(crate) fn decide_all(&mut self) {
        for (id, _) in std::mem::take(&mut self.candidates) {
            self.decide(id, true);
        }
    }

    pub(crate) fn decide(&mut self, id: EntryId, agrees: bool) {
        let decided = match agrees {
            true => self.engine.confirm(id),
            false => self.engine.reject(id, "the host's parser disagrees"),
        };
        assert!(decided, "a candidate is gone");
    }

    pub(crate) fn is_served(&mut self, name: usize, client: ClientKind, id: EntryId, way: Way) {
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
}

fn index_of(name: &str) -> usize {
    NAMES.iter().position(|known| *known == name).expect("one of the names")
}
