//! The purges that the nodes of a fleet tell each other. The journal on the storage is the list of them; this is what one node
//! knows of it.
//!
//! **No rule here looks at a clock**, since those of two nodes never agree. A purge has an id. A record says which purges of
//! its name were known to its writer when it asked the backend; who knows of another purge takes the record for older.
//!
//! Nodes write the journal without a lock, so one may overwrite what another has just added. Whoever adds a purge
//! therefore adds it again until two reads have shown it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use compact_str::CompactString;

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
}

struct Known {
    purged: Purged,
    since: Instant,
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
const FIRST_LINE: &str = "caddy-cached-http purges, format 1\n";

impl PurgeJournal {
    /// Notes a purge by this node, which is to be written.
    pub fn add(&mut self, purged: Purged, now: Instant) -> PurgeId {
        let id = PurgeId(fastrand::u64(1..));
        let purge = Purge { id, purged };
        self.note(&purge, now);
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
        self.forget_old(shown, now);
        shown.iter().filter(|purge| !self.known.contains_key(&purge.id)).cloned().collect()
    }

    /// The purges of all that are known: what a node must not carry out again after a restart.
    pub fn of_all(&self) -> Vec<Purge> {
        self.of_all.iter().map(|id| Purge { id: *id, purged: Purged::All }).collect()
    }

    /// What is to be written after a read has shown this, if anything: it lacks a purge of ours, or one that it had before, since
    /// the storage has lost it or another node has overwritten it. If it would be too long, withdrawals go first, and then
    /// one purge of all stands for the rest.
    pub fn to_write(&mut self, shown: &[Purge], now: Instant) -> Option<Vec<Purge>> {
        let ids = ids_of(shown);
        let ours = self.unconfirmed.iter().map(|(purge, _)| purge.clone());
        let is_wanted = |purged: &Purged| !matches!(purged, Purged::Withdrawn(_));
        let known = self.known.iter().filter(|(_, known)| !known.is_superseded && is_wanted(&known.purged));
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
        if length(&purges) > MAX_TEXT_LENGTH {
            purges.retain(|purge| !matches!(purge.purged, Purged::Withdrawn(_)));
            self.unconfirmed.retain(|(purge, _)| !matches!(purge.purged, Purged::Withdrawn(_)));
        }
        if length(&purges) > MAX_TEXT_LENGTH {
            self.unconfirmed.clear();
            self.add(Purged::All, now);
            purges = self.unconfirmed.iter().map(|(purge, _)| purge.clone()).collect();
        }
        Some(purges)
    }

    /// Whether there are purges of our own that the journal may lack.
    pub fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Takes a purge for known.
    pub fn note(&mut self, purge: &Purge, now: Instant) {
        if self.known.contains_key(&purge.id) {
            return;
        }
        let known = Known { purged: purge.purged.clone(), since: now, is_superseded: false };
        match &purge.purged {
            Purged::All => {
                self.supersede_names();
                self.of_all.push(purge.id);
                // What is older than the oldest is older than the others, too.
                if self.of_all.len() > MAX_OF_ALL {
                    let oldest = self.of_all.remove(0);
                    self.known.entry(oldest).and_modify(|known| known.is_superseded = true);
                }
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

/// Writes the journal's text: a line for each purge, the oldest first.
pub fn encode(purges: &[Purge]) -> String {
    let mut text = FIRST_LINE.to_owned();
    purges.iter().for_each(|purge| text += &line(purge));
    text
}

/// Reads it; `None` if it is none of ours.
pub fn decode(text: &[u8]) -> Option<Vec<Purge>> {
    let lines = std::str::from_utf8(text).ok()?.strip_prefix(FIRST_LINE)?;
    lines.lines().map(parse_line).collect()
}

/// Ids as a record's text has them: hexadecimal, with commas between.
pub fn encode_ids(ids: impl Iterator<Item = PurgeId>) -> String {
    ids.map(|id| format!("{:016x}", id.0)).collect::<Vec<_>>().join(",")
}

/// Reads them.
pub fn decode_ids(text: &str) -> Option<Vec<PurgeId>> {
    text.split(',').filter(|id| !id.is_empty()).map(parse_id).collect()
}

fn line(purge: &Purge) -> String {
    match &purge.purged {
        Purged::All => format!("{:016x} *\n", purge.id.0),
        Purged::Name(name) => format!("{:016x} {name}\n", purge.id.0),
        Purged::Withdrawn(name) => format!("{:016x} {name} withdrawn\n", purge.id.0),
    }
}

fn parse_line(line: &str) -> Option<Purge> {
    let mut parts = line.split(' ');
    let id = parse_id(parts.next()?)?;
    let purged = match (parts.next()?, parts.next(), parts.next()) {
        ("*", None, None) => Purged::All,
        ("", ..) => return None,
        (name, None, None) => Purged::Name(name.into()),
        (name, Some("withdrawn"), None) => Purged::Withdrawn(name.into()),
        _ => return None,
    };
    Some(Purge { id, purged })
}

fn parse_id(text: &str) -> Option<PurgeId> {
    let id = u64::from_str_radix(text, 16).ok().filter(|id| *id > 0 && text.len() == 16)?;
    Some(PurgeId(id))
}

fn length(purges: &[Purge]) -> usize {
    FIRST_LINE.len() + purges.iter().map(|purge| line(purge).len()).sum::<usize>()
}

#[cfg(test)]
mod tests;
