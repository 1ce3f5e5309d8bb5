//! Entries, stores and a look at their files, for all tests here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::{DiskError, DiskStore};
use cached_http_core::entry::{ClientKind, EntryKey, ResponseMetadata};
use cached_http_core::freshness::{FreshnessLifetime, ResponseFreshness};
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
    StoredEntry { key: key(), metadata, pem }
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
    for found in fs::read_dir(directory).unwrap().map(|found| found.unwrap()) {
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
