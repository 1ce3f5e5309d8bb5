//! The purges that the nodes of a fleet tell each other. The journal on the storage is the list of them; this is what one node
//! knows of it.
//!
//! **No rule here looks at a clock**, since those of two nodes never agree. A purge has an id. A record says which purges of
//! its name were known to its writer when it asked the backend; who knows of another purge takes the record for older.
//!
//! Nodes write the journal without a lock, so one may overwrite what another has just added. Whoever adds a purge
//! therefore adds it again until two reads have shown it.

mod text;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use compact_str::CompactString;

pub use text::{decode, decode_ids, encode, encode_ids};

/// Names one purge; random, so that no two nodes choose the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurgeId(pub u64);

/// What was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purged {
    /// All names.
    All,
    /// A name, because an operator wants that.
    Name(CompactString),
    /// A name that the backend has no certificate for any more. Other nodes find that out by themselves, if later.
    Withdrawn(CompactString),
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Which one it is.
    pub id: PurgeId,
    /// What was purged.
    pub purged: Purged,
}

/// What a node knows of the journal.
#[derive(Default)]
pub struct PurgeJournal {
    known: HashMap<PurgeId, Known>,
    by_name: HashMap<CompactString, Vec<PurgeId>>,
    of_all: Vec<PurgeId>,
    /// In how many reads a purge of our own has shown.
    unconfirmed: Vec<(Purge, u8)>,
    reads: u64,
}

struct Known {
    purged: Purged,
    since: Instant,
    /// It was there when this node began: it may be older than that.
    is_from_before: bool,
    /// A purge of all that came later stands for it.
    is_superseded: bool,
}

/// A purge of a name stays in the journal for so long: a node that has not read it for half of the time looks for newer
/// certificates of everything.
pub const NAME_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
/// So many purges of all are kept. What is older than one of them is older than the last, too.
const MAX_OF_ALL: usize = 8;
/// The longest text, in bytes: what fits into a record, with room for its head.
const MAX_TEXT_LENGTH: usize = 240 << 10;
const READS_TO_CONFIRM: u8 = 2;

impl PurgeJournal {
    /// Notes a purge by this node, which is to be written.
    pub fn add(&mut self, purged: Purged, now: Instant) -> PurgeId {
        let id = PurgeId(fastrand::u64(1..));
        let purge = Purge { id, purged };
        if purge.purged == Purged::All {
            // It stands for those that the journal may lack yet.
            let replaced: HashSet<_> = self.unconfirmed.drain(..).map(|(purge, _)| purge.id).collect();
            self.of_all.retain(|id| !replaced.contains(id));
            self.known.iter_mut().for_each(|(id, known)| known.is_superseded |= replaced.contains(id));
        }
        self.note(&purge, now);
        self.known.entry(id).and_modify(|known| known.is_from_before = false);
        self.unconfirmed.push((purge, 0));
        id
    }

