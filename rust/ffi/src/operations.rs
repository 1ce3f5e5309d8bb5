//! What an operator can ask of an engine, and have done.

use cached_http_core::engine::operations::{AskMode, Asked, NotTaken, normal_form};
use cached_http_core::operations::Operation;
use cached_http_core::single_flight::Token;

use crate::boundary::guarded;
use crate::bytes::{Buffer, explain, optional_output, view};
use crate::handles::{LOOKUP_CONFIGS, LookupConfigHandle};
use crate::lookup::client_kind;
use crate::status::Status;

/// A `mode`: whatever is known, the backend is asked now. What is held is served until a newer one is accepted; a
/// back-off is by-passed.
pub const CACHED_HTTP_ASK_REFRESH: u32 = 1;
/// A `mode`: the backend is asked for what is not held and fresh.
pub const CACHED_HTTP_ASK_PREFETCH: u32 = 2;

/// Carries out an operation: `PENDING`, and one event `ANSWERED` with `token`, which is not 0. `operation` is JSON, one of
///
/// - `{"names": {"prefix", "state", "limit", "cursor"}}`, all but `limit` optional: `{"names": [...], "cursor"}`;
/// - `{"inspect": {"name"}}`: what is known of the name;
/// - `{"purge": {"names": [...]}}`, `{"purge_all": {}}`: `{"purged": N}`, once they are gone from memory and disk;
/// - `{"sync": {}}`: `{}`, once all that was to be written to disk is there;
/// - `{"share_text": {"about", "text"}}`, `{"shared_text": {"about"}}`: a text that the nodes of a fleet have in common.
///
/// `rust/core/src/operations.rs` has their fields. `INVALID_ARGUMENT` with a `message` (may be NULL), for the caller to free,
/// if it is none; `OVERLOADED` if too many are under way.
///
/// # Safety
/// `operation` points to `operation_length` readable bytes; `message` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_operate(
    config: LookupConfigHandle,
    operation: *const u8,
    operation_length: usize,
    token: u64,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let open = LOOKUP_CONFIGS.find(config)?;
        // SAFETY: the input has as many bytes as its length says, the output is NULL or writable: our own contract.
        let (json, message) = unsafe { (view(operation, operation_length)?, optional_output(message)) };
        if token == 0 {
            return Err(Status::InvalidArgument);
        }
        let operation = Operation::from_json(json)
            .map_err(|reason| explain(message, Status::InvalidArgument, &reason))?;
        match open.engine.operate(&open.config, operation, Token(token)) {
            Ok(()) => Ok(Status::Pending),
            Err(NotTaken::Busy) => Err(Status::Overloaded),
            Err(NotTaken::Closed) => Err(Status::Closed),
        }
    })
}

/// Asks the backend for a name as clients with these `hello_flags` would: `PENDING`, and one event `FINISHED` with `token`,
/// which is not 0. With `mode` `PREFETCH`, `HIT` or `UNSUPPORTED_KEY_TYPE` if what is held makes the request needless, and
/// `OVERLOADED` if too much waits to be written to disk: ask again in a moment. With `REFRESH`, `MISS` if there is nothing of
/// this kind to refresh; a name that is not known is asked for as by clients that can use ECDSA. `INVALID_NAME` with a
/// `message` (may be NULL), for the caller to free.
///
/// # Safety
/// `server_name` points to `server_name_length` readable bytes; `message` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_ask(
    config: LookupConfigHandle,
    server_name: *const u8,
    server_name_length: usize,
    hello_flags: u32,
    mode: u32,
    token: u64,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let open = LOOKUP_CONFIGS.find(config)?;
        // SAFETY: the input has as many bytes as its length says, the output is NULL or writable: our own contract.
        let (name, message) = unsafe { (view(server_name, server_name_length)?, optional_output(message)) };
        let mode = match mode {
            CACHED_HTTP_ASK_REFRESH => AskMode::Refresh,
            CACHED_HTTP_ASK_PREFETCH => AskMode::Prefetch,
            _ => return Err(Status::InvalidArgument),
        };
        if token == 0 {
            return Err(Status::InvalidArgument);
        }
        Ok(match open.engine.ask(&open.config, name, client_kind(hello_flags), mode, Token(token)) {
            Asked::Pending => Status::Pending,
            Asked::Held => Status::Hit,
            Asked::UnsupportedKeyType => Status::UnsupportedKeyType,
            Asked::Busy => Status::Overloaded,
            Asked::NothingHeld => Status::Miss,
            Asked::InvalidName(invalid) => explain(message, Status::InvalidName, &invalid),
            Asked::Closed => Status::Closed,
        })
    })
}

/// Whether a name is one that operations take: `OK`, or `INVALID_NAME` with a `message` (may be NULL), for the caller to free.
///
/// # Safety
/// `name` points to `name_length` readable bytes; `message` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_check_name(
    name: *const u8,
    name_length: usize,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        // SAFETY: the input has as many bytes as its length says, the output is NULL or writable: our own contract.
        let (name, message) = unsafe { (view(name, name_length)?, optional_output(message)) };
        Ok(match normal_form(name) {
            Ok(_) => Status::Ok,
            Err(invalid) => explain(message, Status::InvalidName, &invalid),
        })
    })
}
