//! The one call of every handshake.

use cached_http_core::cache::{Lookup, UNUSABLE};
use cached_http_core::entry::ClientAbilities;
use cached_http_core::single_flight::Token;

use crate::boundary::guarded;
use crate::bytes::{Buffer, output, view};
use crate::engine::explain;
use crate::handles::{EntryNumber, INSTANCES, InstanceHandle};
use crate::status::Status;

/// Bit of `hello_flags`: the client can use ECDSA certificates.
pub const CACHED_HTTP_HELLO_ECDSA: u32 = 1;
/// Bit of `hello_flags`: the client can use Ed25519 certificates.
pub const CACHED_HTTP_HELLO_ED25519: u32 = 2;

/// Looks up the certificate for a server name. Never waits and does no I/O.
///
/// `server_name` is the SNI as the client sent it. With `token` 0 it only looks; another token joins, on a
/// miss, the fetch of the name (`PENDING`) and is told by one event `FINISHED`. Register the token before the
/// call. `query` holds the further query parameters for the origin, percent-encoded UTF-8, and is read on a
/// miss only. `entry` is written for `HIT` and `STALE`; `message` (may be NULL) for `REFUSED`, `BACKED_OFF` and
/// `FAILED`, for the caller to free.
///
/// # Safety
/// The inputs point to as many readable bytes as their lengths say; the outputs are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fetch_cached_cert(
    instance: InstanceHandle,
    server_name: *const u8,
    server_name_length: usize,
    hello_flags: u32,
    query: *const u8,
    query_length: usize,
    token: u64,
    entry: *mut EntryNumber,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let open = INSTANCES.find(instance)?;
        // SAFETY: passed on from the caller.
        let (server_name, query, entry) =
            unsafe { (view(server_name, server_name_length)?, view(query, query_length)?, output(entry)?) };
        let client = ClientAbilities {
            ecdsa: hello_flags & CACHED_HTTP_HELLO_ECDSA != 0,
            ed25519: hello_flags & CACHED_HTTP_HELLO_ED25519 != 0,
        };
        let query = std::str::from_utf8(query).map_err(|_| Status::InvalidArgument)?;
        let token = (token != 0).then_some(Token(token));
        Ok(match open.cache.lookup(&open.instance, server_name, client, query, token) {
            Lookup::Hit(id) => {
                *entry = id.0;
                Status::Hit
            }
            Lookup::Stale(id) => {
                *entry = id.0;
                Status::Stale
            }
            Lookup::Negative => Status::Negative,
            Lookup::Miss => Status::Miss,
            Lookup::Pending => Status::Pending,
            Lookup::Closed => Status::Closed,
            // SAFETY: passed on from the caller.
            Lookup::BackedOff(reason) => unsafe { explain(message, Status::BackedOff, &reason) },
            // SAFETY: passed on from the caller.
            Lookup::Refused(refusal) => unsafe { explain(message, Status::Refused, &refusal) },
            // SAFETY: passed on from the caller.
            Lookup::Unusable => unsafe { explain(message, Status::Failed, &UNUSABLE) },
        })
    })
}
