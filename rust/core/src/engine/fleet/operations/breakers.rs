//! Whether a storage is left alone. One that takes nothing may have much to give: each way has a breaker of its own.

use crate::engine::fleet::operations::Lane;
use crate::storage::StorageOperation;

/// So many failures in a row open a breaker.
const FAILURES_TO_OPEN: u32 = 5;

#[derive(Clone, Copy)]
pub(super) enum Way {
    Read,
    Write,
}

impl Way {
    pub(super) const BOTH: [Way; 2] = [Way::Read, Way::Write];

    /// What goes that way and nothing else.
    pub(super) const fn lane(self) -> Lane {
        match self {
            Way::Read => Lane::Read,
            Way::Write => Lane::Write,
        }
    }
}

impl From<&StorageOperation> for Way {
    fn from(operation: &StorageOperation) -> Self {
        match operation {
            StorageOperation::Load => Way::Read,
            StorageOperation::Store(_) | StorageOperation::Delete => Way::Write,
        }
    }
}

#[derive(Default)]
pub(super) struct Breakers {
    /// In a row, by way.
    failures: [u32; Way::BOTH.len()],
    has_just_failed: bool,
}

impl Breakers {
    pub(super) fn is_open(&self, way: Way) -> bool {
        self.failures[way as usize] >= FAILURES_TO_OPEN
    }

    /// Whether failures are not made good by a success on their way.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.failures.iter().any(|failures| *failures > 0)
    }

    /// Whether the last that proves anything was a failure.
    pub(super) fn has_just_failed(&self) -> bool {
        self.has_just_failed
    }

    pub(super) fn note_failure(&mut self, way: Way) {
        self.has_just_failed = true;
        self.failures[way as usize] = self.failures[way as usize].saturating_add(1);
    }

    pub(super) fn note_success(&mut self, lane: Lane, way: Way) {
        self.has_just_failed = false;
        match way {
            Way::Write => self.failures = Default::default(),
            Way::Read => {
                self.failures[Way::Read as usize] = 0;
                if lane == Lane::Journal {
                    self.allow_one(Way::Write);
                }
            }
        }
    }

    /// That proves nothing: there are modules that say so of whatever has failed. A storage that takes nothing and finds nothing
    /// is down, most likely, and each look may take long.
    pub(super) fn note_missing(&mut self, lane: Lane) {
        match lane {
            Lane::Read if self.is_open(Way::Write) => self.note_failure(Way::Read),
            Lane::Journal => self.allow_one(Way::Read),
            Lane::Read | Lane::Write => {}
        }
    }

    /// Nobody else would find out that the storage works again: one may try, once a turn of the journal.
    fn allow_one(&mut self, way: Way) {
        let failures = &mut self.failures[way as usize];
        *failures = (*failures).min(FAILURES_TO_OPEN - 1);
    }
}
