//! How much the entries take, without asking the disk: counted shard by shard, exact once every shard was.

/// Entries are spread evenly over as many directories, by the first byte of a hash.
pub(super) const SHARDS: usize = 256;

/// File systems give out space in blocks, of this size as a rule.
const BLOCK: u64 = 4096;

/// What a store's entries take on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// How many there are.
    pub entries: u64,
    /// Their space, each in whole blocks of 4 KiB.
    pub bytes: u64,
    /// False while not every shard has been counted since the start: the others are taken to hold as much as those
    /// that were.
    pub is_exact: bool,
}

/// What is known of each shard.
pub(super) struct Ledger {
    shards: [Option<Count>; SHARDS],
}

#[derive(Clone, Copy, Default)]
struct Count {
    entries: u64,
    bytes: u64,
}

/// The space that a file of this length takes.
pub(super) fn space(length: u64) -> u64 {
    length.next_multiple_of(BLOCK)
}

impl Ledger {
    /// Nothing is known yet.
    pub(super) fn unknown() -> Self {
        Ledger { shards: [None; SHARDS] }
    }

    /// Nothing is there.
    pub(super) fn empty() -> Self {
        Ledger { shards: [Some(Count::default()); SHARDS] }
    }

    /// Notes what a look at a shard found.
    pub(super) fn count(&mut self, shard: usize, lengths: impl Iterator<Item = u64>) {
        let mut count = Count::default();
        for length in lengths {
            count.entries += 1;
            count.bytes += space(length);
        }
        self.shards[shard] = Some(count);
    }

    /// Whether a shard was counted.
    pub(super) fn knows(&self, shard: usize) -> bool {
        self.shards[shard].is_some()
    }

    /// Notes a new file. A shard that was not counted yet stays unknown.
    pub(super) fn add(&mut self, shard: usize, length: u64) {
        if let Some(count) = &mut self.shards[shard] {
            count.entries += 1;
            count.bytes += space(length);
        }
    }

    /// Notes that a file is gone.
    pub(super) fn subtract(&mut self, shard: usize, length: u64) {
        if let Some(count) = &mut self.shards[shard] {
            // Another process may have added it after the count.
            count.entries = count.entries.saturating_sub(1);
            count.bytes = count.bytes.saturating_sub(space(length));
        }
    }

    /// All shards together.
    pub(super) fn usage(&self) -> DiskUsage {
        let (mut known, mut entries, mut bytes) = (0, 0, 0);
        for count in self.shards.iter().flatten() {
            known += 1;
            entries += count.entries;
            bytes += count.bytes;
        }
        let scale = |value: u64| (value * SHARDS as u64).checked_div(known).unwrap_or(0);
        DiskUsage { entries: scale(entries), bytes: scale(bytes), is_exact: known == SHARDS as u64 }
    }

    /// How many files the counts rest on.
    pub(super) fn files_seen(&self) -> u64 {
        self.shards.iter().flatten().map(|count| count.entries).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_not_counted_yet_are_taken_to_hold_as_much() {
        let mut ledger = Ledger::unknown();
        assert_eq!(ledger.usage(), DiskUsage::default());
        ledger.count(0, [1, 4096, 4097].into_iter());
        ledger.add(1, 1);
        assert_eq!(ledger.usage(), DiskUsage { entries: 3 * 256, bytes: 4 * 4096 * 256, is_exact: false });
        (1..SHARDS).for_each(|shard| ledger.count(shard, [].into_iter()));
        assert_eq!(ledger.usage(), DiskUsage { entries: 3, bytes: 4 * 4096, is_exact: true });
    }

    #[test]
    fn what_others_removed_can_not_make_it_wrap() {
        let mut ledger = Ledger::empty();
        ledger.add(7, 5000);
        ledger.subtract(7, 5000);
        ledger.subtract(7, 5000);
        assert_eq!(ledger.usage(), DiskUsage { entries: 0, bytes: 0, is_exact: true });
    }
}
