//! What becomes of the backend's answer: a candidate, a negative entry, or a failure to wait after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::BackendError;
use crate::backoff::{BackOff, FailureScope};
use crate::bundle::Bundle;
use crate::engine::Shared;
use crate::engine::acceptance::{Candidate, Source};
use crate::engine::fetch::Fetch;
use crate::entry::{ClientCapabilities, Entry, EntryKey, ResponseMetadata};
use crate::events::Outcome;
use crate::freshness::FreshnessLifetime;
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;
use crate::worker_pool::Priority;

impl Fetch {
    pub(super) fn found(self, pem: &[u8], metadata: ResponseMetadata) {
        let bundle = match self.shared.checked_bundle(pem, &self.key, self.shared.clock.now()) {
            Ok(bundle) => bundle,
            Err(error) => return self.reject(&error),
        };
        self.warn_if_uncacheable(&metadata);
        // What only an ECDSA client can use is kept for such clients, whoever asked.
        let rsa = ClientCapabilities { ecdsa: false, ed25519: false };
        let ecdsa = self.key.ecdsa || !rsa.can_use(bundle.private_key().algorithm());
        let key = EntryKey { name: self.key.name.clone(), ecdsa };
        let entry = self.entry(key, Arc::new(bundle), metadata);
        Candidate::offer(self, entry, Source::Backend);
    }

    /// The kept bundle gets a new lifetime, by the road of every answer.
    pub(super) fn not_modified(self, mut metadata: ResponseMetadata) {
        self.shared.counters.not_modified.increment();
        let Some(kept) = self.kept.clone() else { return };
        if let Err(error) = kept.bundle.check(&self.key.name, self.shared.clock.now()) {
            return self.reject(&error);
        }
        // What it leaves out stays as it was (RFC 9111 4.3.4).
        if metadata.freshness.lifetime == FreshnessLifetime::Unspecified {
            metadata.freshness = kept.metadata.freshness.clone();
        }
        self.warn_if_uncacheable(&metadata);
        let entry = self.entry(kept.key().to_owned(), Arc::clone(&kept.bundle), metadata);
        Candidate::offer(self, entry, Source::Backend);
    }

    pub(super) fn no_certificate(self, metadata: ResponseMetadata) {
        let shared = &self.shared;
        shared.counters.no_certificate.increment();
        shared.note_outcome(&self.key, |back_off| back_off.succeeded(self.key.borrowed()));
        let pinned = self.config.freshness.pinned.is_some();
        let lifetime = match metadata.freshness.lifetime {
            _ if pinned => Some(None),
            FreshnessLifetime::Unspecified => Some(None),
            FreshnessLifetime::Explicit(lifetime) => Some(Some(lifetime)),
            FreshnessLifetime::Uncacheable(_) => None,
        };
        match lifetime {
            Some(lifetime) => {
                let negative =
                    Negative { fetched_at: metadata.fetched_at, lifetime, is_unsupported_key_type: false };
                shared.negatives.insert(self.key.borrowed(), negative);
            }
            None => self.warn_if_uncacheable(&metadata),
        }
        // A flood of made-up names must not become one of writes.
        shared.forget(self.key.borrowed(), !self.is_not_on_disk || self.kept.is_some());
        self.finish(Outcome::NoCertificate);
    }

    pub(super) fn fail(self, error: BackendError) {
        let shared = &self.shared;
        shared.counters.fetch_errors.increment();
        let scope = if error.is_outage { FailureScope::Backend } else { FailureScope::Name };
        let now = shared.clock.now();
        let (key, message) = (self.key.borrowed(), &error.message);
        shared
            .note_outcome(&self.key, |back_off| back_off.failed(key, scope, message, error.retry_after, now));
        self.log_failed_refresh(LogKind::FailedFetch, &error.message);
        self.finish(Outcome::Failed(error.message));
    }

    /// Ends the flight with an answer that can't be used.
    pub(super) fn reject(self, reason: &dyn fmt::Display) {
        let shared = &self.shared;
        shared.counters.invalid_bundles.increment();
        let reason = format!("{}: the answer is rejected: {reason}", shared.backend_name);
        let now = shared.clock.now();
        let key = self.key.borrowed();
        shared
            .note_outcome(&self.key, |back_off| back_off.failed(key, FailureScope::Name, &reason, None, now));
        self.log_failed_refresh(LogKind::InvalidBundle, &reason);
        self.finish(Outcome::Failed(reason));
    }

    /// A handshake that waits has the reason in its own error; a refresh has nobody to tell but the log.
    fn log_failed_refresh(&self, kind: LogKind, reason: &str) {
        if self.priority == Priority::Background {
            let message =
                || format!("{reason}; the kept certificate is served meanwhile, as stale_if_error allows");
            self.shared.log(kind, self.key.borrowed(), message);
        }
    }

    pub(super) fn entry(&self, key: EntryKey, bundle: Arc<Bundle>, metadata: ResponseMetadata) -> Entry {
        Entry::new(key, bundle, metadata, self.shared.kept_query(&self.handshake_params))
    }

    /// Once for each module instance: a backend that never lets anything be cached is the commonest surprise.
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
        self.shared.log(LogKind::Advice, self.key.borrowed(), || message);
    }
}

impl Shared {
    /// Remembers how a request ended. When an outage began and ended is worth a line each.
    pub(super) fn note_outcome(&self, key: &EntryKey, outcome: impl FnOnce(&BackOff)) {
        let was_open = self.back_off.breaker_is_open();
        outcome(&self.back_off);
        let message = match (was_open, self.back_off.breaker_is_open()) {
            (false, true) => {
                "fails for one name after the other; until it answers it is asked by single requests"
            }
            (true, false) => "answers again",
            _ => return,
        };
        self.log(LogKind::Breaker, key.borrowed(), || format!("the backend {} {message}", self.backend_name));
    }
}
