//! Removals that the disk had not made when a cache was closed. The next of the same folder in this process, such as after a
//! reload away and back, begins with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::wanted::DiskWrite;
use crate::entry::EntryKey;

/// What is still to go.
#[derive(Default)]
pub(super) struct Removals {
    /// Whether everything is.
    pub(super) all: bool,
    pub(super) keys: Vec<(EntryKey, DiskWrite)>,
}

/// By the folder of entries; those of one folder have one number for each close.
static LEFT: Mutex<BTreeMap<PathBuf, (u64, Removals)>> = Mutex::new(BTreeMap::new());

impl Removals {
    fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty()
    }

    /// Leaves them to the next cache of the folder.
    pub(super) fn leave(self, folder: &Path, number: u64) {
        if !self.is_empty() {
            let mut left = LEFT.lock();
            let (last, removals) = left.entry(folder.to_owned()).or_default();
            *last = number;
            removals.all |= self.all;
            removals.keys.extend(self.keys);
        }
    }

    /// Leaves these in place of those with the same number, unless the next cache has them.
    pub(super) fn leave_instead(self, folder: &Path, number: u64) {
        let mut left = LEFT.lock();
        if left.get(folder).is_some_and(|(left, _)| *left == number) {
            match self.is_empty() {
                true => drop(left.remove(folder)),
                false => drop(left.insert(folder.to_owned(), (number, self))),
            }
        }
    }

    /// Takes what is left.
    pub(super) fn take(folder: &Path) -> Self {
        LEFT.lock().remove(folder).map(|(_, removals)| removals).unwrap_or_default()
    }
}
