//! Memory that crosses: views in, owned buffers out.
//!
//! A caller in C does what this one does. What it passes in stays its own; what it gets it copies, and gives back once.
//!
//! ```
//! use cached_http::bytes::{Buffer, cached_http_buffer_free};
//! use cached_http::engine::cached_http_engine_open;
//! use cached_http::status::Status;
//!
//! let settings = b"{}"; // lent for the call
//! let (mut engine, mut descriptor) = (0, 0);
//! let mut message = Buffer { data: std::ptr::null_mut(), length: 0, capacity: 0 };
//! // SAFETY: the bytes outlive the call, and the outputs are three places of our own.
//! let status = unsafe {
//!     cached_http_engine_open(settings.as_ptr(), settings.len(), &mut engine, &mut descriptor, &mut message)
//! };
//! assert_eq!(status, Status::SettingsRejected); // so `message` was written, and nothing else
//! assert_eq!((engine, descriptor), (0, 0));
//!
//! // SAFETY: the buffer is ours until it is freed, and not looked at after.
//! let reason = unsafe { std::slice::from_raw_parts(message.data, message.length) }.to_vec();
//! unsafe { cached_http_buffer_free(message) };
//! assert!(String::from_utf8(reason)?.contains("missing"));
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

use std::mem::MaybeUninit;

use crate::status::Status;

/// Bytes that this library hands out. It allocated them, and it alone can free them: they belong to the caller, who
/// gives them back once with `cached_http_buffer_free`. Copying the struct copies no bytes, so only one copy may be
/// given back. An empty one is all zero; to free it does nothing.
///
/// Bytes never go the other way in this struct: what the caller passes in is a pointer and a length, stays the
/// caller's, and is read during the call only.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// The first byte, or NULL.
    pub data: *mut u8,
    /// How many bytes there are.
    pub length: usize,
    /// How many were allocated; for the free function only.
    pub capacity: usize,
}

/// Tokens that this library hands out. They belong to the caller, as the bytes of a buffer do, and are given back once
/// with `cached_http_tokens_free`.
#[repr(C)]
#[derive(Debug)]
pub struct Tokens {
    /// The first token, or NULL.
    pub data: *mut u64,
    /// How many tokens there are.
    pub length: usize,
    /// How many were allocated; for the free function only.
    pub capacity: usize,
}

impl Buffer {
    pub(crate) const EMPTY: Buffer = Buffer { data: std::ptr::null_mut(), length: 0, capacity: 0 };
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        let (data, length, capacity) = into_raw_parts(bytes);
        Buffer { data, length, capacity }
    }
}

impl From<Vec<u64>> for Tokens {
    fn from(tokens: Vec<u64>) -> Self {
        let (data, length, capacity) = into_raw_parts(tokens);
        Tokens { data, length, capacity }
    }
}

/// NULL for an empty vector: its dangling pointer would trip Go's checks.
fn into_raw_parts<T>(vector: Vec<T>) -> (*mut T, usize, usize) {
    if vector.is_empty() {
        return (std::ptr::null_mut(), 0, 0);
    }
    let mut vector = std::mem::ManuallyDrop::new(vector);
    (vector.as_mut_ptr(), vector.len(), vector.capacity())
}

/// Views what a caller passes as pointer and length.
///
/// # Safety
/// `data` is NULL, or `length` bytes from it are readable, and nobody changes them while the result is used.
pub(crate) unsafe fn view<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Status> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Status::InvalidArgument),
        (false, _) if length > MAX_INPUT_LENGTH => Err(Status::InvalidArgument),
        // SAFETY: not NULL, so `length` bytes are readable and unchanged; they are less than `isize::MAX`.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Views an output that the caller must provide. It may hold anything: C does not set what it passes to be set.
///
/// # Safety
/// `output` is NULL, or points to room for a `T` that nobody else touches while the result is used.
pub(crate) unsafe fn output<'a, T>(output: *mut T) -> Result<&'a mut MaybeUninit<T>, Status> {
    // SAFETY: as for `optional_output`.
    unsafe { optional_output(output) }.ok_or(Status::InvalidArgument)
}

/// Views an output that the caller may leave out.
///
/// # Safety
/// As for [`output`].
pub(crate) unsafe fn optional_output<'a, T>(output: *mut T) -> Option<&'a mut MaybeUninit<T>> {
    // SAFETY: NULL becomes None; otherwise there is room for a `T`, which need not be set, and nobody else uses it.
    unsafe { output.cast::<MaybeUninit<T>>().as_mut() }
}

/// Hands the reason out with a status, if the caller wants it.
pub(crate) fn explain(
    message: Option<&mut MaybeUninit<Buffer>>,
    status: Status,
    reason: &dyn std::fmt::Display,
) -> Status {
    if let Some(message) = message {
        message.write(Buffer::from(reason.to_string().into_bytes()));
    }
    status
}

/// Settings with certificates and what a storage has are the longest inputs; a wild length is caught here.
const MAX_INPUT_LENGTH: usize = 16 << 20;

/// Frees what a buffer holds. An empty one is fine; any thread; never blocks.
///
/// # Safety
/// `buffer` is as this library handed it out, and is given back once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_buffer_free(buffer: Buffer) {
    if !buffer.data.is_null() {
        // SAFETY: unchanged since `into_raw_parts` took it apart, a `Vec<u8>`, and nobody else owns it any more.
        drop(unsafe { Vec::from_raw_parts(buffer.data, buffer.length, buffer.capacity) });
    }
}

/// Frees a list of tokens. An empty one is fine; any thread; never blocks.
///
/// # Safety
/// `tokens` is as this library handed it out, and is given back once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_tokens_free(tokens: Tokens) {
    if !tokens.data.is_null() {
        // SAFETY: unchanged since `into_raw_parts` took it apart, a `Vec<u64>`, and nobody else owns it any more.
        drop(unsafe { Vec::from_raw_parts(tokens.data, tokens.length, tokens.capacity) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_empty_only_without_a_length() {
        // SAFETY: NULL is allowed.
        let views = unsafe { (view(std::ptr::null(), 0), view(std::ptr::null(), 1)) };
        assert_eq!(views, (Ok(&[][..]), Err(Status::InvalidArgument)));
    }

    #[test]
    fn buffers_go_out_and_come_back() {
        let buffer = Buffer::from(vec![1, 2, 3]);
        assert_eq!(buffer.length, 3);
        let empty = Buffer::from(Vec::with_capacity(8));
        assert!(empty.data.is_null() && empty.capacity == 0);
        // SAFETY: each came from here and is freed once.
        unsafe {
            cached_http_buffer_free(buffer);
            cached_http_buffer_free(empty);
            cached_http_tokens_free(Tokens::from(vec![7]));
        }
    }
}
