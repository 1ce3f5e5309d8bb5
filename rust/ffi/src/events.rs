//! Events up: the host's one pump takes them.

use cached_http_core::entry;
use cached_http_core::events::{Event, LogLevel, LogRecord, Outcome};
use cached_http_core::operations::OperationError;
use cached_http_core::storage::StorageOperation;

use crate::boundary::{guarded, take_panics};
use crate::bytes::{Buffer, Tokens, output, view};
use crate::handles::{ENGINES, EngineHandle, EntryId, open_engine};
use crate::status::Status;
use crate::storage::{
    CACHED_HTTP_STORAGE_DELETE, CACHED_HTTP_STORAGE_LOAD, CACHED_HTTP_STORAGE_STORE, StorageRequestId,
};

/// A bundle passed the checks: confirm or reject `entry`, once.
pub const CACHED_HTTP_EVENT_CANDIDATE: u32 = 1;
/// The fetch of `server_name` that `tokens` waited for (none, if it was a refresh) ended with `status`: `HIT`
/// (`entry`), `NEGATIVE`, `UNSUPPORTED_KEY_TYPE`, `OVERLOADED`, or `FAILED` or `BACKED_OFF` (`text` says why).
pub const CACHED_HTTP_EVENT_FINISHED: u32 = 2;
/// `entry` left memory: drop what you built from it.
pub const CACHED_HTTP_EVENT_RETIRED: u32 = 3;
/// `text` is a JSON object with `message` and perhaps `server_name` and `suppressed` (how many records like it
/// were not written since the last one); `level` says how urgent it is.
pub const CACHED_HTTP_EVENT_LOG: u32 = 4;
/// The operation of the one token in `tokens` has ended with `status`: `OK` (`text` is the answer, JSON), `MISS` (nothing is
/// known of the name), `INVALID_NAME`, `INVALID_ARGUMENT` or `FAILED` (`text` says why), or `CLOSED`.
pub const CACHED_HTTP_EVENT_ANSWERED: u32 = 5;
/// The fleet's storage is to carry out `operation` on the key `text`, with `value` if it is `STORE`. The answer comes by
/// `cached_http_storage_answer` with `request`. Operations may be carried out in any order, and at once.
pub const CACHED_HTTP_EVENT_STORAGE: u32 = 6;

/// A `level`: for whoever looks closely.
pub const CACHED_HTTP_LEVEL_DEBUG: u32 = 1;
/// A `level`: worth knowing.
pub const CACHED_HTTP_LEVEL_INFO: u32 = 2;
/// A `level`: needs a change some day.
pub const CACHED_HTTP_LEVEL_WARN: u32 = 3;
/// A `level`: a bug, or handshakes lost. Take one you don't know for this.
pub const CACHED_HTTP_LEVEL_ERROR: u32 = 4;

/// One event. All of it belongs to the taker, who gives back `text`, `server_name`, `value` and `tokens`, each once and with its own
/// free function; where a field is not meant for its kind they are empty. The struct is the caller's own memory.
#[repr(C)]
#[derive(Debug)]
pub struct EventView {
    /// One of the `CACHED_HTTP_EVENT` numbers.
    pub kind: u32,
    /// For `FINISHED` and `ANSWERED`.
    pub status: Status,
    /// For `LOG`: one of the `CACHED_HTTP_LEVEL` numbers.
    pub level: u32,
    /// For `CANDIDATE` and `RETIRED`; for `FINISHED` the candidate that was confirmed, be it of use to the client
    /// or not, or 0.
    pub entry: EntryId,
    /// For `LOG`, `ANSWERED` and `STORAGE`, and `FINISHED` with `FAILED` or `BACKED_OFF`.
    pub text: Buffer,
    /// For `FINISHED`: 1 if the backend was asked, 0 if the disk knew or nobody was asked.
    pub asked_backend: u32,
    /// For `FINISHED`: 1 if the backend said that what is stored is right.
    pub not_modified: u32,
    /// For `FINISHED`: the name in its normal form.
    pub server_name: Buffer,
    /// For `FINISHED` and `ANSWERED`.
    pub tokens: Tokens,
    /// For `STORAGE`.
    pub request: StorageRequestId,
    /// For `STORAGE`: one of the `CACHED_HTTP_STORAGE` numbers of operations.
    pub operation: u32,
    /// For `STORAGE` with `STORE`: sealed, so that it can be shown to anybody.
    pub value: Buffer,
}

/// Writes up to `capacity` events to `events` and their number, which may be 0, to `count`. `CLOSED` once the
/// engine is closed and drained; the handle is gone then. It never waits: after a call that gave 0 events, read the
/// engine's descriptor, which has bytes as soon as there is more to take. One caller per engine at a time, who goes
/// on until `CLOSED`.
///
/// # Safety
/// `events` points to room for `capacity` structs, `count` to a writable number; either may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_next_events(
    engine: EngineHandle,
    events: *mut EventView,
    capacity: usize,
    count: *mut usize,
) -> Status {
    guarded(|| {
        let open = ENGINES.find(engine)?;
        if events.is_null() || capacity == 0 {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: NULL or writable: our own contract.
        let count = unsafe { output(count)? };
        let taken = open.next_events(capacity);
        let is_drained = taken.is_none();
        let mut taken = taken.unwrap_or_default();
        taken.extend(take_panics(capacity.saturating_sub(taken.len())).into_iter().map(panic_record));
        if is_drained && taken.is_empty() {
            ENGINES.remove(engine)?;
            return Err(Status::Closed);
        }
        let written = taken.len();
        for (index, event) in taken.into_iter().enumerate() {
            // SAFETY: not NULL, `taken` holds at most `capacity` events, and there is room for as many: our own contract.
            unsafe { events.add(index).write(EventView::from(event)) };
        }
        count.write(written);
        Ok(Status::Ok)
    })
}

/// Accepts a candidate: it is kept, and a `FINISHED` event follows. `GONE` if there is no such candidate.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_candidate_confirm(engine: EngineHandle, entry: EntryId) -> Status {
    guarded(|| found(open_engine(engine)?.confirm(entry::EntryId(entry))))
}

