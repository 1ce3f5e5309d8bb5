//! The one call of every handshake.

use cached_http_core::engine::{Lookup, LookupRequest};
use cached_http_core::entry::ClientKind;
use cached_http_core::single_flight::Token;

use crate::boundary::guarded;
use crate::bytes::{Buffer, explain, optional_output, output, view};
use crate::handles::{EntryId, LOOKUP_CONFIGS, LookupConfigHandle};
use crate::status::Status;

/// Bit of `hello_flags`: the client can use ECDSA certificates.
pub const CACHED_HTTP_HELLO_ECDSA: u32 = 1;
/// Bit of `hello_flags`: the client can use Ed25519 certificates.
pub const CACHED_HTTP_HELLO_ED25519: u32 = 2;
/// Bit of `hello_flags`: another question about a handshake that has asked already. It is not counted, and is answered
/// for a moment by a 204 that must not be stored.
pub const CACHED_HTTP_LOOKUP_PEEK: u32 = 4;

/// What a client with these bits can use.
pub(crate) fn client_kind(hello_flags: u32) -> ClientKind {
    let has = |flag| hello_flags & flag != 0;
    match () {
        () if has(CACHED_HTTP_HELLO_ED25519) => ClientKind::Ed25519,
        () if has(CACHED_HTTP_HELLO_ECDSA) => ClientKind::Ecdsa,
        () => ClientKind::RsaOnly,
    }
}

/// Looks up the certificate for a server name. Never waits and does no I/O.
///
/// `server_name` is the SNI as the client sent it. With `token` 0 a miss starts nothing; another token joins, on a
/// miss, the fetch of the name (`PENDING`) and is told by one event `FINISHED`. Register the token before the
/// call. `query` holds the further query parameters for the backend, percent-encoded UTF-8, and is read on a
/// miss only. `entry` is written for `HIT` and `STALE`; `message` (may be NULL) for `INVALID_NAME` and
/// `BACKED_OFF`, for the caller to free.
///
/// # Safety
/// The inputs point to as many readable bytes as their lengths say; the outputs are NULL or writable, and don't overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fetch_cached_cert(
    config: LookupConfigHandle,
    server_name: *const u8,
    server_name_length: usize,
    hello_flags: u32,
    query: *const u8,
    query_length: usize,
    token: u64,
    entry: *mut EntryId,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let open = LOOKUP_CONFIGS.find(config)?;
        // SAFETY: the inputs have as many bytes as their lengths say, the outputs are writable and two places: our own
        // contract.
        let (server_name, query, entry, message) = unsafe {
            (
                view(server_name, server_name_length)?,
                view(query, query_length)?,
                output(entry)?,
                optional_output(message),
            )
        };
        let request = LookupRequest {
            server_name,
            client: client_kind(hello_flags),
            handshake_params: std::str::from_utf8(query).map_err(|_| Status::InvalidArgument)?,
            token: (token != 0).then_some(Token(token)),
            peek: hello_flags & CACHED_HTTP_LOOKUP_PEEK != 0,
        };
        Ok(match open.engine.lookup(&open.config, &request) {
            Lookup::Hit(id) => {
                entry.write(id.0);
                Status::Hit
            }
            Lookup::Stale(id) => {
                entry.write(id.0);
                Status::Stale
            }
            Lookup::Negative => Status::Negative,
            Lookup::Miss => Status::Miss,
            Lookup::Pending => Status::Pending,
            Lookup::Closed => Status::Closed,
            Lookup::BackedOff(reason) => explain(message, Status::BackedOff, &reason),
            Lookup::InvalidName(rejection) => explain(message, Status::InvalidName, &rejection),
            Lookup::UnsupportedKeyType => Status::UnsupportedKeyType,
        })
    })
}
