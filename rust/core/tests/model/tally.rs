//! What a run has done.

use std::ops::Add;

/// What was done, so that a run shows that it is about something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) found: u64,
    pub(crate) from_disk: u64,
    pub(crate) withdrawn: u64,
    pub(crate) failed: u64,
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            hits: self.hits + other.hits,
            stale: self.stale + other.stale,
            found: self.found + other.found,
            from_disk: self.from_disk + other.from_disk,
            withdrawn: self.withdrawn + other.withdrawn,
            failed: self.failed + other.failed,
        }
    }
}
