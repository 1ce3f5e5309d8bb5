//! Directories that are ours alone: made 0700 at any umask, and rejected if others could get in.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::{DiskError, directory_of};

/// The mode bits of everybody but the owner.
pub(super) const OTHERS: u32 = 0o077;
const PRIVATE: u32 = 0o700;

/// The user whose files are ours.
pub(super) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a directory if it is missing; rejects what is there if it is not a private directory.
pub(super) fn ensure(path: &Path) -> Result<(), DiskError> {
    ensure_by(make, path)
}

/// As [`ensure`]; makes missing parents too.
pub(super) fn ensure_with_parents(path: &Path) -> Result<(), DiskError> {
    ensure_by(make_with_parents, path)
}

fn ensure_by(make: impl Fn(&Path) -> io::Result<()>, path: &Path) -> Result<(), DiskError> {
    if is_private(path)? {
        return Ok(());
    }
    make(path).map_err(|error| DiskError::io("make the directory", path, &error))?;
    // Another process may have been faster, so what is there now is checked too.
    match is_private(path)? {
        true => Ok(()),
        false => Err(DiskError(format!("the directory {} is gone again", path.display()))),
    }
}

/// True if there is a directory that only our user can enter, false if there is nothing; anything else is
/// rejected.
pub(super) fn is_private(path: &Path) -> Result<bool, DiskError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(DiskError::io("look at", path, &error)),
    };
    let own_user = own_user();
    let mode = found.mode() & 0o7777;
    let path = path.display();
    let reason = if found.is_symlink() {
        format!("it is a symbolic link; name the directory itself, owned by uid {own_user} with mode 0700")
    } else if !found.is_dir() {
        format!("it is not a directory; wanted is one owned by uid {own_user} with mode 0700")
    } else if found.uid() != own_user {
        format!(
            "it is owned by uid {}, this process runs as uid {own_user}: chown -R {own_user} {path}",
            found.uid()
        )
    } else if mode & OTHERS != 0 {
        format!("its mode {mode:04o} lets others in, wanted is 0700: chmod 700 {path}")
    } else {
        return Ok(true);
    };
    Err(DiskError(format!("the directory {path} can't be trusted with private keys: {reason}")))
}

/// Makes what was written into a directory outlive a power cut.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network file systems can't do it for directories; nothing is lost but this promise.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    // A umask can only have taken bits from the owner.
    if fs::symlink_metadata(path)?.mode() & PRIVATE != PRIVATE {
        fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
    }
    sync(directory_of(path))
}

fn make_with_parents(path: &Path) -> io::Result<()> {
    match (make(path), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            make_with_parents(parent)?;
            make(path)
        }
        (result, _) => result,
    }
}
