//! Directories that are ours alone: made 0700 at any umask, and rejected if others could get in.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Dir, Mode, OFlags, accessat, open};
use rustix::io::Errno;

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
    make(path).map_err(DiskError::io("make the directory", path))?;
    // Another process may have been faster, so what is there now is checked too.
    match is_private(path)? {
        true => Ok(()),
        false => Err(DiskError::DirectoryGone(path.to_owned())),
    }
}

/// True if there is a directory that only our user can enter, false if there is nothing; anything else is
/// rejected.
pub(super) fn is_private(path: &Path) -> Result<bool, DiskError> {
    let own_user = own_user();
    judge(path, |owner| {
        let advice =
            format!("run it as that user, or give it the directory: chown -R {own_user} {}", path.display());
        (owner != own_user).then(|| format!("this process runs as uid {own_user}; {advice}"))
    })
}

/// Checks a cache directory and what is to be below it, changing nothing. Root may ask for another user: the owner
/// of the cache directory is then the measure.
pub(super) fn check(root: &Path, below: &[PathBuf]) -> Result<(), DiskError> {
    let mut parts = vec![root];
    parts.extend(below.iter().map(PathBuf::as_path));
    let owner = fs::symlink_metadata(root).ok().filter(|_| own_user() == 0).map(|found| found.uid());
    let Some(root_owner) = owner.filter(|owner| *owner != 0) else {
        return parts.iter().try_for_each(|part| match is_private(part)? {
            true => check_writable(part),
            false => check_can_be_made(part),
        });
    };
    for part in parts {
        judge(part, |owner| {
            let advice = format!("chown -R {root_owner} {}", part.display());
            (owner != root_owner).then(|| format!("the cache directory by uid {root_owner}: {advice}"))
        })?;
    }
    Ok(())
}

/// A cache directory with more in it than these names is not told to be given away or closed: it is others', too.
pub(super) fn advise(root: &Path, own_names: &[&str], error: DiskError) -> DiskError {
    let is_other = |name: &OsString| !own_names.iter().any(|own| name == own);
    match error {
        DiskError::UnsafeDirectory { path, reason } if path == root => {
            let other = names(root).ok().and_then(|names| names.into_iter().find(is_other));
            let own_folder = root.join("cached_http");
            let reason = other.map_or(reason, |other| {
                let (other, own_folder) = (other.display(), own_folder.display());
                format!("it has other things in it, such as {other}; name a folder of its own: {own_folder}")
            });
            DiskError::UnsafeDirectory { path, reason }
        }
        error => error,
    }
}

/// As [`is_private`]; `wrong_owner` says what is wrong with the owner, if it is.
fn judge(path: &Path, wrong_owner: impl Fn(u32) -> Option<String>) -> Result<bool, DiskError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(DiskError::io("look at", path)(error)),
    };
    let mode = found.mode() & 0o7777;
    let shown = path.display();
    let reason = if found.is_symlink() {
        "it is a symbolic link; name the directory itself, of the user that runs the server, with mode 0700"
            .into()
    } else if !found.is_dir() {
        "it is not a directory; wanted is one of the user that runs the server, with mode 0700".into()
    } else if let Some(wrong_owner) = wrong_owner(found.uid()) {
        format!("it is owned by uid {}, {wrong_owner}", found.uid())
    } else if mode & OTHERS != 0 {
        format!("its mode {mode:04o} lets others in, wanted is 0700: chmod 700 {shown}")
    } else {
        return Ok(true);
    };
    Err(DiskError::UnsafeDirectory { path: path.to_owned(), reason })
}

fn check_writable(path: &Path) -> Result<(), DiskError> {
    let may_write = accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    may_write.map_err(|error| DiskError::io("write in", path)(error.into()))
}

/// Whether a missing directory can be made in the nearest parent that is there.
fn check_can_be_made(path: &Path) -> Result<(), DiskError> {
    let is_there = |parent: &&Path| parent.symlink_metadata().is_ok();
    let parent = path.ancestors().skip(1).find(is_there).unwrap_or(path);
    let may_make = match fs::metadata(parent) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => {
            accessat(CWD, parent, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(Into::into)
        }
        Err(error) => Err(error),
    };
    may_make.map_err(DiskError::io("make the directory", path))
}

/// The names in a directory; none if it isn't there. (std's iterator panics if the directory can't be closed.)
pub(super) fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for found in Dir::read_from(directory)? {
        let name = OsStr::from_bytes(found?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
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
