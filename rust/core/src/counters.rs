//! Running totals, read as one snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Totals since the engine was opened. Each is exact; together they are not one instant.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
        }

        /// The values of [`Counters`] when they were read.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CountersSnapshot {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counters {
            /// Reads them all.
            pub fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.$name.value(),)+ }
            }
        }
    };
}

counters! {
    /// Lookups answered from memory with a fresh certificate.
    hits,
    /// Lookups answered with a certificate past its lifetime.
    stale_hits,
    /// Lookups answered from memory with "no such name".
    negative_hits,
    /// Lookups that started or joined a fetch.
    misses,
    /// Lookups rejected for their server name.
    invalid_names,
    /// 200 answers.
    found,
    /// Requests for a newer certificate while the kept one is served.
    refreshes,
    /// 304 answers.
    not_modified,
    /// Lookups turned away because the backend failed lately.
    backed_off,
    /// Requests that gave no answer.
    fetch_errors,
    /// 204 answers.
    no_certificate,
    /// Bundles rejected, here or by the host.
    invalid_bundles,
    /// Misses answered from disk.
    disk_hits,
    /// Entries written to disk.
    disk_writes,
    /// Reads and writes that the disk rejected, and entries that were damaged.
    disk_errors,
    /// Entries that left memory: for want of room, for a newer one, or because the backend no longer has the name.
    evictions,
    /// Lookups turned away by a full queue.
    overloaded,
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
