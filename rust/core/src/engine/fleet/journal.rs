//! The journal of purges: what a node knows of it. It is read every few seconds, and written when this node has purged, in
//! turns ([`turn`]).

mod turn;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::engine::fleet::note::Note;
use crate::engine::storing::PurgedBy;
use crate::purge_journal::{NAME_LIFETIME, Purge, PurgeId, PurgeJournal, Purged};
use crate::storage::RequestId;

/// Without the journal for so long, a node may have missed a purge.
pub(super) const LONGEST_UNREAD: Duration = Duration::from_secs(NAME_LIFETIME.as_secs() / 2);

/// So many times the timeout a read or a write that hangs is waited for, twice as many each time ([`turn`]): a module may
/// never return it. One that obeys its context has returned long before.
const PATIENCE: u32 = 8;

const MAX_UNHEARD: usize = 65_536;

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
    /// When what lies on the storage could not be opened with this node's keys. Who has written that does so again and again.
    foreign_at: Option<Instant>,
    /// Purges by this node that were written over such a one: who has written that hears of none.
    unheard: HashSet<PurgeId>,
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
            foreign_at: None,
            unheard: HashSet::new(),
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
        self.foreign_at = None;
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

    /// Whether nodes with other keys have written it, in this time or before these purges by this one, of which they can't know.
    pub(in crate::engine) fn is_unheard(&self, purges: &HashSet<PurgeId>, time: Duration) -> bool {
        self.foreign_at.is_some_and(|at| at.elapsed() <= time) || !self.unheard.is_disjoint(purges)
    }

    /// All that is unwritten is about to be, over a journal that can't be opened.
    fn write_over_a_foreign_one(&mut self) {
        // Whoever waits for one looks within seconds.
        if self.unheard.len() > MAX_UNHEARD {
            self.unheard.clear();
        }
        self.unheard.extend(&self.unwritten);
    }

    /// The storage has taken these.
    fn has_taken(&mut self, purges: &HashSet<PurgeId>) {
        self.unwritten.retain(|id| !purges.contains(id));
    }

    /// A read has shown these. A write that has not returned, or has failed, may have come there all the same.
    fn has_shown(&mut self, shown: &[Purge]) {
        self.has_taken(&shown.iter().map(|purge| purge.id).collect());
        // One of all took the place of those before it, which no read will show.
        if let Some(unshown) = self.purges.unshown() {
            self.unwritten.retain(|id| unshown.contains(id));
        }
    }

    /// The purges by this node that the storage has not taken.
    pub(in crate::engine) fn unwritten(&self) -> &HashSet<PurgeId> {
        &self.unwritten
    }
}
