//! When the first of the certificates in demand ends: what an operator wants to know in time. It costs no walk over what
//! is stored, and says nothing of names that nobody asks for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;

/// What was noted counts for this long at least, and for twice as long at most.
const PERIOD: Duration = Duration::from_secs(5 * 60);

/// The earliest of the times noted lately. Thread-safe; a time that is not the earliest costs two loads.
pub struct EarliestEnd {
    period: AtomicU64,
    current: AtomicU64,
    previous: AtomicU64,
}

impl Default for EarliestEnd {
    fn default() -> Self {
        EarliestEnd {
            period: AtomicU64::new(0),
            current: AtomicU64::new(NONE),
            previous: AtomicU64::new(NONE),
        }
    }
}

const NONE: u64 = u64::MAX;

impl EarliestEnd {
    /// Notes that something in demand ends then.
    pub fn note(&self, end: Timestamp, now: Timestamp) {
        let period = period(now);
        if self.period.load(Ordering::Relaxed) != period {
            self.turn(period);
        }
        if end.0 < self.current.load(Ordering::Relaxed) {
            self.current.fetch_min(end.0, Ordering::Relaxed);
        }
    }

    /// Forgets what was noted. What is still in demand is noted again.
    pub fn forget(&self) {
        self.current.store(NONE, Ordering::Relaxed);
        self.previous.store(NONE, Ordering::Relaxed);
    }

    /// The earliest end; `None` if nothing was noted lately. It may have passed.
    pub fn earliest(&self, now: Timestamp) -> Option<Timestamp> {
        let earliest = match period(now).wrapping_sub(self.period.load(Ordering::Relaxed)) {
            0 => self.current.load(Ordering::Relaxed).min(self.previous.load(Ordering::Relaxed)),
            1 => self.current.load(Ordering::Relaxed),
            _ => NONE,
        };
        (earliest != NONE).then_some(Timestamp(earliest))
    }

    /// Begins a period. A time that is noted by another thread meanwhile may be lost: it comes again.
    fn turn(&self, period: u64) {
        let ended = self.period.swap(period, Ordering::Relaxed);
        if ended != period {
            let current = self.current.swap(NONE, Ordering::Relaxed);
            let follows = ended.wrapping_add(1) == period;
            self.previous.store(if follows { current } else { NONE }, Ordering::Relaxed);
        }
    }
}

fn period(now: Timestamp) -> u64 {
    now.0 / PERIOD.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_counts_until_it_is_noted_no_more() {
        let ends = EarliestEnd::default();
        let at = |minutes: u64| Timestamp(minutes * 60_000);
        assert_eq!(ends.earliest(at(100)), None);
        for end in [500, 300, 400] {
            ends.note(at(end), at(100));
        }
        assert_eq!(ends.earliest(at(100)), Some(at(300)));
        ends.note(at(450), at(106));
        assert_eq!(ends.earliest(at(106)), Some(at(300)), "noted six minutes ago");
        ends.note(at(450), at(111));
        assert_eq!(ends.earliest(at(111)), Some(at(450)), "noted eleven minutes ago");
        assert_eq!(ends.earliest(at(116)), Some(at(450)), "nothing came since");
        assert_eq!(ends.earliest(at(121)), None);
        ends.note(at(450), at(5));
        assert_eq!(ends.earliest(at(5)), Some(at(450)), "the clock was set back");
        ends.forget();
        assert_eq!(ends.earliest(at(5)), None);
    }
}
