//! What a node keeps of the journal on its own disk, over a restart.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::engine::disk_writes::Outstanding;
use crate::engine::fleet::Fleet;
use crate::engine::fleet::journal::LONGEST_UNREAD;
use crate::engine::shared::Shared;
use crate::log_sampler::LogKind;
use crate::purge_journal::{self, Purge, PurgeId, Purged};

/// What outlives the process, if there is a disk.
#[derive(Default)]
pub(super) struct Note {
    /// Purges whose files are gone.
    purges: Vec<Purge>,
    /// Those of them that the other nodes may not know of yet.
    untold: Vec<PurgeId>,
    /// When the journal was read, about; zero if it never was.
    read_at: Timestamp,
}

/// How old the note of a node that reads the journal may be.
const NOTE_INTERVAL: Duration = Duration::from_secs(10 * 60);
const READ_FIELD: &str = "read: ";
const UNTOLD_FIELD: &str = "untold: ";

impl Note {
    fn encode(&self) -> String {
        let untold = purge_journal::encode_ids(self.untold.iter().copied());
        let purges = purge_journal::encode(&self.purges);
        format!("{READ_FIELD}{}\n{UNTOLD_FIELD}{untold}\n{purges}", self.read_at.0)
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let (read_at, rest) = field(text, READ_FIELD);
        let (untold, purges) = field(rest, UNTOLD_FIELD);
        Some(Note {
            purges: purge_journal::decode(purges)?,
            untold: purge_journal::decode_ids(std::str::from_utf8(untold).ok()?)?,
            read_at: match read_at {
                b"" => Timestamp::default(),
                text => Timestamp(std::str::from_utf8(text).ok()?.parse().ok()?),
            },
        })
    }
}

/// The first line's value if it is this field, which earlier versions may not have written, and what comes after.
fn field<'a>(text: &'a [u8], name: &str) -> (&'a [u8], &'a [u8]) {
    let Some(value) = text.strip_prefix(name.as_bytes()) else { return (b"", text) };
    let end = value.iter().position(|byte| *byte == b'\n').unwrap_or(value.len());
    (&value[..end], value.get(end + 1..).unwrap_or_default())
}

impl Shared {
    /// Takes for known what the process before has carried out: without this, each start would drop what was fetched since,
    /// and as purges of all stay in the journal for good, empty the disk. A node that was away for longer than names stay in
    /// the journal may have missed one.
    pub(super) fn recall_purges(&self, fleet: &Fleet) {
        let (Some(disk), true) = (&self.disk, fleet.journal.lock().noted.is_none()) else { return };
        let noted = match disk.load_note() {
            Ok(text) => text.and_then(|text| Note::decode(&text)).unwrap_or_default(),
            Err(error) => {
                self.log_of(LogKind::Disk, None, || error.to_string());
                Note::default()
            }
        };
        let missed_until = {
            let mut journal = fleet.journal.lock();
            if journal.noted.is_some() {
                return; // a turn and a purge may both have asked the disk
            }
            for purge in &noted.purges {
                match noted.untold.contains(&purge.id) {
                    true => journal.purges.tell_again(purge, Instant::now()),
                    false => journal.purges.note(purge, Instant::now()),
                }
            }
            let begun_at = journal.begun_at;
            let read_at = journal.noted.insert(noted).read_at;
            (begun_at.saturating_since(read_at) >= LONGEST_UNREAD).then_some(begun_at)
        };
        if let Some(moment) = missed_until {
            self.due_before.fetch_max(moment.0, Ordering::Relaxed);
        }
    }

    /// Notes on disk which purges are carried out, once their files are gone, which of them are to be told yet, and when the
    /// journal was read. True if the disk has it.
    pub(in crate::engine) fn note_purges(&self, fleet: &Fleet) -> bool {
        let Some(disk) = &self.disk else { return false };
        let _noting = fleet.noting.lock();
        self.recall_purges(fleet);
        let mut note = {
            let journal = fleet.journal.lock();
            let Some(noted) = &journal.noted else { return false };
            Note {
                purges: journal.purges.carried_out(),
                untold: journal.purges.unconfirmed(),
                read_at: journal.read_at.unwrap_or(noted.read_at),
            }
        };
        // After the look at what is carried out: one that comes now is not among it.
        if !self.leave_out_unremoved(&mut note) {
            return false;
        }
        let is_known = fleet.journal.lock().noted.as_ref().is_some_and(|noted| {
            let is_young = note.read_at.saturating_since(noted.read_at) < NOTE_INTERVAL;
            is_young && noted.purges == note.purges && noted.untold == note.untold
        });
        if is_known {
            return true;
        }
        let saved = disk.save_note(note.encode().as_bytes());
        match &saved {
            Ok(()) => fleet.journal.lock().noted = Some(note),
            Err(error) => self.log_of(LogKind::Disk, None, || error.to_string()),
        }
        saved.is_ok()
    }

    /// Leaves out the purges whose files may be there yet: the next start carries them out again. False if that can be any.
    fn leave_out_unremoved(&self, note: &mut Note) -> bool {
        if self.disk_writes.outstanding(None) != Outstanding::None {
            return false;
        }
        let unremoved = self.disk_writes.unremoved_names();
        // A purge takes what covers its name along, under other names.
        if self.shares_names.load(Ordering::Relaxed) && !unremoved.is_empty() {
            return false;
        }
        note.purges.retain(|purge| match &purge.purged {
            Purged::All => true,
            Purged::Name(name) | Purged::Withdrawn(name) => !unremoved.contains(name),
        });
        let noted: HashSet<_> = note.purges.iter().map(|purge| purge.id).collect();
        note.untold.retain(|id| noted.contains(id));
        true
    }
}
