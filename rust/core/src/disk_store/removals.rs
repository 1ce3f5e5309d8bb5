//! Removals, one or many.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::sweep::Writing;
use super::{DiskError, DiskStore, directory, directory_of, shard};
use crate::entry::EntryKey;

/// What became of removals.
#[derive(Debug, Default)]
pub struct Removals<'a> {
    /// The keys that had a file.
    pub removed: Vec<&'a EntryKey>,
    /// The keys whose files may still be there.
    pub failed: Vec<&'a EntryKey>,
    /// Why, once for each directory.
    pub errors: Vec<DiskError>,
}

/// A key and its file.
type Place<'a> = (&'a EntryKey, PathBuf);

/// From so many files of a shard on, its directory is read rather than each file looked at.
const MANY: usize = 32;

/// Whether there may be something.
fn is_present(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Those of a shard's files that are there, as far as it is worth the question.
fn present<'p, 'a>(files: &'p [Place<'a>]) -> Result<Vec<&'p Place<'a>>, DiskError> {
    let Some((_, first)) = files.first().filter(|_| files.len() >= MANY) else {
        return Ok(files.iter().filter(|(_, path)| is_present(path)).collect());
    };
    let shard = directory_of(first);
    let names = directory::names(shard).map_err(DiskError::io("read", shard))?;
    let names: HashSet<_> = names.into_iter().collect();
    Ok(files.iter().filter(|(_, path)| path.file_name().is_some_and(|name| names.contains(name))).collect())
}

impl DiskStore {
    /// Removes what is kept under a key, whatever it is; after a return, also for a start after a power cut.
    pub fn remove(&self, key: &EntryKey) -> Result<(), DiskError> {
        self.remove_many([key].into_iter()).errors.pop().map_or(Ok(()), Err)
    }

    /// The same for many keys: each directory is synced once.
    pub fn remove_many<'a>(&self, keys: impl Iterator<Item = &'a EntryKey>) -> Removals<'a> {
        let by_shard = self.by_shard(keys);
        let mut done = Removals::default();
        let mut writing = self.writing.lock();
        for (shard, files) in by_shard {
            if let Err(error) = self.remove_of_shard(&mut writing, shard, &files, &mut done.removed) {
                done.failed.extend(files.into_iter().map(|(key, _)| key));
                done.errors.push(error);
            }
        }
        done
    }

    fn by_shard<'a>(&self, keys: impl Iterator<Item = &'a EntryKey>) -> BTreeMap<usize, Vec<Place<'a>>> {
        let mut by_shard = BTreeMap::<_, Vec<_>>::new();
        for key in keys {
            let (shard, path) = self.place(key);
            by_shard.entry(shard).or_default().push((key, path));
        }
        by_shard
    }

    fn remove_of_shard<'a>(
        &self,
        writing: &mut Writing,
        shard: usize,
        files: &[Place<'a>],
        removed: &mut Vec<&'a EntryKey>,
    ) -> Result<(), DiskError> {
        let Some((_, first)) = files.first() else { return Ok(()) };
        if !self.has_directory_of(first)? {
            return Ok(());
        }
        let mut failure = None;
        for (key, path) in present(files)? {
            let length = shard::length_of(path);
            match shard::remove(path) {
                Ok(true) => {
                    removed.push(*key);
                    length.inspect(|length| writing.ledger.subtract(shard, *length));
                }
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        self.publish(&writing.ledger);
        // Even if all were gone: another process may not have synced it yet.
        directory::sync(directory_of(first)).map_err(DiskError::io("sync", directory_of(first)))?;
        failure.map_or(Ok(()), Err)
    }
}
