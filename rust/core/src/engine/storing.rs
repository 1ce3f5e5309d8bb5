//! What is stored, and what is withdrawn. One rule: a withdrawal removes what it names from memory and disk, whatever
//! could be read of it, and nothing that began before it brings it back. For that, storing and withdrawing exclude
//! each other, and a withdrawal marks the flights under way: as its last step, so that a flight which it does not mark
//! has found nothing in memory, and finds nothing on disk.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compact_str::CompactString;

use crate::engine::disk_writes::DiskWrite;
use crate::engine::fetch::candidate::Source;
use crate::engine::fleet::FleetWrite;
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, Entry, EntryKeyRef, ResponseMetadata};
use crate::negative_store::Negative;
use crate::purge_journal::Purge;
use crate::single_flight::Flight;

/// What becomes of an entry's file when the entry is stored.
pub(super) enum DiskCopy {
    /// It came from there.
    IsThere,
    /// It is written, with what the response said.
    Write(ResponseMetadata),
    /// It must not be written.
    Remove,
}

/// Whether the disk has anything under a key that the client who asks can use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDisk {
    Nothing,
    /// It could not be read, or was not.
    Unknown,
    Something,
}

/// Where a fetch has seen something of its name before the backend said "no".
#[derive(Clone, Copy)]
pub(super) struct FoundOf {
    /// By kind of key.
    pub(super) on_disk: [OnDisk; ClientKind::ALL.len()],
    pub(super) is_in_fleet: bool,
}

/// What a purge of a name has found.
pub(super) struct Forgotten {
    /// Whether anything was known of it.
    pub(super) was_known: bool,
    /// Other names whose certificates went with it.
    pub(super) along: HashSet<CompactString>,
}

/// Who wants a purge.
pub(super) enum PurgedBy<'a> {
    /// An operator of this node, or the backend.
    ThisNode,
    /// Another node, by its journal.
    Other(&'a Purge),
}

impl Shared {
    /// Stores what a flight has brought. What the backend has sent or confirmed is also put where other nodes find it. False if
    /// it was withdrawn since the flight began, or a newer one is stored already.
    pub(super) fn store(
        self: &Arc<Self>,
        flight: &Flight,
        entry: &Arc<Entry>,
        to_write: DiskCopy,
        source: Source,
    ) -> bool {
        let kind = ClientKind::for_key(entry.algorithm());
        let (fetched_at, now) = (entry.metadata.fetched_at, self.clock.now());
        // One from the future is no measure: the clock was set back.
        let is_newer = |stored: &Arc<Entry>| {
            fetched_at < stored.metadata.fetched_at && stored.metadata.fetched_at <= now
        };
        // A certificate is not parsed under the lock.
        let dns_names = self.shares_names.load(Ordering::Relaxed).then(|| entry.bundle.dns_names());
        let retired = {
            let _change = self.changes.lock();
            let old = self.memory.entry_for(entry.key());
            if flight.is_withdrawn(kind) || old.as_ref().is_some_and(is_newer) {
                return false;
            }
            for client in ClientKind::ALL.into_iter().filter(|client| *client >= kind) {
                self.negatives.remove(entry.key().of(client));
                self.unsupported.remove(entry.key().of(client));
            }
            match to_write {
                DiskCopy::Write(metadata) => {
                    if source.is_backend() {
                        self.save_to_fleet(entry, metadata.clone());
                    }
                    self.queue_write(entry.key(), DiskWrite::Save(Arc::clone(entry), metadata));
                }
                // The file of the one before would come back with a restart.
                DiskCopy::Remove => self.remove_copies(entry.key()),
                DiskCopy::IsThere => {}
            }
            if source != Source::Disk {
                self.withdrawals.contradict(entry.key(), fetched_at);
            }
            self.flights.note_stored(entry.key(), kind);
            if let Some(dns_names) = &dns_names {
                // What was only confirmed is shared if it was.
                let was_shared = || old.is_some_and(|old| self.shared_names.contains(old.id, dns_names));
                if source == Source::Backend || was_shared() {
                    self.shared_names.insert(entry, dns_names);
                }
            }
            self.memory.insert(Arc::clone(entry))
        };
        self.counters.evictions.add(retired.evicted);
        self.retire(retired.entries);
        true
    }

    /// The backend has no certificate for such a client: every one that it could have used is withdrawn. The files of
    /// made-up names are not there, and nothing is queued for them. A "no" that comes late says nothing of what was
    /// stored since.
    pub(super) fn withdraw(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        key: EntryKeyRef<'_>,
        found: FoundOf,
        negative: Negative,
    ) {
        let retired = {
            let _change = self.changes.lock();
            if flight.is_superseded() {
                return;
            }
            self.negatives.insert(key, negative);
            self.shared_names.deny(key, negative.fetched_at);
            for client in ClientKind::ALL.into_iter().filter(|client| *client <= key.client) {
                self.unsupported.remove(key.of(client)); // there is none of any kind
            }
            // What could not be read goes as well, but is no reason to tell others: a scanner chooses such names.
            let is_elsewhere = found.is_in_fleet || found.on_disk.contains(&OnDisk::Something);
            let removed = self.remove(key, |kind| match flight.has_stored(kind) {
                true => OnDisk::Something,
                false => found.on_disk[kind as usize],
            });
            if !removed.is_empty() || is_elsewhere {
                self.withdrawals.note(key, negative.fetched_at);
            }
            let removed_keys = removed.iter().map(|entry| entry.key());
            self.withdraw_from_fleet(key, removed_keys.chain(is_elsewhere.then_some(key)));
            self.flights.withdraw(flight);
            removed
        };
        self.retire(retired);
    }

