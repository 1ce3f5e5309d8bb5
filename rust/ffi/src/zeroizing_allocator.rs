//! Memory is wiped when it is freed. Key material passes through buffers that are not ours to wipe: those of the
//! HTTP client, the TLS library and the PEM reader, and every vector that grew. This catches them all; it covers
//! Rust's heap only.

use std::alloc::{GlobalAlloc, Layout, System};

struct ZeroizingAllocator;

#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator;

// SAFETY: every call goes on to the system's allocator with the arguments it came with; wiping happens while the
// memory is still owned. `realloc` is the trait's own: allocate, copy, and free (which wipes).
unsafe impl GlobalAlloc for ZeroizingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller owns `layout.size()` bytes until the second line gives them back.
        unsafe {
            wipe(memory, layout.size());
            System.dealloc(memory, layout);
        }
    }
}

/// Keeps the C library from making an arena of its own for every thread that fetches: each keeps what it once
/// held, so that a storm's memory would never be given back. Go does not allocate there.
pub(crate) fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, MAX_ARENAS);
    }
}

#[cfg(target_env = "gnu")]
const MAX_ARENAS: libc::c_int = 2;

/// Writes zeros with a call that the compiler may not drop, unlike a write to memory that is about to be freed.
///
/// # Safety
/// `memory` points to `size` writable bytes.
unsafe fn wipe(memory: *mut u8, size: usize) {
    #[cfg(target_vendor = "apple")]
    // SAFETY: the caller vouches for it.
    unsafe {
        libc::memset_s(memory.cast(), size, 0, size);
    }
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: the caller vouches for it.
    unsafe {
        libc::explicit_bzero(memory.cast(), size);
    }
}
