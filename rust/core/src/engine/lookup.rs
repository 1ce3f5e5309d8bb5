//! What a lookup finds in memory, and what it sets in motion: the fetch of a name that is not known, or the
//! refresh of an entry that is past its best.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Timestamp;
use crate::engine::fetch::Fetch;
use crate::engine::fetch::candidate::Source;
use crate::engine::fleet::Lane;
use crate::engine::shared::Shared;
use crate::engine::{Lookup, LookupConfig, LookupRequest};
use crate::entry::{ClientKind, Entry, EntryKeyRef, ResponseMetadata};
use crate::freshness::{self, Freshness};
use crate::negative_store::Negative;
use crate::server_name::{NameBuffer, ServerName};
use crate::shared_names::MAX_ANSWERING;
use crate::single_flight::Joined;

/// An answer from memory, and the entry to fetch anew meanwhile.
pub(super) struct CachedAnswer {
    pub(super) answer: Lookup,
    refresh: Option<Arc<Entry>>,
}

impl Shared {
    /// The path of every handshake.
    pub(super) fn lookup(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        request: &LookupRequest<'_>,
    ) -> Lookup {
        let mut buffer = NameBuffer::default();
        let answer = match ServerName::parse(request.server_name, &mut buffer) {
            Err(invalid) => Lookup::InvalidName(invalid),
            Ok(name) => {
                let key = EntryKeyRef { name: name.as_str(), client: request.client };
                let now = self.clock.now();
                match self.cached_answer(config, key, request.peek, now) {
                    Some(CachedAnswer { answer, refresh }) => {
                        if let Some(entry) = refresh {
                            self.refresh(config, &entry, now);
                        }
                        answer
                    }
                    None if request.token.is_some() => self.join_fetch(config, key, request, now),
                    None => return Lookup::Miss,
                }
            }
        };
        if !request.peek {
            self.count(&answer);
        }
        answer
    }

    fn count(&self, answer: &Lookup) {
        let counters = &self.counters;
        match answer {
            Lookup::Hit(_) => counters.hits.increment(),
            Lookup::Stale(_) => counters.stale_hits.increment(),
            Lookup::Negative => counters.negative_hits.increment(),
            Lookup::UnsupportedKeyType => counters.unsupported_hits.increment(),
            Lookup::Pending => counters.misses.increment(),
            Lookup::InvalidName(_) => counters.invalid_names.increment(),
            Lookup::BackedOff(_) => counters.backed_off.increment(),
            Lookup::Miss | Lookup::Closed => {}
        }
    }

    /// What memory says: a hit, a negative, or nothing.
    pub(super) fn cached_answer(
        &self,
        config: &LookupConfig,
        key: EntryKeyRef<'_>,
        peek: bool,
        now: Timestamp,
    ) -> Option<CachedAnswer> {
        let mut stale = None;
        for kind in key.client.usable() {
            let Some(entry) = self.memory.entry_for(key.of(*kind)) else { continue };
            if !key.client.can_use(entry.algorithm()) {
                continue;
            }
            let end = entry.not_after();
            let answer = match config.evaluate(&entry, now) {
                Freshness::Expired => continue,
                Freshness::Fresh if self.is_due(&entry) => {
                    CachedAnswer { answer: Lookup::Hit(entry.id), refresh: Some(entry) }
                }
                Freshness::Fresh => CachedAnswer { answer: Lookup::Hit(entry.id), refresh: None },
                Freshness::RefreshDue => CachedAnswer { answer: Lookup::Hit(entry.id), refresh: Some(entry) },
                // That of another kind may be fresh.
                Freshness::Stale => {
                    stale.get_or_insert((end, entry));
                    continue;
                }
            };
            self.first_certificate_end.note(end, now);
            return Some(answer);
        }
        if let Some((end, entry)) = stale {
            self.first_certificate_end.note(end, now);
            return Some(CachedAnswer { answer: Lookup::Stale(entry.id), refresh: Some(entry) });
        }
        let refusal = if self.is_negative(config, key, peek, now) {
            Lookup::Negative
        } else if config.share_names
            && let Some(answer) = self.shared_answer(config, key, now)
        {
            return Some(answer);
        } else if self.is_unsupported(key, now) {
            Lookup::UnsupportedKeyType
        } else {
            return None;
        };
        Some(CachedAnswer { answer: refusal, refresh: None })
    }

    /// Whether an entry is to be looked for anew though it is fresh: this node may have missed a purge of it.
    fn is_due(&self, entry: &Entry) -> bool {
        entry.metadata.fetched_at.0 < self.due_before.load(Ordering::Relaxed)
    }

    /// An entry of another name, within its lifetime, that covers this one and was asked for after each "no" for it to
    /// clients that can use it, also one that is over: the entry may have been under way when it came.
    fn shared_answer(
        &self,
        config: &LookupConfig,
        key: EntryKeyRef<'_>,
        now: Timestamp,
    ) -> Option<CachedAnswer> {
        let (covering, denied) = self.shared_names.covering(key.name, MAX_ANSWERING);
        for id in covering {
            let Some(entry) = self.memory.entry(id) else { continue };
            let kind = ClientKind::for_key(entry.algorithm());
            let told_no = self.negatives_of(key.of(kind)).map(|negative| negative.fetched_at);
            let denied_at = told_no.chain(denied.until(kind)).max();
            let is_older = denied_at.is_some_and(|denied_at| entry.metadata.fetched_at <= denied_at);
            if is_older || kind > key.client {
                continue;
            }
            let refresh = match config.evaluate(&entry, now) {
                Freshness::Fresh => None,
                Freshness::RefreshDue => Some(Arc::clone(&entry)),
                Freshness::Stale | Freshness::Expired => continue,
            };
            self.first_certificate_end.note(entry.not_after(), now);
            return Some(CachedAnswer { answer: Lookup::Hit(id), refresh });
        }
        None
    }

