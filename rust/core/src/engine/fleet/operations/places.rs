//! The places of a storage: which operations hold one, and which wait for one.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::engine::fleet::operations::breakers::Way;
use crate::engine::fleet::operations::{Lane, Step, Then};
use crate::storage::{RequestId, StorageOperation, StorageRequest};

const LANES: [Lane; 3] = [Lane::Journal, Lane::Read, Lane::Write];

#[derive(Default)]
pub(super) struct Places {
    count: usize,
    under_way: HashMap<RequestId, UnderWay>,
    queues: [VecDeque<Waiting>; LANES.len()],
}

pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) key: String,
    pub(super) operation: StorageOperation,
    pub(super) then: Then,
}

/// An operation that holds a place.
pub(super) struct UnderWay {
    pub(super) lane: Lane,
    pub(super) way: Way,
    pub(super) name: &'static str,
    pub(super) begun_at: Instant,
    /// Gone, once nobody waits any more.
    pub(super) then: Option<Then>,
}

impl Places {
    pub(super) fn resize(&mut self, count: usize) {
        self.count = count;
    }

    /// Lines an operation up; it waits until it is begun.
    pub(super) fn queue(&mut self, lane: Lane, waiting: Waiting) {
        self.queues[lane as usize].push_back(waiting);
    }

    /// Begins what there is a place for.
    pub(super) fn begin(&mut self, steps: &mut Vec<Step>) {
        for lane in LANES {
            while self.has_place(lane) {
                let Some(Waiting { id, key, operation, then }) = self.queues[lane as usize].pop_front()
                else {
                    break;
                };
                let (way, name) = (Way::from(&operation), operation.name());
                let under_way = UnderWay { lane, way, name, begun_at: Instant::now(), then: Some(then) };
                self.under_way.insert(id, under_way);
                steps.push(Step::Want(StorageRequest { id, key, operation }));
            }
        }
    }

    fn has_place(&self, lane: Lane) -> bool {
        let of_lane = || self.under_way.values().filter(|operation| operation.lane == lane).count();
        match lane {
            Lane::Journal => self.under_way.len() < self.count,
            // One place is for the journal.
            Lane::Read => self.under_way.len() + 1 < self.count.max(2),
            Lane::Write => self.under_way.len() + 1 < self.count && of_lane() < (self.count / 2).max(1),
        }
    }

    /// The operation that holds a place under this id.
    pub(super) fn get(&self, id: RequestId) -> Option<&UnderWay> {
        self.under_way.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut UnderWay> {
        self.under_way.get_mut(&id)
    }

    /// Ends an operation that holds a place.
    pub(super) fn free(&mut self, id: RequestId) -> Option<UnderWay> {
        self.under_way.remove(&id)
    }

    /// The same for all. What waits goes on waiting.
    pub(super) fn free_all(&mut self) -> HashMap<RequestId, UnderWay> {
        std::mem::take(&mut self.under_way)
    }

    /// How many are held.
    pub(super) fn held(&self) -> usize {
        self.under_way.len()
    }

    /// How many wait for a place.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.queues[lane as usize].len()
    }

    /// Whether this one waits for its place.
    pub(super) fn waits(&self, lane: Lane, id: RequestId) -> bool {
        self.queues[lane as usize].iter().any(|waiting| waiting.id == id)
    }

    /// Takes out of its queue what waits for its place no more.
    pub(super) fn leave_queue(&mut self, id: RequestId) -> Option<Waiting> {
        self.queues.iter_mut().find_map(|queue| {
            let place = queue.iter().position(|waiting| waiting.id == id)?;
            queue.remove(place)
        })
    }

    /// The same for all of a lane.
    pub(super) fn drain(&mut self, lane: Lane) -> impl Iterator<Item = Waiting> {
        self.queues[lane as usize].drain(..)
    }
}
