//! Memory that crosses: views in, owned buffers out.

use crate::status::Status;

/// Bytes that this library hands out. They belong to the caller from then on, who gives them back once with
/// `cached_http_buffer_free`; copying the struct does not copy the bytes. An empty one is all zero and may be
/// freed too.
///
/// In Go: `defer C.cached_http_buffer_free(buffer)`, and copy with `C.GoBytes(buffer.data, ...)`.
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

/// Tokens that this library hands out; as [`Buffer`], with `cached_http_tokens_free`.
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
/// `data` is NULL, or `length` bytes from it are readable and unchanged while the result is used.
pub(crate) unsafe fn view<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Status> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Status::InvalidArgument),
        (false, _) if length > MAX_INPUT_LENGTH => Err(Status::InvalidArgument),
        // SAFETY: not NULL, and the caller vouches for `length` bytes.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Views an output the caller must provide.
///
/// # Safety
/// `output` is NULL, or points to a `T` that nobody else touches while the result is used.
pub(crate) unsafe fn output<'a, T>(output: *mut T) -> Result<&'a mut T, Status> {
    // SAFETY: the caller vouches for it; NULL becomes None.
    unsafe { output.as_mut() }.ok_or(Status::InvalidArgument)
}

/// Settings with a certificate bundle are the longest input; a wild length is caught here.
const MAX_INPUT_LENGTH: usize = 16 << 20;

/// Frees what an output buffer holds. NULL is fine; any thread; never blocks.
///
/// # Safety
/// `buffer` came from this library and is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_buffer_free(buffer: Buffer) {
    if !buffer.data.is_null() {
        // SAFETY: `into_raw_parts` took these from a Vec<u8>, and the caller gives them back once.
        drop(unsafe { Vec::from_raw_parts(buffer.data, buffer.length, buffer.capacity) });
    }
}

/// Frees a list of tokens. NULL is fine; any thread; never blocks.
///
/// # Safety
/// `tokens` came from this library and is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_tokens_free(tokens: Tokens) {
    if !tokens.data.is_null() {
        // SAFETY: `into_raw_parts` took these from a Vec<u64>, and the caller gives them back once.
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