    /// Remembers that the certificate there is is of a kind that such a client can't use.
    pub(super) fn note_unsupported(&self, flight: &Flight, key: EntryKeyRef<'_>, answer: Negative) {
        let _change = self.changes.lock();
        if !flight.is_superseded() {
            self.unsupported.insert(key, answer);
        }
    }

    /// Forgets all that is known of a name, and of those whose certificates answer for it. Who comes from now on is answered
    /// anew. The removal of files is queued as `removal`.
    pub(super) fn purge(
        self: &Arc<Self>,
        name: EntryKeyRef<'_>,
        removal: &DiskWrite,
        by: &PurgedBy<'_>,
    ) -> Forgotten {
        let mut retired = Vec::new();
        let (known, along) = {
            let _change = self.changes.lock();
            let (covering, _) = self.shared_names.covering(name.name, usize::MAX);
            let covering: Vec<_> = covering.into_iter().filter_map(|id| self.memory.entry(id)).collect();
            self.shared_names.purged(self.clock.now());
            let others = covering.iter().map(|entry| entry.key()).filter(|other| other.name != name.name);
            let mut along = HashSet::new();
            for other in others {
                self.forget(other, removal, &mut retired);
                self.purge_in_fleet(other, by);
                along.insert(other.name.into());
            }
            self.purge_in_fleet(name, by);
            (self.forget(name, removal, &mut retired), along)
        };
        let was_known = known || !retired.is_empty();
        self.retire(retired);
        Forgotten { was_known, along }
    }

    /// Forgets a name; true if anything but a certificate was known. The caller holds `changes`.
    fn forget(
        self: &Arc<Self>,
        name: EntryKeyRef<'_>,
        removal: &DiskWrite,
        retired: &mut Vec<Arc<Entry>>,
    ) -> bool {
        let mut known = false;
        self.withdrawals.note(name.of(ClientKind::Ed25519), self.clock.now());
        for key in name.all_kinds() {
            self.queue_write(key, removal.clone());
            retired.extend(self.memory.remove(key));
            known |= self.negatives.remove(key) | self.unsupported.remove(key) | self.back_off.forget(key);
        }
        known | self.flights.detach(name)
    }

    /// Drops one entry that must no longer be used, of which nothing else is said.
    pub(super) fn drop_entry(self: &Arc<Self>, key: EntryKeyRef<'_>) {
        let retired = {
            let _change = self.changes.lock();
            self.remove_copies(key);
            self.memory.remove(key)
        };
        self.retire(retired);
    }

    /// Has a file removed that is there again though it was withdrawn.
    pub(super) fn remove_again(self: &Arc<Self>, key: EntryKeyRef<'_>) {
        let _change = self.changes.lock();
        // Another may have been stored meanwhile.
        if self.memory.peek(key).is_none() && !self.disk_writes.is_pending(key) {
            self.queue_write(key, DiskWrite::Remove(ClientKind::Ed25519));
        }
    }

    /// Has the file of an entry removed, and its record.
    fn remove_copies(self: &Arc<Self>, key: EntryKeyRef<'_>) {
        self.queue_write(key, DiskWrite::Remove(ClientKind::Ed25519));
        if let Some(fleet) = self.fleet() {
            fleet.writes.want(key, FleetWrite::Delete);
            self.write_to_fleet(&fleet);
        }
    }

    /// Removes a name's entries that such a client can use. Only of what was seen and goes a removal may have everything
    /// cleared for want of room. The caller holds `changes`.
    fn remove(
        self: &Arc<Self>,
        client: EntryKeyRef<'_>,
        on_disk: impl Fn(ClientKind) -> OnDisk,
    ) -> Vec<Arc<Entry>> {
        let (up_to, mut retired) = (client.client, Vec::new());
        for key in client.all_kinds() {
            let stored = self.memory.entry_for(key).or_else(|| self.disk_writes.to_save(key));
            if stored.as_ref().is_some_and(|entry| !up_to.can_use(entry.algorithm())) {
                continue; // it is of another kind, and so is its file
            }
            let on_disk = on_disk(key.client);
            if on_disk == OnDisk::Something || stored.is_some() || self.disk_writes.is_seen(key) {
                self.queue_write(key, DiskWrite::Remove(up_to));
            } else if on_disk == OnDisk::Unknown || self.disk_writes.is_pending(key) {
                self.queue_write(key, DiskWrite::RemoveUnseen(up_to));
            }
            retired.extend(self.memory.remove(key));
        }
        retired
    }
}
