//! Two-phase acceptance: what passed our checks is offered to the host, and kept only once it agrees. A refused
//! candidate changes nothing that was kept before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::Shared;
use crate::cache::fetch::Fetch;
use crate::disk_format::{self, StoredEntry};
use crate::disk_store::DiskError;
use crate::entry::{Entry, EntryKeyRef, ResponseFacts};
use crate::events::{Event, Outcome};
use crate::freshness::{self, Freshness, FreshnessSettings, Lifetime, ResponseFreshness};
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;
use crate::worker_pool::Urgency;

/// Where a candidate came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Disk,
    Origin,
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
        let kept = freshness::lifetime(&entry.facts.freshness, fetch.instance.freshness).is_some();
        if kept {
            shared.keep(&entry);
        }
        if source == Source::Origin {
            shared.back_off.succeeded(fetch.key.borrowed());
        }
        if kept
            && source == Source::Origin
            && let Some(facts) = facts_to_write(&entry.facts, fetch.instance.freshness)
        {
            shared.queue_save(Arc::clone(&entry), facts);
        }
        if !kept && source == Source::Origin {
            // It must not be kept; nor is the one before it right any more.
            shared.forget(entry.key());
        }
        let instance = Arc::clone(&fetch.instance);
        finish(fetch, &entry);
        let now = shared.clock.now();
        if source == Source::Disk && instance.evaluate(&entry, now) != Freshness::Fresh {
            shared.refresh(&instance, &entry, now);
        }
        if !kept && entry.was_opened() {
            shared.events.push(Event::Retired(entry.id));
        }
    }

    /// Drops the entry. One from disk is worth a request to the origin; one from there ends the flight.
    pub(super) fn refuse(self, reason: &str) {
        let Candidate { fetch, entry, source } = self;
        match source {
            Source::Disk => {
                let shared = Arc::clone(&fetch.shared);
                shared.counters.refused_bundles.increment();
                shared.log(LogKind::RefusedBundle, entry.key(), || {
                    format!("an entry on disk is refused: {reason}")
                });
                fetch.queue_request();
            }
            Source::Origin => fetch.refuse(&reason),
        }
    }
}

/// What a client is told that can't use the certificate there is.
pub const UNUSABLE: &str = "the certificate is of a kind that this client can't use (ECDSA or Ed25519)";

/// Ends the flight with an entry that was accepted, if its client can use it.
fn finish(fetch: Fetch, entry: &Entry) {
    if fetch.client.can_use(entry.bundle.private_key().algorithm()) {
        return fetch.finish(Outcome::Found(entry.id));
    }
    // It lies under the key of other clients. That is no "no": Caddy might order a certificate of its own for a name
    // that the origin has one for.
    if !fetch.client.ecdsa {
        let fetched_at = entry.facts.fetched_at;
        let negative = Negative { fetched_at, lifetime: None, is_other_kind: true };
        fetch.shared.negatives.insert(fetch.key.borrowed(), negative);
    }
    fetch.finish(Outcome::Failed(UNUSABLE.into()));
}

/// What goes to disk beside the bundle. `no-store` is never written, not even under a pinned lifetime; what else
/// only that lifetime lets us keep is written with it as its own.
fn facts_to_write(facts: &ResponseFacts, settings: FreshnessSettings) -> Option<ResponseFacts> {
    let lifetime = match &facts.freshness.lifetime {
        Lifetime::Uncacheable(field) if field.contains("no-store") => return None,
        Lifetime::Uncacheable(_) => Lifetime::Explicit(settings.pinned?),
        kept => kept.clone(),
    };
    let freshness = ResponseFreshness { lifetime, ..facts.freshness.clone() };
    Some(ResponseFacts { freshness, ..facts.clone() })
}

impl Shared {
    fn keep(&self, entry: &Arc<Entry>) {
        let retired = self.memory.insert(Arc::clone(entry));
        self.negatives.remove(entry.key());
        self.retire(retired);
    }

    /// Drops what is kept for a name that the origin no longer has.
    pub(super) fn forget(self: &Arc<Self>, key: EntryKeyRef<'_>) {
        let retired = self.memory.remove(key);
        self.retire(retired);
        if self.disk.is_none() {
            return;
        }
        let (shared, key) = (Arc::clone(self), key.to_owned());
        self.queue_write(move || {
            if let Some(Err(error)) = shared.disk.as_ref().map(|disk| disk.remove(&key)) {
                shared.disk_failed(key.borrowed(), &error);
            }
        });
    }

    /// Writes an entry in the background; a disk that fails fails no handshake.
    fn queue_save(self: &Arc<Self>, entry: Arc<Entry>, facts: ResponseFacts) {
        if self.disk.is_none() {
            return;
        }
        let shared = Arc::clone(self);
        self.queue_write(move || {
            let pem = disk_format::pem_of(&entry.bundle);
            let stored = StoredEntry { key: entry.key().to_owned(), facts, pem };
            match shared.disk.as_ref().map(|disk| disk.save(&stored)) {
                Some(Err(error)) => shared.disk_failed(entry.key(), &error),
                _ => shared.counters.disk_writes.increment(),
            }
        });
    }

    fn queue_write(&self, write: impl FnOnce() + Send + 'static) {
        if self.disk_writer.submit(Urgency::Foreground, Box::new(write)).is_err() {
            self.counters.disk_errors.increment();
        }
    }

    pub(super) fn disk_failed(&self, key: EntryKeyRef<'_>, error: &DiskError) {
        self.counters.disk_errors.increment();
        self.log(LogKind::Disk, key, || error.to_string());
    }
}
