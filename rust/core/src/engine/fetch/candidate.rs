//! Two-phase acceptance: what passed our checks is offered to the host, and stored only once it agrees. A rejected
//! candidate changes nothing that was stored before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backoff::Evidence;
use crate::bundle::{Bundle, BundleError};
use crate::clock::Timestamp;
use crate::engine::fetch::Fetch;
use crate::engine::shared::Shared;
use crate::engine::storing::DiskCopy;
use crate::entry::{Entry, EntryKey, ResponseMetadata};
use crate::events::{Event, Outcome};
use crate::freshness::{self, Freshness, FreshnessLifetime, FreshnessSettings, ResponseFreshness};
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;

/// Where a candidate came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Source {
    Disk,
    /// Another node was sent it.
    Fleet,
    /// The backend has sent it.
    Backend,
    /// The backend says that it is not modified.
    Confirmation,
}

impl Source {
    /// Whether the backend has just spoken.
    pub(in crate::engine) fn is_backend(self) -> bool {
        matches!(self, Source::Backend | Source::Confirmation)
    }
}

/// An entry that waits for the host's word, with the flight it will end.
pub(in crate::engine) struct Candidate {
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
        if shared.is_closed() {
            // Nobody will decide on it, and it would hold the engine that holds it.
            let late = shared.candidates.lock().remove(&id);
            drop(late);
        }
    }

    pub(in crate::engine) fn entry(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }

    /// Stores the entry and ends the flight with it.
    pub(in crate::engine) fn confirm(mut self) {
        self.fetch.accepted = Some(self.entry.id);
        self.fetch.not_modified = self.source == Source::Confirmation;
        if self.source.is_backend() {
            self.note_answer();
        }
        let stored = if self.is_usable() { self.store() } else { self.note_unsupported() };
        let Candidate { fetch, entry, source } = self;
        let (shared, config) = (Arc::clone(&fetch.shared), Arc::clone(&fetch.config));
        match fetch.key.client.can_use(entry.algorithm()) {
            true => fetch.finish(Outcome::Found(entry.id)),
            // That is no "no": Caddy might order a certificate of its own for a name that the backend has one for.
            false => fetch.finish(Outcome::UnsupportedKeyType),
        }
        let now = shared.clock.now();
        let is_due = || {
            let due_before = shared.due_on_disk_before.load(Ordering::Relaxed);
            source == Source::Disk && entry.metadata.fetched_at.0 < due_before
        };
        if stored && !source.is_backend() && (config.evaluate(&entry, now) != Freshness::Fresh || is_due()) {
            shared.refresh_from(source, &config, &entry, now);
        }
        if !stored && entry.was_opened() {
            shared.events.push(Event::Retired(entry.id));
        }
    }

    /// Drops the entry. One from disk is worth a request to the backend; one from there ends the flight.
    pub(in crate::engine) fn reject(self, reason: &str) {
        let Candidate { fetch, entry, source } = self;
        match source {
            Source::Disk => {
                let shared = Arc::clone(&fetch.shared);
                shared.counters.invalid_bundles.increment();
                shared.log(LogKind::InvalidBundle, entry.key(), || {
                    format!("an entry on disk is rejected: {reason}")
                });
                fetch.queue_load();
            }
            Source::Fleet => {
                let shared = Arc::clone(&fetch.shared);
                shared.counters.fleet_unfit.increment();
                shared.log(LogKind::FleetRecord, entry.key(), || {
                    format!("a record on the storage of the fleet is rejected: {reason}")
                });
                fetch.go_on();
            }
            Source::Backend | Source::Confirmation => fetch.reject(&reason),
        }
    }

    fn is_usable(&self) -> bool {
        self.fetch.key.client.can_use(self.entry.algorithm())
    }

    fn note_answer(&self) {
        let (shared, key) = (&self.fetch.shared, &self.fetch.key);
        if self.source == Source::Backend {
            shared.counters.found.increment();
        }
        // A certificate is the best of answers, be it the first for this name.
        let now = shared.clock.now();
        shared.note_outcome(key, |back_off| back_off.succeeded(key.borrowed(), Evidence::Up, now));
    }

    /// Stores the entry in memory and on disk; false if it is not to be.
    fn store(&self) -> bool {
        let Candidate { fetch, entry, source } = self;
        let shared = &fetch.shared;
        if freshness::lifetime(&entry.metadata.freshness, fetch.config.freshness).is_none() {
            // It must not be stored; nor is the one before it right any more.
            if source.is_backend() {
                shared.drop_entry(entry.key());
            }
            return false;
        }
        let to_write = match (source, metadata_to_write(&entry.metadata, fetch.config.freshness)) {
            (Source::Disk, _) => DiskCopy::IsThere,
            (_, Some(metadata)) => DiskCopy::Write(metadata),
            (_, None) => DiskCopy::Remove,
        };
        // One that comes late is served to who waits for it, and not stored.
        shared.store(&fetch.flight, entry, to_write, *source)
    }

    /// The certificate is of a kind that the client who asked can't use. It is not stored: it came for a query that
    /// nobody else would make. That there is one is remembered as long as it would be. Always false.
    fn note_unsupported(&self) -> bool {
        let Candidate { fetch, entry, .. } = self;
        let lifetime = freshness::lifetime(&entry.metadata.freshness, fetch.config.freshness);
        if let Some(lifetime) = lifetime {
            let answer = Negative::at(entry.metadata.fetched_at, Some(lifetime));
            fetch.shared.note_unsupported(&fetch.flight, fetch.key.borrowed(), answer);
        }
        false
    }
}

impl Shared {
    /// The one road from PEM text to a bundle that may be served, from the backend as from disk.
    pub(super) fn checked_bundle(
        &self,
        pem: &[u8],
        key: &EntryKey,
        now: Timestamp,
    ) -> Result<Bundle, BundleError> {
        let mut bundle = Bundle::parse_for(pem, &key.name, now)?;
        bundle.share_issuers(|issuers| self.issuers.intern(issuers));
        Ok(bundle)
    }
}

/// What goes to disk beside the bundle. `no-store` is never written, not even under a pinned lifetime; what else
/// only that lifetime lets us store is written with it as its own.
fn metadata_to_write(metadata: &ResponseMetadata, settings: FreshnessSettings) -> Option<ResponseMetadata> {
    let lifetime = match &metadata.freshness.lifetime {
        FreshnessLifetime::Uncacheable(field) if field.contains("no-store") => return None,
        FreshnessLifetime::Uncacheable(_) => FreshnessLifetime::Explicit(settings.pinned?),
        lifetime => lifetime.clone(),
    };
    let freshness = ResponseFreshness { lifetime, ..metadata.freshness.clone() };
    Some(ResponseMetadata { freshness, ..metadata.clone() })
}
