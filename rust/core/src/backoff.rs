//! When a failed request may be made again: per name, and for a backend that fails as a whole.
//!
//! A name waits 1 s after its first failure, then twice as long each time, 30 s at most. The breaker opens once
//! [`NAMES_TO_OPEN`] names in a row have shown that the backend is down ([`Evidence::Down`]): the same steps then hold
//! for all names together, and each lets one request through as a probe. What the backend says of names that it never
//! sent a certificate for counts for those names alone, or a scanner could take all others down.

mod breaker;
mod failure;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::backoff::breaker::Breaker;
use crate::backoff::failure::Failure;
use crate::clock::Timestamp;
use crate::entry::{EntryKey, EntryKeyRef};

/// The first wait; each further one is twice as long.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest wait, unless the backend asks for more.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The longest `Retry-After` obeyed: a backend that is back must not stay unasked for hours.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// So many different names must fail in a row before all names wait: one that fails alone is its own problem.
pub const NAMES_TO_OPEN: usize = 5;

/// Names whose failure is remembered; each takes about 200 bytes.
const MAX_NAMES: usize = 16_384;

/// What the end of a request says of the backend as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It is down: no connection, or no good answer about a name whose certificate it has sent before.
    Down {
        /// Whether there was no connection at all.
        unreachable: bool,
    },
    /// It works: it has answered about such a name.
    Up,
    /// It can be reached, no more: the answer is about a name that it never sent a certificate for.
    Reached,
}

/// Who asks: failures hold only for those who would ask in the same way, with the same credentials.
pub type Identity = u64;

/// Failures of one backend. Thread-safe; where nothing has failed, a look costs one atomic load and one map
/// lookup.
pub struct BackOff {
    by_name: Cache<u64, OfName>,
    hasher: RandomState,
    breaker: Mutex<Breaker>,
    breaker_is_open: AtomicBool,
}

impl Default for BackOff {
    fn default() -> Self {
        BackOff {
            by_name: Cache::new(MAX_NAMES),
            hasher: RandomState::new(),
            breaker: Mutex::default(),
            breaker_is_open: AtomicBool::new(false),
        }
    }
}

impl BackOff {
    /// Why the name must not be asked for at `now`: the reason of the last failure. `None` if it may.
    pub fn reason(&self, key: EntryKeyRef<'_>, identity: Identity, now: Timestamp) -> Option<Arc<str>> {
        if self.breaker_is_open()
            && let Some(reason) = self.breaker.lock().reason(identity, now)
        {
            return Some(reason);
        }
        let OfName { failure, .. } = self.by_name.get(&self.hasher.hash_one(key))?;
        failure.holds(identity, now).then_some(failure.reason)
    }

    /// Asks for leave to make a request now. While the breaker is open one caller per step gets it: the probe. For a
    /// while only a name whose certificate the backend has sent before (`is_known`) may be it, since the answer about
    /// any other says little.
    pub fn admit(
        &self,
        key: EntryKeyRef<'_>,
        is_known: bool,
        identity: Identity,
        now: Timestamp,
    ) -> Result<(), Arc<str>> {
        if self.breaker_is_open()
            && let Some(leave) = self.breaker.lock().admit(is_known, identity, now)
        {
            return leave;
        }
        self.reason(key, identity, now).map_or(Ok(()), Err)
    }

    /// Notes a request that gave no usable answer.
    pub fn failed(
        &self,
        key: EntryKeyRef<'_>,
        identity: Identity,
        evidence: Evidence,
        reason: &str,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) {
        let hash = self.hasher.hash_one(key);
        let nth = |failures| Failure::new(failures, identity, reason, retry_after, now);
        let earlier = self.by_name.get(&hash).filter(|of_name| of_name.failure.is_of(identity));
        let (failures, since) = earlier.map_or((0, now), |earlier| (earlier.failure.failures, earlier.since));
        self.by_name.insert(hash, OfName { key: key.to_owned(), since, failure: nth(failures + 1) });
        let mut breaker = self.breaker.lock();
        match evidence {
            Evidence::Down { unreachable } => breaker.down(hash, unreachable, nth),
            Evidence::Up => *breaker = Breaker::default(),
            Evidence::Reached => breaker.reached(now),
        }
        self.breaker_is_open.store(breaker.is_open(), Ordering::Release);
    }

    /// Notes an answer, be it "no such name".
    pub fn succeeded(&self, key: EntryKeyRef<'_>, evidence: Evidence, now: Timestamp) {
        self.by_name.remove(&self.hasher.hash_one(key));
        let mut breaker = self.breaker.lock();
        match evidence {
            Evidence::Reached if !breaker.is_probing() => breaker.reached(now),
            // A good answer to a probe is what all were waiting for, whatever the name.
            _ => *breaker = Breaker::default(),
        }
        self.breaker_is_open.store(breaker.is_open(), Ordering::Release);
    }

    /// Forgets what was noted of a name.
    pub fn forget(&self, key: EntryKeyRef<'_>) -> bool {
        self.by_name.remove(&self.hasher.hash_one(key)).is_some()
    }

    /// Forgets the failures of all names. That the backend is down stays known.
    pub fn forget_all(&self) {
        self.by_name.clear();
    }

    /// The last failure of a name.
    pub fn last_failure(&self, key: EntryKeyRef<'_>) -> Option<LastFailure> {
        self.by_name.peek(&self.hasher.hash_one(key)).map(|of_name| of_name.last_failure())
    }

    /// The last failures of all names that are there while it walks, in no order.
    pub fn failures(&self) -> impl Iterator<Item = (EntryKey, LastFailure)> + '_ {
        self.by_name.iter().map(|(_, of_name)| (of_name.key.clone(), of_name.last_failure()))
    }

    /// Whether all names wait.
    pub fn breaker_is_open(&self) -> bool {
        self.breaker_is_open.load(Ordering::Acquire)
    }

    /// How many names' failures are remembered.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// What is told of a name whose last request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// Why it failed.
    pub reason: Arc<str>,
    /// When the first of the failures in a row was.
    pub since: Timestamp,
    /// From when on it may be asked for again.
    pub retry_at: Timestamp,
}

#[derive(Clone)]
struct OfName {
    key: EntryKey,
    since: Timestamp,
    failure: Failure,
}

impl OfName {
    fn last_failure(&self) -> LastFailure {
        let Failure { reason, retry_at, .. } = &self.failure;
        LastFailure { reason: Arc::clone(reason), since: self.since, retry_at: *retry_at }
    }
}

#[cfg(test)]
mod tests;
