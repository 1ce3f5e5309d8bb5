//! Entries, stores and a look at their files, for all tests here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::{DiskError, DiskStore};
use cached_http_core::entry::{ClientKind, EntryKey, ResponseMetadata};
use cached_http_core::freshness::{FreshnessLifetime, FreshnessSettings, ResponseFreshness};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const BACKEND: &str = "https://backend.example/certificates";

pub(crate) fn key() -> EntryKey {
    EntryKey { name: "shop.example.com".into(), client: ClientKind::Ecdsa }
}

/// An entry whose text says throughout which it is, and whose length differs from its neighbours'.
pub(crate) fn entry(number: u32) -> StoredEntry {
    let freshness = ResponseFreshness {
        lifetime: FreshnessLifetime::Explicit(Duration::from_secs(3_600)),
        must_revalidate: false,
    };
    let metadata = ResponseMetadata {
        fetched_at: Timestamp(u64::from(number)),
        freshness,
        etag: None,
        last_modified: None,
    };
    let pem = Zeroizing::new(format!("{number:>12}\n").repeat(300 + number as usize % 200).into_bytes());
    StoredEntry { key: key(), metadata, not_after: Timestamp(u64::MAX), pem }
}

/// An entry of a name of its own, as [`entry`].
pub(crate) fn entry_of(number: u32) -> StoredEntry {
    StoredEntry { key: numbered(number), ..entry(number) }
}

pub(crate) fn numbered(number: u32) -> EntryKey {
    EntryKey { name: format!("shop-{number}.example.com").into(), ..key() }
}

/// Sweeps one whole round, and on while there is more to do; the entries removed as ended and evicted.
pub(crate) fn sweep_all(store: &DiskStore, now: u64, settings: &[FreshnessSettings]) -> (u64, u64) {
    let (mut ended, mut evicted) = (0, 0);
    for step in 0.. {
        let report = store.sweep_step(Timestamp(now), settings).unwrap();
        (ended, evicted) = (ended + report.ended, evicted + report.evicted);
        if step >= 256 && !report.more {
            break;
        }
    }
    (ended, evicted)
}

/// The space of all entries, each in whole blocks.
pub(crate) fn space_of(directory: &Path) -> u64 {
    let lengths = files_below(&directory.join("entries"));
    lengths.iter().map(|file| fs::metadata(file).unwrap().len().next_multiple_of(4096)).sum()
}

/// How often something is repeated: more in a full run, `DISK_PROOFS=full`.
pub(crate) fn times(quick: u32, full: u32) -> u32 {
    if std::env::var("DISK_PROOFS").is_ok_and(|size| size == "full") { full } else { quick }
}

/// A directory to be made, and the parent that removes it at the end.
pub(crate) fn fresh() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("certs");
    (parent, directory)
}

pub(crate) fn open(directory: &Path) -> DiskStore {
    DiskStore::open(directory, BACKEND).unwrap()
}

pub(crate) fn message<T>(result: Result<T, DiskError>) -> String {
    result.err().expect("it was not rejected").to_string()
}

pub(crate) fn entry_file(directory: &Path) -> PathBuf {
    let files = files_below(&directory.join("entries"));
    assert_eq!(files.len(), 1);
    files[0].clone()
}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // Nothing is made before the first write.
    for found in fs::read_dir(directory).into_iter().flatten().map(|found| found.unwrap()) {
        match found.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&found.path())),
            false => files.push(found.path()),
        }
    }
    files
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}
