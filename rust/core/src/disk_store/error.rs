//! What can go wrong on the disk: what was tried, with which path, why, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk_format::FormatError;

/// Why the directory can't be used or a file not read, written or removed. The cause is the error's source, and
/// its text has all of it. Nothing of what a file holds is quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system's answer to one operation.
    #[error("can't {action} {path}: {source}")]
    Io {
        /// What was tried, in words that a path can follow.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The path of the cache directory depends on where the process runs.
    #[error("{0} is not an absolute path")]
    NotAbsolute(PathBuf),
    /// Somebody else could read or plant keys here.
    #[error("the directory {path} can't be trusted with private keys: {reason}")]
    UnsafeDirectory {
        /// The cache directory or one below it.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// It was there before: perhaps a file system that is no longer mounted.
    #[error("the cache directory {0} is gone; mount or make it again, and entries are kept again")]
    DirectoryGone(PathBuf),
    /// All entries together would take more than `max_disk`, even without those that could be removed.
    #[error("can't write to {path}: max_disk ({limit} bytes) leaves no room; raise it")]
    NoRoom {
        /// The entries of the backend.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The entry has no text that could be written.
    #[error("can't write {path}: {source}")]
    Encode {
        /// The entry's file.
        path: PathBuf,
        /// What is wrong with the entry.
        source: FormatError,
    },
    /// A file of ours was changed or cut since it was written.
    #[error("{path} is not used: {source}; removed")]
    Damaged {
        /// The file that was there.
        path: PathBuf,
        /// What is wrong with its text.
        source: FormatError,
    },
    /// As [`DiskError::Damaged`], but the file can't be removed.
    #[error("{path} is not used: {damage}; it can't be removed: {source}")]
    DamagedAndKept {
        /// The file that is there.
        path: PathBuf,
        /// What is wrong with its text.
        damage: FormatError,
        /// Why it is there still.
        source: io::Error,
    },
    /// Something is there that this store didn't write; it is not touched.
    #[error("{path} is not used: {reason}; it is left there until the name's next write replaces it")]
    NotOurs {
        /// Where it is.
        path: PathBuf,
        /// What is unusual about it.
        reason: &'static str,
    },
}

impl DiskError {
    /// For `map_err`: what was tried with which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| DiskError::Io { action, path: path.to_owned(), source }
    }
}
