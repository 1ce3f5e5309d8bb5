//! Forgetting, for good: what is purged is served to no handshake that begins after, nor after a restart. First memory
//! and what is under way, which is done at once; then the disk, which may take its time or never answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use compact_str::CompactString;

use crate::engine::disk_writes::{DiskWrite, Outstanding, PurgedNames};
use crate::engine::operations::normalised;
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::entry::{ClientKind, EntryKey, EntryKeyRef};
use crate::operations::OperationError;
use crate::purge_journal::PurgeId;

const NOT_TOLD: &str = "purged here, but the storage of the fleet has not taken it (the log says why): the other nodes go on \
    serving it. This node goes on telling them";

const NOT_HEARD: &str = "purged here, but this node can't open the journal of the fleet's purges (the log says why): nodes with other \
    keys go on serving it. Give all nodes the same encryption keys, and purge it again";

const NOT_KEPT: &str = "the disk has refused to take certificates (the log says why): they are in memory only, and lost with a restart";

/// How long an operation waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// A purge whose files are still to go.
pub(in crate::engine) struct Purge {
    /// What was known in memory.
    known: Known,
    /// The keys whose files are to go, what goes along included; all if there are none.
    keys: Option<Vec<EntryKey>>,
}

enum Known {
    Names { in_memory: HashSet<CompactString>, on_disk: Arc<PurgedNames> },
    All { in_memory: u64, others: u64 },
}

impl Purge {
    /// How many names were known. Of all, those on disk count by their files.
    pub(super) fn count(&mut self, shared: &Shared) -> u64 {
        match &mut self.known {
            Known::Names { in_memory, on_disk } => {
                in_memory.extend(on_disk.lock().drain());
                in_memory.len() as u64
            }
            Known::All { in_memory, others } => {
                let on_disk = if shared.disk.is_some() { shared.disk_writes.cleared() } else { 0 };
                (*in_memory).max(on_disk) + *others
            }
        }
    }
}

impl Shared {
    /// Forgets these names in memory, and has their files removed.
    pub(super) fn purge_names(self: &Arc<Self>, names: &[String]) -> Result<Purge, OperationError> {
        let names = names.iter().map(|name| normalised(name)).collect::<Result<Vec<_>, _>>()?;
        let on_disk = Arc::<PurgedNames>::default();
        let removal = DiskWrite::Purge(Arc::clone(&on_disk));
        let (mut in_memory, mut along) = (HashSet::new(), HashSet::new());
        for name in &names {
            let key = EntryKeyRef { name, client: ClientKind::RsaOnly };
            let forgotten = self.purge(key, &removal, &PurgedBy::ThisNode);
            in_memory.extend(forgotten.was_known.then(|| name.clone()));
            along.extend(forgotten.along);
        }
        let keys = names.iter().chain(&along).flat_map(EntryKey::all_kinds).collect();
        Ok(Purge { known: Known::Names { in_memory, on_disk }, keys: Some(keys) })
    }

    /// Forgets all names. At once, however many they are; what they occupied is given back by and by.
    pub(in crate::engine) fn purge_all_by(self: &Arc<Self>, by: &PurgedBy<'_>) -> Purge {
        let _change = self.changes.lock();
        let in_memory = self.memory.len() as u64;
        let others = (self.negatives.len() + self.back_off.len()) as u64;
        self.purge_all_in_fleet(by);
        self.queue_clearing();
        self.memory.invalidate();
        let now = self.clock.now();
        self.shared_names.purged_all(now);
        self.withdrawals.note_all(now);
        self.negatives.clear();
        self.unsupported.clear();
        self.back_off.forget_all();
        self.flights.detach_every();
        Purge { known: Known::All { in_memory, others }, keys: None }
    }

    /// Gives back what purged entries occupy.
    pub(in crate::engine) fn give_back(&self) {
        let mut after = CompactString::default();
        loop {
            let (retired, next) = self.memory.remove_invalid(&after);
            self.retire(retired);
            match next {
                Some(next) => after = next,
                None => return,
            }
        }
    }

    /// Waits until the files are gone. They are not read any more in any case.
    pub(super) fn wait_for_removals(&self, purge: &mut Purge) -> Result<(), OperationError> {
        let (deadline, mut pause) = (Instant::now() + DISK_TIMEOUT, Duration::from_millis(1));
        loop {
            let trouble = match self.disk_writes.outstanding(purge.keys.as_mut()) {
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

    /// Waits until the other nodes can know of it.
    pub(super) fn wait_for_fleet(&self, ours: &HashSet<PurgeId>) -> Result<(), OperationError> {
        let Some(fleet) = self.fleet() else { return Ok(()) };
        // A read of the journal and a write, and one that was under way.
        let deadline = Instant::now() + fleet.timeout() * 3;
        while !fleet.journal.lock().unwritten().is_disjoint(ours) {
            if Instant::now() >= deadline || self.is_closed() {
                let over_a_restart = match self.note_purges(&fleet) {
                    true => ", also after a restart",
                    false => "; if it ends before, ask another to purge it",
                };
                return Err(OperationError::Storage(format!("{NOT_TOLD}{over_a_restart}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        match fleet.journal.lock().is_unheard(ours, fleet.foreign_time()) {
            true => Err(OperationError::Storage(NOT_HEARD.into())),
            false => Ok(()),
        }
    }

    /// Waits until nothing waits to be written, which more may come to meanwhile. An error if something was not kept since, or
    /// for so long before.
    pub(super) fn sync(&self, before: Duration) -> Result<(), OperationError> {
        let begun = Instant::now();
        let (mut last, mut progress) = (u64::MAX, begun);
        loop {
            let waiting = self.disk_writes.saves();
            if waiting == 0 {
                return match self.disk_writes.has_lost_within(before + begun.elapsed()) {
                    false => Ok(()),
                    true => Err(OperationError::Disk(NOT_KEPT.into())),
                };
            }
            let made = self.counters.disk_writes.value() + self.counters.disk_errors.value();
            if made != last {
                (last, progress) = (made, Instant::now());
            }
            if progress.elapsed() > DISK_TIMEOUT || self.is_closed() {
                return Err(OperationError::Disk(format!(
                    "the disk does not answer: {waiting} certificates are not written yet, and are lost with a restart"
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
