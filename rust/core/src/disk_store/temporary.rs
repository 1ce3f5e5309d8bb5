//! Files while they are written: in one folder of their own, so that what a killed process leaves is found
//! without walking the entries.
//!
//! A writer holds a lock (`flock`) on its file until it is renamed. The system lets go of it when the process ends,
//! however it ends: what can be locked has no writer any more, and goes at the next sweep, in whichever process.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{DiskError, directory, directory_of, shard};

/// Where locks are not supported, how long a temporary file may lie before it is taken for abandoned.
const UNLOCKED_LIFETIME: Duration = Duration::from_secs(600);

const PREFIX: &str = "entry-";
const SUFFIX: &str = ".tmp";
const PURGED: &str = "purged-";
/// Bounds one sweep; a folder fuller than this is emptied by several.
const MAX_LOOKED_AT: usize = 10_000;

/// Writes and syncs a new file, 0600 at any umask, ready to be renamed. It is gone after an error or a drop.
/// `modified` becomes its time of modification, as far as the file system keeps it.
pub(super) fn write(folder: &Path, text: &[u8], modified: SystemTime) -> Result<NamedTempFile, DiskError> {
    let write = || -> io::Result<NamedTempFile> {
        let mut file = create(folder)?;
        file.write_all(text)?;
        file.as_file().set_modified(modified)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(DiskError::io("write a file in", folder))
}

/// Removes what ended processes left; a folder that isn't there is empty.
pub(super) fn sweep(folder: &Path) -> Result<(), DiskError> {
    let is_ours = |name: &&OsString| is_named(name, PREFIX, SUFFIX);
    for name in names(folder)?.iter().filter(is_ours).take(MAX_LOOKED_AT) {
        let path = folder.join(name);
        // What can't be removed now is met again by the next sweep. The lock is held until it is gone.
        if let Ok(_lock) = lock_abandoned(&path) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// Puts a directory of entries where [`remove_purged`] finds it; `None` if there was none.
pub(super) fn put_away(entries: &Path, folder: &Path) -> Result<Option<PathBuf>, DiskError> {
    let purged = folder.join(format!("{PURGED}{:016x}", fastrand::u64(..)));
    match fs::rename(entries, &purged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(DiskError::io("remove", entries))?,
    }
    for directory in [directory_of(entries), folder] {
        directory::sync(directory).map_err(DiskError::io("sync", directory))?;
    }
    Ok(Some(purged))
}

/// Removes up to `budget` files of what was put away; what is left of the budget.
pub(super) fn remove_purged(folder: &Path, mut budget: usize) -> Result<usize, DiskError> {
    for name in names(folder)?.iter().filter(|name| is_named(name, PURGED, "")) {
        let path = folder.join(name);
        budget = shard::remove_tree(&path, budget).map_err(DiskError::io("remove", &path))?;
    }
    Ok(budget)
}

fn names(folder: &Path) -> Result<Vec<OsString>, DiskError> {
    directory::names(folder).map_err(DiskError::io("read", folder))
}

fn is_named(name: &OsStr, prefix: &str, suffix: &str) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

fn create(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?;
        // tempfile asks for 0600; a umask may have taken bits of it.
        file.as_file().set_permissions(Permissions::from_mode(0o600))?;
        match flock(file.as_file(), FlockOperation::LockExclusive) {
            Ok(()) => {}
            Err(error) if is_unsupported(error) => return Ok(file),
            Err(error) => return Err(error.into()),
        }
        // A sweep may have been faster than the lock.
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// The lock of a file whose writer has ended.
fn lock_abandoned(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if is_unsupported(error) && is_old(&file)? => Ok(file),
        Err(error) => Err(error.into()),
    }
}

fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

fn is_old(file: &File) -> io::Result<bool> {
    let status = file.metadata()?;
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(status.ctime().unsigned_abs());
    Ok(changed.elapsed().is_ok_and(|age| age > UNLOCKED_LIFETIME))
}
