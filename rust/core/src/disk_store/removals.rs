//! Removals, one or many.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::sweep::Writing;
use super::{DiskError, DiskStore, directory, directory_of, shard};
use crate::entry::EntryKey;

/// What could not be removed.
#[derive(Debug, Default)]
pub struct FailedRemovals {
    /// The keys whose files may still be there.
    pub keys: Vec<EntryKey>,
    /// Why, once for each directory.
    pub errors: Vec<DiskError>,
}

impl DiskStore {
    /// Removes what is kept under a key, whatever it is; after a return, also for a start after a power cut.
    pub fn remove(&self, key: &EntryKey) -> Result<(), DiskError> {
        self.remove_many([key].into_iter()).errors.pop().map_or(Ok(()), Err)
    }

    /// The same for many keys: each directory is synced once.
    pub fn remove_many<'a>(&self, keys: impl Iterator<Item = &'a EntryKey>) -> FailedRemovals {
        let mut by_shard = BTreeMap::<_, Vec<_>>::new();
        for key in keys {
            let (shard, path) = self.place(key);
            by_shard.entry(shard).or_default().push((key, path));
        }
        let mut failed = FailedRemovals::default();
        let mut writing = self.writing.lock();
        for (shard, files) in by_shard {
            if let Err(error) = self.remove_of_shard(&mut writing, shard, &files) {
                failed.keys.extend(files.into_iter().map(|(key, _)| key.clone()));
                failed.errors.push(error);
            }
        }
        failed
    }

    fn remove_of_shard(
        &self,
        writing: &mut Writing,
        shard: usize,
        files: &[(&EntryKey, PathBuf)],
    ) -> Result<(), DiskError> {
        let Some((_, first)) = files.first() else { return Ok(()) };
        if !self.has_directory_of(first)? {
            return Ok(());
        }
        let mut result = Ok(());
        for (_, path) in files {
            let length = shard::length_of(path);
            match shard::remove(path) {
                Ok(true) => {
                    length.inspect(|length| writing.ledger.subtract(shard, *length));
                }
                Ok(false) => {}
                Err(error) => result = Err(error),
            }
        }
        self.publish(&writing.ledger);
        // Even if all were gone: another process may not have synced it yet.
        directory::sync(directory_of(first)).map_err(DiskError::io("sync", directory_of(first)))?;
        result
    }
}
