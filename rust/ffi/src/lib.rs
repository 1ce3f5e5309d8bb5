//! The C ABI of the certificate engine: the only unsafe code of this project.
//!
//! Conventions, for every export:
//! - It returns a [`status::Status`], but for the four that can't fail: the two that free, `cached_http_live_handles`
//!   and `cached_http_abi_5`.
//! - Outputs go through pointers. They need not be set before, don't overlap, and are written only when the call
//!   succeeds. The one exception is `message`, the reason for a status: it is written with the statuses that the function
//!   names, and left alone otherwise. So set it to zero before, and free it after.
//! - NULL with length 0 is an empty input; NULL with a length is `INVALID_ARGUMENT`, and so is a NULL output, but for
//!   `message`.
//! - Inputs stay the caller's, and are read during the call only. What is handed out stands on its type:
//!   [`bytes::Buffer`], [`bytes::Tokens`], and the handles of [`handles`].
//! - A panic inside becomes `PANIC` at the boundary; it never crosses it.
//! - A call on a handle that is closed, or was never given out, returns `CLOSED`.
//! - Any thread may call anything, and nothing waits, but for opening and resizing, which look at folders and read key
//!   files: what takes time ends with an event. The events of an engine have one taker at a time.
#![deny(
    clippy::exit,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::mem_forget,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]
// Who writes to a closed stderr outside of Go's threads ends the process by SIGPIPE.
#![deny(clippy::dbg_macro, clippy::print_stderr, clippy::print_stdout)]

mod boundary;
pub mod bytes;
pub mod counters;
pub mod engine;
pub mod entries;
pub mod events;
pub mod handles;
pub mod lookup;
pub mod operations;
pub mod status;
pub mod storage;
mod zeroizing_allocator;