    /// The purges of a name, those of all included: what is newer than each has to say so.
    pub fn of_name<'a>(&'a self, name: &str) -> impl Iterator<Item = PurgeId> + 'a {
        self.by_name.get(name).into_iter().flatten().chain(&self.of_all).copied()
    }

    /// Takes what a read has shown, the oldest first, and returns what is new to this node: whoever carries it out notes
    /// it in the same moment.
    pub fn read(&mut self, shown: &[Purge], now: Instant) -> Vec<Purge> {
        let ids = ids_of(shown);
        for (purge, reads) in &mut self.unconfirmed {
            *reads += u8::from(ids.contains(&purge.id));
        }
        self.unconfirmed.retain(|(_, reads)| *reads < READS_TO_CONFIRM);
        self.reads += 1;
        self.forget_old(shown, now);
        self.order_as_shown(shown);
        shown.iter().filter(|purge| !self.known.contains_key(&purge.id)).cloned().collect()
    }

    /// The purges that count, those of all first: what a node must not carry out again after a restart.
    pub fn carried_out(&self) -> Vec<Purge> {
        let of_all = self.of_all.iter().map(|id| Purge { id: *id, purged: Purged::All });
        let mut names: Vec<_> = self.by_name.values().flatten().copied().collect();
        names.sort_unstable();
        let purge_of = |id| self.known.get(&id).map(|known| Purge { id, purged: known.purged.clone() });
        of_all.chain(names.into_iter().filter_map(purge_of)).collect()
    }

    /// What is to be written after a read has shown this, if anything: it lacks a purge of ours, or one that it had before, since
    /// the storage has lost it or another node has overwritten it. If it would be too long, withdrawals go first, and then
    /// one purge of all stands for the rest.
    pub fn to_write(&mut self, shown: &[Purge], now: Instant) -> Option<Vec<Purge>> {
        let ids = ids_of(shown);
        let ours = self.unconfirmed.iter().map(|(purge, _)| purge.clone());
        // A name's line whose age is not known would be kept alive by one start after the other.
        let is_wanted = |known: &Known| match known.purged {
            Purged::All => true,
            Purged::Name(_) => !known.is_from_before,
            Purged::Withdrawn(_) => false,
        };
        let known = self.known.iter().filter(|(_, known)| !known.is_superseded && is_wanted(known));
        let known = known.map(|(id, known)| Purge { id: *id, purged: known.purged.clone() });
        let lost = known.filter(|purge| !self.is_over(purge, now));
        let mut added: Vec<_> = ours.chain(lost).filter(|purge| !ids.contains(&purge.id)).collect();
        added.sort_by_key(|purge| purge.id);
        added.dedup_by_key(|purge| purge.id);
        if added.is_empty() {
            return None;
        }
        let mut purges: Vec<_> =
            shown.iter().filter(|purge| !self.is_over(purge, now)).cloned().chain(added).collect();
        let surplus =
            purges.iter().filter(|purge| purge.purged == Purged::All).count().saturating_sub(MAX_OF_ALL);
        let mut of_all = 0;
        purges.retain(|purge| {
            purge.purged != Purged::All || {
                of_all += 1;
                of_all > surplus
            }
        });
        if text::length(&purges) > MAX_TEXT_LENGTH {
            purges.retain(|purge| !matches!(purge.purged, Purged::Withdrawn(_)));
            self.unconfirmed.retain(|(purge, _)| !matches!(purge.purged, Purged::Withdrawn(_)));
        }
        if text::length(&purges) > MAX_TEXT_LENGTH {
            self.add(Purged::All, now);
            purges = self.unconfirmed.iter().map(|(purge, _)| purge.clone()).collect();
        }
        Some(purges)
    }

    /// Purges of our own that the journal may lack.
    pub fn unconfirmed(&self) -> Vec<PurgeId> {
        self.unconfirmed.iter().map(|(purge, _)| purge.id).collect()
    }

    /// Purges of our own that no read has shown; unknown while one of all is among them, as that stands for others.
    pub fn unshown(&self) -> Option<HashSet<PurgeId>> {
        let mut unshown = self.unconfirmed.iter().filter(|(_, reads)| *reads == 0).map(|(purge, _)| purge);
        unshown.try_fold(HashSet::new(), |mut ids, purge| {
            ids.insert(purge.id);
            (purge.purged != Purged::All).then_some(ids)
        })
    }

    /// Takes up a purge by this node that was not confirmed before a restart.
    pub fn tell_again(&mut self, purge: &Purge, now: Instant) {
        self.note(purge, now);
        self.unconfirmed.push((purge.clone(), 0));
    }

    /// Takes a purge for known.
    pub fn note(&mut self, purge: &Purge, now: Instant) {
        if self.known.contains_key(&purge.id) {
            return;
        }
        let is_from_before = self.reads <= 1;
        let known = Known { purged: purge.purged.clone(), since: now, is_from_before, is_superseded: false };
        match &purge.purged {
            Purged::All => {
                self.supersede_names();
                self.of_all.push(purge.id);
                self.leave_out_oldest();
            }
            Purged::Name(name) | Purged::Withdrawn(name) => {
                self.by_name.entry(name.clone()).or_default().push(purge.id);
            }
        }
        self.known.insert(purge.id, known);
    }

    fn supersede_names(&mut self) {
        self.by_name.clear();
        self.known.values_mut().for_each(|known| known.is_superseded |= known.purged != Purged::All);
    }

    /// The journal's order of purges of all is every node's, so that all leave out the same.
    fn order_as_shown(&mut self, shown: &[Purge]) {
        let shown: Vec<_> =
            shown.iter().filter(|purge| purge.purged == Purged::All).map(|purge| purge.id).collect();
        let is_full = shown.len() >= MAX_OF_ALL;
        let may_be_lost =
            |id: &PurgeId| !is_full || self.unconfirmed.iter().any(|(purge, _)| purge.id == *id);
        let (kept, left_out): (Vec<_>, Vec<_>) =
            self.of_all.iter().copied().filter(|id| !shown.contains(id)).partition(may_be_lost);
        self.of_all = shown.into_iter().filter(|id| self.known.contains_key(id)).chain(kept).collect();
        for (ids, is_superseded) in [(&left_out, true), (&self.of_all, false)] {
            for id in ids {
                self.known.entry(*id).and_modify(|known| known.is_superseded = is_superseded);
            }
        }
        self.leave_out_oldest();
    }

    /// What is older than the oldest purge of all is older than the others, too.
    fn leave_out_oldest(&mut self) {
        while self.of_all.len() > MAX_OF_ALL {
            let oldest = self.of_all.remove(0);
            self.known.entry(oldest).and_modify(|known| known.is_superseded = true);
        }
    }

    /// One of all is never over: what is as old as that may lie on the storage for years.
    fn is_over(&self, purge: &Purge, now: Instant) -> bool {
        let is_old = |known: &Known| now.duration_since(known.since) >= NAME_LIFETIME;
        purge.purged != Purged::All && self.known.get(&purge.id).is_some_and(is_old)
    }

    /// Forgets what the journal has not any more, when it is old enough for that.
    fn forget_old(&mut self, shown: &[Purge], now: Instant) {
        let is_over = |known: &Known| now.duration_since(known.since) >= 2 * NAME_LIFETIME;
        let may_go = |known: &Known| is_over(known) && (known.is_superseded || known.purged != Purged::All);
        let gone: Vec<_> = self.known.iter().filter(|(_, known)| may_go(known)).map(|(id, _)| *id).collect();
        let shown = ids_of(shown);
        for id in gone.into_iter().filter(|id| !shown.contains(id)) {
            let Some(known) = self.known.remove(&id) else { continue };
            self.of_all.retain(|other| *other != id);
            if let Purged::Name(name) | Purged::Withdrawn(name) = known.purged
                && let Some(ids) = self.by_name.get_mut(&name)
            {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }
}

fn ids_of(purges: &[Purge]) -> HashSet<PurgeId> {
    purges.iter().map(|purge| purge.id).collect()
}

#[cfg(test)]
mod tests;
