//! One file of an entry: what is read, what is removed, and what is left alone.
//!
//! **Only a file of ours whose text is damaged is removed; whatever else is unusual is left where it is, and not
//! used.** Ours is a regular file of our own user that nobody else may open. So:
//!
//! | found | what is done |
//! |---|---|
//! | cut, changed, or larger than any entry | removed: nobody can use it |
//! | a further hard link (`cp -al`) | used: no other user can make one here, and we never write into a file |
//! | symbolic link, pipe, socket, folder | left: it isn't ours |
//! | another owner, or a mode that lets others in | left: an operator can mend it, and may want to know of it |
//! | whole, but of another key or backend, or of another format | left: moved by hand, or of another version |
//!
//! A left one is reported whenever it is met. The name's next write takes its place, a withdrawal removes it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::{DiskError, directory};
use crate::disk_format::{FormatError, MAX_FILE_LENGTH, MAX_HEADER_LENGTH};

/// Reads the text of a file of ours; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
    match open(path)? {
        None => Ok(None),
        Some(opened) => match text_of(opened).map_err(DiskError::io("read", path))? {
            None => Err(discard(path, FormatError::TooLarge)),
            text => Ok(text),
        },
    }
}

/// The same for whoever only looks: `None` for all that can't be used, and nothing is changed.
pub(super) fn peek(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    text_of(open(path).ok()??).ok()?
}

/// The start of a file of ours, which has its header; `None` if there is none that can be read.
pub(super) fn read_start(path: &Path) -> Option<Vec<u8>> {
    let (file, _) = open(path).ok()??;
    let mut start = Vec::with_capacity(MAX_HEADER_LENGTH);
    file.take(MAX_HEADER_LENGTH as u64).read_to_end(&mut start).ok()?;
    Some(start)
}

/// The whole text; `None` if it is longer than any entry's.
fn text_of((mut file, found): (File, Metadata)) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let length = usize::try_from(found.len()).ok().filter(|length| *length <= MAX_FILE_LENGTH);
    let Some(length) = length else { return Ok(None) };
    let mut text = Zeroizing::new(vec![0; length]);
    file.read_exact(&mut text)?;
    Ok(Some(text))
}

/// What to do about a text that is not the entry's.
pub(super) fn unfit(path: &Path, error: FormatError) -> DiskError {
    let not_ours = |reason| DiskError::NotOurs { path: path.to_owned(), reason };
    match error {
        FormatError::OtherFormat => not_ours("it has the format of another version"),
        FormatError::OtherBackend => not_ours("it belongs to another backend"),
        FormatError::OtherKey => not_ours("it belongs to another server name or kind of client"),
        damage => discard(path, damage),
    }
}

/// Opens a file of ours without following a symbolic link or waiting for a pipe's other end; `None` if there is
/// none.
pub(super) fn open(path: &Path) -> Result<Option<(File, Metadata)>, DiskError> {
    let not_ours = |reason| Err(DiskError::NotOurs { path: path.to_owned(), reason });
    let file =
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return match fs::symlink_metadata(path) {
                    Ok(found) if !found.is_file() => not_ours("it is not a regular file"),
                    // A file of another user that isn't ours to read.
                    Ok(found) if found.uid() != directory::own_user() => {
                        not_ours("it is owned by another user")
                    }
                    _ => Err(DiskError::io("read", path)(error)),
                };
            }
        };
    let found = file.metadata().map_err(DiskError::io("look at", path))?;
    if !found.is_file() {
        return not_ours("it is not a regular file");
    }
    if found.uid() != directory::own_user() {
        return not_ours("it is owned by another user");
    }
    if found.mode() & directory::OTHERS != 0 {
        return not_ours("others may read or write it, wanted is mode 0600");
    }
    Ok(Some((file, found)))
}

/// Removes a file of ours that nobody can use.
fn discard(path: &Path, damage: FormatError) -> DiskError {
    let path = path.to_owned();
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            DiskError::DamagedAndKept { path, damage, source }
        }
        _ => DiskError::Damaged { path, source: damage },
    }
}
