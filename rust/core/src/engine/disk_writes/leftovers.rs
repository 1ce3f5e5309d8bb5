//! Removals that the disk had not made when a cache was closed. The next of the same folder in this process, such as after a
//! reload away and back, begins with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::wanted::{DiskWrite, Wanted};
use super::{Clearing, DiskWrites};
use crate::entry::EntryKey;

/// What is still to go.
#[derive(Default)]
struct Removals {
    /// Whether everything is.
    all: bool,
    keys: Vec<(EntryKey, DiskWrite)>,
}

/// By the folder of entries; those of one folder have one number for each close.
static LEFT: Mutex<BTreeMap<PathBuf, (u64, Removals)>> = Mutex::new(BTreeMap::new());

impl DiskWrites {
    /// Begins with what the last cache of a folder has left.
    pub(in crate::engine) fn take_over(&self, folder: &Path) {
        let left = Removals::take(folder);
        if left.all {
            self.want_clearing();
        }
        for (key, removal) in left.keys {
            let _ = self.want(key, removal); // which had room there
        }
    }

    /// Leaves the removals that are not made yet to the next cache of a folder; [`DiskWrites::leave_rest`] takes the number.
    pub(in crate::engine) fn leave(&self, folder: &Path) -> u64 {
        let number = fastrand::u64(..);
        self.removals().leave(folder, number);
        number
    }

    /// Leaves those that are still not made instead.
    pub(in crate::engine) fn leave_rest(&self, folder: &Path, number: u64) {
        self.removals().leave_instead(folder, number);
    }

    fn removals(&self) -> Removals {
        let state = self.state.lock();
        // Those of a purge have room there, too, however many they are.
        let of = |wanted: &Wanted| match &wanted.write {
            DiskWrite::Save(..) => wanted.removal.map(DiskWrite::Remove),
            removal => Some(removal.clone()),
        };
        let keys = state.wanted.iter().filter_map(|(key, wanted)| Some((key.clone(), of(wanted)?))).collect();
        Removals { all: state.clearing != Clearing::NotWanted, keys }
    }
}

impl Removals {
    fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty()
    }

    /// Leaves them to the next cache of the folder.
    fn leave(self, folder: &Path, number: u64) {
        if !self.is_empty() {
            let mut left = LEFT.lock();
            let (last, removals) = left.entry(folder.to_owned()).or_default();
            *last = number;
            removals.all |= self.all;
            removals.keys.extend(self.keys);
        }
    }

    /// Leaves these in place of those with the same number, unless the next cache has them.
    fn leave_instead(self, folder: &Path, number: u64) {
        let mut left = LEFT.lock();
        if left.get(folder).is_some_and(|(left, _)| *left == number) {
            match self.is_empty() {
                true => drop(left.remove(folder)),
                false => drop(left.insert(folder.to_owned(), (number, self))),
            }
        }
    }

    /// Takes what is left.
    fn take(folder: &Path) -> Self {
        LEFT.lock().remove(folder).map(|(_, removals)| removals).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_REMOVALS, Outstanding};
    use super::*;
    use crate::entry::ClientKind;

    fn key(number: usize) -> EntryKey {
        EntryKey { name: format!("n{number}.example").into(), client: ClientKind::Ecdsa }
    }

    #[test]
    fn the_next_has_what_was_not_made_and_once() {
        let folder = Path::new("/of/the/first/test");
        let (first, second, third) = <(DiskWrites, DiskWrites, DiskWrites)>::default();
        for number in 0..=MAX_REMOVALS {
            first.want(key(number), DiskWrite::Purge(Default::default())).unwrap();
        }
        let number = first.leave(folder);
        second.take_over(folder);
        first.leave_rest(folder, number);
        third.take_over(folder);
        for number in [0, MAX_REMOVALS] {
            assert!(second.is_removed(key(number).borrowed()) && !third.is_removed(key(number).borrowed()));
        }
        assert_eq!(
            second.outstanding(None),
            Outstanding::None,
            "however many were purged, nothing else goes"
        );
    }

    #[test]
    fn what_is_made_before_the_end_is_not_left() {
        let folder = Path::new("/of/the/second/test");
        let (first, second) = <(DiskWrites, DiskWrites)>::default();
        first.want(key(1), DiskWrite::Remove(ClientKind::Ecdsa)).unwrap();
        let number = first.leave(folder);
        first.want_clearing();
        first.state.lock().clearing = Clearing::NotWanted;
        first.leave_rest(folder, number);
        second.take_over(folder);
        assert!(!second.is_pending(key(1).borrowed()));
    }
}
