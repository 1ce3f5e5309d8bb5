//! The one wall that every export stands behind.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use parking_lot::Mutex;

use crate::status::Status;

/// Runs the body of an export. A panic that left here would abort all of Caddy, so it becomes a status.
pub(crate) fn guarded(body: impl FnOnce() -> Result<Status, Status>) -> Status {
    // State that a panic may leave half-done sits behind locks that don't poison and guards that tell waiters.
    let body = || {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("export");
        body()
    };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status) | Err(status)) => status,
        Err(_) => Status::Panic,
    }
}

/// Replaces Rust's panic message, which goes to stderr and may quote data, by the place alone; the pump logs it.
pub(crate) fn collect_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        #[cfg(feature = "failpoints")]
        if let Ok(plan) = std::env::var("PLANTED_IN_EXPORTS") {
            let _ = fail::cfg("export", &plan); // by a C program, which can't say so itself
        }
        // A program that was linked without tables for unwinding ends here, when it starts, and not in the middle of traffic.
        let _ = catch_unwind(|| panic::resume_unwind(Box::new(())));
        panic::set_hook(Box::new(|info| {
            let place = info.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
            let mut places = PANICS.lock();
            if places.len() < MAX_PANICS {
                places.push(place);
            }
        }));
    });
}

/// Where panics happened, oldest first, `max` at most; the others stay for the next call.
pub(crate) fn take_panics(max: usize) -> Vec<String> {
    let mut places = PANICS.lock();
    let count = places.len().min(max);
    places.drain(..count).collect()
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
const MAX_PANICS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_leaves_its_place_only() {
        collect_panics();
        assert_eq!(guarded(|| panic!("planted, with a secret")), Status::Panic);
        assert_eq!(guarded(|| Err(Status::Closed)), Status::Closed);
        assert_eq!(guarded(|| Ok(Status::Ok)), Status::Ok);
        let places = take_panics(MAX_PANICS).join(" ");
        assert!(places.contains("boundary.rs:") && !places.contains("secret"), "{places}");
    }
}
