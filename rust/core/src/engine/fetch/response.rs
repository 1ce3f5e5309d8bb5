//! What becomes of the backend's answer: a candidate, a negative entry, or a failure to wait after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::backend::{BackendError, BackendErrorKind};
use crate::backoff::Evidence;
use crate::bundle::Bundle;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::{Candidate, Source};
use crate::engine::storing::FoundOf;
use crate::entry::{ClientKind, Entry, EntryKey, ResponseMetadata};
use crate::events::Outcome;
use crate::freshness::FreshnessLifetime;
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;
use crate::shared_names::{MAX_NAMES, WEIGHT_OF_NAME};
use crate::worker_pool::Priority;

/// An answer that must not be stored still answers Caddy's permission module, which asks about the same handshake.
const UNCACHEABLE_LIFETIME: Duration = Duration::from_secs(2);

impl Fetch {
    pub(super) fn found(self, pem: &[u8], metadata: ResponseMetadata) {
        let bundle = match self.shared.checked_bundle(pem, &self.key, self.shared.clock.now()) {
            Ok(bundle) => bundle,
            Err(error) => return self.reject(&error),
        };
        self.warn_if_uncacheable(&metadata);
        let client = self.key.client.stores_under(bundle.private_key().algorithm());
        let key = EntryKey { name: self.key.name.clone(), client };
        let entry = self.entry(key, Arc::new(bundle), metadata);
        Candidate::offer(self, entry, Source::Backend);
    }

    /// The stored bundle gets a new lifetime, by the road of every answer.
    pub(super) fn not_modified(self, mut metadata: ResponseMetadata) {
        self.shared.counters.not_modified.increment();
        let Some(stored) = self.stored.clone() else { return };
        if let Err(error) = stored.bundle.check(&self.key.name, self.shared.clock.now()) {
            return self.reject(&error);
        }
        // What it leaves out stays as it was (RFC 9111 4.3.4).
        if metadata.freshness.lifetime == FreshnessLifetime::Unspecified {
            metadata.freshness = stored.metadata.freshness.clone();
        }
        self.warn_if_uncacheable(&metadata);
        let entry = self.entry(stored.key().to_owned(), Arc::clone(&stored.bundle), metadata);
        Candidate::offer(self, entry, Source::Confirmation);
    }

    pub(super) fn no_certificate(self, metadata: ResponseMetadata) {
        let shared = &self.shared;
        shared.counters.no_certificate.increment();
        let (key, evidence, now) = (self.key.borrowed(), self.evidence_of_answer(), shared.clock.now());
        shared.note_outcome(&self.key, |back_off| back_off.succeeded(key, evidence, now));
        let negative = match metadata.freshness.lifetime {
            _ if self.config.freshness.pinned.is_some() => Negative::at(metadata.fetched_at, None),
            FreshnessLifetime::Unspecified => Negative::at(metadata.fetched_at, None),
            FreshnessLifetime::Explicit(lifetime) => Negative::at(metadata.fetched_at, Some(lifetime)),
            FreshnessLifetime::Uncacheable(_) => {
                self.warn_if_uncacheable(&metadata);
                Negative {
                    is_uncacheable: true,
                    ..Negative::at(metadata.fetched_at, Some(UNCACHEABLE_LIFETIME))
                }
            }
        };
        let found = FoundOf { on_disk: self.on_disk, is_in_fleet: self.is_in_fleet };
        shared.withdraw(&self.flight, key, found, negative);
        self.finish(Outcome::NoCertificate);
    }

    pub(super) fn failed(self, error: BackendError) {
        let shared = &self.shared;
        shared.counters.fetch_errors.increment();
        let evidence = match error.kind {
            BackendErrorKind::Unreachable => Evidence::Down { unreachable: true },
            BackendErrorKind::Failing if self.is_known() => Evidence::Down { unreachable: false },
            BackendErrorKind::Failing => Evidence::Reached,
            BackendErrorKind::Answered => self.evidence_of_answer(),
        };
        self.note_failure(evidence, &error.message, error.retry_after);
        self.log_failed_refresh(LogKind::FailedFetch, &error.message);
        let reason = self.explained(&error.message);
        self.without_answer(Outcome::Failed(reason));
    }

