//! The last write that was wanted of each key, and how many there are of those that may be only so many.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::Mutex;

use crate::entry::{ClientKind, Entry, EntryKey, ResponseMetadata};

/// What is to become of a key's file.
#[derive(Clone)]
pub(in crate::engine) enum DiskWrite {
    Save(Arc<Entry>, ResponseMetadata),
    /// Remove it, unless its certificate is one that clients of this kind can't use.
    Remove(ClientKind),
    /// The same of a name of which nothing was ever seen, since the disk could not be read: a scanner chooses such names.
    RemoveUnseen(ClientKind),
    /// Remove it, whatever it is, and note that it was there: an operator wants that, and however many it are, each has
    /// room.
    Purge(Arc<PurgedNames>),
}

/// Names of which a purge has removed a file. Thread-safe.
pub(in crate::engine) type PurgedNames = Mutex<HashSet<CompactString>>;

impl DiskWrite {
    /// Of certificates for which clients it is, if it is a removal.
    pub(super) fn removes(&self) -> Option<ClientKind> {
        match self {
            DiskWrite::Save(..) => None,
            DiskWrite::Remove(up_to) | DiskWrite::RemoveUnseen(up_to) => Some(*up_to),
            DiskWrite::Purge(_) => Some(ClientKind::Ed25519),
        }
    }

    /// Whether it takes of the room for removals.
    pub(super) fn takes_room(&self) -> bool {
        matches!(self, DiskWrite::Remove(_))
    }
}

/// The last that was wanted of a key.
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) write: DiskWrite,
    /// A removal that may not be made yet: this one, or what a save came in place of. A save that fails leaves the
    /// file that was to go.
    pub(super) removal: Option<ClientKind>,
    /// Not in the order: the disk has refused it, and it waits for a better moment.
    pub(super) has_failed: bool,
}

/// What is wanted of all keys, one write each.
#[derive(Default)]
pub(super) struct WantedWrites {
    by_key: HashMap<EntryKey, Wanted>,
    saves: usize,
    /// Those that take of the room for removals.
    removals: usize,
    unseen: usize,
}

impl WantedWrites {
    pub(super) fn get(&self, key: &EntryKey) -> Option<&Wanted> {
        self.by_key.get(key)
    }

    /// A removal that is not made yet, be it that a save has come in its place: the old file lies there until that is
    /// made.
    pub(super) fn removal_of(&self, key: &EntryKey) -> Option<&Wanted> {
        self.get(key).filter(|wanted| wanted.removal.is_some())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&EntryKey, &Wanted)> {
        self.by_key.iter()
    }

    /// Which write it is must stay the same: they are counted.
    pub(super) fn get_mut(&mut self, key: &EntryKey) -> Option<&mut Wanted> {
        self.by_key.get_mut(key)
    }

    /// The same for all.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&EntryKey, &mut Wanted)> {
        self.by_key.iter_mut()
    }

    pub(super) fn saves(&self) -> usize {
        self.saves
    }

    pub(super) fn removals(&self) -> usize {
        self.removals
    }

    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }

    pub(super) fn note(&mut self, key: EntryKey, wanted: Wanted) {
        self.forget(&key);
        self.count(&wanted.write, 1);
        self.by_key.insert(key, wanted);
    }

    pub(super) fn forget(&mut self, key: &EntryKey) {
        if let Some(wanted) = self.by_key.remove(key) {
            self.count(&wanted.write, -1);
        }
    }

    fn count(&mut self, write: &DiskWrite, more: isize) {
        match write {
            DiskWrite::Save(..) => self.saves = self.saves.saturating_add_signed(more),
            DiskWrite::Remove(_) => self.removals = self.removals.saturating_add_signed(more),
            DiskWrite::RemoveUnseen(_) => self.unseen = self.unseen.saturating_add_signed(more),
            DiskWrite::Purge(_) => {}
        }
    }
}
