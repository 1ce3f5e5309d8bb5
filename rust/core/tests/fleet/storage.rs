//! A storage for tests: it works, fails, hangs, is slow, or lies, and notes what it was asked for.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use cached_http_core::engine::Engine;
use cached_http_core::storage::{RequestId, StorageAnswer, StorageOperation, StorageRequest};
use parking_lot::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Store,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Works,
    Fails,
    /// It returns when it is in another mood.
    Hangs,
    Slow(Duration),
    /// It fails, and says of a load that there is nothing.
    Forgets,
}

#[derive(Default)]
pub(crate) struct Storage {
    state: Mutex<State>,
}

struct State {
    values: BTreeMap<String, Vec<u8>>,
    moods: [Mood; 3],
    /// Of operations on the journal, if they have one of their own.
    journal_moods: [Option<Mood>; 3],
    asked: Vec<(Kind, String)>,
    hanging: Vec<(Engine, StorageRequest)>,
    inside: usize,
    most_inside: usize,
}

impl Default for State {
    fn default() -> Self {
        State {
            values: BTreeMap::new(),
            moods: [Mood::Works; 3],
            journal_moods: [None; 3],
            asked: Vec::new(),
            hanging: Vec::new(),
            inside: 0,
            most_inside: 0,
        }
    }
}

impl Storage {
    pub(crate) fn carry_out(self: &std::sync::Arc<Self>, engine: &Engine, request: StorageRequest) {
        let mood = {
            let mut state = self.state.lock();
            let kind = kind(&request);
            state.asked.push((kind, request.key.clone()));
            state.inside += 1;
            state.most_inside = state.most_inside.max(state.inside);
            let of_journal = request.key.ends_with("/purges");
            state.journal_moods[kind as usize].filter(|_| of_journal).unwrap_or(state.moods[kind as usize])
        };
        match mood {
            Mood::Works | Mood::Fails | Mood::Forgets => self.answer(engine, &request, mood),
            Mood::Hangs => self.state.lock().hanging.push((engine.clone(), request)),
            Mood::Slow(delay) => {
                let (storage, engine) = (std::sync::Arc::clone(self), engine.clone());
                thread::spawn(move || {
                    thread::sleep(delay);
                    storage.answer(&engine, &request, Mood::Works);
                });
            }
        }
    }

    fn answer(&self, engine: &Engine, request: &StorageRequest, mood: Mood) {
        let answer = {
            let mut state = self.state.lock();
            state.inside -= 1;
            match &request.operation {
                StorageOperation::Load if mood == Mood::Forgets => StorageAnswer::Missing,
                _ if matches!(mood, Mood::Fails | Mood::Forgets) => {
                    StorageAnswer::Failed("the test says so".into())
                }
                StorageOperation::Load => match state.values.get(&request.key) {
                    Some(value) => StorageAnswer::Found(value.clone()),
                    None => StorageAnswer::Missing,
                },
                StorageOperation::Store(value) => {
                    state.values.insert(request.key.clone(), value.clone());
                    StorageAnswer::Done
                }
                StorageOperation::Delete => {
                    state.values.remove(&request.key);
                    StorageAnswer::Done
                }
            }
        };
        engine.storage_answered(request.id, answer);
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        for kind in [Kind::Load, Kind::Store, Kind::Delete] {
            self.becomes_for(kind, mood);
        }
    }

    pub(crate) fn becomes_for(&self, kind: Kind, mood: Mood) {
        self.state.lock().moods[kind as usize] = mood;
        if mood != Mood::Hangs {
            self.release(kind, mood);
        }
    }

    /// Works from now on; what hangs goes on hanging.
    pub(crate) fn works_for_what_comes(&self) {
        self.state.lock().moods = [Mood::Works; 3];
    }

    /// The same for the journal alone; `None` for as all others.
    pub(crate) fn journal_becomes(&self, kind: Kind, mood: Option<Mood>) {
        self.state.lock().journal_moods[kind as usize] = mood;
    }

    pub(crate) fn journal_key(&self) -> Option<String> {
        self.state.lock().values.keys().find(|key| key.ends_with("/purges")).cloned()
    }

    pub(crate) fn remove(&self, key: &str) {
        self.state.lock().values.remove(key);
    }

    pub(crate) fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().values.get(key).cloned()
    }

    fn release(&self, of: Kind, mood: Mood) {
        let released: Vec<_> = {
            let mut state = self.state.lock();
            state.hanging.extract_if(.., |(_, request)| kind(request) == of).collect()
        };
        for (engine, request) in released {
            self.answer(&engine, &request, mood);
        }
    }

    /// Who was asked for entries since the last call; the journal is left out.
    pub(crate) fn take_asked(&self) -> Vec<Kind> {
        let asked = std::mem::take(&mut self.state.lock().asked);
        asked.into_iter().filter(|(_, key)| !key.ends_with("/purges")).map(|(kind, _)| kind).collect()
    }

    /// How many operations hang.
    pub(crate) fn hanging(&self) -> usize {
        self.state.lock().hanging.len()
    }

    pub(crate) fn most_inside(&self) -> usize {
        self.state.lock().most_inside
    }

    /// The records of entries.
    pub(crate) fn records(&self) -> BTreeMap<String, Vec<u8>> {
        let values = self.state.lock().values.clone();
        values.into_iter().filter(|(key, _)| !key.ends_with("/purges")).collect()
    }

    pub(crate) fn put(&self, key: &str, value: Vec<u8>) {
        self.state.lock().values.insert(key.to_owned(), value);
    }

    pub(crate) fn put_back(&self, records: &BTreeMap<String, Vec<u8>>) {
        self.state.lock().values.extend(records.clone());
    }

    /// Becomes another storage, which holds these.
    pub(crate) fn holds(&self, records: &BTreeMap<String, Vec<u8>>) {
        self.state.lock().values = records.clone();
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.state.lock().values.keys().any(|key| key.ends_with("/purges"))
    }

    /// An answer to a request that nobody has made, or that was answered.
    pub(crate) fn answers_nobody(engine: &Engine) -> bool {
        engine.storage_answered(RequestId(u64::MAX), StorageAnswer::Done)
    }
}

fn kind(request: &StorageRequest) -> Kind {
    match request.operation {
        StorageOperation::Load => Kind::Load,
        StorageOperation::Store(_) => Kind::Store,
        StorageOperation::Delete => Kind::Delete,
    }
}