    /// Ends the flight with an answer that can't be used.
    pub(super) fn reject(self, reason: &dyn fmt::Display) {
        self.shared.counters.invalid_bundles.increment();
        let reason = format!("{}: the answer is rejected: {reason}", self.shared.backend_name);
        self.note_failure(self.evidence_of_answer(), &reason, None);
        self.log_failed_refresh(LogKind::InvalidBundle, &reason);
        self.without_answer(Outcome::Failed(reason));
    }

    fn note_failure(&self, evidence: Evidence, reason: &str, retry_after: Option<Duration>) {
        let (key, identity, now) = (self.key.borrowed(), self.config.identity, self.shared.clock.now());
        self.shared.note_outcome(&self.key, |back_off| {
            back_off.failed(key, identity, evidence, reason, retry_after, now);
            if self.flight.is_superseded() {
                // It says something of the backend, but no more of the name.
                back_off.forget(key);
            }
        });
        if let Some(stored) = &self.stored {
            self.shared.note_bridge(&self.config, stored, now);
        }
    }

    pub(super) fn evidence_of_answer(&self) -> Evidence {
        if self.is_known() { Evidence::Up } else { Evidence::Reached }
    }

    /// Whether the backend has sent a certificate for the name before that such a client can use, as far as that is
    /// remembered. What it says to other clients is another question.
    pub(super) fn is_known(&self) -> bool {
        let client = self.key.client;
        let is_usable = |kind: &ClientKind| {
            let entry = self.shared.memory.entry_for(self.key.borrowed().of(*kind));
            entry.is_some_and(|entry| client.can_use(entry.algorithm()))
        };
        self.stored.is_some() || client.usable().iter().any(is_usable)
    }

    /// A handshake that waits has the reason in its own error, a prefetch in its result; a refresh has nobody to tell but
    /// the log.
    fn log_failed_refresh(&self, kind: LogKind, reason: &str) {
        if self.stored.is_some() {
            let message =
                || format!("{reason}; the stored certificate is served meanwhile, as stale_if_error allows");
            self.shared.log(kind, self.key.borrowed(), message);
        }
    }

    /// A refresh fails while its certificate is served; then there is nothing to explain.
    pub(super) fn explained(&self, reason: &str) -> String {
        match self.priority {
            Priority::Foreground => self.shared.explained(&self.config, self.key.borrowed(), reason),
            Priority::Background => reason.to_owned(),
        }
    }

    pub(super) fn entry(&self, key: EntryKey, bundle: Arc<Bundle>, metadata: ResponseMetadata) -> Entry {
        let shares_names = self.shared.shares_names.load(Ordering::Relaxed);
        let names = if shares_names { bundle.dns_names().len().min(MAX_NAMES) } else { 0 };
        let entry = Entry::new(key, bundle, metadata, self.shared.interned_params(&self.handshake_params));
        entry.with_further_weight(names * WEIGHT_OF_NAME)
    }

    /// Once for each module instance: a backend that never lets anything be stored is the commonest surprise.
    fn warn_if_uncacheable(&self, metadata: &ResponseMetadata) {
        let FreshnessLifetime::Uncacheable(field) = &metadata.freshness.lifetime else { return };
        let pinned = self.config.freshness.pinned.is_some();
        if pinned || self.config.warned_uncacheable.swap(true, Ordering::Relaxed) {
            return;
        }
        let message = format!(
            "the backend's answers are not kept, so each handshake asks it again: its response has '{field}'. \
             Send 'Cache-Control: s-maxage=SECONDS', or set the option 'ttl' to override what responses say"
        );
        self.shared.log(LogKind::Uncacheable, self.key.borrowed(), || message);
    }
}
