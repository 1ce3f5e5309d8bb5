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
mod tests {
    use super::*;
    use crate::entry::ClientKind;

    const ME: Identity = 1;
    const DOWN: Evidence = Evidence::Down { unreachable: false };
    const UNREACHABLE: Evidence = Evidence::Down { unreachable: true };

    fn key(name: &str) -> EntryKeyRef<'_> {
        EntryKeyRef { name, client: ClientKind::Ecdsa }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp((1e9 + seconds * 1000.0) as u64)
    }

    #[test]
    fn a_name_waits_twice_as_long_each_time_and_success_resets_it() {
        let back_off = BackOff::default();
        let mut now = 0.0;
        for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            back_off.failed(key("a.example"), ME, Evidence::Up, "it was 500", None, at(now));
            assert_eq!(
                back_off.reason(key("a.example"), ME, at(now + 0.8 * longest - 0.01)).as_deref(),
                Some("it was 500")
            );
            assert_eq!(back_off.reason(key("b.example"), ME, at(now)), None, "others don't wait");
            now += longest;
            assert_eq!(back_off.admit(key("a.example"), true, ME, at(now)), Ok(()));
        }
        back_off.succeeded(key("a.example"), Evidence::Up, at(0.0));
        assert_eq!(back_off.reason(key("a.example"), ME, at(now)), None);
        back_off.failed(key("a.example"), ME, Evidence::Up, "again", None, at(now));
        assert_eq!(
            back_off.reason(key("a.example"), ME, at(now + 1.0)),
            None,
            "it starts from the first step"
        );
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_limit() {
        let back_off = BackOff::default();
        back_off.failed(key("a.example"), ME, Evidence::Up, "busy", Some(Duration::from_secs(60)), at(0.0));
        assert!(back_off.reason(key("a.example"), ME, at(59.9)).is_some());
        assert!(back_off.reason(key("a.example"), ME, at(60.0)).is_none());
        back_off.failed(key("b.example"), ME, Evidence::Up, "busy", Some(Duration::MAX), at(0.0));
        assert!(back_off.reason(key("b.example"), ME, at(299.9)).is_some());
        assert!(back_off.reason(key("b.example"), ME, at(300.0)).is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nobody() {
        let back_off = BackOff::default();
        back_off.failed(key("a.example"), ME, Evidence::Up, "it was 500", None, at(0.0));
        assert!(back_off.reason(key("a.example"), ME, at(-86_400.0)).is_none());
    }

    #[test]
    fn one_failing_name_never_opens_the_breaker_and_several_do() {
        let back_off = BackOff::default();
        for n in 0..50 {
            back_off.failed(key("a.example"), ME, DOWN, "down", None, at(f64::from(n)));
        }
        assert!(!back_off.breaker_is_open());
        for name in ["b.example", "c.example", "d.example"] {
            back_off.failed(key(name), ME, DOWN, "down", None, at(100.0));
        }
        assert_eq!(back_off.admit(key("z.example"), true, ME, at(100.0)), Ok(()));
        back_off.failed(key("e.example"), ME, DOWN, "down", None, at(100.0));
        assert_eq!(back_off.admit(key("z.example"), true, ME, at(100.0)).unwrap_err().as_ref(), "down");
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_per_step() {
        let back_off = BackOff::default();
        for name in ["a", "b", "c", "d", "e"] {
            back_off.failed(key(name), ME, DOWN, "down", None, at(0.0));
        }
        let mut probes = 0;
        for tenth in 0..36_000 {
            let now = at(f64::from(tenth) / 10.0);
            for name in 0..10 {
                let name = format!("n{name}-{tenth}");
                if back_off.admit(key(&name), true, ME, now).is_ok() {
                    probes += 1;
                    back_off.failed(key(&name), ME, DOWN, "still down", None, now);
                }
            }
        }
        // An hour in steps of 30 s, up to a fifth shorter.
        assert!((120..=160).contains(&probes), "{probes}");
        let later = at(4_000.0);
        assert_eq!(back_off.admit(key("probe"), true, ME, later), Ok(()));
        assert!(back_off.admit(key("another"), true, ME, later).is_err(), "the probe has not answered yet");
        back_off.succeeded(key("probe"), Evidence::Up, at(0.0));
        assert_eq!(back_off.admit(key("another"), true, ME, later), Ok(()));
    }

    fn open(evidence: Evidence) -> BackOff {
        let back_off = BackOff::default();
        for name in ["a", "b", "c", "d", "e"] {
            back_off.failed(key(name), ME, evidence, "down", None, at(0.0));
        }
        assert!(back_off.breaker_is_open());
        back_off
    }

    #[test]
    fn names_that_the_backend_never_knew_open_nothing_and_reset_nothing() {
        let back_off = BackOff::default();
        for n in 0..50 {
            back_off.failed(key(&format!("junk{n}")), ME, Evidence::Reached, "500", None, at(0.0));
        }
        assert!(!back_off.breaker_is_open());
        for name in ["a", "b", "c", "d"] {
            back_off.failed(key(name), ME, DOWN, "down", None, at(0.0));
        }
        back_off.succeeded(key("junk"), Evidence::Reached, at(0.0));
        back_off.failed(key("e"), ME, DOWN, "down", None, at(0.0));
        assert!(back_off.breaker_is_open(), "a scanner's 204 does not hide an outage");
    }

    #[test]
    fn a_scanner_does_not_win_the_probes() {
        let back_off = open(DOWN);
        assert!(back_off.admit(key("junk"), false, ME, at(1.1)).is_err(), "known names first");
        assert_eq!(back_off.admit(key("known"), true, ME, at(1.1)), Ok(()));
        let back_off = open(DOWN);
        assert_eq!(back_off.admit(key("new"), false, ME, at(2.1)), Ok(()), "if no known one came");
        back_off.failed(key("new"), ME, Evidence::Reached, "500", None, at(2.2));
        assert!(back_off.breaker_is_open());
        assert_eq!(back_off.admit(key("known"), true, ME, at(3.3)), Ok(()));
        back_off.succeeded(key("known"), Evidence::Up, at(3.3));
        assert!(!back_off.breaker_is_open());
    }

    #[test]
    fn any_answer_ends_what_was_a_want_of_connections() {
        let back_off = open(UNREACHABLE);
        assert_eq!(back_off.admit(key("junk"), false, ME, at(1.1)), Ok(()));
        back_off.failed(key("junk"), ME, Evidence::Reached, "500", None, at(1.2));
        assert!(!back_off.breaker_is_open());
    }

    #[test]
    fn failures_hold_for_those_who_ask_in_the_same_way() {
        let back_off = open(DOWN);
        let other = 2;
        assert!(back_off.reason(key("a"), ME, at(0.1)).is_some());
        assert!(back_off.reason(key("a"), other, at(0.1)).is_none());
        assert_eq!(back_off.admit(key("z"), true, other, at(0.1)), Ok(()), "the new token is tried at once");
        assert!(back_off.admit(key("y"), true, other, at(0.1)).is_err(), "by one request");
    }
}
