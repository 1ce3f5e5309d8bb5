//! Entries in files: one file per entry, 0600 in 0700, written atomically, checked when read.
//!
//! ```text
//! CACHE_DIR/entries/BACKEND/ab/ab34...ef.pem   named by a hash, spread over 256 directories per backend
//! CACHE_DIR/notes/BACKEND.txt              which purges of a fleet are carried out
//! CACHE_DIR/tmp/entry-XXXXXX.tmp               being written; renamed into place when it is whole and synced
//! CACHE_DIR/tmp/purged-XXXXXX                  entries that were purged together, being removed
//! ```
//!
//! The private keys in these files are plain text: that nobody else can read or plant one rests on owners and
//! modes, so these are checked wherever something is used, and never repaired behind the operator's back.
//!
//! Several processes and backends may share a cache directory. Each backend has a limit of its own. Processes that
//! share a backend, too, never see a torn entry, and each keeps to the limit by what it last counted: what others
//! have written since then is seen after 16,384 own writes or a round of [`DiskStore::sweep_step`], an hour.

mod directory;
mod error;
mod file;
mod ledger;
mod listing;
mod notes;
mod removals;
mod shard;
mod sweep;
mod temporary;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::disk_format::{self, StoredEntry};
use crate::entry::EntryKey;
use crate::settings::DEFAULT_MAX_DISK;

pub use error::DiskError;
pub use ledger::DiskUsage;
pub use listing::{DiskPage, ListedEntry};
pub use removals::Removals;
pub use sweep::{ENDED_GRACE, SWEEP_INTERVAL, SweepReport};

use ledger::Ledger;
use sweep::Writing;

/// The entries of one backend in one cache directory. Thread-safe. Every call but [`DiskStore::usage`] and
/// [`DiskStore::set_limit`] reads or writes files: none belongs on the path of a lookup. Writes, removals and sweeps
/// wait for each other, reads for nobody.
pub struct DiskStore {
    root: PathBuf,
    /// Whether the cache directory was ever seen by this process.
    root_was_there: AtomicBool,
    entries: PathBuf,
    temporary: PathBuf,
    backend: String,
    limit: AtomicU64,
    usage: Mutex<DiskUsage>,
    writing: Mutex<Writing>,
}

impl DiskStore {
    /// Whether a directory, an absolute path, can be used, as far as this can be told without changing anything:
    /// it is rejected if it is a symbolic link, open to others, another user's, or can't be written or made. For root,
    /// who may be checking for the user that will run the server, any owner will do, if it owns all parts.
    pub fn check(directory: &Path) -> Result<(), DiskError> {
        let root = absolute(directory)?;
        if !root.exists() && seen_roots().contains(&root) {
            return Ok(()); // no reason to refuse a configuration: its reads and writes say that it is gone
        }
        directory::check(&root, &[root.join("entries"), root.join("tmp")])
            .map_err(|error| directory::advise(&root, &["entries", "notes", "tmp"], error))
    }

    /// As [`DiskStore::check`]; nothing is made before the first write. The limit is
    /// [`DEFAULT_MAX_DISK`].
    pub fn open(directory: &Path, backend: &str) -> Result<Self, DiskError> {
        Self::check(directory)?;
        let root = absolute(directory)?;
        let root_was_there = {
            let mut seen = seen_roots();
            if root.symlink_metadata().is_ok() {
                seen.insert(root.clone());
            }
            seen.contains(&root)
        };
        Ok(DiskStore {
            root_was_there: AtomicBool::new(root_was_there),
            entries: root.join("entries").join(disk_format::directory_name(backend)),
            temporary: root.join("tmp"),
            root,
            backend: backend.to_owned(),
            limit: AtomicU64::new(DEFAULT_MAX_DISK.get()),
            usage: Mutex::default(),
            writing: Mutex::new(Writing::new()),
        })
    }

    /// The folder of its entries: another one for each cache directory and backend.
    pub fn folder(&self) -> &Path {
        &self.entries
    }

    /// Sets how many bytes the entries may take; applies from the next write or step of a sweep on.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// What the entries take, as last counted; never waits for the disk. A damaged file that a read removed counts
    /// until its shard is counted again.
    pub fn usage(&self) -> DiskUsage {
        *self.usage.lock()
    }

    /// Reads the entry kept under a key; `None` if there is none. A damaged file is an error and is removed; what
    /// else is unusual is an error and left alone.
    pub fn load(&self, key: &EntryKey) -> Result<Option<StoredEntry>, DiskError> {
        let (_, path) = self.place(key);
        if !self.has_directory_of(&path)? {
            return Ok(None);
        }
        let Some(text) = file::read(&path)? else { return Ok(None) };
        let entry = disk_format::decode(&text, &self.backend, key);
        entry.map(Some).map_err(|error| file::unfit(&path, error))
    }

