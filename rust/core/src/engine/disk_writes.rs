//! What waits to be written to disk or removed from it: for each key the last that was wanted, so that a save can't
//! undo a later removal, nor a removal a later save. Who reads a key asks here first; who writes goes by [`turns`].

mod leftovers;
mod turns;
mod wanted;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use parking_lot::Mutex;

use crate::entry::{Entry, EntryKey, EntryKeyRef, ResponseMetadata};

pub(super) use turns::{Next, Removal};
pub(super) use wanted::{DiskWrite, PurgedNames};

use wanted::{Wanted, WantedWrites};

/// Saves that may wait; beyond it an entry stays in memory only.
const MAX_SAVES: usize = 8_192;
/// Removals that may wait, or be tried again, each by itself. Beyond it everything is removed at once.
const MAX_REMOVALS: usize = 65_536;
/// The same of what was never seen. Beyond it everything is looked for anew when it is asked for.
const MAX_UNSEEN: usize = 65_536;

/// There is no room for a write.
#[derive(Debug)]
pub(super) enum NoRoom {
    Save,
    /// Of what was never seen.
    Removal,
}

/// The writes that wait, and removals that the disk has refused. Thread-safe.
#[derive(Default)]
pub(super) struct DiskWrites {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: WantedWrites,
    order: VecDeque<EntryKey>,
    /// When a save was in vain.
    last_loss: Option<Instant>,
    retry_is_planned: bool,
    is_scheduled: bool,
    swept_at: Option<Instant>,
    clearing: Clearing,
    /// Files that the last clearing has found.
    cleared: u64,
    next_number: u64,
}

/// Whether everything on disk is to go, since a removal found no room. Until it has, nothing of it is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Clearing {
    #[default]
    NotWanted,
    Wanted,
    UnderWay,
    /// The disk has refused it, and it waits for a better moment.
    HasFailed,
}

/// What a reader has to know of a key.
pub(super) enum Pending {
    Nothing,
    /// The file is there no more, or will not be.
    Removed,
    /// It is about to be written.
    Saved(Arc<Entry>, ResponseMetadata),
}

/// What has become of removals that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outstanding {
    None,
    Some,
    /// The disk has refused all that are left; they are tried again.
    Refused,
}

impl DiskWrites {
    pub(super) fn pending(&self, key: EntryKeyRef<'_>) -> Pending {
        let state = self.state.lock();
        match state.wanted.get(&key.to_owned()).map(|wanted| &wanted.write) {
            None if state.clearing == Clearing::NotWanted => Pending::Nothing,
            None | Some(DiskWrite::Remove(_) | DiskWrite::RemoveUnseen(_) | DiskWrite::Purge(_)) => {
                Pending::Removed
            }
            Some(DiskWrite::Save(entry, metadata)) => Pending::Saved(Arc::clone(entry), metadata.clone()),
        }
    }

    /// What is about to be written.
    pub(super) fn to_save(&self, key: EntryKeyRef<'_>) -> Option<Arc<Entry>> {
        if let Pending::Saved(entry, _) = self.pending(key) { Some(entry) } else { None }
    }

    /// How many wait to be written.
    pub(super) fn saves(&self) -> usize {
        self.state.lock().wanted.saves()
    }

    /// Whether a save has found no room, or the disk has refused one, for so long.
    pub(super) fn has_lost_within(&self, time: Duration) -> bool {
        self.state.lock().last_loss.is_some_and(|at| at.elapsed() <= time)
    }

    /// Whether whoever can wait with a save should.
    pub(super) fn is_half_full(&self) -> bool {
        self.state.lock().wanted.saves() >= MAX_SAVES / 2
    }

    /// Whether the file of a key is as good as gone.
    pub(super) fn is_removed(&self, key: EntryKeyRef<'_>) -> bool {
        matches!(self.pending(key), Pending::Removed)
    }

    /// Whether anything is wanted of a key but to remove what was never seen.
    pub(super) fn is_seen(&self, key: EntryKeyRef<'_>) -> bool {
        let state = self.state.lock();
        let wanted = state.wanted.get(&key.to_owned());
        wanted.is_some_and(|wanted| !matches!(wanted.write, DiskWrite::RemoveUnseen(_)))
    }

    pub(super) fn is_pending(&self, key: EntryKeyRef<'_>) -> bool {
        self.state.lock().wanted.get(&key.to_owned()).is_some()
    }

