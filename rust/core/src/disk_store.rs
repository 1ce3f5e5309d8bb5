//! Entries in files: one file per entry, 0600 in 0700, written atomically, checked when read.
//!
//! ```text
//! CACHE_DIR/entries/ab/ab34...ef.pem   named by a hash, spread over 256 directories
//! CACHE_DIR/tmp/entry-XXXXXX.tmp       being written; renamed into place when it is whole and synced
//! ```
//!
//! The private keys in these files are plain text: that nobody else can read or plant one rests on owners and
//! modes, so these are checked wherever something is used, and never repaired behind the operator's back.

mod directory;
mod temporary;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::disk_format::{self, FormatError, MAX_FILE_LENGTH, StoredEntry};
use crate::entry::EntryKey;

pub use temporary::TEMPORARY_FILE_LIFETIME;

/// The entries of one backend in one cache directory. Thread-safe; several processes and backends may share a
/// directory. Every call reads or writes files: none belongs on the path of a lookup.
#[derive(Debug)]
pub struct DiskStore {
    root: PathBuf,
    entries: PathBuf,
    temporary: PathBuf,
    backend: String,
}

/// Why the directory can't be used or a file not read or written. Names the path and what is wanted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DiskError(pub String);

impl DiskError {
    fn io(action: &str, path: &Path, cause: &io::Error) -> Self {
        DiskError(format!("can't {action} {}: {cause}", path.display()))
    }
}

impl DiskStore {
    /// Opens the directory, an absolute path, for a backend; makes it and missing parents, 0700. Rejects one
    /// that is a symbolic link, another user's, open to others or can't be written. Sweeps temporary files
    /// that a killed process left, without walking the entries.
    pub fn open(directory: &Path, backend: &str) -> Result<Self, DiskError> {
        if !directory.is_absolute() {
            return Err(DiskError(format!("{} is not an absolute path", directory.display())));
        }
        // Without a trailing slash, which would make the system follow a symbolic link.
        let root: PathBuf = directory.components().collect();
        let store = DiskStore {
            entries: root.join("entries"),
            temporary: root.join("tmp"),
            backend: backend.to_owned(),
            root,
        };
        directory::ensure_with_parents(&store.root)?;
        directory::ensure(&store.entries)?;
        directory::ensure(&store.temporary)?;
        temporary::sweep(&store.temporary)?;
        temporary::probe(&store.temporary)?;
        Ok(store)
    }

    /// Reads the entry kept under a key; `None` if there is none. A file that is damaged, another's or not
    /// safe is an error and is removed, so it is reported once.
    pub fn load(&self, key: &EntryKey) -> Result<Option<StoredEntry>, DiskError> {
        let path = self.path(key);
        if !self.has_directory_of(&path)? {
            return Ok(None);
        }
        let text = match read(&path) {
            Ok(text) => text,
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(ReadError::Io(error)) => return Err(DiskError::io("read", &path, &error)),
            Err(ReadError::Unfit(reason)) => return Err(discard(&path, reason)),
        };
        match disk_format::decode(&text, &self.backend, key) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => Err(discard(&path, &error.to_string())),
        }
    }

    /// Writes an entry over what was there. After a return it outlives a power cut; after an error, what was
    /// there still is. An answer that forbids keeping it is an error and not written.
    pub fn save(&self, entry: &StoredEntry) -> Result<(), DiskError> {
        let path = self.path(&entry.key);
        let text = disk_format::encode(entry, &self.backend)
            .map_err(|error: FormatError| DiskError(format!("can't write {}: {error}", path.display())))?;
        if !directory::is_private(&self.root)? {
            return Err(DiskError(format!("can't write {}: the cache directory is gone", path.display())));
        }
        // Made anew if an operator emptied the cache directory by hand.
        let shard = directory_of(&path);
        for directory in [&self.temporary, &self.entries, shard] {
            directory::ensure(directory)?;
        }
        let file = temporary::write(&self.temporary, &text)?;
        file.persist(&path).map_err(|failure| DiskError::io("write", &path, &failure.error))?;
        directory::sync(shard).map_err(|error| DiskError::io("sync", shard, &error))
    }

    /// Removes what is kept under a key, if anything; after a return, also for a start after a power cut.
    pub fn remove(&self, key: &EntryKey) -> Result<(), DiskError> {
        let path = self.path(key);
        if !self.has_directory_of(&path)? {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Ok(()) => directory::sync(directory_of(&path)),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| DiskError::io("remove", &path, &error))
    }

    fn path(&self, key: &EntryKey) -> PathBuf {
        let name = disk_format::file_name(&self.backend, key);
        self.entries.join(&name[..2]).join(name)
    }

    fn has_directory_of(&self, path: &Path) -> Result<bool, DiskError> {
        for directory in [&self.root, &self.entries, directory_of(path)] {
            if !directory::is_private(directory)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

enum ReadError {
    Io(io::Error),
    /// Not a file that this store wrote.
    Unfit(&'static str),
}

/// Reads a file of ours without following a symbolic link, waiting for a pipe's other end, or reading more
/// than the cap.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path).map_err(|error| {
        let is_other = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
        if is_other { ReadError::Unfit("not a regular file") } else { ReadError::Io(error) }
    })?;
    let length = checked_length(&file)?;
    let mut text = Zeroizing::new(vec![0; length]);
    file.read_exact(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Unfit("cut while it was read"),
        _ => ReadError::Io(error),
    })?;
    Ok(text)
}

fn checked_length(file: &File) -> Result<usize, ReadError> {
    let found = file.metadata().map_err(ReadError::Io)?;
    let unfit = |reason| Err(ReadError::Unfit(reason));
    if !found.is_file() {
        return unfit("not a regular file");
    }
    if found.uid() != directory::own_user() {
        return unfit("owned by another user");
    }
    if found.mode() & directory::OTHERS != 0 {
        return unfit("others may read or write it; wanted mode 0600");
    }
    if found.nlink() > 1 {
        return unfit("it has a second hard link");
    }
    match usize::try_from(found.len()) {
        Ok(length) if length <= MAX_FILE_LENGTH => Ok(length),
        _ => unfit("larger than 1 MiB"),
    }
}

/// Removes a file that will never be used (the link, not what a symbolic link points at).
fn discard(path: &Path, reason: &str) -> DiskError {
    let what = match fs::remove_file(path) {
        Ok(()) => "removed".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "removed".to_owned(),
        Err(error) => format!("can't be removed: {error}"),
    };
    DiskError(format!("{} is not used: {reason}; {what}", path.display()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
