//! Keeping within `max_disk`: what has ended goes in the background, what was refreshed least recently when there
//! is no room.
//!
//! Nothing is kept on disk about how much is there: a count of one shard at a time can't drift, whatever a crash or
//! another process did. Since a hash spreads the entries, a thousand of them tell of all: the oldest of a sample go
//! instead of the oldest of all, and until each shard was counted once the total is an estimate.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ledger::{self, Ledger, SHARDS};
use super::shard::{self, Found};
use super::{DiskError, DiskStore, directory, file, temporary};
use crate::clock::Timestamp;
use crate::disk_format::{self, Header};
use crate::freshness::{self, Freshness, FreshnessSettings, RefreshJitter};

/// How long an entry stays on disk that may not be served any more while its certificate lasts: a longer
/// `stale_if_error` brings it back.
pub const ENDED_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often [`DiskStore::sweep_step`] is called while nothing is urgent: a round of all shards takes an hour.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(14);

/// From how many files on a sample tells of all.
const SAMPLE: usize = 1024;
/// Room is made for many entries at once, since it costs a look at a shard: this part of a sample goes.
const PART: u64 = 16;
/// Files whose header one step reads.
const MAX_HEADERS: usize = 256;
/// Purged files that one step removes.
const MAX_PURGED: usize = 500;
/// Writes between two counts, so that what other processes write is seen in time.
const WRITES_PER_COUNT: u32 = 64;

/// What one step of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Entries removed since they can't be served any more.
    pub ended: u64,
    /// Entries removed to keep within the limit.
    pub evicted: u64,
    /// More is to be done soon: the next step should follow when no write waits. Otherwise it is time enough after
    /// [`SWEEP_INTERVAL`].
    pub more: bool,
}

/// What only one writing thread at a time may touch.
pub(super) struct Writing {
    pub(super) ledger: Ledger,
    hand: usize,
    steps: usize,
    writes: u32,
}

impl Writing {
    pub(super) fn new() -> Self {
        // Stores that start together begin at different places.
        Writing { ledger: Ledger::unknown(), hand: fastrand::usize(..SHARDS), steps: 0, writes: 0 }
    }

    fn next_shard(&mut self) -> usize {
        self.hand = (self.hand + 1) % SHARDS;
        self.hand
    }
}

impl DiskStore {
    /// Does a small part of what is to be done in the background, to be called on the writing thread between
    /// writes: removes what ended processes left, what [`DiskStore::remove_all`] put away, and of one shard what
    /// can't be served under any of these settings. Makes nothing, and no call of [`DiskStore::load`] waits for it.
    pub fn sweep_step(
        &self,
        now: Timestamp,
        settings: &[FreshnessSettings],
    ) -> Result<SweepReport, DiskError> {
        let mut writing = self.writing.lock();
        let mut report = SweepReport::default();
        if !self.has_root()? {
            return Ok(report);
        }
        // What fails keeps nothing else from its turn.
        let mut failure = None;
        if writing.steps.is_multiple_of(SHARDS) {
            note(&mut failure, temporary::sweep(&self.temporary));
        }
        writing.steps += 1;
        let budget = note(&mut failure, temporary::remove_purged(&self.temporary, MAX_PURGED));
        let shard = writing.next_shard();
        if let Some(mut files) = note(&mut failure, self.count(&mut writing.ledger, shard)) {
            report.ended = note(&mut failure, remove_ended(&mut files, now, settings)).unwrap_or_default();
            self.count_found(&mut writing.ledger, shard, &files);
        }
        if let Some(other) = self.some_other_backend() {
            // Its settings aren't known here, and perhaps nobody uses it any more.
            let removed = shard::list(&shard_of(&other, shard))
                .and_then(|mut files| remove_ended(&mut files, now, &[]));
            report.ended += note(&mut failure, removed).unwrap_or_default();
        }
        if self.excess(&writing.ledger, 0) > 0 {
            report.evicted = self.evict(&mut writing, 0).entries;
        }
        report.more =
            budget == Some(0) || !writing.ledger.usage().is_exact || self.excess(&writing.ledger, 0) > 0;
        failure.map_or(Ok(report), Err)
    }

    /// Makes room for a file; an error if there is none even so.
    pub(super) fn make_room(&self, writing: &mut Writing, length: u64) -> Result<(), DiskError> {
        writing.writes = writing.writes.wrapping_add(1);
        if writing.writes.is_multiple_of(WRITES_PER_COUNT) {
            self.look_at_next(writing);
        }
        self.take_a_sample(writing);
        let wanted = ledger::space(length);
        let limit = self.limit.load(Ordering::Relaxed);
        let no_room = || DiskError::NoRoom { path: self.entries.clone(), limit };
        if wanted > limit {
            return Err(no_room());
        }
        let mut freed = 0;
        // After a lower limit was set the sweep has more to do, a write only for itself.
        while self.excess(&writing.ledger, wanted) > 0 && freed < wanted {
            let removed = self.evict(writing, wanted);
            freed += removed.bytes;
            if removed.entries == 0 && self.excess(&writing.ledger, wanted) > 0 {
                return Err(no_room());
            }
        }
        Ok(())
    }

