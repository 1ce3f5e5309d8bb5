//! The turns of the one thread that writes: when one begins, what comes next in it, how that ended, and when what the disk
//! has refused is tried again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::disk_store::SWEEP_INTERVAL;
use crate::engine::disk_writes::wanted::{DiskWrite, PurgedNames, Wanted};
use crate::engine::disk_writes::{Clearing, DiskWrites};
use crate::entry::{ClientKind, Entry, EntryKey, ResponseMetadata};

/// What the writer does next.
pub(in crate::engine) enum Next {
    Save { key: EntryKey, number: u64, entry: Arc<Entry>, metadata: ResponseMetadata },
    Removals(Vec<Removal>),
}

pub(in crate::engine) struct Removal {
    pub(in crate::engine) key: EntryKey,
    pub(in crate::engine) number: u64,
    pub(in crate::engine) up_to: ClientKind,
    pub(in crate::engine) purged: Option<Arc<PurgedNames>>,
}

impl DiskWrites {
    /// Whether the caller must schedule the writer.
    pub(in crate::engine) fn schedule(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_scheduled, true)
    }

    /// Whether the caller is to remove everything; holds the last write that it stands for.
    pub(in crate::engine) fn begin_clearing(&self) -> Option<u64> {
        let state = &mut *self.state.lock();
        let is_wanted = state.clearing == Clearing::Wanted;
        is_wanted.then(|| {
            state.clearing = Clearing::UnderWay;
            state.next_number
        })
    }

    pub(in crate::engine) fn end_clearing(&self, last_number: u64, found: Option<u64>) {
        let state = &mut *self.state.lock();
        let succeeded = found.is_some();
        state.cleared = found.unwrap_or(state.cleared);
        if succeeded {
            let is_made = |wanted: &Wanted| wanted.number <= last_number && wanted.write.removes().is_some();
            let made = state.wanted.iter().filter(|(_, wanted)| is_made(wanted)).map(|(key, _)| key.clone());
            made.collect::<Vec<_>>().iter().for_each(|key| state.wanted.forget(key));
        }
        // If it is wanted again by now, that comes next.
        if state.clearing == Clearing::UnderWay {
            state.clearing = if succeeded { Clearing::NotWanted } else { Clearing::HasFailed };
        }
    }

    /// The next save, or all removals up to it.
    pub(in crate::engine) fn next(&self) -> Option<Next> {
        let state = &mut *self.state.lock();
        let mut removals = Vec::new();
        while let Some(key) = state.order.pop_front() {
            let Some(wanted) = state.wanted.get(&key) else { continue };
            let number = wanted.number;
            match (&wanted.write, wanted.write.removes()) {
                (write, Some(up_to)) => {
                    let purged =
                        if let DiskWrite::Purge(names) = write { Some(Arc::clone(names)) } else { None };
                    removals.push(Removal { key, number, up_to, purged });
                }
                (DiskWrite::Save(entry, metadata), _) if removals.is_empty() => {
                    return Some(Next::Save {
                        key,
                        number,
                        entry: Arc::clone(entry),
                        metadata: metadata.clone(),
                    });
                }
                _ => {
                    state.order.push_front(key);
                    break;
                }
            }
        }
        (!removals.is_empty()).then_some(Next::Removals(removals))
    }

    /// Notes how a write ended. If something else is wanted of the key by now, that comes next.
    pub(in crate::engine) fn ended(&self, key: &EntryKey, number: u64, succeeded: bool) {
        let state = &mut *self.state.lock();
        let Some(wanted) = state.wanted.get_mut(key) else { return };
        if wanted.number != number {
            // A newer write came meanwhile and was not queued: queue it now.
            state.order.push_back(key.clone());
            return;
        }
        if wanted.write.removes().is_some() && !succeeded {
            wanted.has_failed = true;
            return;
        }
        let removal = wanted.removal.filter(|_| !succeeded);
        if wanted.write.removes().is_none() && !succeeded {
            state.last_loss = Some(Instant::now());
        }
        state.wanted.forget(key);
        if let Some(up_to) = removal {
            let write = DiskWrite::Remove(up_to);
            state.wanted.note(key.clone(), Wanted { number, write, removal, has_failed: false });
            state.order.push_back(key.clone());
        }
    }

    /// Whether it is time for a step of the sweep.
    pub(in crate::engine) fn is_sweep_due(&self) -> bool {
        self.state.lock().swept_at.is_none_or(|swept_at| swept_at.elapsed() >= SWEEP_INTERVAL)
    }

    pub(in crate::engine) fn note_sweep(&self) {
        self.state.lock().swept_at = Some(Instant::now());
    }

    /// Ends the caller's turn, unless something came meanwhile.
    pub(in crate::engine) fn rest(&self) -> bool {
        let state = &mut *self.state.lock();
        state.is_scheduled = !state.order.is_empty() || state.clearing == Clearing::Wanted;
        !state.is_scheduled
    }

    /// Ends a turn that has not rested: it was not begun, or has panicked. What it had taken in hand is tried again as if the
    /// disk had refused it.
    pub(in crate::engine) fn give_up_turn(&self) {
        let state = &mut *self.state.lock();
        state.is_scheduled = false;
        if state.clearing == Clearing::UnderWay {
            state.clearing = Clearing::HasFailed;
        }
        let queued: HashSet<_> = state.order.iter().collect();
        for (_, wanted) in state.wanted.iter_mut().filter(|(key, _)| !queued.contains(key)) {
            wanted.has_failed = true;
        }
    }

    /// Whether the caller must see to it that what the disk has refused is tried again, by [`DiskWrites::retry_as_planned`].
    pub(in crate::engine) fn plan_retry(&self) -> bool {
        let state = &mut *self.state.lock();
        let is_refused = || {
            state.clearing == Clearing::HasFailed || state.wanted.iter().any(|(_, wanted)| wanted.has_failed)
        };
        if state.retry_is_planned || !is_refused() {
            return false;
        }
        state.retry_is_planned = true;
        true
    }

    pub(in crate::engine) fn retry_as_planned(&self) {
        self.state.lock().retry_is_planned = false;
        self.retry();
    }

    /// Lines up what the disk has refused: it works again.
    pub(in crate::engine) fn retry(&self) {
        let state = &mut *self.state.lock();
        if state.clearing == Clearing::HasFailed {
            state.clearing = Clearing::Wanted;
        }
        let failed = state.wanted.iter_mut().filter(|(_, wanted)| wanted.has_failed);
        for (key, wanted) in failed {
            wanted.has_failed = false;
            state.order.push_back(key.clone());
        }
    }
}
