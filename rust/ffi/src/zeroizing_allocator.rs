//! Memory is wiped when it is freed. Key material passes through buffers that are not ours to wipe: those of the
//! HTTP client, the TLS library and the PEM reader, and every vector that grew. This catches them all; it covers
//! Rust's heap only.

use std::alloc::{GlobalAlloc, Layout, System};

struct ZeroizingAllocator;

#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator;

// SAFETY: memory comes from the system's allocator and goes back to it with the layout it came with; wiping happens while
// it is still owned. `realloc` is the trait's own: allocate, copy, and free (which wipes).
unsafe impl GlobalAlloc for ZeroizingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the trait has our caller promise that the layout's size is not 0, which is all that System asks.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` is a block of `layout.size()` bytes that System gave for this layout, and that nobody uses any
        // more; the second line ends its life.
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
    // SAFETY: mallopt takes no pointers, and locks what it changes: any thread may call it at any time.
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
    // SAFETY: the `size` bytes are writable.
    unsafe {
        libc::memset_s(memory.cast(), size, 0, size);
    }
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: the `size` bytes are writable.
    unsafe {
        libc::explicit_bzero(memory.cast(), size);
    }
}