    /// Counts, once, as many shards as tell of all.
    fn take_a_sample(&self, writing: &mut Writing) {
        if writing.ledger.usage().is_exact || writing.ledger.files_seen() >= SAMPLE as u64 {
            return;
        }
        if let Ok(names) = directory::names(&self.entries) {
            let is_missing = |shard: &usize| !names.iter().any(|name| name == &*shard_name(*shard));
            (0..SHARDS).filter(is_missing).for_each(|shard| writing.ledger.count(shard, [].into_iter()));
        }
        while !writing.ledger.usage().is_exact && writing.ledger.files_seen() < SAMPLE as u64 {
            let shard = writing.next_shard();
            if !writing.ledger.knows(shard) {
                // One that can't be read must not stop the writes to the others: a sweep reports it.
                let _ = self.count(&mut writing.ledger, shard);
            }
        }
    }

    /// Removes of a sample the files that were refreshed least recently: as large a part as all of them together are
    /// too much, and no less than a sixteenth.
    fn evict(&self, writing: &mut Writing, wanted: u64) -> Removed {
        let mut sample = Vec::new();
        for _ in 0..SHARDS {
            let (shard, found) = self.look_at_next(writing);
            sample.extend(found.into_iter().map(|found| (shard, found)));
            if sample.len() >= SAMPLE {
                break;
            }
        }
        let mut removed = Removed::default();
        let (excess, total) = (self.excess(&writing.ledger, wanted), writing.ledger.usage().bytes);
        if excess == 0 {
            return removed;
        }
        let sampled: u64 = sample.iter().map(|(_, found)| ledger::space(found.length)).sum();
        let share = u128::from(sampled) * u128::from(excess) / u128::from(total.max(1));
        let goal = u64::try_from(share).unwrap_or(u64::MAX).max(sampled / PART);
        sample.sort_unstable_by_key(|(_, found)| found.modified);
        for (shard, found) in sample {
            if removed.bytes > 0 && removed.bytes >= goal {
                break;
            }
            if shard::remove(&found.path).unwrap_or(false) {
                writing.ledger.subtract(shard, found.length);
                removed.entries += 1;
                removed.bytes += ledger::space(found.length);
            }
        }
        self.publish(&writing.ledger);
        removed
    }

    /// How much too much there is, once `wanted` bytes more are there.
    fn excess(&self, ledger: &Ledger, wanted: u64) -> u64 {
        (ledger.usage().bytes + wanted).saturating_sub(self.limit.load(Ordering::Relaxed))
    }

    /// Counts the next shard, as far as it can be read.
    fn look_at_next(&self, writing: &mut Writing) -> (usize, Vec<Found>) {
        let shard = writing.next_shard();
        (shard, self.count(&mut writing.ledger, shard).unwrap_or_default())
    }

    fn count(&self, ledger: &mut Ledger, shard: usize) -> Result<Vec<Found>, DiskError> {
        let listed = shard::list(&shard_of(&self.entries, shard));
        self.count_found(ledger, shard, listed.as_deref().unwrap_or_default());
        listed
    }

    fn count_found(&self, ledger: &mut Ledger, shard: usize, files: &[Found]) {
        ledger.count(shard, files.iter().map(|found| found.length));
        self.publish(ledger);
    }

    /// The directory of a backend that isn't ours, any.
    fn some_other_backend(&self) -> Option<PathBuf> {
        let backends = self.entries.parent()?;
        let names = directory::names(backends).ok()?.into_iter();
        let backends_names = names.filter(|name| name.to_str().is_some_and(disk_format::is_directory_name));
        let others: Vec<_> =
            backends_names.map(|name| backends.join(name)).filter(|path| *path != self.entries).collect();
        others.get(fastrand::usize(..others.len().max(1))).cloned()
    }
}

/// The value; the first failure is kept for the end.
fn note<T>(failure: &mut Option<DiskError>, result: Result<T, DiskError>) -> Option<T> {
    result.map_err(|error| failure.get_or_insert(error)).ok()
}

#[derive(Default)]
struct Removed {
    entries: u64,
    bytes: u64,
}

fn shard_of(entries: &Path, shard: usize) -> PathBuf {
    entries.join(shard_name(shard))
}

/// The name of a shard's directory.
pub(super) fn shard_name(shard: usize) -> String {
    format!("{shard:02x}")
}

/// Looks at some of the files and removes those that have ended, from the list too.
fn remove_ended(
    files: &mut Vec<Found>,
    now: Timestamp,
    settings: &[FreshnessSettings],
) -> Result<u64, DiskError> {
    // Each has its turn, sooner or later.
    let first = fastrand::usize(..files.len().max(1));
    files.rotate_left(first);
    let mut removed = 0;
    for index in (0..files.len().min(MAX_HEADERS)).rev() {
        if has_ended(&files[index].path, now, settings) {
            removed += u64::from(shard::remove(&files[index].path)?);
            files.swap_remove(index);
        }
    }
    Ok(removed)
}

/// Whether an entry can't be served any more. One that can't be read is left to a lookup, which reports it.
fn has_ended(path: &Path, now: Timestamp, settings: &[FreshnessSettings]) -> bool {
    let Some(start) = file::read_start(path) else { return false };
    let Some(header) = disk_format::decode_start(&start) else { return false };
    let Header { metadata, not_after, .. } = header;
    if now >= not_after {
        return true;
    }
    let then = Timestamp(now.0.saturating_sub(ENDED_GRACE.as_millis() as u64));
    let had_ended = |settings: &FreshnessSettings| {
        let (fetched_at, jitter) = (metadata.fetched_at, RefreshJitter(0));
        freshness::evaluate(&metadata.freshness, fetched_at, not_after, *settings, jitter, then)
            == Freshness::Expired
    };
    !settings.is_empty() && metadata.fetched_at <= then && settings.iter().all(had_ended)
}
