//! What the storage has found for a fetch: whether it is served.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use crate::disk_format;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::{Candidate, Source};
use crate::engine::fetch::fleet::pending::PendingLoad;
use crate::engine::fleet::{self, Ended, Fleet, HEAD_START};
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, Entry, EntryKey};
use crate::freshness::Freshness;
use crate::log_sampler::LogKind;

/// The storage's side of a pending load. Dropped with the fetch inside (queue full, fleet ended), it sends the fetch on.
pub(super) struct Load {
    pub(super) shared: Arc<Shared>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) pending: Arc<PendingLoad>,
    pub(super) key: EntryKey,
}

/// Why a record is not taken.
enum Unfit {
    /// It is what is held already, or is of no use any more: nothing is wrong with it.
    NotNewer,
    /// It may not be served; holds the reason, if it is worth a word.
    Refused(Option<String>),
}

impl Load {
    pub(super) fn ended(self, ended: Ended) {
        if self.pending.age() <= HEAD_START && matches!(ended, Ended::Found(_) | Ended::Missing) {
            self.fleet.note_read(false);
        }
        match ended {
            Ended::Found(record) if !self.fleet.journal.lock().has_begun() => self.wait_for_journal(record),
            // Nobody could say whether it is older than a purge.
            Ended::Found(_) if !self.fleet.journal.lock().is_known() => self.nothing(),
            Ended::Found(record) => self.found(&record),
            Ended::Missing => {
                self.shared.counters.fleet_missing.increment();
                self.nothing();
            }
            Ended::Done | Ended::Failed(_) | Ended::Skipped => self.nothing(),
        }
    }

    /// Which purges there are is about to be known; until then a record may be older than one.
    fn wait_for_journal(self, record: Vec<u8>) {
        let fleet = Arc::clone(&self.fleet);
        let task = move || {
            let fleet = Arc::clone(&self.fleet);
            fleet.work(Box::new(move || self.ended(Ended::Found(record))));
        };
        fleet.after(Duration::from_millis(2), Box::new(task));
    }

    fn nothing(&self) {
        if let Some(fetch) = self.pending.end() {
            fetch.go_on();
        }
    }

    fn found(&self, record: &[u8]) {
        let Some(mut fetch) = PendingLoad::offer(&self.pending) else { return };
        fetch.is_in_fleet = true;
        // A flight is superseded by a purge as well, which says nothing of a record that knows of it.
        if fetch.flight.is_superseded() && self.shared.is_denied(&fetch.config, fetch.key.borrowed()) {
            // The backend has said "no" meanwhile, and did not know of this record.
            self.shared.withdraw_from_fleet(fetch.key.borrowed(), iter::once(self.key.borrowed()));
            return fetch.go_on();
        }
        match self.entry(&mut fetch, record) {
            Ok(entry) => {
                self.shared.counters.fleet_adopted.increment();
                return Candidate::offer(fetch, entry, Source::Fleet);
            }
            Err(Unfit::NotNewer) => {}
            Err(Unfit::Refused(reason)) => {
                self.shared.counters.fleet_unfit.increment();
                if let Some(reason) = reason {
                    self.shared.log(LogKind::FleetRecord, self.key.borrowed(), || {
                        format!("a record on the storage of the fleet is not used: {reason}")
                    });
                }
            }
        }
        fetch.go_on();
    }

    /// What a record holds, if it may be served and is of use to this fetch.
    fn entry(&self, fetch: &mut Fetch, record: &[u8]) -> Result<Entry, Unfit> {
        let (shared, now) = (&self.shared, self.shared.clock.now());
        let refused = |reason: &dyn std::fmt::Display| Unfit::Refused(Some(reason.to_string()));
        let storage_key = self.fleet.entry_key(self.key.borrowed());
        // It is counted by what is wrong with it.
        let text = shared.opened(&self.fleet, &storage_key, record).ok_or(Unfit::NotNewer)?;
        let (purges, text) = fleet::split(&text).ok_or_else(|| refused(&"it is not an entry"))?;
        let knows_all = self.fleet.journal.lock().of_name(&self.key.name).all(|id| purges.contains(&id));
        if !knows_all {
            return Err(Unfit::Refused(None)); // older than a purge, which is as it should be
        }
        let stored =
            disk_format::decode(text, &shared.backend_name, &self.key).map_err(|error| refused(&error))?;
        let as_capable = ClientKind::ALL.into_iter().filter(|kind| *kind >= fetch.key.client);
        let mut denials =
            as_capable.filter_map(|kind| shared.negatives.negative(fetch.key.borrowed().of(kind)));
        if denials.any(|denied| stored.metadata.fetched_at <= denied.fetched_at) {
            return Err(Unfit::Refused(None)); // the backend has said "no" since
        }
        let checked = shared.checked_bundle(&stored.pem, &self.key, now);
        let bundle = match checked {
            Ok(bundle) => bundle,
            // One whose certificate has ended lies there until somebody writes a newer one.
            Err(_) if stored.not_after <= now => return Err(Unfit::NotNewer),
            Err(error) => return Err(refused(&error)),
        };
        if !fetch.key.client.can_use(bundle.private_key().algorithm()) {
            return Err(Unfit::NotNewer);
        }
        let entry = fetch.entry(self.key.clone(), Arc::new(bundle), stored.metadata);
        let freshness = fetch.config.evaluate(&entry, now);
        match &fetch.stored {
            Some(held) if fetch.is_served(held) => {
                let is_newer = entry.metadata.fetched_at > held.metadata.fetched_at;
                let is_fresh = matches!(freshness, Freshness::Fresh | Freshness::RefreshDue);
                if is_newer && is_fresh { Ok(entry) } else { Err(Unfit::NotNewer) }
            }
            _ if freshness == Freshness::Expired => {
                // Worth a conditional request.
                fetch.stored.get_or_insert_with(|| Arc::new(entry));
                Err(Unfit::NotNewer)
            }
            _ => Ok(entry),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.nothing();
    }
}
