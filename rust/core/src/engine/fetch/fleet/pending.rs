//! One read of the storage, and what becomes of the fetch that waits for it.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::fetch::Fetch;

/// A read of the storage, and the fetch that it is for.
pub(in crate::engine::fetch) struct PendingLoad {
    state: Mutex<LoadState>,
    begun_at: Instant,
}

enum LoadState {
    /// The fetch waits for it.
    Waits(Fetch),
    /// The fetch has gone on to the backend; this one serves who waits, if the storage is faster.
    Beside(Fetch),
    /// It was faster, and the host looks at what it has found.
    Offered,
    /// Meanwhile the backend has failed: its fetch waits for the host's word.
    Parked(Fetch),
    Gone,
}

impl PendingLoad {
    pub(super) fn new(fetch: Fetch) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(LoadState::Waits(fetch)), begun_at: Instant::now() })
    }

    pub(super) fn age(&self) -> Duration {
        self.begun_at.elapsed()
    }

    /// Sends the fetch on to the backend, if it still waits.
    pub(super) fn overtake(pending: &Arc<Self>) -> bool {
        let mut state = pending.state.lock();
        if !matches!(*state, LoadState::Waits(_)) {
            return false;
        }
        let LoadState::Waits(mut fetch) = mem::replace(&mut *state, LoadState::Gone) else {
            return false;
        };
        *state = LoadState::Beside(fetch.companion());
        drop(state);
        fetch.beside = Some(Arc::clone(pending));
        fetch.queue_request();
        true
    }

    /// Has a fetch that has come back from the backend with nothing wait for the storage.
    pub(super) fn wait_for(&self, fetch: Fetch) {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, LoadState::Gone) {
            LoadState::Beside(companion) => {
                *state = LoadState::Waits(fetch);
                drop(state);
                drop(companion);
            }
            LoadState::Offered => *state = LoadState::Parked(fetch),
            LoadState::Waits(_) | LoadState::Parked(_) | LoadState::Gone => {
                drop(state);
                fetch.load_other_kind();
            }
        }
    }

    /// The host has given its word on what was faster than the backend.
    pub(in crate::engine::fetch) fn decided(&self, is_served: bool) {
        if let LoadState::Parked(mut fetch) = self.take() {
            match fetch.in_reserve.take() {
                Some(outcome) if is_served => fetch.finish(outcome), // nobody waits for it any more
                outcome => {
                    fetch.in_reserve = outcome;
                    fetch.load_other_kind();
                }
            }
        }
    }

    /// The storage has found something: for the fetch that waits, or for one that serves who waits for it.
    pub(super) fn offer(pending: &Arc<Self>) -> Option<Fetch> {
        let mut state = pending.state.lock();
        match mem::replace(&mut *state, LoadState::Gone) {
            LoadState::Waits(fetch) => Some(fetch),
            LoadState::Beside(mut companion) => {
                *state = LoadState::Offered;
                companion.beside = Some(Arc::clone(pending));
                Some(companion)
            }
            LoadState::Offered | LoadState::Parked(_) | LoadState::Gone => None,
        }
    }

    /// The storage has nothing. Returns the fetch that has waited, to go on.
    pub(super) fn end(&self) -> Option<Fetch> {
        match self.take() {
            LoadState::Waits(fetch) => Some(fetch),
            _ => None,
        }
    }

    fn take(&self) -> LoadState {
        mem::replace(&mut *self.state.lock(), LoadState::Gone)
    }
}
