//! Running totals, read as one snapshot.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Lookups answered from memory with "no such name".
    negative_hits,
    /// Lookups that started or joined a fetch.
    misses,
    /// Lookups refused for their server name.
    refused_names,
    /// Requests made to the origin.
    fetches,
    /// Requests that gave no answer.
    fetch_errors,
    /// 204 answers.
    not_found,
    /// Bundles refused, here or by the host.
    refused_bundles,
    /// Misses answered from disk.
    disk_hits,
    /// Entries written to disk.
    disk_writes,
    /// Reads and writes that the disk refused, and entries that were damaged.
    disk_errors,
    /// Entries that left memory: for want of room, for a newer one, or because the origin no longer has the name.
    evictions,
    /// Lookups turned away by a full queue.
    overloaded,
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
