//! The disk step. Nothing here may fail a handshake. A read can't be interrupted, so the reading and a watching thread
//! ([`watch`]) share the fetch; whoever takes it goes on with it.

mod watch;

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::disk_store::DiskStore;
use crate::engine::LookupConfig;
use crate::engine::disk_writes::Pending;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::{Candidate, Source};
use crate::engine::shared::Shared;
use crate::engine::storing::OnDisk;
use crate::entry::{ClientKind, Entry, EntryKey, EntryKeyRef};
use crate::freshness::Freshness;
use crate::worker_pool::Priority;

pub(in crate::engine) use watch::DiskReads;

use watch::PendingRead;

/// The reader's side of a pending read. Dropped with the fetch inside (queue full, panic), it sends the fetch to the
/// backend.
struct Read {
    shared: Arc<Shared>,
    pending: Arc<PendingRead>,
    config: Arc<LookupConfig>,
    key: EntryKey,
    handshake_params: Arc<str>,
}

impl Fetch {
    /// Reads the entry from disk, or goes on to the backend if it has none to use, or does not answer.
    pub(in crate::engine) fn queue_read(self) {
        let shared = Arc::clone(&self.shared);
        if shared.disk_reads.any_hangs() {
            return self.queue_load();
        }
        let (key, handshake_params) = (self.key.clone(), Arc::clone(&self.handshake_params));
        let config = Arc::clone(&self.config);
        let pending = Arc::new(PendingRead::new(self));
        let read = Read {
            shared: Arc::clone(&shared),
            pending: Arc::clone(&pending),
            config,
            key,
            handshake_params,
        };
        shared.watch(pending);
        // A job that is not taken drops its hold.
        let _ = shared.disk_readers.submit(Priority::Foreground, Box::new(move || read.run()));
    }
}

/// What the disk knows of a name.
struct Findings {
    entry: Option<Entry>,
    on_disk: [OnDisk; ClientKind::ALL.len()],
}

/// What the disk knows of a key: an entry that this client can use, or whether there is a certificate that it could.
type Found = Result<Entry, OnDisk>;

impl Read {
    fn run(self) {
        // If nobody waits any more, the disk has enough to do.
        let somebody_waits = self.pending.begin();
        let findings = somebody_waits.then(|| self.find());
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_loaded");
        if let Some(Findings { entry, on_disk }) = findings
            && let Some(mut fetch) = self.pending.take(&self.shared.disk_reads)
        {
            fetch.on_disk = on_disk;
            match entry {
                Some(entry) => fetch.found_on_disk(entry),
                None => fetch.queue_load(),
            }
        }
        self.shared.sweep_if_due();
    }

    /// Looks for what this client can use; if there is nothing, what there is of the name: a later "no" has to remove it.
    fn find(&self) -> Findings {
        let mut findings = Findings { entry: None, on_disk: [OnDisk::Nothing; ClientKind::ALL.len()] };
        let Some(disk) = &self.shared.disk else { return findings };
        let key = self.key.borrowed();
        findings.on_disk.fill(OnDisk::Unknown);
        for kind in key.client.usable() {
            let found = self.load(disk, key.of(*kind));
            let on_disk = &mut findings.on_disk[*kind as usize];
            *on_disk = found.as_ref().map_or_else(|on_disk| *on_disk, |_| OnDisk::Something);
            let Ok(entry) = found else { continue };
            if self.config.evaluate(&entry, self.shared.clock.now()) != Freshness::Expired {
                return Findings { entry: Some(entry), ..findings };
            }
            // Worth a conditional request, if there is no better one of another kind.
            findings.entry.get_or_insert(entry);
        }
        for kind in ClientKind::ALL.into_iter().filter(|kind| !key.client.usable().contains(kind)) {
            findings.on_disk[kind as usize] = self.look(disk, key.of(kind));
        }
        findings
    }

    /// Whether there is something under a key that this client may not be given from there, though it could use it.
    fn look(&self, disk: &DiskStore, key: EntryKeyRef<'_>) -> OnDisk {
        match self.shared.disk_writes.pending(key) {
            Pending::Removed => OnDisk::Nothing,
            Pending::Saved(entry, _) => self.of_client(&entry.bundle), // it will be there
            Pending::Nothing => match disk.load(&key.to_owned()) {
                Ok(None) => OnDisk::Nothing,
                Ok(Some(stored)) => self.certificate_of(&stored.pem),
                Err(error) => {
                    self.shared.disk_failed(key, &error);
                    OnDisk::Unknown
                }
            },
        }
    }

    fn load(&self, disk: &DiskStore, key: EntryKeyRef<'_>) -> Found {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("disk_read", |_| Err(OnDisk::Unknown));
        let shared = &self.shared;
        let (bundle, metadata) = match shared.disk_writes.pending(key) {
            Pending::Removed => return Err(OnDisk::Nothing),
            Pending::Saved(entry, metadata) => (Arc::clone(&entry.bundle), metadata),
            Pending::Nothing => match disk.load(&key.to_owned()) {
                Ok(None) => return Err(OnDisk::Nothing),
                Ok(Some(stored)) => {
                    // Not worth a word: an entry of long ago whose certificate has ended is simply fetched again.
                    let bundle = match shared.checked_bundle(&stored.pem, &key.to_owned(), shared.clock.now())
                    {
                        Ok(bundle) => Arc::new(bundle),
                        Err(_) => return Err(self.certificate_of(&stored.pem)),
                    };
                    let (algorithm, fetched_at) =
                        (bundle.private_key().algorithm(), stored.metadata.fetched_at);
                    if shared.withdrawals.cover(key, algorithm, fetched_at) {
                        shared.remove_again(key);
                        return Err(OnDisk::Nothing);
                    }
                    (bundle, stored.metadata)
                }
                Err(error) => {
                    shared.disk_failed(key, &error);
                    return Err(OnDisk::Unknown);
                }
            },
        };
        match self.of_client(&bundle) {
            OnDisk::Something => {
                let handshake_params = shared.interned_params(&self.handshake_params);
                Ok(Entry::new(key.to_owned(), bundle, metadata, handshake_params))
            }
            other => Err(other),
        }
    }

    /// A certificate that is not given out, be it because it has ended.
    fn certificate_of(&self, pem: &[u8]) -> OnDisk {
        Bundle::parse(pem).map_or(OnDisk::Unknown, |bundle| self.of_client(&bundle))
    }

    /// What is of another kind, a "no" to this client leaves where it is.
    fn of_client(&self, bundle: &Bundle) -> OnDisk {
        match self.key.client.can_use(bundle.private_key().algorithm()) {
            true => OnDisk::Something,
            false => OnDisk::Nothing,
        }
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if let Some(fetch) = self.pending.take(&self.shared.disk_reads) {
            fetch.queue_load();
        }
    }
}

impl Fetch {
    /// Past its lifetime an entry still serves, as in memory: its next lookup sets a refresh in motion.
    fn found_on_disk(mut self, entry: Entry) {
        if self.config.evaluate(&entry, self.shared.clock.now()) == Freshness::Expired {
            self.stored = Some(Arc::new(entry));
            return self.queue_load();
        }
        self.shared.counters.disk_hits.increment();
        Candidate::offer(self, entry, Source::Disk);
    }
}
