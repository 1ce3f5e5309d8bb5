//! Running totals, read as one snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;

macro_rules! counters {
    (
        totals { $($(#[$total_doc:meta])* $total:ident,)+ }
        sizes { $($(#[$size_doc:meta])* $size:ident: $type:ty,)+ }
    ) => {
        /// Totals since the engine was opened. Each is exact; together they are not one instant.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$total_doc])* pub $total: Counter,)+
        }

        /// The values of [`Counters`] when they were read.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CountersSnapshot {
            $($(#[$total_doc])* pub $total: u64,)+
        }

        /// What an engine holds at a moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Sizes {
            $($(#[$size_doc])* pub $size: $type,)+
        }

        impl Counters {
            /// Reads them all.
            pub fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($total: self.$total.value(),)+ }
            }
        }
    };
}

// The one list of what is counted. From it `rust/ffi/build.rs` also makes the C struct and its Go counterpart, so it
// reads these lines: a doc comment, then `name,` for a total, `name: TYPE,` for a size: `u64`, `bool` or `Option<Timestamp>`. After a change
// run `make header`.
counters! {
    totals {
        /// Lookups answered from memory with a fresh certificate.
        hits,
        /// Lookups answered with a certificate past its lifetime.
        stale_hits,
        /// Lookups answered from memory with "no such name".
        negative_hits,
        /// Lookups answered from memory with "of a kind that this client can't use".
        unsupported_hits,
        /// Lookups that started or joined a fetch.
        misses,
        /// Lookups rejected for their server name.
        invalid_names,
        /// Lookups turned away because the backend failed lately.
        backed_off,
        /// Lookups turned away for want of a worker.
        overloaded,
        /// 200 answers.
        found,
        /// 304 answers.
        not_modified,
        /// 204 answers.
        no_certificate,
        /// Requests that gave no answer.
        fetch_errors,
        /// Requests for a newer certificate while the stored one is served.
        refreshes,
        /// Bundles rejected, here or by the host.
        invalid_bundles,
        /// Misses answered from disk.
        disk_hits,
        /// Entries written to disk.
        disk_writes,
        /// Reads and writes that the disk rejected, and entries that were damaged.
        disk_errors,
        /// Entries evicted from memory for lack of room.
        evictions,
        /// Certificates taken from the fleet's storage in place of a request to the backend.
        fleet_adopted,
        /// Names that the fleet's storage was asked for and does not have.
        fleet_missing,
        /// Certificates sealed and written to the fleet's storage.
        fleet_sealed,
        /// Operations that the fleet's storage failed, or has not answered in time.
        fleet_failures,
        /// Operations not begun: the storage fails, or too many wait for it.
        fleet_skipped,
        /// Records that can't be opened: damaged, cut, or moved from another key.
        fleet_damaged,
        /// Records sealed with a key that this node does not have.
        fleet_unknown_key,
        /// Records that were opened and may not be served.
        fleet_unfit,
        /// Purges by other nodes, carried out here.
        fleet_purges,
    }
    sizes {
        /// Entries in memory.
        entries: u64,
        /// Bytes of entries in memory.
        entry_bytes: u64,
        /// Negatives in memory.
        negatives: u64,
        /// Names whose last fetch failed, as far as they are remembered.
        failing_names: u64,
        /// Whether no name is asked for, since the backend failed for one after the other.
        breaker_is_open: bool,
        /// When the first certificate ends of those that were asked for in the last minutes.
        first_certificate_end: Option<Timestamp>,
        /// When the first of them is served no more if its refresh goes on failing.
        first_bridge_end: Option<Timestamp>,
        /// Entries in the cache directory, as last counted; zero without one, and before it was first used.
        disk_entries: u64,
        /// Bytes of entries in the cache directory, in whole blocks.
        disk_bytes: u64,
        /// Whether reads or writes of the fleet's storage are left alone, since they fail.
        fleet_breaker_is_open: bool,
        /// Operations of the fleet's storage that have not returned, those included that nobody waits for any more.
        fleet_operations: u64,
        /// What waits to be written to the fleet's storage.
        fleet_writes: u64,
        /// When the purges of other nodes were last read.
        fleet_purges_read_at: Option<Timestamp>,
    }
}

/// How long requests to the backend took. Thread-safe.
#[derive(Default)]
pub struct FetchTimes {
    buckets: [Counter; FETCH_TIME_BOUNDS_MS.len() + 1],
    total_us: Counter,
}

/// Upper bounds of all buckets but the last, in milliseconds.
pub const FETCH_TIME_BOUNDS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

impl FetchTimes {
    /// Adds a request that took this long.
    pub fn record(&self, duration: Duration) {
        let within = |bound: &u64| duration <= Duration::from_millis(*bound);
        let bucket = FETCH_TIME_BOUNDS_MS.iter().position(within).unwrap_or(FETCH_TIME_BOUNDS_MS.len());
        self.buckets[bucket].increment();
        self.total_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Requests per bucket (not summed up), and the microseconds of all together.
    pub fn snapshot(&self) -> ([u64; FETCH_TIME_BOUNDS_MS.len() + 1], u64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].value()), self.total_us.value())
    }
}

/// A total that only grows. Thread-safe.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The total so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
