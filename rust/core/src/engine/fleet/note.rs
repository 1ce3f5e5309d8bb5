//! What a node keeps of the journal on its own disk, over a restart.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::engine::disk_writes::Outstanding;
use crate::engine::fleet::Fleet;
use crate::engine::fleet::journal::LONGEST_UNREAD;
use crate::engine::shared::Shared;
use crate::log_sampler::LogKind;
use crate::purge_journal::{self, Purge};

/// What outlives the process, if there is a disk.
#[derive(Default)]
pub(super) struct Note {
    /// Purges whose files are gone.
    purges: Vec<Purge>,
    /// When the journal was read, about; zero if it never was.
    read_at: Timestamp,
}

/// How old the note of a node that reads the journal may be.
const NOTE_INTERVAL: Duration = Duration::from_secs(10 * 60);
const READ_FIELD: &str = "read: ";

impl Note {
    fn encode(&self) -> String {
        format!("{READ_FIELD}{}\n{}", self.read_at.0, purge_journal::encode(&self.purges))
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let Some(rest) = text.strip_prefix(READ_FIELD.as_bytes()) else {
            // As it was written at first.
            return Some(Note { purges: purge_journal::decode(text)?, read_at: Timestamp::default() });
        };
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let read_at = Timestamp(std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?);
        Some(Note { purges: purge_journal::decode(&rest[end + 1..])?, read_at })
    }
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
            noted.purges.iter().for_each(|purge| journal.purges.note(purge, Instant::now()));
            let begun_at = journal.begun_at;
            let read_at = journal.noted.get_or_insert(noted).read_at;
            (begun_at.saturating_since(read_at) >= LONGEST_UNREAD).then_some(begun_at)
        };
        if let Some(moment) = missed_until {
            self.due_before.fetch_max(moment.0, Ordering::Relaxed);
        }
    }

    /// Notes on disk which purges are carried out, once their files are gone, and when the journal was read.
    pub(super) fn note_purges(&self, fleet: &Fleet) {
        let Some(disk) = &self.disk else { return };
        let (note, is_known) = {
            let journal = fleet.journal.lock();
            let (Some(noted), Some(read_at)) = (&journal.noted, journal.read_at) else { return };
            let purges = journal.purges.carried_out();
            let is_known = noted.purges == purges;
            if is_known && read_at.saturating_since(noted.read_at) < NOTE_INTERVAL {
                return;
            }
            (Note { purges, read_at }, is_known)
        };
        // After the look at what is known: one that comes now is not among them.
        if !is_known && self.disk_writes.outstanding(None) != Outstanding::None {
            return;
        }
        match disk.save_note(note.encode().as_bytes()) {
            Ok(()) => fleet.journal.lock().noted = Some(note),
            Err(error) => self.log_of(LogKind::Disk, None, || error.to_string()),
        }
    }
}
