//! What an engine has counted, as one struct. `build.rs` makes it from the list in `rust/core/src/counters.rs`.

use cached_http_core::counters::{CountersSnapshot, FETCH_TIME_BOUNDS_MS, FetchTimes, Sizes};

use crate::boundary::guarded;
use crate::handles::{EngineHandle, open_engine};
use crate::status::Status;

include!(concat!(env!("OUT_DIR"), "/counters_view.rs"));

/// How many bounds `cached_http_fetch_time_bounds_ms` has.
pub const CACHED_HTTP_FETCH_TIME_BOUNDS: usize = 11;
/// How many numbers `fetch_times` has: one for each bound, and one for what took longer.
pub const CACHED_HTTP_FETCH_TIME_BUCKETS: usize = 12;

/// The upper bounds of `fetch_times`, in milliseconds.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "all that is global begins alike")]
pub static cached_http_fetch_time_bounds_ms: [u64; CACHED_HTTP_FETCH_TIME_BOUNDS] = FETCH_TIME_BOUNDS_MS;

/// Reads an engine's totals and sizes. `counters->size` must be set.
///
/// # Safety
/// `counters` is NULL, or its `size` is set and as many bytes from it are the caller's to write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_engine_counters(
    engine: EngineHandle,
    counters: *mut CountersView,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        if counters.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not NULL, so at least the first field is readable and set, in every version of the struct.
        let size = unsafe { (&raw const (*counters).size).read() };
        if size != size_of::<CountersView>() {
            return Err(Status::InvalidArgument);
        }
        let view = CountersView::new(&engine.counters(), &engine.sizes(), engine.fetch_times());
        // SAFETY: `size` says that there is room for this struct.
        unsafe { counters.write(view) };
        Ok(Status::Ok)
    })
}
