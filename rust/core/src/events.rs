//! What the engine tells its host. There are no callbacks, and no call waits: one thread of the host takes events
//! from here, and waits at a pipe when there are none. Go waits for a pipe without a thread; a thread that waits
//! in a call of ours would cost its scheduler more than the rest of the event's way.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::entry::EntryId;
use crate::operations::{Answer, OperationError};
use crate::single_flight::Token;
use crate::storage::StorageRequest;

/// Something the host must act on.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A bundle passed the checks here; the host confirms or rejects it.
    Candidate(EntryId),
    /// The fetch these tokens waited for has ended.
    Finished {
        /// The name it was for.
        server_name: Box<str>,
        /// Whether the backend was asked.
        asked_backend: bool,
        /// Whether the backend said that what is stored is right.
        not_modified: bool,
        /// The candidate that the host agreed to, if there was one.
        accepted: Option<EntryId>,
        /// Who waited; nobody, if it was a refresh.
        tokens: Vec<Token>,
        /// How it ended.
        outcome: Outcome,
    },
    /// An operation has ended.
    Answered {
        /// The one it was given.
        token: Token,
        /// What became of it.
        answer: Box<Result<Answer, OperationError>>,
    },
    /// An entry that the host had opened has left memory: what was built from it must go too.
    Retired(EntryId),
    /// The host's storage is to do something; the answer comes by `Engine::storage_answered`.
    Storage(StorageRequest),
    /// Something an operator should read.
    Log(LogRecord),
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this entry.
    Found(EntryId),
    /// The backend has nothing for the name.
    NoCertificate,
    /// With no answer, or one that was rejected; holds the reason.
    Failed(String),
    /// The backend failed lately and was not asked again; holds the reason of the last failure.
    BackedOff(Arc<str>),
    /// There was no room in the queue, or no worker in time.
    Overloaded,
    /// The backend has a certificate, but of a kind that this client can't use.
    UnsupportedKeyType,
}

/// How urgent a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever looks closely.
    Debug,
    /// Worth knowing.
    Info,
    /// Needs a change some day.
    Warn,
    /// A bug, or handshakes lost.
    Error,
}

/// A log line; free of key material, PEM text and URL credentials.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LogRecord {
    /// How urgent it is.
    #[serde(skip)]
    pub level: LogLevel,
    /// What happened and what to do.
    pub message: String,
    /// The name it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// How many records of its kind were left out before it.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The queue between the engine's threads and the host's one. Thread-safe.
pub struct EventQueue {
    state: Mutex<State>,
    // Kept open, so that a host that closes its own copy early makes no write fail.
    reader: PipeReader,
    writer: PipeWriter,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    log_records: usize,
    closed: bool,
    host_waits: bool,
}

/// Log records beyond this wait nowhere: a host that does not take them must not cost memory. Other events are bounded by
/// what is under way, and by the entries that the host has opened.
const MAX_LOG_RECORDS: usize = 1024;

impl EventQueue {
    /// Makes an empty queue; fails where no pipe is to be had.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // A host that never reads fills the pipe: then it is told already, and nobody may wait for it.
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(EventQueue { state: Mutex::default(), reader, writer })
    }

    /// Adds an event; lost if the queue is closed.
    pub fn push(&self, event: Event) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if matches!(event, Event::Log(_)) {
            if state.log_records == MAX_LOG_RECORDS {
                return;
            }
            state.log_records += 1;
        }
        state.events.push_back(event);
        self.wake(state);
    }

    /// Takes up to `max` events. With none there, the next one writes to the pipe of [`EventQueue::reader`].
    /// `None` once the queue is closed and empty.
    pub fn take(&self, max: usize) -> Option<Vec<Event>> {
        let mut state = self.state.lock();
        state.host_waits = state.events.is_empty();
        if state.host_waits && state.closed {
            return None;
        }
        let count = state.events.len().min(max);
        let taken: Vec<Event> = state.events.drain(..count).collect();
        state.log_records -= taken.iter().filter(|event| matches!(event, Event::Log(_))).count();
        Some(taken)
    }

    /// The host's copy of the pipe that it waits at, by reading what is in it, after a `take` that found nothing.
    pub fn reader(&self) -> io::Result<PipeReader> {
        self.reader.try_clone()
    }

    /// Takes no further events; those waiting can still be taken.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let host_waits = std::mem::take(&mut state.host_waits);
        drop(state);
        if host_waits {
            // It fails only if the pipe is full, and a full one wakes as well.
            let _ = (&self.writer).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::thread;
    use std::time::Duration;

    fn record(n: usize) -> Event {
        Event::Log(LogRecord {
            level: LogLevel::Warn,
            message: n.to_string(),
            server_name: None,
            suppressed: 0,
        })
    }

    #[test]
    fn events_leave_in_order_and_closing_wakes_the_taker() {
        let queue = Arc::new(EventQueue::new().unwrap());
        let taker = thread::spawn({
            let queue = queue.clone();
            let mut reader = queue.reader().unwrap();
            let mut next = move || {
                let taken = queue.take(2)?;
                if taken.is_empty() {
                    assert!(reader.read(&mut [0; 8]).unwrap() > 0);
                }
                Some(taken)
            };
            move || std::iter::from_fn(&mut next).flatten().collect::<Vec<_>>()
        });
        for id in 1..=3 {
            thread::sleep(Duration::from_millis(id * 5));
            queue.push(Event::Candidate(EntryId(id)));
        }
        thread::sleep(Duration::from_millis(20));
        queue.close();
        queue.push(Event::Candidate(EntryId(4)));
        let expected: Vec<_> = (1..=3).map(|id| Event::Candidate(EntryId(id))).collect();
        assert_eq!(taker.join().unwrap(), expected);
    }

    #[test]
    fn only_log_records_are_dropped_when_nobody_takes() {
        let queue = EventQueue::new().unwrap();
        for n in 0..2 * MAX_LOG_RECORDS {
            queue.push(record(n));
            queue.push(Event::Retired(EntryId(n as u64 + 1)));
        }
        let taken = queue.take(usize::MAX).unwrap();
        assert_eq!(taken.len(), 3 * MAX_LOG_RECORDS);
        queue.push(record(0));
        assert_eq!(queue.take(1).unwrap().len(), 1);
    }

    #[test]
    fn a_host_that_never_reads_the_pipe_holds_nobody_up() {
        let queue = EventQueue::new().unwrap();
        for id in 0..100_000 {
            assert_eq!(queue.take(1), Some(vec![]));
            queue.push(Event::Retired(EntryId(id)));
            assert_eq!(queue.take(1).unwrap().len(), 1);
        }
    }
}
