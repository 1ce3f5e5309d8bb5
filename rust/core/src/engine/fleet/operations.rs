//! The operations of the storage that are under way. One rule bounds what a storage can cost us: **an operation keeps its
//! place until the storage has returned, though nobody waits for it any more**. So a storage that hangs holds as many of
//! the host's threads as there are places, and then is left alone.

mod breakers;
mod places;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::fleet::operations::breakers::{Breakers, Way};
use crate::engine::fleet::operations::places::{Places, UnderWay, Waiting};
use crate::storage::{RequestId, StorageAnswer, StorageOperation, StorageRequest};

/// What became of an operation.
#[derive(Debug)]
pub(in crate::engine) enum Ended {
    /// A load has found this.
    Found(Vec<u8>),
    /// A load has found nothing.
    Missing,
    /// It is written, or removed.
    Done,
    /// The storage has failed, or not answered in time; the text says how.
    Failed(String),
    /// It was not begun: the storage fails, or too much waits for it.
    Skipped,
}

/// Why an operation was not begun.
pub(in crate::engine) const LEFT_ALONE: &str =
    "the storage of the fleet fails and is left alone for a moment";

impl Ended {
    /// For somebody who is told how it ended: what was found, if anything, or why it is not known.
    pub(in crate::engine) fn into_result(self) -> Result<Option<Vec<u8>>, String> {
        match self {
            Ended::Found(value) => Ok(Some(value)),
            Ended::Missing | Ended::Done => Ok(None),
            Ended::Failed(reason) => Err(reason),
            Ended::Skipped => Err(LEFT_ALONE.into()),
        }
    }
}

/// Goes on with the outcome. Called once, on a thread of the caller's choice; dropped if the fleet ends.
pub(super) type Then = Box<dyn FnOnce(Ended) + Send>;

/// What an operation is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Lane {
    /// The purges of other nodes; read even while the breaker is open, which it closes.
    Journal,
    /// Somebody waits for a certificate.
    Read,
    /// Certificates for the other nodes. They leave half of the places to reads.
    Write,
}

/// So many may wait for a place in each lane.
const MAX_WAITING: usize = 4_096;
/// So many may be left behind on storages that are no longer used. Beyond it they hold their places.
const MAX_LEFT_BEHIND: usize = 64;

/// An operation that the host is to be told of, or an outcome for its caller.
pub(super) enum Step {
    Want(StorageRequest),
    End(Then, Ended),
}

/// Thread-safe.
#[derive(Default)]
pub(super) struct Operations {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    places: Places,
    /// What a storage that was left has not returned yet. It holds no place.
    left_behind: HashSet<RequestId>,
    breakers: Breakers,
    closed: bool,
}

impl State {
    /// Lets those go on in vain that wait for a storage which fails.
    fn skip_in_vain(&mut self, steps: &mut Vec<Step>) {
        for way in Way::BOTH.into_iter().filter(|way| self.breakers.is_open(*way)) {
            let waiting = self.places.drain(way.lane());
            steps.extend(waiting.map(|waiting| Step::End(waiting.then, Ended::Skipped)));
        }
    }
}

impl Operations {
    pub(super) fn resize(&self, places: usize) -> Vec<Step> {
        let (mut state, mut steps) = (self.state.lock(), Vec::new());
        state.places.resize(places);
        state.places.begin(&mut steps);
        steps
    }

    /// The storage is another one now, of which nothing is known. What the one before has not returned is left behind.
    pub(super) fn begin_anew(&self) -> Vec<Step> {
        let (mut state, mut steps) = (self.state.lock(), Vec::new());
        state.breakers = Breakers::default();
        if state.left_behind.len() + state.places.held() <= MAX_LEFT_BEHIND {
            for (id, operation) in state.places.free_all() {
                state.left_behind.insert(id);
                steps.extend(operation.then.map(|then| Step::End(then, Ended::Skipped)));
            }
        }
        state.places.begin(&mut steps);
        steps
    }

