//! What becomes of the origin's answer: a candidate, a negative entry, or a failure to wait after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backoff::{BackOff, Blame};
use crate::bundle::Bundle;
use crate::cache::Shared;
use crate::cache::acceptance::{Candidate, Source};
use crate::cache::fetch::Fetch;
use crate::entry::{ClientAbilities, Entry, EntryKey, ResponseFacts};
use crate::events::Outcome;
use crate::freshness::Lifetime;
use crate::log_sampler::LogKind;
use crate::negative_store::Negative;
use crate::origin::OriginError;
use crate::worker_pool::Urgency;

impl Fetch {
    pub(super) fn found(self, pem: &[u8], facts: ResponseFacts) {
        let bundle = match self.shared.checked_bundle(pem, &self.key, self.shared.clock.now()) {
            Ok(bundle) => bundle,
            Err(error) => return self.refuse(&error),
        };
        self.warn_if_uncacheable(&facts);
        // What only an ECDSA client can use is kept for such clients, whoever asked.
        let rsa = ClientAbilities { ecdsa: false, ed25519: false };
        let ecdsa = self.key.ecdsa || !rsa.can_use(bundle.private_key().algorithm());
        let key = EntryKey { name: self.key.name.clone(), ecdsa };
        let entry = self.entry(key, Arc::new(bundle), facts);
        Candidate::offer(self, entry, Source::Origin);
    }

    /// The kept bundle gets a new lifetime, by the road of every answer.
    pub(super) fn not_modified(self, mut facts: ResponseFacts) {
        self.shared.counters.not_modified.increment();
        let Some(kept) = self.kept.clone() else { return };
        if let Err(error) = kept.bundle.check(&self.key.name, self.shared.clock.now()) {
            return self.refuse(&error);
        }
        // What it leaves out stays as it was (RFC 9111 4.3.4).
        if facts.freshness.lifetime == Lifetime::Unspecified {
            facts.freshness = kept.facts.freshness.clone();
        }
        self.warn_if_uncacheable(&facts);
        let entry = self.entry(kept.key().to_owned(), Arc::clone(&kept.bundle), facts);
        Candidate::offer(self, entry, Source::Origin);
    }

    pub(super) fn not_found(self, facts: ResponseFacts) {
        let shared = &self.shared;
        shared.counters.not_found.increment();
        shared.note_outcome(&self.key, |back_off| back_off.succeeded(self.key.borrowed()));
        let pinned = self.instance.freshness.pinned.is_some();
        let lifetime = match facts.freshness.lifetime {
            _ if pinned => Some(None),
            Lifetime::Unspecified => Some(None),
            Lifetime::Explicit(lifetime) => Some(Some(lifetime)),
            Lifetime::Uncacheable(_) => None,
        };
        match lifetime {
            Some(lifetime) => {
                let negative = Negative { fetched_at: facts.fetched_at, lifetime, is_other_kind: false };
                shared.negatives.insert(self.key.borrowed(), negative);
            }
            None => self.warn_if_uncacheable(&facts),
        }
        // A flood of made-up names must not become one of writes.
        shared.forget(self.key.borrowed(), !self.is_not_on_disk || self.kept.is_some());
        self.finish(Outcome::NotFound);
    }

    pub(super) fn fail(self, error: OriginError) {
        let shared = &self.shared;
        shared.counters.fetch_errors.increment();
        let blame = if error.is_outage { Blame::Origin } else { Blame::Name };
        let now = shared.clock.now();
        let (key, message) = (self.key.borrowed(), &error.message);
        shared
            .note_outcome(&self.key, |back_off| back_off.failed(key, blame, message, error.retry_after, now));
        self.log_failed_refresh(LogKind::FailedFetch, &error.message);
        self.finish(Outcome::Failed(error.message));
    }

    /// Ends the flight with an answer that can't be used.
    pub(super) fn refuse(self, reason: &dyn fmt::Display) {
        let shared = &self.shared;
        shared.counters.refused_bundles.increment();
        let reason = format!("{}: the answer is refused: {reason}", shared.origin_name);
        let now = shared.clock.now();
        let key = self.key.borrowed();
        shared.note_outcome(&self.key, |back_off| back_off.failed(key, Blame::Name, &reason, None, now));
        self.log_failed_refresh(LogKind::RefusedBundle, &reason);
        self.finish(Outcome::Failed(reason));
    }

    /// A handshake that waits has the reason in its own error; a refresh has nobody to tell but the log.
    fn log_failed_refresh(&self, kind: LogKind, reason: &str) {
        if self.urgency == Urgency::Background {
            let message =
                || format!("{reason}; the kept certificate is served meanwhile, as stale_if_error allows");
            self.shared.log(kind, self.key.borrowed(), message);
        }
    }

    pub(super) fn entry(&self, key: EntryKey, bundle: Arc<Bundle>, facts: ResponseFacts) -> Entry {
        Entry::new(key, bundle, facts, self.shared.kept_query(&self.hello_query))
    }

    /// Once for each module instance: a backend that never lets anything be cached is the commonest surprise.
    fn warn_if_uncacheable(&self, facts: &ResponseFacts) {
        let Lifetime::Uncacheable(field) = &facts.freshness.lifetime else { return };
        let pinned = self.instance.freshness.pinned.is_some();
        if pinned || self.instance.warned_uncacheable.swap(true, Ordering::Relaxed) {
            return;
        }
        let message = format!(
            "the origin's answers are not kept, so each handshake asks it again: its response has '{field}'. \
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
        self.log(LogKind::Breaker, key.borrowed(), || format!("the backend {} {message}", self.origin_name));
    }
}
