//! Files while they are written: in one folder of their own, so that what a killed process leaves is found
//! without walking the entries.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::DiskError;

/// How long a temporary file may lie before a later start takes it for abandoned.
pub const TEMPORARY_FILE_LIFETIME: Duration = Duration::from_secs(600);

const PREFIX: &str = "entry-";
const SUFFIX: &str = ".tmp";
/// Bounds a start's work; a folder fuller than this is emptied by several.
const MAX_LOOKED_AT: usize = 10_000;

/// Writes and syncs a new file, 0600 at any umask, ready to be renamed. It is gone after an error or a drop.
pub(super) fn write(folder: &Path, text: &[u8]) -> Result<NamedTempFile, DiskError> {
    let write = || -> io::Result<NamedTempFile> {
        let mut file = create(folder)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| DiskError::io("write a file in", folder, &error))
}

/// That files can be made here. A full disk is let pass: what is kept can be read, and it may be freed.
pub(super) fn probe(folder: &Path) -> Result<(), DiskError> {
    match create(folder).and_then(NamedTempFile::close) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Err(DiskError::io("write a file in", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Removes what a killed process left. A young file may be a live process's.
pub(super) fn sweep(folder: &Path) -> Result<(), DiskError> {
    let found = fs::read_dir(folder).map_err(|error| DiskError::io("read", folder, &error))?;
    for file in found.take(MAX_LOOKED_AT).flatten() {
        let name = file.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        // `metadata` of a directory entry does not follow symbolic links.
        if is_ours && file.metadata().is_ok_and(|found| is_abandoned(&found)) {
            // What can't be removed now is met again at the next start.
            let _ = fs::remove_file(file.path());
        }
    }
    Ok(())
}

fn create(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?;
    // tempfile asks for 0600; a umask may have taken bits of it.
    file.as_file().set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn is_abandoned(found: &Metadata) -> bool {
    let age = found.modified().ok().and_then(|modified| modified.elapsed().ok());
    !found.is_dir() && age.is_some_and(|age| age > TEMPORARY_FILE_LIFETIME)
}