    /// Lines an operation up, and returns what is to be done for it now: `Err` with what the caller has given if it is not to
    /// be begun.
    pub(super) fn submit(
        &self,
        lane: Lane,
        key: String,
        operation: StorageOperation,
        then: Then,
    ) -> Result<(RequestId, Vec<Step>), Then> {
        let (mut state, mut steps) = (self.state.lock(), Vec::new());
        let is_left_alone = lane != Lane::Journal && state.breakers.is_open(Way::from(&operation));
        if state.closed || is_left_alone || state.places.waiting(lane) >= MAX_WAITING {
            return Err(then);
        }
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = RequestId(NEXT.fetch_add(1, Ordering::Relaxed));
        state.places.queue(lane, Waiting { id, key, operation, then });
        state.places.begin(&mut steps);
        Ok((id, steps))
    }

    /// The storage has returned, perhaps too late for who has waited. `None` if there is no such operation.
    pub(super) fn answered(&self, id: RequestId, answer: StorageAnswer) -> Option<Vec<Step>> {
        let (mut state, mut steps) = (self.state.lock(), Vec::new());
        if state.left_behind.remove(&id) {
            return Some(steps);
        }
        let UnderWay { lane, way, name, then, .. } = state.places.free(id)?;
        let ended = match answer {
            StorageAnswer::Found(value) => Ended::Found(value),
            StorageAnswer::Missing => Ended::Missing,
            StorageAnswer::Done => Ended::Done,
            StorageAnswer::Failed(reason) => Ended::Failed(format!("{name}: {reason}")),
        };
        // What comes too late has been counted as a failure.
        if let Some(then) = then {
            match ended {
                Ended::Failed(_) => state.breakers.note_failure(way),
                Ended::Found(_) | Ended::Done => state.breakers.note_success(lane, way),
                Ended::Missing => state.breakers.note_missing(lane),
                Ended::Skipped => {}
            }
            state.skip_in_vain(&mut steps);
            steps.push(Step::End(then, ended));
        }
        state.places.begin(&mut steps);
        Some(steps)
    }

    /// Ends the waiting for an operation that has not returned, or not been begun.
    pub(super) fn give_up(&self, id: RequestId, after: Duration) -> Vec<Step> {
        let (mut state, mut steps) = (self.state.lock(), Vec::new());
        if let Some(operation) = state.places.get_mut(id) {
            let Some(then) = operation.then.take() else { return steps };
            let (way, name) = (operation.way, operation.name);
            // One that has waited for its place says little of the storage, but its places are all held.
            if operation.begun_at.elapsed() >= after / 2 {
                state.breakers.note_failure(way);
                state.skip_in_vain(&mut steps);
            }
            let reason = format!("{name}: the storage has not answered within {after:?}");
            steps.push(Step::End(then, Ended::Failed(reason)));
            return steps;
        }
        steps.extend(state.places.leave_queue(id).map(|waiting| Step::End(waiting.then, Ended::Skipped)));
        steps
    }

    /// Whether what goes in this lane is not begun, since the storage fails.
    pub(super) fn is_left_alone(&self, lane: Lane) -> bool {
        match lane {
            Lane::Journal => false,
            Lane::Read => self.state.lock().breakers.is_open(Way::Read),
            Lane::Write => self.state.lock().breakers.is_open(Way::Write),
        }
    }

    /// Whether one of the breakers is open.
    pub(super) fn breaker_is_open(&self) -> bool {
        let state = self.state.lock();
        Way::BOTH.into_iter().any(|way| state.breakers.is_open(way))
    }

    /// Whether failures are not made good by a success on their way.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.state.lock().breakers.is_in_trouble()
    }

    /// Whether the last that proves anything was a failure.
    pub(super) fn has_just_failed(&self) -> bool {
        self.state.lock().breakers.has_just_failed()
    }

    /// For how long one has been under way that has not returned.
    pub(super) fn age(&self, id: RequestId) -> Option<Duration> {
        self.state.lock().places.get(id).map(|operation| operation.begun_at.elapsed())
    }

    /// Whether a write has not returned, or waits for its place.
    pub(super) fn is_under_way(&self, id: RequestId) -> bool {
        let state = self.state.lock();
        state.places.get(id).is_some() || state.places.waits(Lane::Write, id)
    }

    /// How many wait for a place.
    pub(super) fn queued(&self, lane: Lane) -> usize {
        self.state.lock().places.waiting(lane)
    }

    /// How many have not returned.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.places.held() + state.left_behind.len()
    }

    /// Drops what waits; nobody is told.
    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.places)
        };
        // Outside the lock: what is dropped may call back.
        drop(dropped);
    }
}
