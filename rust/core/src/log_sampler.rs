//! Keeps a storm out of the log: of each kind of record one a second or a minute goes through, and says how many it
//! stands for.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;

/// What a record is about. Records of one kind stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// A request without an answer.
    FailedFetch,
    /// A bundle that can't be used.
    InvalidBundle,
    /// A read or write that the disk rejected.
    Disk,
    /// Advice to the operator.
    Advice,
    /// That answers are not kept, which is said once.
    Uncacheable,
    /// A handshake that was turned away for want of a worker.
    Overload,
    /// That the backend as a whole fails.
    Outage,
    /// That it answers again, which may follow at once.
    OutageEnd,
    /// A handshake that fails since its certificate is past `stale_if_error`.
    BridgeEnded,
    /// The storage of the fleet fails.
    Fleet,
    /// A record on it can't be used.
    FleetRecord,
}

impl LogKind {
    const COUNT: usize = LogKind::FleetRecord as usize + 1;

    /// The least time between two records of the kind: a storage that fails is asked every few seconds, for days.
    fn interval(self) -> Duration {
        match self {
            LogKind::Fleet | LogKind::FleetRecord => Duration::from_secs(60),
            _ => Duration::from_secs(1),
        }
    }
}

/// Decides which records are written. Thread-safe.
#[derive(Default)]
pub struct LogSampler {
    kinds: [Mutex<State>; LogKind::COUNT],
}

#[derive(Default)]
struct State {
    last: Option<Timestamp>,
    suppressed: u64,
}

impl LogSampler {
    /// Whether to write a record now; if so, how many of its kind were left out before it.
    pub fn admit(&self, kind: LogKind, now: Timestamp) -> Option<u64> {
        let mut state = self.kinds[kind as usize].lock();
        // A clock that was set back must not silence anybody.
        let too_soon = |last: Timestamp| last <= now && now < last.saturating_add(kind.interval());
        if state.last.is_some_and(too_soon) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_of_each_kind_and_it_counts_the_others() {
        let sampler = LogSampler::default();
        let at = |milliseconds: u64| Timestamp(1_000_000 + milliseconds);
        assert_eq!(sampler.admit(LogKind::Disk, at(0)), Some(0));
        for n in 1..1_000 {
            assert_eq!(sampler.admit(LogKind::Disk, at(n)), None);
        }
        assert_eq!(sampler.admit(LogKind::FailedFetch, at(999)), Some(0), "kinds don't hide each other");
        assert_eq!(sampler.admit(LogKind::Disk, at(1_000)), Some(999));
        assert_eq!(sampler.admit(LogKind::Disk, at(1_001)), None);
        assert_eq!(sampler.admit(LogKind::Disk, Timestamp(5)), Some(1), "the clock was set back");
        for (second, admitted) in [(0, Some(0)), (1, None), (59, None), (60, Some(2))] {
            assert_eq!(sampler.admit(LogKind::Fleet, at(second * 1_000)), admitted);
        }
    }
}
