//! The host's storage, which the nodes of a fleet share: the engine wants an operation by an event `STORAGE`, and the host
//! answers when the storage has returned.

use cached_http_core::storage::{RequestId, StorageAnswer};

use crate::boundary::guarded;
use crate::bytes::view;
use crate::handles::{EngineHandle, open_engine};
use crate::status::Status;

/// An `operation`: read the value of the key.
pub const CACHED_HTTP_STORAGE_LOAD: u32 = 1;
/// An `operation`: write the value of the key.
pub const CACHED_HTTP_STORAGE_STORE: u32 = 2;
/// An `operation`: remove the key.
pub const CACHED_HTTP_STORAGE_DELETE: u32 = 3;

/// An `answer`: `data` is the value of the key.
pub const CACHED_HTTP_STORAGE_FOUND: u32 = 1;
/// An `answer`: there is no such key.
pub const CACHED_HTTP_STORAGE_MISSING: u32 = 2;
/// An `answer`: it is written, or removed.
pub const CACHED_HTTP_STORAGE_DONE: u32 = 3;
/// An `answer`: the storage has failed; `data` says how (UTF-8, without secrets).
pub const CACHED_HTTP_STORAGE_FAILED: u32 = 4;

/// Names one operation of the storage. Nobody owns it; it is never 0 or reused.
pub type StorageRequestId = u64;

/// Answers an event `STORAGE`, once, when the storage has returned, however late: until then the operation keeps its place
/// among those that may be under way. `GONE` if there is no such request (any more).
///
/// # Safety
/// `data` points to `data_length` readable bytes, which stay the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_storage_answer(
    engine: EngineHandle,
    request: StorageRequestId,
    answer: u32,
    data: *const u8,
    data_length: usize,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        // SAFETY: `data` has `data_length` bytes: our own contract.
        let data = unsafe { view(data, data_length)? };
        let answer = match answer {
            CACHED_HTTP_STORAGE_FOUND => StorageAnswer::Found(data.to_vec()),
            CACHED_HTTP_STORAGE_MISSING => StorageAnswer::Missing,
            CACHED_HTTP_STORAGE_DONE => StorageAnswer::Done,
            CACHED_HTTP_STORAGE_FAILED => StorageAnswer::Failed(String::from_utf8_lossy(data).into_owned()),
            _ => return Err(Status::InvalidArgument),
        };
        match engine.storage_answered(RequestId(request), answer) {
            true => Ok(Status::Ok),
            false => Err(Status::Gone),
        }
    })
}
