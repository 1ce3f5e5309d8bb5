//! What lies on disk, for whoever looks: nothing is changed, not even what is damaged.

use super::sweep::shard_name;
use super::{DiskError, DiskStore, directory, file};
use crate::clock::Timestamp;
use crate::disk_format::{self, StoredEntry};
use crate::entry::{EntryKey, ResponseMetadata};

/// A part of what lies on disk.
#[derive(Debug, Default)]
pub struct DiskPage {
    /// In no order that means anything.
    pub entries: Vec<ListedEntry>,
    /// Where to go on; `None` after the last page.
    pub next: Option<String>,
}

/// What the header of a file says, without a look at its checksum.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The name it is for.
    pub server_name: String,
    /// What the response said.
    pub metadata: ResponseMetadata,
    /// When its certificate ends.
    pub not_after: Timestamp,
}

impl DiskStore {
    /// As [`DiskStore::load`], but a file that can't be used is left alone and not told from none.
    pub fn peek(&self, key: &EntryKey) -> Result<Option<StoredEntry>, DiskError> {
        let (_, path) = self.place(key);
        if !self.has_directory_of(&path)? {
            return Ok(None);
        }
        let text = file::peek(&path);
        Ok(text.and_then(|text| disk_format::decode(&text, &self.backend, key).ok()))
    }

    /// Whether this is where a page has ended.
    pub fn is_cursor(text: &str) -> bool {
        disk_format::is_file_name(text)
    }

    /// Reads the headers of up to `most` files, from where a page before has ended.
    pub fn list(&self, from: Option<&str>, most: usize) -> Result<DiskPage, DiskError> {
        let mut page = DiskPage::default();
        let mut looked_at = 0;
        let first_shard = from.and_then(|from| from.get(..2));
        let first_shard = first_shard.and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0);
        for shard in (first_shard..super::ledger::SHARDS).map(|shard| self.entries.join(shard_name(shard))) {
            // Who looks gets no further than who uses: what is unusual on the way is an error there.
            if !self.has_directory_of(&shard.join("entry"))? {
                continue;
            }
            let mut names = directory::names(&shard).map_err(DiskError::io("read", &shard))?;
            names.sort_unstable();
            for name in &names {
                let Some(name) = name.to_str().filter(|name| disk_format::is_file_name(name)) else {
                    continue;
                };
                if from.is_some_and(|from| name <= from) {
                    continue;
                }
                if looked_at == most {
                    return Ok(page);
                }
                looked_at += 1;
                page.next = Some(name.to_owned());
                page.entries.extend(self.header_of(&shard.join(name)));
            }
        }
        page.next = None;
        Ok(page)
    }

    fn header_of(&self, path: &std::path::Path) -> Option<ListedEntry> {
        let start = file::read_start(path)?;
        let header = disk_format::decode_start(&start)?;
        let (server_name, metadata) = (header.server_name.to_owned(), header.metadata);
        (header.backend == self.backend).then_some(ListedEntry {
            server_name,
            metadata,
            not_after: header.not_after,
        })
    }
}
