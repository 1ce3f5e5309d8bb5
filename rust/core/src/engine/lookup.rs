//! What a lookup finds in memory, and what it sets in motion: the fetch of a name that is not known, or the
//! refresh of an entry that is past its best.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Timestamp;
use crate::engine::fetch::Fetch;
use crate::engine::{Lookup, LookupConfig, Shared};
use crate::entry::{ClientCapabilities, Entry, EntryKeyRef};
use crate::freshness::{self, Freshness};
use crate::single_flight::{Joined, Token};

/// An answer from memory, and the entry to fetch anew meanwhile.
pub(super) struct Held {
    pub(super) answer: Lookup,
    pub(super) due: Option<Arc<Entry>>,
}

impl Shared {
    /// What memory says: a hit, a negative, or nothing.
    pub(super) fn held(
        &self,
        config: &LookupConfig,
        key: EntryKeyRef<'_>,
        client: ClientCapabilities,
        now: Timestamp,
    ) -> Option<Held> {
        for key in usable_keys(key) {
            let Some(entry) = self.memory.entry_for(key) else { continue };
            let freshness = config.evaluate(&entry, now);
            if freshness == Freshness::Expired {
                continue;
            }
            let answer = match client.can_use(entry.algorithm()) {
                true if freshness == Freshness::Stale => Lookup::Stale(entry.id),
                true => Lookup::Hit(entry.id),
                false if client.ecdsa => Lookup::UnsupportedKeyType,
                false => continue,
            };
            let due = (freshness != Freshness::Fresh).then_some(entry);
            return Some(Held { answer, due });
        }
        let negative = self.negatives.negative(key)?;
        let answer =
            if negative.is_unsupported_key_type { Lookup::UnsupportedKeyType } else { Lookup::Negative };
        negative.is_fresh(config.negative_ttl, now).then_some(Held { answer, due: None })
    }

    /// Joins the fetch of a name, or starts it.
    pub(super) fn join_fetch(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        key: EntryKeyRef<'_>,
        client: ClientCapabilities,
        handshake_params: &str,
        token: Token,
    ) -> Lookup {
        if self.closed.load(Ordering::Acquire) {
            return Lookup::Closed;
        }
        let now = self.clock.now();
        // A flight that has failed in the meantime has left its reason. Where there is a disk, it may know the name all
        // the same: then the backend's failure is looked at after it.
        let settled = || {
            let answer = self.held(config, key, client, now).map(|held| held.answer);
            let only_backend = || self.disk.is_none().then(|| self.back_off.reason(key, now)).flatten();
            answer.or_else(|| only_backend().map(Lookup::BackedOff))
        };
        match self.flights.join(key.to_owned(), Some(token), settled) {
            Joined::Settled(answer) => {
                if let Lookup::BackedOff(_) = answer {
                    self.counters.backed_off.increment();
                }
                answer
            }
            Joined::Follower => {
                self.counters.misses.increment();
                Lookup::Pending
            }
            Joined::Leader => {
                self.counters.misses.increment();
                Fetch::new(self, config, key.to_owned(), client, handshake_params).start();
                Lookup::Pending
            }
        }
    }

    /// Fetches a newer generation of an entry, unless somebody does, or has just failed to. Returns at once.
    pub(super) fn refresh(self: &Arc<Self>, config: &Arc<LookupConfig>, entry: &Arc<Entry>, now: Timestamp) {
        if self.back_off.reason(entry.key(), now).is_some() || !entry.begin_refresh() {
            return;
        }
        let replaced = || {
            let newest = self.memory.entry_for(entry.key());
            newest.filter(|newest| newest.id != entry.id).map(drop)
        };
        match self.flights.join(entry.key().to_owned(), None, replaced) {
            Joined::Leader => Fetch::refresh(self, config, entry).queue_request(),
            Joined::Follower | Joined::Settled(()) => entry.end_refresh(),
        }
    }
}

impl LookupConfig {
    /// What may be done with an entry under these settings.
    pub(super) fn evaluate(&self, entry: &Entry, now: Timestamp) -> Freshness {
        let metadata = &entry.metadata;
        let jitter = entry.refresh_jitter();
        let (settings, end) = (self.freshness, entry.not_after());
        freshness::evaluate(&metadata.freshness, metadata.fetched_at, end, settings, jitter, now)
    }
}

/// The keys whose entry a client may get. An RSA certificate that was fetched for a client of either kind
/// serves one that can use nothing else; the reverse would hide an ECDSA certificate the backend may have.
pub(super) fn usable_keys(key: EntryKeyRef<'_>) -> impl Iterator<Item = EntryKeyRef<'_>> {
    let other = EntryKeyRef { ecdsa: true, ..key };
    std::iter::once(key).chain((!key.ecdsa).then_some(other))
}
