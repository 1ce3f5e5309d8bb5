//! When a failed request may be made again: per name, and for a backend that fails name after name.
//!
//! A name waits 1 s after its first failure, then twice as long each time, 30 s at most. Once
//! [`NAMES_TO_OPEN`] names in a row have failed with [`FailureScope::Backend`] and none has succeeded, the breaker
//! opens: the same steps then hold for all names together, and each lets one request through as a probe.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::clock::Timestamp;
use crate::entry::EntryKeyRef;

/// The first wait; each further one is twice as long.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest wait, unless the backend asks for more.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The longest `Retry-After` obeyed: a backend that is back must not stay unasked for hours.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// So many different names must fail in a row before all names wait: one that fails alone is its own problem.
pub const NAMES_TO_OPEN: usize = 5;

/// Names whose failure is remembered; each takes about 150 bytes.
const MAX_NAMES: usize = 16_384;

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureScope {
    /// The backend as a whole: it can't be reached, is too slow, or has a server error.
    Backend,
    /// The answer for this one name.
    Name,
}

/// Failures of one backend. Thread-safe; where nothing has failed, a look costs one atomic load and one map
/// lookup.
pub struct BackOff {
    by_name: Cache<u64, Failure>,
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
    pub fn reason(&self, key: EntryKeyRef<'_>, now: Timestamp) -> Option<Arc<str>> {
        if self.breaker_is_open() {
            let breaker = self.breaker.lock();
            if let Some(failure) = breaker.failure.as_ref().filter(|failure| failure.holds(now)) {
                return Some(Arc::clone(&failure.reason));
            }
        }
        let failure = self.by_name.get(&self.hasher.hash_one(key))?;
        failure.holds(now).then_some(failure.reason)
    }

    /// Asks for leave to make a request now. While the breaker is open one caller per step gets it: the probe.
    pub fn admit(&self, key: EntryKeyRef<'_>, now: Timestamp) -> Result<(), Arc<str>> {
        if self.breaker_is_open()
            && let Some(failure) = &mut self.breaker.lock().failure
        {
            if failure.holds(now) {
                return Err(Arc::clone(&failure.reason));
            }
            // Until the probe's answer nobody else asks; should it never come, the next one does.
            failure.retry_at = now.saturating_add(LONGEST_DELAY);
            failure.probing = true;
            return Ok(());
        }
        self.reason(key, now).map_or(Ok(()), Err)
    }

    /// Notes a request that gave no usable answer.
    pub fn failed(
        &self,
        key: EntryKeyRef<'_>,
        scope: FailureScope,
        reason: &str,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) {
        let hash = self.hasher.hash_one(key);
        let failures = self.by_name.get(&hash).map_or(0, |failure| failure.failures);
        self.by_name.insert(hash, Failure::new(failures + 1, reason, retry_after, now));
        let mut breaker = self.breaker.lock();
        match scope {
            FailureScope::Backend => {
                breaker.failed(hash, |failures| Failure::new(failures, reason, retry_after, now))
            }
            FailureScope::Name => *breaker = Breaker::default(),
        }
        self.breaker_is_open.store(breaker.failure.is_some(), Ordering::Release);
    }

    /// Notes an answer, be it "no such name".
    pub fn succeeded(&self, key: EntryKeyRef<'_>) {
        self.by_name.remove(&self.hasher.hash_one(key));
        let mut breaker = self.breaker.lock();
        *breaker = Breaker::default();
        self.breaker_is_open.store(false, Ordering::Release);
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

#[derive(Clone)]
struct Failure {
    failures: u32,
    retry_at: Timestamp,
    reason: Arc<str>,
    probing: bool,
}

impl Failure {
    fn new(failures: u32, reason: &str, retry_after: Option<Duration>, now: Timestamp) -> Self {
        let mut failure = Failure { failures, retry_at: now, reason: reason.into(), probing: false };
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        failure.retry_at = now.saturating_add(jittered(failure.delay()).max(asked));
        failure
    }

    fn delay(&self) -> Duration {
        let doublings = (self.failures.saturating_sub(1)).min(10);
        (FIRST_DELAY * (1 << doublings)).min(LONGEST_DELAY)
    }

    /// A wait longer than any given means that the clock was set back: it is over.
    fn holds(&self, now: Timestamp) -> bool {
        now < self.retry_at && self.retry_at.saturating_since(now) <= LONGEST_RETRY_AFTER
    }
}

/// Names that failed since the last success, and once they are enough the failure that holds for all.
#[derive(Default)]
struct Breaker {
    names: Vec<u64>,
    failure: Option<Failure>,
}

impl Breaker {
    fn failed(&mut self, name: u64, nth: impl FnOnce(u32) -> Failure) {
        match &mut self.failure {
            Some(failure) if failure.probing => {
                *failure = nth(failure.failures + 1);
            }
            // Requests that were under way when it opened say nothing new.
            Some(_) => {}
            None => {
                if !self.names.contains(&name) {
                    self.names.push(name);
                }
                if self.names.len() >= NAMES_TO_OPEN {
                    self.failure = Some(nth(1));
                }
            }
        }
    }
}

/// Somewhat less than the delay, so that what failed together is not tried again together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EntryKeyRef<'_> {
        EntryKeyRef { name, ecdsa: true }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp((1e9 + seconds * 1000.0) as u64)
    }