    /// Notes what is wanted of a key in place of what was.
    pub(super) fn want(&self, key: EntryKey, write: DiskWrite) -> Result<(), NoRoom> {
        let state = &mut *self.state.lock();
        let previous = state.wanted.get(&key);
        let earlier = previous.and_then(|wanted| wanted.removal);
        let took_room = previous.is_some_and(|wanted| wanted.write.takes_room());
        let takes_room = write.takes_room();
        let is_removal = write.removes().is_some();
        if !is_removal && previous.is_none() && state.wanted.saves() >= MAX_SAVES {
            state.last_loss = Some(Instant::now());
            return Err(NoRoom::Save);
        }
        if matches!(write, DiskWrite::RemoveUnseen(_))
            && previous.is_none()
            && state.wanted.unseen() >= MAX_UNSEEN
        {
            return Err(NoRoom::Removal);
        }
        if takes_room && !took_room && state.wanted.removals() >= MAX_REMOVALS {
            state.clearing = Clearing::Wanted;
            state.wanted.forget(&key);
            return Ok(());
        }
        // The one before may be of more.
        let removal = earlier.max(write.removes());
        let write = match (write, removal) {
            (DiskWrite::Remove(_), Some(up_to)) => DiskWrite::Remove(up_to),
            (DiskWrite::RemoveUnseen(_), Some(up_to)) => DiskWrite::RemoveUnseen(up_to),
            (write, _) => write,
        };
        let is_queued = previous.is_some_and(|wanted| !wanted.has_failed);
        let is_queued_in_front = is_queued && previous.is_some_and(|wanted| wanted.write.removes().is_some());
        state.next_number += 1;
        let wanted = Wanted { number: state.next_number, write, removal, has_failed: false };
        state.wanted.note(key.clone(), wanted);
        match is_removal {
            // What must not come back goes before what would be good to have: the process may end at any moment.
            true if !is_queued_in_front => state.order.push_front(key),
            false if !is_queued => state.order.push_back(key),
            _ => {}
        }
        Ok(())
    }

    /// How many files the last clearing has found.
    pub(super) fn cleared(&self) -> u64 {
        self.state.lock().cleared
    }

    /// Names that were seen and are to go, whose files may be there yet.
    pub(super) fn unremoved_names(&self) -> HashSet<CompactString> {
        let state = self.state.lock();
        let is_seen = |wanted: &Wanted| !matches!(wanted.write, DiskWrite::RemoveUnseen(_));
        let unremoved = state.wanted.iter().filter(|(_, wanted)| wanted.removal.is_some() && is_seen(wanted));
        unremoved.map(|(key, _)| key.name.clone()).collect()
    }

    /// Everything on disk is to go, and what waits to be written before it is not to be.
    pub(super) fn want_clearing(&self) {
        let state = &mut *self.state.lock();
        state.wanted = WantedWrites::default();
        state.order.clear();
        state.clearing = Clearing::Wanted;
    }

    /// Which of these removals are not made yet; `None` for everything that is to go. Those the disk has refused are
    /// told apart.
    pub(super) fn outstanding(&self, keys: Option<&mut Vec<EntryKey>>) -> Outstanding {
        let state = self.state.lock();
        let clearing = match state.clearing {
            Clearing::NotWanted => Outstanding::None,
            Clearing::Wanted | Clearing::UnderWay => Outstanding::Some,
            Clearing::HasFailed => Outstanding::Refused,
        };
        let Some(keys) = keys else { return clearing };
        // Not all of many are walked before it is worth it.
        while keys.last().is_some_and(|last| state.wanted.removal_of(last).is_none()) {
            keys.pop();
        }
        let all_failed =
            || keys.iter().all(|key| state.wanted.removal_of(key).is_none_or(|wanted| wanted.has_failed));
        match keys.last().and_then(|last| state.wanted.removal_of(last)) {
            None => clearing,
            Some(last) if last.has_failed && all_failed() => Outstanding::Refused,
            Some(_) => Outstanding::Some,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::ClientKind;

    fn key(number: usize) -> EntryKey {
        EntryKey { name: format!("n{number}.example").into(), client: ClientKind::Ecdsa }
    }

    #[test]
    fn names_that_were_never_seen_clear_no_disk() {
        let writes = DiskWrites::default();
        for number in 0..MAX_UNSEEN {
            writes.want(key(number), DiskWrite::RemoveUnseen(ClientKind::Ecdsa)).unwrap();
        }
        let more = || writes.want(key(MAX_UNSEEN), DiskWrite::RemoveUnseen(ClientKind::Ecdsa));
        assert!(matches!(more(), Err(NoRoom::Removal)));
        writes.want(key(0), DiskWrite::RemoveUnseen(ClientKind::Ed25519)).unwrap();
        writes.want(key(MAX_UNSEEN), DiskWrite::Remove(ClientKind::Ecdsa)).unwrap();
        assert_eq!(writes.outstanding(None), Outstanding::None, "nothing else is removed");
        for number in 0..MAX_REMOVALS {
            writes.want(key(number), DiskWrite::Remove(ClientKind::Ecdsa)).unwrap();
        }
        assert_eq!(writes.outstanding(None), Outstanding::Some, "what was seen must go, be it with the rest");
        assert!(more().is_ok(), "there is room again");
    }
}
