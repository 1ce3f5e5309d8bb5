//! The files of one shard, and of entries that were purged together.

use std::fs;
use std::io;
use std::io::ErrorKind::{DirectoryNotEmpty, IsADirectory, NotADirectory, NotFound};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{DiskError, directory};
use crate::disk_format;

/// A file that a sweep may remove: it has an entry's name and is our own, whatever its mode or text.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// When the backend last answered.
    pub(super) modified: SystemTime,
}

/// The files of a shard; none if it isn't there.
pub(super) fn list(shard: &Path) -> Result<Vec<Found>, DiskError> {
    if !directory::is_private(shard)? {
        return Ok(Vec::new());
    }
    let mut names = directory::names(shard).map_err(DiskError::io("read", shard))?;
    names.retain(|name| name.to_str().is_some_and(disk_format::is_file_name));
    let mut files = Vec::with_capacity(names.len());
    for path in names.into_iter().map(|name| shard.join(name)) {
        match look_at(&path) {
            Ok(found) => files.extend(found),
            // Another process has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::io("look at", &path)(error)),
        }
    }
    Ok(files)
}

/// The space and count of what lies under an entry's name, if that is counted at all.
pub(super) fn length_of(path: &Path) -> Option<u64> {
    let found = fs::symlink_metadata(path).ok()?;
    (found.is_file() && found.uid() == directory::own_user()).then_some(found.len())
}

/// Removes a file; true unless it was gone.
pub(super) fn remove(path: &Path) -> Result<bool, DiskError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DiskError::io("remove", path)(error)),
    }
}

/// Removes up to `budget` entries of a directory of shards, and the directory when it is empty; what is left of the
/// budget. What was not written by a store stays.
pub(super) fn remove_tree(tree: &Path, mut budget: usize) -> io::Result<usize> {
    for shard in ignore(&[NotFound, NotADirectory], directory::names(tree))? {
        let shard = tree.join(shard);
        let mut names = ignore(&[NotFound, NotADirectory], directory::names(&shard))?;
        names.retain(|name| name.to_str().is_some_and(disk_format::is_file_name));
        for file in names {
            if budget == 0 {
                return Ok(0);
            }
            budget -= 1;
            ignore(&[NotFound, IsADirectory], fs::remove_file(shard.join(file)))?;
        }
        ignore(&[NotFound, NotADirectory, DirectoryNotEmpty], fs::remove_dir(&shard))?;
    }
    ignore(&[NotFound, NotADirectory, DirectoryNotEmpty], fs::remove_dir(tree))?;
    Ok(budget)
}

/// How many entries there are in a directory of shards, as far as it can be read.
pub(super) fn count_tree(tree: &Path) -> u64 {
    let shards = directory::names(tree).unwrap_or_default().into_iter();
    let files = shards.flat_map(|shard| directory::names(&tree.join(shard)).unwrap_or_default());
    files.filter(|name| name.to_str().is_some_and(disk_format::is_file_name)).count() as u64
}

fn look_at(path: &Path) -> io::Result<Option<Found>> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.uid() != directory::own_user() {
        return Ok(None);
    }
    Ok(Some(Found { path: path.to_owned(), length: found.len(), modified: found.modified()? }))
}

fn ignore<T: Default>(kinds: &[io::ErrorKind], result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(T::default()),
        result => result,
    }
}
