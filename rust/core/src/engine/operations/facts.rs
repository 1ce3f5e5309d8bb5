//! All that is known of one name.

use std::sync::Arc;

use compact_str::CompactString;

use crate::backoff::LastFailure;
use crate::bundle::Bundle;
use crate::clock::Timestamp;
use crate::disk_format::StoredEntry;
use crate::disk_store::DiskError;
use crate::engine::LookupConfig;
use crate::engine::operations::looks::Hangs;
use crate::engine::operations::normalised;
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, EntryKey, EntryKeyRef, ResponseMetadata};
use crate::freshness::{self, Freshness, RefreshJitter};
use crate::operations::{CertificateFacts, NameFacts, NameState, OperationError};

impl Shared {
    pub(super) fn facts(
        self: &Arc<Self>,
        config: &LookupConfig,
        name: &str,
    ) -> Result<NameFacts, OperationError> {
        let name = normalised(name)?;
        let (now, any) = (self.clock.now(), EntryKeyRef { name: &name, client: ClientKind::RsaOnly });
        let negatives = any.all_kinds().filter_map(|key| self.negatives.negative(key));
        let negative_until =
            negatives.filter_map(|negative| negative.fresh_until(config.negative_ttl, now)).max();
        let unsupported = any.all_kinds().filter_map(|key| self.unsupported.negative(key));
        let unsupported_until =
            unsupported.filter_map(|answer| answer.fresh_until(Default::default(), now)).max();
        let failure = self.last_failure(any.all_kinds());
        let (on_disk, disk_error) = match self.stored(&name) {
            Ok(stored) => (stored, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let (in_fleet, fleet_error) = match self.stored_in_fleet(&name) {
            Ok(stored) => (stored, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let facts = NameFacts {
            entries: self.certificates(config, any, on_disk, in_fleet, now),
            negative_until,
            unsupported_until,
            failing_since: failure.as_ref().map(|failure| failure.since),
            retry_at: failure.as_ref().map(|failure| failure.retry_at),
            last_error: failure.map(|failure| failure.reason.to_string()),
            disk_error,
            fleet_error,
            name: name.to_string(),
        };
        let is_known = !facts.entries.is_empty()
            || facts.last_error.is_some()
            || facts.disk_error.is_some()
            || facts.fleet_error.is_some()
            || facts.negative_until.is_some()
            || facts.unsupported_until.is_some();
        if is_known { Ok(facts) } else { Err(OperationError::UnknownName) }
    }

    /// The failure of a name that holds longest, of these kinds.
    pub(super) fn last_failure<'a>(
        &self,
        keys: impl Iterator<Item = EntryKeyRef<'a>>,
    ) -> Option<LastFailure> {
        keys.filter_map(|key| self.back_off.last_failure(key)).max_by_key(|failure| failure.retry_at)
    }

    /// What lies on disk for a name.
    fn stored(self: &Arc<Self>, name: &CompactString) -> Result<Vec<StoredEntry>, String> {
        let keys = EntryKey::all_kinds(name);
        let stored = self.look(move |shared, disk| {
            // What is about to be removed is as good as gone.
            let keys = keys.into_iter().filter(|key| !shared.disk_writes.is_removed(key.borrowed()));
            keys.filter_map(|key| disk.peek(&key).transpose()).collect::<Result<_, _>>()
        });
        let stored = stored.map_err(|Hangs| DISK_HANGS.to_owned())?;
        stored.transpose().map(Option::unwrap_or_default).map_err(|error: DiskError| error.to_string())
    }

    fn certificates(
        &self,
        config: &LookupConfig,
        name: EntryKeyRef<'_>,
        on_disk: Vec<StoredEntry>,
        in_fleet: Vec<StoredEntry>,
        now: Timestamp,
    ) -> Vec<CertificateFacts> {
        let in_memory = name.all_kinds().filter_map(|key| self.memory.peek(key));
        let facts = in_memory.filter_map(|entry| config.facts(&entry.bundle, &entry.metadata, now));
        let mut found: Vec<_> = facts.map(|facts| CertificateFacts { in_memory: true, ..facts }).collect();
        let on_disk = on_disk.into_iter().map(|stored| (stored, Place::Disk));
        for (stored, place) in on_disk.chain(in_fleet.into_iter().map(|stored| (stored, Place::Fleet))) {
            let Ok(bundle) = Bundle::parse(&stored.pem) else { continue };
            let Some(facts) = config.facts(&bundle, &stored.metadata, now) else { continue };
            let known = found.iter().position(|other| other.leaf == facts.leaf);
            let known = known.unwrap_or_else(|| {
                found.push(facts);
                found.len() - 1
            });
            match place {
                Place::Disk => found[known].on_disk = true,
                Place::Fleet => found[known].in_fleet = true,
            }
        }
        found
    }
}

/// Where else than in memory.
enum Place {
    Disk,
    Fleet,
}

/// What a look that takes too long says.
pub(super) const DISK_HANGS: &str = "the disk under cache_dir does not answer";

impl LookupConfig {
    /// The end of an answer's lifetime under these settings.
    pub(super) fn fresh_until(&self, metadata: &ResponseMetadata, not_after: Timestamp) -> Option<Timestamp> {
        freshness::fresh_until(&metadata.freshness, metadata.fetched_at, not_after, self.freshness)
    }

    fn facts(
        &self,
        bundle: &Bundle,
        metadata: &ResponseMetadata,
        now: Timestamp,
    ) -> Option<CertificateFacts> {
        let ResponseMetadata { freshness, fetched_at, .. } = metadata;
        let (settings, not_after) = (self.freshness, bundle.not_after());
        let state = freshness::evaluate(freshness, *fetched_at, not_after, settings, RefreshJitter(0), now);
        Some(CertificateFacts {
            leaf: bundle.chain().next()?.to_vec(),
            fetched_at: *fetched_at,
            fresh_until: self.fresh_until(metadata, not_after),
            stale_until: freshness::served_until(freshness, *fetched_at, not_after, settings),
            state: state.into(),
            in_memory: false,
            on_disk: false,
            in_fleet: false,
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
