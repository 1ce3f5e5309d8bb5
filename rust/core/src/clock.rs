//! Wall-clock time, handed in so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Wall-clock time, because lifetimes outlive the process.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A time given in whole seconds since the epoch; one before 1970 becomes the epoch itself.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }

    /// This time plus `duration`, stopping at the end of time rather than wrapping.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(time.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// The system's clock, or one that only a test moves. Cheap to clone; clones share the time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's wall clock.
    pub fn system() -> Self {
        Clock { manual: None }
    }

    /// A clock that stands at `start` until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Clock { manual: Some(Arc::new(AtomicU64::new(start.0))) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.manual {
            None => system_time(),
            Some(time) => Timestamp(time.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }

    /// Sets a manual clock, backwards too; the system's clock is left alone.
    pub fn set(&self, to: Timestamp) {
        if let Some(time) = &self.manual {
            time.store(to.0, Ordering::Release);
        }
    }
}

/// Some milliseconds old at most, and a fifth of the price: every lookup reads the clock.
#[cfg(target_os = "linux")]
fn system_time() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let milliseconds = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    Timestamp(Timestamp::from_unix_seconds(time.tv_sec).0.saturating_add(milliseconds))
}

#[cfg(not(target_os = "linux"))]
fn system_time() -> Timestamp {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_until_moved() {
        let clock = Clock::manual(Timestamp(5_000));
        let same = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(same.now(), Timestamp(7_000));
        clock.set(Timestamp(1));
        assert_eq!(same.now(), Timestamp(1));
    }

    #[test]
    fn the_system_clock_is_the_wall_clock() {
        let (before, now, after) = (SystemTime::now(), Clock::system().now(), SystemTime::now());
        let tolerance = Duration::from_millis(50);
        assert!(
            now.saturating_add(tolerance) >= before.into()
                && now <= Timestamp::from(after).saturating_add(tolerance)
        );
    }

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Timestamp(u64::MAX).saturating_add(Duration::MAX), Timestamp(u64::MAX));
        assert_eq!(Timestamp(1).saturating_since(Timestamp(2)), Duration::ZERO);
        assert_eq!(Timestamp::from_unix_seconds(-1), Timestamp(0));
    }
}