    /// Whether the backend has no certificate for such a client: it said so, or said so to one that can do more.
    fn is_negative(&self, config: &LookupConfig, key: EntryKeyRef<'_>, peek: bool, now: Timestamp) -> bool {
        self.negatives_of(key)
            .any(|negative| (peek || !negative.is_uncacheable) && negative.is_fresh(config.negative_ttl, now))
    }

    /// What is remembered of the backend's having nothing for such a client, or one that can do more.
    fn negatives_of(&self, key: EntryKeyRef<'_>) -> impl Iterator<Item = Negative> {
        let as_capable = ClientKind::ALL.into_iter().filter(move |kind| *kind >= key.client);
        as_capable.filter_map(move |kind| self.negatives.negative(key.of(kind)))
    }

    /// Whether the fleet may have what the backend is not asked for: it was not looked for when this name failed.
    fn may_be_in_fleet(&self, key: EntryKeyRef<'_>, now: Timestamp) -> bool {
        let has_just_failed =
            || self.back_off.last_failure(key).is_some_and(|failure| failure.retry_at > now);
        self.fleet().is_some_and(|fleet| !fleet.is_left_alone(Lane::Read)) && !has_just_failed()
    }

    /// Whether the backend has just said that it has no certificate for such a client.
    pub(super) fn is_denied(&self, config: &LookupConfig, key: EntryKeyRef<'_>) -> bool {
        self.is_negative(config, key, true, self.clock.now())
    }

    fn is_unsupported(&self, key: EntryKeyRef<'_>, now: Timestamp) -> bool {
        self.unsupported.negative(key).is_some_and(|answer| answer.is_fresh(Default::default(), now))
    }

    /// Joins the fetch of a name, or starts it.
    fn join_fetch(
        self: &Arc<Self>,
        config: &Arc<LookupConfig>,
        key: EntryKeyRef<'_>,
        request: &LookupRequest<'_>,
        now: Timestamp,
    ) -> Lookup {
        // A flight that has failed in the meantime has left its reason. Where there is a disk or a fleet, it may know the
        // name all the same: then the backend's failure is looked at after it.
        let is_only_source = self.disk.is_none() && self.fleet().is_none();
        let settled = || {
            // Nobody would be told any more.
            if self.is_closed() {
                return Some(Lookup::Closed);
            }
            let cached = self.cached_answer(config, key, request.peek, now).map(|cached| cached.answer);
            let backed_off =
                || is_only_source.then(|| self.back_off.reason(key, config.identity, now)).flatten();
            let explained = |reason: Arc<str>| self.explained(config, key, &reason).into();
            cached.or_else(|| backed_off().map(|reason| Lookup::BackedOff(explained(reason))))
        };
        match self.flights.join(key.to_owned(), request.token, settled) {
            Joined::Settled(answer) => answer,
            Joined::Follower => Lookup::Pending,
            Joined::Leader(flight) => {
                Fetch::new(self, config, flight, key.to_owned(), request.handshake_params).start();
                Lookup::Pending
            }
        }
    }

    /// Fetches a newer generation of an entry, unless somebody does, or has just failed to. Returns at once.
    pub(super) fn refresh(self: &Arc<Self>, config: &Arc<LookupConfig>, entry: &Arc<Entry>, now: Timestamp) {
        self.refresh_from(Source::Disk, config, entry, now);
    }

    /// The same for an entry that has just come from this source: what the fleet has is not read from it again.
    pub(super) fn refresh_from(
        self: &Arc<Self>,
        source: Source,
        config: &Arc<LookupConfig>,
        entry: &Arc<Entry>,
        now: Timestamp,
    ) {
        let key = entry.key();
        if self.back_off.reason(key, config.identity, now).is_some() {
            self.note_bridge(config, entry, now);
            if !self.may_be_in_fleet(key, now) {
                return;
            }
        }
        if self.is_unsupported(key, now) || !entry.begin_refresh() {
            return;
        }
        // It was replaced meanwhile, or withdrawn.
        let is_gone = || self.memory.peek(key).is_none_or(|newest| newest.id != entry.id).then_some(());
        match self.flights.join(key.to_owned(), None, is_gone) {
            Joined::Leader(flight) => {
                let refresh = Fetch::refresh(self, config, flight, entry);
                match source {
                    Source::Fleet => refresh.queue_request(),
                    _ => refresh.queue_load(),
                }
            }
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

    /// Whether an entry may be served past its lifetime at all.
    pub(super) fn may_be_stale(&self, entry: &Entry) -> bool {
        self.freshness.pinned.is_some() || !entry.metadata.freshness.must_revalidate
    }

    /// Until when an entry is served if no newer one comes.
    pub(super) fn served_until(&self, entry: &Entry) -> Option<Timestamp> {
        let ResponseMetadata { freshness, fetched_at, .. } = &entry.metadata;
        freshness::served_until(freshness, *fetched_at, entry.not_after(), self.freshness)
    }
}
