//! Forgetting, for good: what is purged is served to no handshake that begins after, nor after a restart.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use compact_str::CompactString;

use crate::disk_store::DiskStore;
use crate::engine::disk_writes::{DiskWrite, Outstanding};
use crate::engine::operations::normalised;
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, EntryKey, EntryKeyRef};
use crate::operations::OperationError;

/// How long a purge waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);

impl Shared {
    /// Forgets these names; returns how many of them were known.
    pub(super) fn purge_names(self: &Arc<Self>, names: &[String]) -> Result<u64, OperationError> {
        let names = names.iter().map(|name| normalised(name)).collect::<Result<Vec<_>, _>>()?;
        // Looked at before: their files are about to go.
        let keys: Vec<_> = names.iter().flat_map(all_keys).collect();
        let on_disk = self.disk.as_ref().map(|disk| disk.contained(keys.iter())).unwrap_or_default();
        let on_disk: HashSet<_> = on_disk.into_iter().map(|key| &key.name).collect();
        let mut purged = 0;
        for name in &names {
            let key = EntryKeyRef { name, client: ClientKind::RsaOnly };
            purged += u64::from(self.purge(key, &DiskWrite::Purge) || on_disk.contains(name));
        }
        drop(on_disk);
        self.wait_for_removals(Some(keys))?;
        Ok(purged)
    }

    /// Forgets all names. At once, however many they are; what they occupied is given back by and by.
    pub(super) fn purge_all(self: &Arc<Self>) -> Result<u64, OperationError> {
        let on_disk = self.disk.as_ref().map(DiskStore::usage).unwrap_or_default().entries;
        let purged = {
            let _change = self.changes.lock();
            self.flights.detach_every();
            let known = (self.memory.len() as u64).max(on_disk);
            let known = known + (self.negatives.len() + self.back_off.len()) as u64;
            self.memory.invalidate();
            self.shared_names.purged_all(self.clock.now());
            self.negatives.clear();
            self.unsupported.clear();
            self.back_off.forget_all();
            self.queue_clearing();
            known
        };
        let mut after = CompactString::default();
        loop {
            let (retired, next) = self.memory.remove_invalid(&after);
            self.retire(retired);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        self.wait_for_removals(None)?;
        Ok(purged)
    }

    /// Waits until nothing waits to be written, which more may come to meanwhile.
    pub(super) fn sync(&self) -> Result<(), OperationError> {
        let begin = Instant::now();
        let (mut last, mut progress) = (usize::MAX, begin);
        loop {
            let waiting = self.disk_writes.saves();
            if waiting == 0 {
                return Ok(());
            }
            if waiting < last {
                (last, progress) = (waiting, Instant::now());
            }
            if progress.elapsed() > DISK_TIMEOUT || self.closed.load(Ordering::Acquire) {
                return Err(OperationError::Disk(format!(
                    "the disk does not answer: {waiting} certificates are not written yet, and are lost with a restart"
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until these keys, or all if `None`, are gone from disk. They are not read any more in any case.
    fn wait_for_removals(&self, mut keys: Option<Vec<EntryKey>>) -> Result<(), OperationError> {
        if self.disk.is_none() {
            return Ok(());
        }
        let (deadline, mut pause) = (Instant::now() + DISK_TIMEOUT, Duration::from_millis(1));
        loop {
            let trouble = match self.disk_writes.outstanding(keys.as_mut()) {
                Outstanding::None => return Ok(()),
                Outstanding::Refused => "the disk refuses to remove files of it (the log says why)",
                Outstanding::Some if Instant::now() >= deadline => "the disk does not answer",
                Outstanding::Some => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                    continue;
                }
            };
            return Err(OperationError::Disk(format!(
                "purged from memory, but {trouble}. This process reads them no more and goes on trying; if it ends \
                 before, they are there again"
            )));
        }
    }
}

fn all_keys(name: &CompactString) -> [EntryKey; 3] {
    ClientKind::ALL.map(|client| EntryKey { name: name.clone(), client })
}
