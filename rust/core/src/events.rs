//! What the engine tells its host. There are no callbacks: one thread of the host takes events from here.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::entry::EntryId;
use crate::single_flight::Token;

/// Something the host must act on.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A bundle passed the checks here; the host confirms or refuses it.
    Candidate(EntryId),
    /// The fetch these tokens waited for has ended.
    Finished {
        /// The name it was for.
        server_name: Box<str>,
        /// Whether the origin was asked, or the disk knew.
        asked_origin: bool,
        /// Who waited; nobody, if it was a refresh.
        tokens: Vec<Token>,
        /// How it ended.
        outcome: Outcome,
    },
    /// An entry that the host had opened has left memory: what was built from it must go too.
    Retired(EntryId),
    /// Something an operator should read.
    Log(LogRecord),
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this entry.
    Found(EntryId),
    /// The origin has nothing for the name.
    NotFound,
    /// With no answer, or one that was refused; holds the reason.
    Failed(String),
    /// The origin failed lately and was not asked again; holds the reason of the last failure.
    BackedOff(Arc<str>),
    /// There was no room in the queue.
    Overloaded,
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
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The queue between the engine's threads and the host's one. Thread-safe.
#[derive(Default)]
pub struct EventQueue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    log_records: usize,
    closed: bool,
}

/// Log records beyond this wait nowhere: a host that does not take them must not cost memory. Other events are
/// bounded by the fetches under way.
const MAX_LOG_RECORDS: usize = 1024;

impl EventQueue {
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
        self.ready.notify_one();
    }

    /// Waits for events and takes up to `max`; `None` once the queue is closed and empty.
    pub fn take(&self, max: usize) -> Option<Vec<Event>> {
        let mut state = self.state.lock();
        while state.events.is_empty() && !state.closed {
            self.ready.wait(&mut state);
        }
        let count = state.events.len().min(max);
        let taken: Vec<Event> = state.events.drain(..count).collect();
        state.log_records -= taken.iter().filter(|event| matches!(event, Event::Log(_))).count();
        (!taken.is_empty()).then_some(taken)
    }

    /// Takes no further events; those waiting can still be taken.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn record(n: usize) -> Event {
        Event::Log(LogRecord {
            level: LogLevel::Warn,
            message: n.to_string(),
            server_name: None,
            left_out: 0,
        })
    }

    #[test]
    fn events_leave_in_order_and_closing_wakes_the_taker() {
        let queue = Arc::new(EventQueue::default());
        let taker = thread::spawn({
            let queue = queue.clone();
            move || std::iter::from_fn(|| queue.take(2)).flatten().collect::<Vec<_>>()
        });
        for id in 1..=3 {
            queue.push(Event::Candidate(EntryId(id)));
        }
        queue.close();
        queue.push(Event::Candidate(EntryId(4)));
        let expected: Vec<_> = (1..=3).map(|id| Event::Candidate(EntryId(id))).collect();
        assert_eq!(taker.join().unwrap(), expected);
    }

    #[test]
    fn only_log_records_are_dropped_when_nobody_takes() {
        let queue = EventQueue::default();
        for n in 0..2 * MAX_LOG_RECORDS {
            queue.push(record(n));
            queue.push(Event::Retired(EntryId(n as u64 + 1)));
        }
        let taken = queue.take(usize::MAX).unwrap();
        assert_eq!(taken.len(), 3 * MAX_LOG_RECORDS);
        queue.push(record(0));
        assert_eq!(queue.take(1).unwrap().len(), 1);
    }
}
