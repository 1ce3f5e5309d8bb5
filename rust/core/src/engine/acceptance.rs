//! Two-phase acceptance: what passed our checks is offered to the host, and kept only once it agrees. A rejected
//! candidate changes nothing that was kept before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backoff::FailureScope;
use crate::disk_format::{self, StoredEntry};
use crate::disk_store::DiskError;
use crate::engine::Shared;
use crate::engine::fetch::Fetch;
use crate::entry::{Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use crate::events::{Event, Outcome};
use crate::freshness::{self, Freshness, FreshnessLifetime, FreshnessSettings, ResponseFreshness};
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;
use crate::worker_pool::{Priority, SubmitError};

/// Where a candidate came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Disk,
    Backend,
}

/// An entry that waits for the host's word, with the flight it will end.
pub(super) struct Candidate {
    fetch: Fetch,
    entry: Arc<Entry>,
    source: Source,
}

impl Candidate {
    /// Offers an entry to the host.
    pub(super) fn offer(fetch: Fetch, entry: Entry, source: Source) {
        let shared = Arc::clone(&fetch.shared);
        let id = entry.id;
        let candidate = Candidate { fetch, entry: Arc::new(entry), source };
        shared.candidates.lock().insert(id, candidate);
        shared.events.push(Event::Candidate(id));
        if shared.closed.load(Ordering::Acquire) {
            // Nobody will decide on it, and it would hold the cache that holds it.
            let late = shared.candidates.lock().remove(&id);
            drop(late);
        }
    }

    pub(super) fn entry(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }

    /// Keeps the entry and ends the flight with it.
    pub(super) fn confirm(self) {
        let Candidate { mut fetch, entry, source } = self;
        fetch.accepted = Some(entry.id);
        let shared = Arc::clone(&fetch.shared);
        let may_be_kept = freshness::lifetime(&entry.metadata.freshness, fetch.config.freshness).is_some();
        let mut kept = may_be_kept;
        if may_be_kept {
            // One that comes late is served to who waits for it, and not kept.
            kept = shared.keep(&entry);
        }
        let is_usable = fetch.client.can_use(entry.algorithm());
        if source == Source::Backend && is_usable {
            shared.note_outcome(&fetch.key, |back_off| back_off.succeeded(fetch.key.borrowed()));
        } else if source == Source::Backend {
            // It came for another key than the one that was asked for, which would ask again at once.
            let (key, now) = (fetch.key.borrowed(), shared.clock.now());
            shared.note_outcome(&fetch.key, |back_off| {
                back_off.failed(key, FailureScope::Name, UNSUPPORTED_KEY_TYPE, None, now)
            });
        }
        if kept
            && source == Source::Backend
            && let Some(metadata) = metadata_to_write(&entry.metadata, fetch.config.freshness)
        {
            shared.queue_save(Arc::clone(&entry), metadata);
        }
        if !may_be_kept && source == Source::Backend {
            // It must not be kept; nor is the one before it right any more.
            shared.forget(entry.key(), true);
        }
        let config = Arc::clone(&fetch.config);
        finish(fetch, &entry);
        let now = shared.clock.now();
        if source == Source::Disk && config.evaluate(&entry, now) != Freshness::Fresh {
            shared.refresh(&config, &entry, now);
        }
        if !kept && entry.was_opened() {
            shared.events.push(Event::Retired(entry.id));
        }
    }

    /// Drops the entry. One from disk is worth a request to the backend; one from there ends the flight.
    pub(super) fn reject(self, reason: &str) {
        let Candidate { fetch, entry, source } = self;
        match source {
            Source::Disk => {
                let shared = Arc::clone(&fetch.shared);
                shared.counters.invalid_bundles.increment();
                shared.log(LogKind::InvalidBundle, entry.key(), || {
                    format!("an entry on disk is rejected: {reason}")
                });
                fetch.queue_request();
            }
            Source::Backend => fetch.reject(&reason),
        }
    }
}

/// As many as there may be writes under way, and some that the disk has rejected.
const MAX_TOMBSTONES: usize = 16_384;

/// What a client is told that can't use the certificate there is.
pub const UNSUPPORTED_KEY_TYPE: &str =
    "the certificate is of a kind that this client can't use (ECDSA or Ed25519)";