    #[test]
    fn a_name_waits_twice_as_long_each_time_and_success_resets_it() {
        let back_off = BackOff::default();
        let mut now = 0.0;
        for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            back_off.failed(key("a.example"), FailureScope::Name, "it was 500", None, at(now));
            assert_eq!(
                back_off.reason(key("a.example"), at(now + 0.8 * longest - 0.01)).as_deref(),
                Some("it was 500")
            );
            assert_eq!(back_off.reason(key("b.example"), at(now)), None, "others don't wait");
            now += longest;
            assert_eq!(back_off.admit(key("a.example"), at(now)), Ok(()));
        }
        back_off.succeeded(key("a.example"));
        assert_eq!(back_off.reason(key("a.example"), at(now)), None);
        back_off.failed(key("a.example"), FailureScope::Name, "again", None, at(now));
        assert_eq!(back_off.reason(key("a.example"), at(now + 1.0)), None, "it starts from the first step");
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_limit() {
        let back_off = BackOff::default();
        back_off.failed(key("a.example"), FailureScope::Name, "busy", Some(Duration::from_secs(60)), at(0.0));
        assert!(back_off.reason(key("a.example"), at(59.9)).is_some());
        assert!(back_off.reason(key("a.example"), at(60.0)).is_none());
        back_off.failed(key("b.example"), FailureScope::Name, "busy", Some(Duration::MAX), at(0.0));
        assert!(back_off.reason(key("b.example"), at(299.9)).is_some());
        assert!(back_off.reason(key("b.example"), at(300.0)).is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nobody() {
        let back_off = BackOff::default();
        back_off.failed(key("a.example"), FailureScope::Name, "it was 500", None, at(0.0));
        assert!(back_off.reason(key("a.example"), at(-86_400.0)).is_none());
    }

    #[test]
    fn one_failing_name_never_opens_the_breaker_and_several_do() {
        let back_off = BackOff::default();
        for n in 0..50 {
            back_off.failed(key("a.example"), FailureScope::Backend, "down", None, at(f64::from(n)));
        }
        assert!(!back_off.breaker_is_open());
        for name in ["b.example", "c.example", "d.example"] {
            back_off.failed(key(name), FailureScope::Backend, "down", None, at(100.0));
        }
        assert_eq!(back_off.admit(key("z.example"), at(100.0)), Ok(()));
        back_off.failed(key("e.example"), FailureScope::Backend, "down", None, at(100.0));
        assert_eq!(back_off.admit(key("z.example"), at(100.0)).unwrap_err().as_ref(), "down");
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_per_step() {
        let back_off = BackOff::default();
        for name in ["a", "b", "c", "d", "e"] {
            back_off.failed(key(name), FailureScope::Backend, "down", None, at(0.0));
        }
        let mut probes = 0;
        for tenth in 0..36_000 {
            let now = at(f64::from(tenth) / 10.0);
            for name in 0..10 {
                let name = format!("n{name}-{tenth}");
                if back_off.admit(key(&name), now).is_ok() {
                    probes += 1;
                    back_off.failed(key(&name), FailureScope::Backend, "still down", None, now);
                }
            }
        }
        // An hour in steps of 30 s, up to a fifth shorter.
        assert!((120..=160).contains(&probes), "{probes}");
        let later = at(4_000.0);
        assert_eq!(back_off.admit(key("probe"), later), Ok(()));
        assert!(back_off.admit(key("another"), later).is_err(), "the probe has not answered yet");
        back_off.succeeded(key("probe"));
        assert_eq!(back_off.admit(key("another"), later), Ok(()));
    }
}
