//! Memory of this process, in KiB; 0 where it can't be read.

use std::fs;

/// What it holds now.
pub fn resident_kib() -> i64 {
    field("VmRSS:")
}

/// The most it held since [`reset_peak`].
pub fn peak_kib() -> i64 {
    field("VmHWM:")
}

/// Forgets the peak; returns what it holds now.
pub fn reset_peak() -> i64 {
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak_kib()
}

fn field(name: &str) -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
