//! What was withdrawn while this process runs. Its files are removed then; one from before can be there again all the
//! same: its folder was not mounted yet, a backup was played back, another process had it in memory. It is not read.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::entry::{ClientKind, EntryKeyRef};
use crate::keys::KeyAlgorithm;

/// How many are remembered, of 24 bytes each. Those that come after it are as good as the removal of their files.
const MAX_WITHDRAWALS: usize = 131_072;

/// Thread-safe. Nothing is noted of what was never seen: a scanner chooses such names.
#[derive(Default)]
pub(super) struct Withdrawals {
    state: Mutex<State>,
    hasher: RandomState,
}

#[derive(Default)]
struct State {
    /// By a hash of the name and of the kind of client that can use what was withdrawn.
    by_hash: HashMap<u64, Timestamp>,
    all: Option<Timestamp>,
}

impl Withdrawals {
    /// What a client of this kind could use of a name is withdrawn if it was asked for until then.
    pub(super) fn note(&self, key: EntryKeyRef<'_>, at: Timestamp) {
        let hash = self.hasher.hash_one(key);
        let by_hash = &mut self.state.lock().by_hash;
        if by_hash.len() < MAX_WITHDRAWALS || by_hash.contains_key(&hash) {
            let noted = by_hash.entry(hash).or_insert(at);
            *noted = at.max(*noted);
        }
    }

    /// Everything is that was asked for until then.
    pub(super) fn note_all(&self, at: Timestamp) {
        let mut state = self.state.lock();
        state.by_hash.clear();
        state.all = state.all.max(Some(at));
    }

    /// Whether a file with such a key is one of these.
    pub(super) fn cover(
        &self,
        name: EntryKeyRef<'_>,
        algorithm: KeyAlgorithm,
        fetched_at: Timestamp,
    ) -> bool {
        let state = self.state.lock();
        let by_name = || {
            let kinds = ClientKind::ALL.into_iter().filter(|kind| kind.can_use(algorithm));
            kinds.filter_map(|kind| state.by_hash.get(&self.hasher.hash_one(name.of(kind)))).max()
        };
        state.all.iter().chain(by_name()).any(|withdrawn_at| fetched_at <= *withdrawn_at)
    }

    /// Something was brought since, by the backend or another node: what says that it is from before was said by a clock
    /// that went wrong, and is forgotten.
    pub(super) fn contradict(&self, name: EntryKeyRef<'_>, fetched_at: Timestamp) {
        let state = &mut *self.state.lock();
        if state.by_hash.is_empty() && state.all.is_none() {
            return;
        }
        state.all = state.all.filter(|at| *at < fetched_at);
        for key in name.all_kinds() {
            let hash = self.hasher.hash_one(key);
            if state.by_hash.get(&hash).is_some_and(|at| *at >= fetched_at) {
                state.by_hash.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: EntryKeyRef<'_> = EntryKeyRef { name: "a.example", client: ClientKind::Ed25519 };
    const RSA: KeyAlgorithm = KeyAlgorithm::Rsa { bits: 2048 };

    #[test]
    fn only_what_such_a_client_could_use_and_was_there_before() {
        let withdrawals = Withdrawals::default();
        withdrawals.note(NAME.of(ClientKind::RsaOnly), Timestamp(10));
        let covers = |algorithm, at| withdrawals.cover(NAME, algorithm, Timestamp(at));
        assert!(covers(RSA, 10) && !covers(RSA, 11) && !covers(KeyAlgorithm::EcdsaP256, 10));
        withdrawals.note(NAME, Timestamp(9));
        assert!(covers(RSA, 10) && covers(KeyAlgorithm::EcdsaP256, 9) && covers(KeyAlgorithm::Ed25519, 9));
        withdrawals.contradict(NAME, Timestamp(10));
        assert!(!covers(RSA, 10) && covers(RSA, 9), "the other says nothing that is contradicted");
        withdrawals.note_all(Timestamp(20));
        assert!(covers(RSA, 20) && !covers(RSA, 21));
        withdrawals.contradict(NAME, Timestamp(20));
        assert!(!covers(RSA, 1));
    }

    #[test]
    fn their_number_is_bounded() {
        let withdrawals = Withdrawals::default();
        for number in 0..=MAX_WITHDRAWALS {
            withdrawals.note(EntryKeyRef { name: &format!("n{number}"), ..NAME }, Timestamp(1));
        }
        let covers = |name| withdrawals.cover(EntryKeyRef { name, ..NAME }, RSA, Timestamp(1));
        assert!(covers("n0") && !covers(&format!("n{MAX_WITHDRAWALS}")));
        withdrawals.note(EntryKeyRef { name: "n0", ..NAME }, Timestamp(2));
        assert!(withdrawals.cover(EntryKeyRef { name: "n0", ..NAME }, RSA, Timestamp(2)));
    }
}
