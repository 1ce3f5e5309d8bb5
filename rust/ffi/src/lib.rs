//! The C ABI of the certificate engine: the only unsafe code of this project.
//!
//! Conventions, for every export:
//! - It returns a [`status::Status`]; outputs go through pointers and are written only on success.
//! - NULL with length 0 is an empty slice; NULL with a length is `INVALID_ARGUMENT`. A NULL output is too.
//! - A panic inside becomes `PANIC` at the boundary; it never crosses it.
//! - Inputs are borrowed for the call. What is handed out as a buffer belongs to this library and goes back
//!   through its free function.
//! - Handles are numbers, never zero and never reused. A call on a closed one returns `CLOSED`.
//! - Any thread may call anything, and nothing waits: what takes time ends with an event.

mod boundary;
pub mod bytes;
pub mod counters;
pub mod engine;
pub mod entries;
pub mod events;
pub mod handles;
pub mod lookup;
pub mod status;
mod zeroizing_allocator;
