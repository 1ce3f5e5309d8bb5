//! A look at the fleet's storage, for somebody who waits no longer than its timeout.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use compact_str::CompactString;

use crate::disk_format::{self, StoredEntry};
use crate::engine::fleet::{self, Fleet, LEFT_ALONE, Lane};
use crate::engine::shared::Shared;
use crate::entry::EntryKey;
use crate::storage::StorageOperation;

impl Shared {
    /// What lies on the storage for a name, and may be adopted; nothing without a fleet.
    pub(super) fn stored_in_fleet(
        self: &Arc<Self>,
        name: &CompactString,
    ) -> Result<Vec<StoredEntry>, String> {
        let Some(fleet) = self.fleet() else { return Ok(Vec::new()) };
        let (tell, told) = sync_channel(EntryKey::all_kinds(name).len());
        let mut asked = 0;
        for key in EntryKey::all_kinds(name) {
            let (tell, storage_key) = (tell.clone(), fleet.entry_key(key.borrowed()));
            // Nobody may wait any more.
            let then = move |ended| drop(tell.send((key, ended)));
            if self.use_storage(&fleet, Lane::Read, storage_key, StorageOperation::Load, then).is_none() {
                return Err(LEFT_ALONE.into());
            }
            asked += 1;
        }
        // Or nobody would be told of the fleet's end.
        drop(tell);
        let mut found = Vec::new();
        for (key, ended) in told.iter().take(asked) {
            if let Some(record) = ended.into_result()? {
                found.extend(self.stored_entry(&fleet, &key, &record));
            }
        }
        Ok(found)
    }

    fn stored_entry(&self, fleet: &Fleet, key: &EntryKey, record: &[u8]) -> Option<StoredEntry> {
        let text = self.opened(fleet, &fleet.entry_key(key.borrowed()), record)?;
        let (purges, text) = fleet::split(&text)?;
        let knows_all = fleet.journal.lock().of_name(&key.name).all(|id| purges.contains(&id));
        disk_format::decode(text, &self.backend_name, key).ok().filter(|_| knows_all)
    }
}
