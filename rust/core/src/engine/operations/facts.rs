//! All that is known of one name.

use crate::bundle::Bundle;
use crate::clock::Timestamp;
use crate::engine::LookupConfig;
use crate::engine::operations::normalised;
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, EntryKeyRef, ResponseMetadata};
use crate::freshness::{self, Freshness, RefreshJitter};
use crate::operations::{CertificateFacts, NameFacts, NameState, OperationError};

impl Shared {
    pub(super) fn facts(&self, config: &LookupConfig, name: &str) -> Result<NameFacts, OperationError> {
        let name = normalised(name)?;
        let (now, any) = (self.clock.now(), EntryKeyRef { name: &name, client: ClientKind::RsaOnly });
        let negatives = any.all_kinds().filter_map(|key| self.negatives.negative(key));
        let negative = negatives.filter_map(|negative| negative.fresh_until(config.negative_ttl, now)).max();
        let unsupported = any.all_kinds().filter_map(|key| self.unsupported.negative(key));
        let unsupported_until =
            unsupported.filter_map(|answer| answer.fresh_until(Default::default(), now)).max();
        let failures = any.all_kinds().filter_map(|key| self.back_off.last_failure(key));
        let failure = failures.max_by_key(|failure| failure.retry_at);
        let facts = NameFacts {
            entries: any.all_kinds().flat_map(|key| self.certificates(config, key, now)).collect(),
            negative_until: negative,
            unsupported_until,
            failing_since: failure.as_ref().map(|failure| failure.since),
            retry_at: failure.as_ref().map(|failure| failure.retry_at),
            last_error: failure.map(|failure| failure.reason.to_string()),
            name: name.to_string(),
        };
        let is_known = !facts.entries.is_empty()
            || facts.last_error.is_some()
            || facts.negative_until.is_some()
            || facts.unsupported_until.is_some();
        if is_known { Ok(facts) } else { Err(OperationError::UnknownName) }
    }

    /// What is kept under one key: the same in memory and on disk, as a rule.
    fn certificates(
        &self,
        config: &LookupConfig,
        key: EntryKeyRef<'_>,
        now: Timestamp,
    ) -> Vec<CertificateFacts> {
        let mut found = Vec::new();
        if let Some(entry) = self.memory.peek(key) {
            found.extend(config.facts(&entry.bundle, &entry.metadata, now));
            found.iter_mut().for_each(|facts| facts.in_memory = true);
        }
        // What is about to be removed is as good as gone.
        let stored = self.disk.as_ref().filter(|_| !self.disk_writes.is_removed(key));
        let stored = stored.and_then(|disk| disk.peek(&key.to_owned()));
        if let Some(stored) = stored
            && let Ok(bundle) = Bundle::parse(&stored.pem)
            && let Some(facts) = config.facts(&bundle, &stored.metadata, now)
        {
            match found.iter_mut().find(|other| other.leaf == facts.leaf) {
                Some(same) => same.on_disk = true,
                None => found.push(CertificateFacts { on_disk: true, ..facts }),
            }
        }
        found
    }
}

impl LookupConfig {
    fn facts(
        &self,
        bundle: &Bundle,
        metadata: &ResponseMetadata,
        now: Timestamp,
    ) -> Option<CertificateFacts> {
        let ResponseMetadata { freshness, fetched_at, .. } = metadata;
        let (settings, not_after) = (self.freshness, bundle.not_after());
        let end = freshness::lifetime(freshness, settings)
            .map(|lifetime| fetched_at.saturating_add(lifetime).min(not_after));
        let state = freshness::evaluate(freshness, *fetched_at, not_after, settings, RefreshJitter(0), now);
        Some(CertificateFacts {
            leaf: bundle.chain().next()?.to_vec(),
            fetched_at: *fetched_at,
            fresh_until: end,
            stale_until: freshness::served_until(freshness, *fetched_at, not_after, settings),
            state: state.into(),
            in_memory: false,
            on_disk: false,
        })
    }
}

impl From<Freshness> for NameState {
    fn from(freshness: Freshness) -> Self {
        match freshness {
            Freshness::Fresh | Freshness::RefreshDue => NameState::Fresh,
            Freshness::Stale => NameState::Stale,
            Freshness::Expired => NameState::Expired,
        }
    }
}