    /// Writes an entry over what was there, and makes room for it before. After a return it outlives a power cut;
    /// after an error, one of the two is there, whole. An answer that forbids keeping it is an error and not written.
    pub fn save(&self, entry: &StoredEntry) -> Result<(), DiskError> {
        let (shard, path) = self.place(&entry.key);
        let text = disk_format::encode(entry, &self.backend)
            .map_err(|source| DiskError::Encode { path: path.clone(), source })?;
        let mut writing = self.writing.lock();
        self.make_root()?;
        directory::ensure(&self.temporary)?;
        self.make_room(&mut writing, text.len() as u64)?;
        let mut file = temporary::write(&self.temporary, &text, entry.metadata.fetched_at.into())?;
        loop {
            // Made anew if an operator emptied the cache directory by hand.
            self.make_directory_of(&path)?;
            let replaced = shard::length_of(&path);
            file = match file.persist(&path) {
                Ok(_) => {
                    replaced.inspect(|length| writing.ledger.subtract(shard, *length));
                    writing.ledger.add(shard, text.len() as u64);
                    self.publish(&writing.ledger);
                    break;
                }
                // Another process has purged everything meanwhile.
                Err(failure)
                    if failure.error.kind() == io::ErrorKind::NotFound && failure.file.path().exists() =>
                {
                    failure.file
                }
                Err(failure) => return Err(DiskError::io("write", &path)(failure.error)),
            };
        }
        drop(writing);
        directory::sync(directory_of(&path)).map_err(DiskError::io("sync", directory_of(&path)))
    }

    /// Removes all entries of this backend, at once however many they are: they are put where nobody looks for
    /// them, and following steps of [`DiskStore::sweep_step`], in this process or a later one, remove the files. Returns how
    /// many there are.
    pub fn remove_all(&self) -> Result<u64, DiskError> {
        let mut writing = self.writing.lock();
        if !self.has_root()? || !are_private(&[directory_of(&self.entries), &self.entries])? {
            return Ok(0);
        }
        directory::ensure(&self.temporary)?;
        let put_away = temporary::put_away(&self.entries, &self.temporary)?;
        writing.ledger = Ledger::empty();
        self.publish(&writing.ledger);
        Ok(put_away.map_or(0, |tree| shard::count_tree(&tree)))
    }

    /// The number of its shard, and its file.
    fn place(&self, key: &EntryKey) -> (usize, PathBuf) {
        let name = disk_format::file_name(&self.backend, key);
        let shard = usize::from_str_radix(&name[..2], 16).unwrap_or(0);
        (shard, self.entries.join(&name[..2]).join(name))
    }

    /// Makes the cache directory if it was never there.
    fn make_root(&self) -> Result<(), DiskError> {
        if !self.has_root()? {
            directory::ensure_with_parents(&self.root)?;
        }
        match self.has_root()? {
            true => Ok(()),
            false => Err(DiskError::DirectoryGone(self.root.clone())),
        }
    }

    /// Whether the cache directory is there; an error if it was and is gone. That may be a file system that is not
    /// mounted: what lies on it comes back, so that nothing there can be told to be missing or removed, and nothing is
    /// written into what it was mounted on.
    fn has_root(&self) -> Result<bool, DiskError> {
        let is_there = directory::is_private(&self.root)?;
        if is_there {
            if !self.root_was_there.swap(true, Ordering::Relaxed) {
                seen_roots().insert(self.root.clone());
            }
        } else if self.root_was_there.load(Ordering::Relaxed) {
            return Err(DiskError::DirectoryGone(self.root.clone()));
        }
        Ok(is_there)
    }

    fn make_directory_of(&self, path: &Path) -> Result<(), DiskError> {
        for directory in [directory_of(&self.entries), &self.entries, directory_of(path)] {
            directory::ensure(directory)?;
        }
        Ok(())
    }

    fn has_directory_of(&self, path: &Path) -> Result<bool, DiskError> {
        let below = [directory_of(&self.entries), &self.entries, directory_of(path)];
        Ok(self.has_root()? && are_private(&below)?)
    }

    fn publish(&self, ledger: &Ledger) {
        *self.usage.lock() = ledger.usage();
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DiskStore").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// The cache directories that were there, be it for a store that is closed by now.
fn seen_roots() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    SEEN.lock()
}

/// Without a trailing slash, which would make the system follow a symbolic link.
fn absolute(directory: &Path) -> Result<PathBuf, DiskError> {
    match directory.is_absolute() {
        true => Ok(directory.components().collect()),
        false => Err(DiskError::NotAbsolute(directory.to_owned())),
    }
}

/// False if one of these is missing; each is looked at only if the one before is there.
fn are_private(directories: &[&Path]) -> Result<bool, DiskError> {
    for directory in directories {
        if !directory::is_private(directory)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
