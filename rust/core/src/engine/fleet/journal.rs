//! The journal of purges: read every few seconds, and written when this node has purged. One turn is a read, what is new
//! carried out, and a write if something of ours is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::engine::fleet::note::Note;
use crate::engine::fleet::{Ended, Fleet, Lane};
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::log_sampler::LogKind;
use crate::purge_journal::{self, NAME_LIFETIME, Purge, PurgeId, PurgeJournal, Purged};
use crate::storage::{RequestId, StorageOperation};

/// Without the journal for so long, a node may have missed a purge.
pub(super) const LONGEST_UNREAD: Duration = Duration::from_secs(NAME_LIFETIME.as_secs() / 2);

/// So many times the timeout a read or a write that hangs is waited for, twice as many each time: a module may never return
/// it. One that obeys its context has returned long before.
const PATIENCE: u32 = 8;
const LONGEST_PATIENCE: u32 = 1 << 11;

/// What a node knows of the journal, and how far its turn has come.
pub(in crate::engine) struct Journal {
    pub(super) purges: PurgeJournal,
    /// Purges by this node that no write has taken to the storage yet.
    unwritten: HashSet<PurgeId>,
    turn_is_under_way: bool,
    /// Whether the first one has ended: until then no record is adopted, since it may be older than a purge.
    has_begun: bool,
    /// Whether one has told which purges there are.
    is_known: bool,
    /// Something came up during the turn.
    again: bool,
    /// The keys may be others than those by which the turn has read: it must not write.
    is_outdated: bool,
    /// Whether a turn comes soon, for what need not be told at once.
    pub(super) is_soon: bool,
    /// Of the next turn that is planned; any other is none any more.
    planned: u64,
    /// The last write and the last read, which may not have returned.
    last_write: Option<RequestId>,
    last_read: Option<RequestId>,
    /// How long those are waited for before there is another.
    patience: u32,
    /// Whether what lies on the storage can't be opened with this node's keys.
    is_foreign: bool,
    /// Purges that a restart would not carry out again; unknown until the disk is asked.
    pub(super) noted: Option<Note>,
    pub(super) begun_at: Timestamp,
    pub(super) read_at: Option<Timestamp>,
}

impl Journal {
    pub(super) fn new(now: Timestamp) -> Self {
        Journal {
            purges: PurgeJournal::default(),
            unwritten: HashSet::new(),
            turn_is_under_way: false,
            has_begun: false,
            is_known: false,
            again: false,
            is_outdated: false,
            is_soon: false,
            planned: 0,
            last_write: None,
            last_read: None,
            patience: PATIENCE,
            is_foreign: false,
            noted: None,
            begun_at: now,
            read_at: None,
        }
    }

    /// When it was last read.
    pub(in crate::engine) fn read_at(&self) -> Option<Timestamp> {
        self.read_at
    }

    /// Another storage may know of other purges. Ours are kept, and told it.
    pub(super) fn begin_anew(&mut self) {
        (self.has_begun, self.is_known, self.patience) = (false, false, PATIENCE);
        self.again = self.turn_is_under_way;
    }

    /// The keys are others now: what the turn under way has read with the former ones may be another fleet's.
    pub(super) fn outdate_turn(&mut self) {
        self.is_outdated = self.turn_is_under_way;
    }

    /// Whether it is known which purges there are, as far as the storage says.
    pub(in crate::engine) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether a read has told them.
    pub(in crate::engine) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The purges that a record of this name must be newer than.
    pub(in crate::engine) fn of_name(&self, name: &str) -> impl Iterator<Item = PurgeId> + '_ {
        self.purges.of_name(name)
    }

    /// Notes a purge: by this node, which is to be written, or by another.
    pub(in crate::engine) fn note(&mut self, by: &PurgedBy<'_>, purged: impl FnOnce() -> Purged) {
        match by {
            PurgedBy::ThisNode => drop(self.unwritten.insert(self.purges.add(purged(), Instant::now()))),
            PurgedBy::Other(purge) => self.purges.note(purge, Instant::now()),
        }
    }

    /// Whether nodes with other keys have written it, which can't know what this one purges.
    pub(in crate::engine) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// The purges by this node that the storage has not taken.
    pub(in crate::engine) fn unwritten(&self) -> &HashSet<PurgeId> {
        &self.unwritten
    }
}

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
        fleet.journal.lock().is_foreign = shown.is_none();
        if let Some(shown) = &shown {
            fleet.journal.lock().patience = PATIENCE;
            shared.recall_purges(&fleet);
            let news = fleet.journal.lock().purges.read(shown, Instant::now());
            news.iter().for_each(|purge| shared.purge_as_told(purge));
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
        self.write(&shown.unwrap_or_default(), must_write);
    }

    fn write(self, shown: &[Purge], must_write: bool) {
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
            (purges, journal.unwritten.clone())
        };
        let Some(purges) = purges else { return };
        let (key, text) = (fleet.journal_key(), purge_journal::encode(&purges));
        let Ok(record) = fleet.seal(&key, &[text.as_bytes()]) else { return };
        let then = move |ended| {
            if matches!(ended, Ended::Done) {
                self.fleet.writes.retry();
                self.shared.write_to_fleet(&self.fleet);
                self.fleet.journal.lock().unwritten.retain(|id| !unwritten.contains(id));
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
