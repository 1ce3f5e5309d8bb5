//! A bounded number of threads over a bounded queue. Threads are made when there is work and leave when there
//! is none; a job that panics takes nothing down.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// One piece of work. Dropped unrun if the pool closes first.
pub type Job = Box<dyn FnOnce() + Send>;

/// Why a job was not taken; it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full.
    Full,
    /// The pool is closed, or a first thread can't be made.
    Closed,
}

/// Who waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A client waits. Such jobs go first, but leave the reserve alone.
    Foreground,
    /// Nobody waits. Such jobs take what is free, and have a reserve that a storm of the others can't take.
    Background,
}

/// The pool. Thread-safe; [`WorkerPool::submit`] never waits.
pub struct WorkerPool {
    shared: Arc<Shared>,
}

impl WorkerPool {
    /// A pool of at most `max_workers` threads called `name`, with at most `max_queued` jobs of either priority
    /// waiting. An eighth of the workers, one at least of several, is the reserve for background jobs.
    pub fn new(name: &'static str, max_workers: usize, max_queued: usize) -> Self {
        Self::with_reserve(name, max_workers, max_queued, true)
    }

    /// A pool whose jobs are all of one kind: there is no reserve.
    pub fn without_reserve(name: &'static str, max_workers: usize, max_queued: usize) -> Self {
        Self::with_reserve(name, max_workers, max_queued, false)
    }

    fn with_reserve(name: &'static str, max_workers: usize, max_queued: usize, has_reserve: bool) -> Self {
        let state = State {
            has_reserve,
            foreground: VecDeque::new(),
            background: VecDeque::new(),
            foreground_running: 0,
            workers: 0,
            idle: Vec::new(),
            max_workers: max_workers.max(1),
            closed: false,
        };
        WorkerPool { shared: Arc::new(Shared { name, max_queued, state: Mutex::new(state) }) }
    }

    /// Queues a job.
    pub fn submit(&self, priority: Priority, job: Job) -> Result<(), SubmitError> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        let queue = state.queue(priority);
        if queue.len() >= self.shared.max_queued {
            return Err(SubmitError::Full);
        }
        queue.push_back(job);
        // Who is idle may have to leave this job alone, and take another.
        if let Some(worker) = state.idle.pop() {
            drop(state);
            worker.unpark();
        } else if state.workers < state.max_workers {
            state.workers += 1;
            if !Shared::spawn(&self.shared) {
                state.workers -= 1;
                if state.workers == 0 {
                    let dropped = state.queue(priority).pop_back();
                    // Outside the lock: what a job drops may call back into its owner.
                    drop(state);
                    drop(dropped);
                    return Err(SubmitError::Closed);
                }
            }
        }
        Ok(())
    }

    /// Changes how many threads there may be; surplus ones leave when their job is done.
    pub fn resize(&self, max_workers: usize) {
        let mut state = self.shared.state.lock();
        state.max_workers = max_workers.max(1);
        state.wake_all();
    }

    /// Takes no further jobs, drops those that wait, and lets each thread leave when its job is done.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.wake_all();
            (std::mem::take(&mut state.foreground), std::mem::take(&mut state.background))
        };
        // Outside the lock: what a job drops may call back into its owner.
        drop(dropped);
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.close();
    }
}

/// An idle thread leaves after this long, so that a storm's threads don't stay for good.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// A TLS handshake and a certificate parse fit several times; the pages are only touched as needed.
const STACK_SIZE: usize = 1 << 20;

struct Shared {
    name: &'static str,
    max_queued: usize,
    state: Mutex<State>,
}

struct State {
    foreground: VecDeque<Job>,
    background: VecDeque<Job>,
    foreground_running: usize,
    workers: usize,
    /// Who waits for work. The last to come is the first to go: its stack is still in the processor's cache, and
    /// those that a storm made come to leave.
    idle: Vec<Thread>,
    max_workers: usize,
    has_reserve: bool,
    closed: bool,
}

impl State {
    fn wake_all(&mut self) {
        self.idle.drain(..).for_each(|worker| worker.unpark());
    }

    fn queue(&mut self, priority: Priority) -> &mut VecDeque<Job> {
        match priority {
            Priority::Foreground => &mut self.foreground,
            Priority::Background => &mut self.background,
        }
    }

    fn take_job(&mut self) -> Option<(Priority, Job)> {
        let reserve = match self.has_reserve {
            true => (self.max_workers / 8).max(1).min(self.max_workers - 1),
            false => 0,
        };
        if self.foreground_running < self.max_workers - reserve
            && let Some(job) = self.foreground.pop_front()
        {
            self.foreground_running += 1;
            return Some((Priority::Foreground, job));
        }
        self.background.pop_front().map(|job| (Priority::Background, job))
    }
}

impl Shared {
    fn spawn(shared: &Arc<Shared>) -> bool {
        let worker = Arc::clone(shared);
        let thread = thread::Builder::new().name(shared.name.into()).stack_size(STACK_SIZE);
        thread.spawn(move || worker.run()).is_ok()
    }

    fn run(&self) {
        while let Some((priority, job)) = self.next_job() {
            // The job's own guards tell whoever waits for it; here only the thread is saved.
            let _ = catch_unwind(AssertUnwindSafe(job));
            if priority == Priority::Foreground {
                self.state.lock().foreground_running -= 1;
            }
        }
    }

    fn next_job(&self) -> Option<(Priority, Job)> {
        let mut state = self.state.lock();
        let mut waited_in_vain = false;
        loop {
            let surplus = state.workers > state.max_workers;
            if !surplus && let Some(job) = state.take_job() {
                return Some(job);
            }
            if surplus || state.closed || waited_in_vain {
                state.workers -= 1;
                return None;
            }
            waited_in_vain = !Shared::wait(&mut state);
        }
    }

    /// Waits to be woken; false if nobody did for too long.
    fn wait(state: &mut MutexGuard<'_, State>) -> bool {
        let until = Instant::now() + IDLE_TIME;
        let this = thread::current();
        state.idle.push(this.clone());
        loop {
            let patience = until.saturating_duration_since(Instant::now());
            MutexGuard::unlocked(state, || thread::park_timeout(patience));
            // Whoever wakes a thread takes it off the list; it may wake up by itself, too.
            let Some(place) = state.idle.iter().rposition(|idle| idle.id() == this.id()) else { return true };
            if Instant::now() >= until {
                state.idle.remove(place);
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