/// Ends the flight with an entry that was accepted, if its client can use it.
fn finish(fetch: Fetch, entry: &Entry) {
    if fetch.client.can_use(entry.algorithm()) {
        return fetch.finish(Outcome::Found(entry.id));
    }
    // It lies under the key of other clients. That is no "no": Caddy might order a certificate of its own for a name
    // that the backend has one for.
    if !fetch.client.ecdsa {
        let fetched_at = entry.metadata.fetched_at;
        let negative = Negative { fetched_at, lifetime: None, is_unsupported_key_type: true };
        fetch.shared.negatives.insert(fetch.key.borrowed(), negative);
    }
    fetch.finish(Outcome::Failed(UNSUPPORTED_KEY_TYPE.into()));
}

/// What goes to disk beside the bundle. `no-store` is never written, not even under a pinned lifetime; what else
/// only that lifetime lets us keep is written with it as its own.
fn metadata_to_write(metadata: &ResponseMetadata, settings: FreshnessSettings) -> Option<ResponseMetadata> {
    let lifetime = match &metadata.freshness.lifetime {
        FreshnessLifetime::Uncacheable(field) if field.contains("no-store") => return None,
        FreshnessLifetime::Uncacheable(_) => FreshnessLifetime::Explicit(settings.pinned?),
        kept => kept.clone(),
    };
    let freshness = ResponseFreshness { lifetime, ..metadata.freshness.clone() };
    Some(ResponseMetadata { freshness, ..metadata.clone() })
}

impl Shared {
    /// Keeps an entry; false if a newer one is kept already, which another fetch has brought meanwhile.
    fn keep(&self, entry: &Arc<Entry>) -> bool {
        let (fetched_at, now) = (entry.metadata.fetched_at, self.clock.now());
        // One from the future is no measure: the clock was set back.
        let is_newer =
            |kept: &Arc<Entry>| fetched_at < kept.metadata.fetched_at && kept.metadata.fetched_at <= now;
        if self.memory.entry_for(entry.key()).as_ref().is_some_and(is_newer) {
            return false;
        }
        let retired = self.memory.insert(Arc::clone(entry));
        self.negatives.remove(entry.key());
        self.retire(retired);
        true
    }

    /// Drops what is kept for a name that the backend no longer has.
    pub(super) fn forget(self: &Arc<Self>, key: EntryKeyRef<'_>, may_be_on_disk: bool) {
        let retired = self.memory.remove(key);
        // It may be on its way there.
        let may_be_on_disk = may_be_on_disk || !retired.is_empty() || self.disk_writer.is_busy();
        self.retire(retired);
        if self.disk.is_none() || !may_be_on_disk {
            return;
        }
        let (shared, key) = (Arc::clone(self), key.to_owned());
        // Until it is gone it must not be read again.
        {
            let mut tombstones = self.tombstones.lock();
            if tombstones.len() < MAX_TOMBSTONES {
                tombstones.insert(key.clone());
            }
        }
        self.queue_write(key.clone(), move || {
            #[cfg(feature = "failpoints")]
            fail::fail_point!("disk_remove");
            match shared.disk.as_ref().map(|disk| disk.remove(&key)) {
                Some(Err(error)) => shared.disk_failed(key.borrowed(), &error),
                _ => drop(shared.tombstones.lock().remove(&key)),
            }
        });
    }

    /// Writes an entry in the background; a disk that fails fails no handshake.
    fn queue_save(self: &Arc<Self>, entry: Arc<Entry>, metadata: ResponseMetadata) {
        if self.disk.is_none() {
            return;
        }
        let shared = Arc::clone(self);
        self.queue_write(entry.key().to_owned(), move || {
            let pem = disk_format::pem_of(&entry.bundle);
            let stored = StoredEntry { key: entry.key().to_owned(), metadata, pem };
            match shared.disk.as_ref().map(|disk| disk.save(&stored)) {
                Some(Err(error)) => shared.disk_failed(entry.key(), &error),
                _ => {
                    shared.counters.disk_writes.increment();
                    shared.tombstones.lock().remove(&stored.key);
                }
            }
        });
    }

    fn queue_write(&self, key: EntryKey, write: impl FnOnce() + Send + 'static) {
        if self.disk_writer.submit(Priority::Foreground, Box::new(write)) == Err(SubmitError::Full) {
            let slow =
                "the disk under cache_dir is too slow: an entry is not written or not removed".to_owned();
            self.disk_failed(key.borrowed(), &DiskError(slow));
        }
    }

    pub(super) fn disk_failed(&self, key: EntryKeyRef<'_>, error: &DiskError) {
        self.counters.disk_errors.increment();
        self.log(LogKind::Disk, key, || error.to_string());
    }
}
