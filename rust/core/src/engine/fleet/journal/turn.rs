//! A turn of the journal of purges: a read, what is new carried out, and a write if something of ours is missing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::engine::fleet::journal::{LONGEST_UNREAD, PATIENCE};
use crate::engine::fleet::{Ended, Fleet, Lane};
use crate::engine::shared::Shared;
use crate::log_sampler::LogKind;
use crate::purge_journal::{self, Purge};
use crate::storage::{RequestId, StorageOperation};

/// So many times the timeout an operation that hangs is waited for at most.
const LONGEST_PATIENCE: u32 = 1 << 11;

/// A turn. Its end plans the next one, whatever becomes of it: what is dropped with an operation that is not begun, or for
/// which there is no worker, is one that has ended.
struct Turn {
    shared: Arc<Shared>,
    fleet: Arc<Fleet>,
}

impl Shared {
    /// Begins a turn now, or once more after the one under way. Returns at once.
    pub(in crate::engine) fn read_purges(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        {
            let mut journal = fleet.journal.lock();
            journal.is_soon = false;
            journal.again = journal.turn_is_under_way;
            if std::mem::replace(&mut journal.turn_is_under_way, true) {
                return;
            }
        }
        Turn { shared: Arc::clone(self), fleet: Arc::clone(fleet) }.begin();
    }

    /// A node that could not read the journal for long may have missed a purge: it looks for newer certificates of all
    /// that it holds, and drops nothing.
    fn note_unread(&self, fleet: &Fleet) {
        let now = self.clock.now();
        let read_at = {
            let journal = fleet.journal.lock();
            journal.read_at.unwrap_or(journal.begun_at)
        };
        let marked = Timestamp(self.due_before.load(Ordering::Relaxed));
        if now.saturating_since(read_at.max(marked)) < LONGEST_UNREAD {
            return;
        }
        self.due_before.store(now.0, Ordering::Relaxed);
        self.log_of(LogKind::Fleet, None, || {
            "the purges of other nodes could not be read from the storage of the fleet for an hour: every certificate is looked \
             for anew when it is asked for"
                .into()
        });
    }
}

impl Turn {
    fn begin(self) {
        let (shared, fleet) = (Arc::clone(&self.shared), Arc::clone(&self.fleet));
        let last = {
            let mut journal = fleet.journal.lock();
            journal.is_outdated = false;
            journal.last_read
        };
        if self.waits_for(last) {
            return;
        }
        fleet.writes.begin_read(|id| fleet.operations.is_under_way(id));
        let then = move |ended| self.read(ended);
        let id = shared.use_storage(&fleet, Lane::Journal, fleet.journal_key(), StorageOperation::Load, then);
        if id.is_some() {
            fleet.journal.lock().last_read = id;
        }
    }

    /// Whether this operation hangs and another must not begin yet, as each holds a place. If another may, it is waited for
    /// longer.
    fn waits_for(&self, id: Option<RequestId>) -> bool {
        let Some(age) = id.and_then(|id| self.fleet.operations.age(id)) else { return false };
        let (timeout, mut journal) = (self.fleet.timeout(), self.fleet.journal.lock());
        if age < timeout * journal.patience {
            return true;
        }
        journal.patience = (journal.patience * 2).min(LONGEST_PATIENCE);
        false
    }

    fn read(self, ended: Ended) {
        let (shared, fleet) = (Arc::clone(&self.shared), Arc::clone(&self.fleet));
        let is_missing = matches!(ended, Ended::Missing);
        let shown = match ended {
            Ended::Missing => Some(Vec::new()),
            Ended::Found(record) => shared
                .opened(&fleet, &fleet.journal_key(), &record)
                .and_then(|text| purge_journal::decode(&text)),
            Ended::Done | Ended::Failed(_) | Ended::Skipped => {
                shared.note_purges(&fleet);
                return;
            }
        };
        if shown.is_none() {
            fleet.journal.lock().foreign_at = Some(Instant::now());
        }
        if let Some(shown) = &shown {
            fleet.journal.lock().patience = PATIENCE;
            shared.recall_purges(&fleet);
            let news = fleet.journal.lock().purges.read(shown, Instant::now());
            news.iter().for_each(|purge| shared.purge_as_told(purge));
            fleet.journal.lock().has_shown(shown);
            fleet.journal.lock().is_known = true;
            // While the storage fails, "missing" may be what it says of everything.
            if !is_missing || !fleet.operations.has_just_failed() {
                fleet.journal.lock().read_at = Some(shared.clock.now());
            }
        }
        shared.note_purges(&fleet);
        // "Missing" proves nothing after a failure: only a write can prove that the storage works.
        let must_write = is_missing && fleet.operations.is_in_trouble();
        if !fleet.is_left_alone(Lane::Write) {
            fleet.writes.retry();
            shared.write_to_fleet(&fleet);
        }
        // One that can't be read is written over only by who has something to say.
        self.write(shown.as_deref(), must_write);
    }

    fn write(self, shown: Option<&[Purge]>, must_write: bool) {
        let (is_foreign, shown) = (shown.is_none(), shown.unwrap_or_default());
        let (shared, fleet) = (Arc::clone(&self.shared), Arc::clone(&self.fleet));
        // Of two writes under way, the older might come last, and would be mended by who finds his purge missing.
        let last = fleet.journal.lock().last_write;
        let waits = self.waits_for(last);
        let (purges, unwritten) = {
            let mut journal = fleet.journal.lock();
            let purges = match waits || journal.is_outdated {
                true => None,
                false => {
                    let wanted = journal.purges.to_write(shown, Instant::now());
                    wanted.or_else(|| must_write.then(|| shown.to_vec()))
                }
            };
            if is_foreign && purges.is_some() {
                journal.write_over_a_foreign_one();
            }
            (purges, journal.unwritten.clone())
        };
        let Some(purges) = purges else { return };
        let (key, text) = (fleet.journal_key(), purge_journal::encode(&purges));
        let Ok(record) = fleet.seal(&key, &[text.as_bytes()]) else { return };
        let then = move |ended| {
            if matches!(ended, Ended::Done) {
                self.fleet.writes.retry();
                self.shared.write_to_fleet(&self.fleet);
                self.fleet.journal.lock().has_taken(&unwritten);
            }
        };
        let id = shared.use_storage(&fleet, Lane::Journal, key, StorageOperation::Store(record), then);
        if id.is_some() {
            fleet.journal.lock().last_write = id;
        }
    }
}

impl Drop for Turn {
    /// Nodes that have begun together do not read together for long.
    fn drop(&mut self) {
        let interval = self.fleet.settings.lock().read_interval;
        let (planned, delay) = {
            let mut journal = self.fleet.journal.lock();
            journal.turn_is_under_way = false;
            journal.has_begun |= !journal.again; // a turn that comes at once may be on another storage
            journal.planned += 1;
            let delay = match std::mem::take(&mut journal.again) {
                true => Duration::ZERO,
                false => interval.mul_f64(fastrand::f64().mul_add(0.4, 0.8)),
            };
            (journal.planned, delay)
        };
        self.shared.note_unread(&self.fleet);
        let (shared, of) = (Arc::clone(&self.shared), Arc::clone(&self.fleet));
        let task = move || {
            if of.journal.lock().planned == planned {
                shared.read_purges(&of);
            }
        };
        self.fleet.after(delay, Box::new(task));
    }
}
