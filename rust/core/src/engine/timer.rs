//! One thread that does small things later. It is there while there is something to do.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What is done; it must not wait.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// Thread-safe; clones share the thread.
#[derive(Clone, Default)]
pub(super) struct Timer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By when they are due, and a number that tells apart those due at once.
    tasks: BTreeMap<(Instant, u64), Task>,
    last_number: u64,
    runs: bool,
    closed: bool,
}

impl Timer {
    /// Does something after a while; never, if the timer is closed before.
    pub(super) fn after(&self, delay: Duration, task: Task) {
        let due = Instant::now() + delay;
        let mut state = self.shared.state.lock();
        if state.closed {
            return;
        }
        state.last_number += 1;
        let number = state.last_number;
        let is_first = state.tasks.first_key_value().is_none_or(|((first, _), _)| due < *first);
        state.tasks.insert((due, number), task);
        if state.runs && is_first {
            self.shared.changed.notify_one();
        }
        Shared::see_to_it(&self.shared, &mut state);
    }

    /// Sees to what is to be done, if there was no thread to be had for it when it came. To be called now and then.
    pub(super) fn revive(&self) {
        Shared::see_to_it(&self.shared, &mut self.shared.state.lock());
    }

    /// Drops what was to be done.
    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        self.shared.changed.notify_one();
        // Outside the lock: what a task drops may call back.
        drop(dropped);
    }
}

impl Shared {
    fn see_to_it(shared: &Arc<Self>, state: &mut State) {
        if state.runs || state.tasks.is_empty() {
            return;
        }
        #[cfg(feature = "failpoints")]
        fail::fail_point!("timer_thread", |_| ());
        let thread = thread::Builder::new().name("cached_http_ti".into()).stack_size(STACK_SIZE);
        let shared = Arc::clone(shared);
        state.runs = thread.spawn(move || shared.run()).is_ok();
    }

    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            let Some(((due, _), _)) = state.tasks.first_key_value() else {
                state.runs = false;
                return;
            };
            let (due, now) = (*due, Instant::now());
            if due > now {
                self.changed.wait_until(&mut state, due);
                continue;
            }
            let Some((_, task)) = state.tasks.pop_first() else { continue };
            drop(state);
            // What a task holds tells whoever waits for it; here only the thread is saved.
            let _ = catch_unwind(AssertUnwindSafe(task));
            state = self.state.lock();
        }
    }
}

const STACK_SIZE: usize = 256 * 1024;