/// Rejects a candidate; `reason` (UTF-8, without secrets) goes into the error of whoever waits. `GONE` if
/// there is no such candidate.
///
/// # Safety
/// `reason` points to `reason_length` readable bytes, which stay the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_candidate_reject(
    engine: EngineHandle,
    entry: EntryId,
    reason: *const u8,
    reason_length: usize,
) -> Status {
    guarded(|| {
        // SAFETY: `reason` has `reason_length` bytes: our own contract.
        let reason = unsafe { view(reason, reason_length)? };
        found(open_engine(engine)?.reject(entry::EntryId(entry), &String::from_utf8_lossy(reason)))
    })
}

fn panic_record(place: String) -> Event {
    let message = format!("a bug in the certificate engine, please report it: panic at {place}");
    Event::Log(LogRecord { level: LogLevel::Error, message, server_name: None, suppressed: 0 })
}

fn found(found: bool) -> Result<Status, Status> {
    if found { Ok(Status::Ok) } else { Err(Status::Gone) }
}

fn error_status(error: &OperationError) -> Status {
    match error {
        OperationError::InvalidName { .. } => Status::InvalidName,
        OperationError::InvalidCursor => Status::InvalidArgument,
        OperationError::UnknownName => Status::Miss,
        OperationError::Disk(_) | OperationError::Storage(_) => Status::Failed,
        OperationError::Closed => Status::Closed,
    }
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let empty = EventView {
            kind: 0,
            status: Status::Ok,
            level: 0,
            asked_backend: 0,
            not_modified: 0,
            entry: 0,
            text: Buffer::EMPTY,
            server_name: Buffer::EMPTY,
            tokens: Tokens::from(Vec::new()),
            request: 0,
            operation: 0,
            value: Buffer::EMPTY,
        };
        match event {
            Event::Candidate(id) => EventView { kind: CACHED_HTTP_EVENT_CANDIDATE, entry: id.0, ..empty },
            Event::Retired(id) => EventView { kind: CACHED_HTTP_EVENT_RETIRED, entry: id.0, ..empty },
            Event::Log(record) => {
                let level = match record.level {
                    LogLevel::Debug => CACHED_HTTP_LEVEL_DEBUG,
                    LogLevel::Info => CACHED_HTTP_LEVEL_INFO,
                    LogLevel::Warn => CACHED_HTTP_LEVEL_WARN,
                    LogLevel::Error => CACHED_HTTP_LEVEL_ERROR,
                };
                let text = serde_json::to_vec(&record).unwrap_or_default().into();
                EventView { kind: CACHED_HTTP_EVENT_LOG, level, text, ..empty }
            }
            Event::Storage(wanted) => {
                let (operation, value) = match wanted.operation {
                    StorageOperation::Load => (CACHED_HTTP_STORAGE_LOAD, Vec::new()),
                    StorageOperation::Store(value) => (CACHED_HTTP_STORAGE_STORE, value),
                    StorageOperation::Delete => (CACHED_HTTP_STORAGE_DELETE, Vec::new()),
                };
                let (kind, request) = (CACHED_HTTP_EVENT_STORAGE, wanted.id.0);
                let (text, value) = (wanted.key.into_bytes().into(), value.into());
                EventView { kind, request, operation, text, value, ..empty }
            }
            Event::Answered { token, answer } => {
                let tokens = vec![token.0].into();
                let (status, text) = match *answer {
                    Ok(answer) => (Status::Ok, answer.to_json()),
                    Err(error) => (error_status(&error), error.to_string().into_bytes()),
                };
                EventView { kind: CACHED_HTTP_EVENT_ANSWERED, status, text: text.into(), tokens, ..empty }
            }
            Event::Finished { server_name, asked_backend, not_modified, accepted, tokens, outcome } => {
                let tokens = tokens.into_iter().map(|token| token.0).collect::<Vec<_>>().into();
                let server_name = server_name.into_boxed_bytes().into_vec().into();
                let (asked_backend, not_modified) = (u32::from(asked_backend), u32::from(not_modified));
                let kind = CACHED_HTTP_EVENT_FINISHED;
                let entry = accepted.map_or(0, |id| id.0);
                let finished =
                    EventView { kind, entry, asked_backend, not_modified, server_name, tokens, ..empty };
                match outcome {
                    Outcome::Found(id) => EventView { status: Status::Hit, entry: id.0, ..finished },
                    Outcome::NoCertificate => EventView { status: Status::Negative, ..finished },
                    Outcome::BackedOff(reason) => {
                        let text = reason.as_bytes().to_vec().into();
                        EventView { status: Status::BackedOff, text, ..finished }
                    }
                    Outcome::Overloaded => EventView { status: Status::Overloaded, ..finished },
                    Outcome::UnsupportedKeyType => {
                        EventView { status: Status::UnsupportedKeyType, ..finished }
                    }
                    Outcome::Failed(reason) => {
                        EventView { status: Status::Failed, text: reason.into_bytes().into(), ..finished }
                    }
                }
            }
        }
    }
}
