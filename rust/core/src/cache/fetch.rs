//! What a miss sets in motion: the disk, then the origin, then a candidate. One [`Fetch`] is one flight; it
//! ends its flight exactly once, dropped or panicking included.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::bundle::{Bundle, BundleError};
use crate::cache::acceptance::{Candidate, Source};
use crate::cache::{Instance, Shared, usable_keys};
use crate::clock::Timestamp;
use crate::disk_store::DiskStore;
use crate::entry::{ClientAbilities, Entry, EntryKey, ResponseFacts};
use crate::events::{Event, LogLevel, Outcome};
use crate::freshness::{self, Freshness, Lifetime};
use crate::negative_store::Negative;
use crate::origin::{OriginRequest, OriginResponse};
use crate::worker_pool::{NotTaken, WorkerPool};

/// A flight and what it needs to get its answer. It belongs to no handshake: a client that leaves ends nothing.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) instance: Arc<Instance>,
    pub(super) key: EntryKey,
    pub(super) client: ClientAbilities,
    hello_query: Box<str>,
    deadline: Instant,
    outcome_if_dropped: Outcome,
    finished: bool,
}

impl Fetch {
    pub(super) fn new(
        shared: &Arc<Shared>,
        instance: &Arc<Instance>,
        key: EntryKey,
        client: ClientAbilities,
        hello_query: &str,
        deadline: Instant,
    ) -> Self {
        Fetch {
            shared: Arc::clone(shared),
            instance: Arc::clone(instance),
            key,
            client,
            hello_query: hello_query.into(),
            deadline,
            outcome_if_dropped: Outcome::Overloaded,
            finished: false,
        }
    }

    /// Queues the work; returns at once.
    pub(super) fn start(self) {
        if self.shared.disk.is_some() {
            self.queue(|shared| &shared.disk_readers, Fetch::read_disk);
        } else {
            self.queue_request();
        }
    }

    /// Goes on to the origin, from the disk or because an entry from there was refused.
    pub(super) fn queue_request(self) {
        self.queue(|shared| &shared.fetchers, Fetch::request);
    }

    /// Ends the flight and tells whoever waits.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn queue(mut self, pool: fn(&Shared) -> &WorkerPool, work: fn(Fetch)) {
        let shared = Arc::clone(&self.shared);
        self.outcome_if_dropped = Outcome::Overloaded;
        let job = move || {
            let given_up = format!("{}: the fetch was given up", self.shared.origin_name);
            self.outcome_if_dropped = Outcome::Failed(given_up);
            work(self);
        };
        if pool(&shared).submit(Box::new(job)) == Err(NotTaken::Full) {
            shared.counters.overloaded.increment();
        }
    }

    fn read_disk(self) {
        let found = self.shared.disk.as_ref().and_then(|disk| {
            usable_keys(self.key.borrowed()).find_map(|key| self.load(disk, key.to_owned()))
        });
        match found {
            Some(entry) => {
                self.shared.counters.disk_hits.increment();
                Candidate::offer(self, entry, Source::Disk);
            }
            None => self.queue_request(),
        }
    }

    /// The entry on disk, if it is whole, fresh and usable by this client.
    fn load(&self, disk: &DiskStore, key: EntryKey) -> Option<Entry> {
        let stored = match disk.load(&key) {
            Ok(stored) => stored?,
            Err(error) => {
                self.shared.disk_failed(&key, &error);
                return None;
            }
        };
        let now = self.shared.clock.now();
        let checked =
            Bundle::parse(&stored.pem).and_then(|bundle| bundle.check(&key.name, now).map(|()| bundle));
        // Not worth a word: an entry of long ago whose certificate has ended is simply fetched again.
        let bundle = checked.ok()?;
        let facts = stored.facts;
        let settings = self.instance.freshness;
        let state =
            freshness::evaluate(&facts.freshness, facts.fetched_at, bundle.not_after(), settings, now);
        let usable = self.client.can_use(bundle.private_key().algorithm());
        (state == Freshness::Fresh && usable).then(|| Entry::new(key, bundle, facts))
    }

    fn request(self) {
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        if time_left.is_zero() {
            let reason =
                format!("{}: no worker was free within {:?}", self.shared.origin_name, self.instance.timeout);
            return self.fail(reason);
        }
        self.shared.counters.fetches.increment();
        let request =
            OriginRequest { server_name: self.key.name.clone(), hello_query: self.hello_query.clone() };
        match self.instance.origin.fetch(&request, time_left, self.shared.clock.now()) {
            Ok(OriginResponse::Found { pem, facts }) => self.found(&pem, facts),
            Ok(OriginResponse::NotFound { facts }) => self.not_found(facts),
            Err(error) => self.fail(error.message),
        }
    }

    fn found(self, pem: &[u8], facts: ResponseFacts) {
        let bundle = match self.shared.checked_bundle(pem, &self.key, self.shared.clock.now()) {
            Ok(bundle) => bundle,
            Err(error) => {
                self.shared.counters.refused_bundles.increment();
                let reason = format!("{}: the answer is refused: {error}", self.shared.origin_name);
                return self.finish(Outcome::Failed(reason));
            }
        };
        self.warn_if_uncacheable(&facts);
        // What only an ECDSA client can use is kept for such clients, whoever asked.
        let rsa = ClientAbilities { ecdsa: false, ed25519: false };
        let ecdsa = self.key.ecdsa || !rsa.can_use(bundle.private_key().algorithm());
        let key = EntryKey { name: self.key.name.clone(), ecdsa };
        Candidate::offer(self, Entry::new(key, bundle, facts), Source::Origin);
    }

    fn not_found(self, facts: ResponseFacts) {
        let shared = &self.shared;
        shared.counters.not_found.increment();
        let pinned = self.instance.freshness.pinned.is_some();
        let lifetime = match facts.freshness.lifetime {
            _ if pinned => Some(None),
            Lifetime::Unspecified => Some(None),
            Lifetime::Explicit(lifetime) => Some(Some(lifetime)),
            Lifetime::Uncacheable(_) => None,
        };
        match lifetime {
            Some(lifetime) => {
                let negative = Negative { fetched_at: facts.fetched_at, lifetime };
                shared.negatives.insert(self.key.borrowed(), negative);
            }
            None => self.warn_if_uncacheable(&facts),
        }
        shared.forget(&self.key);
        self.finish(Outcome::NotFound);
    }

    fn fail(self, reason: String) {
        self.shared.counters.fetch_errors.increment();
        self.finish(Outcome::Failed(reason));
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
        self.shared.log(LogLevel::Warn, Some(&self.key), message);
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        let tokens = self.shared.flights.finish(&self.key);
        self.shared.events.push(Event::Finished { tokens, outcome });
    }
}

impl Shared {
    /// The one road from PEM text to a bundle that may be served, from the origin as from disk.
    fn checked_bundle(&self, pem: &[u8], key: &EntryKey, now: Timestamp) -> Result<Bundle, BundleError> {
        let mut bundle = Bundle::parse(pem)?;
        bundle.check(&key.name, now)?;
        bundle.share_issuers(|issuer| self.issuers.intern(issuer));
        Ok(bundle)
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.finished {
            let outcome = std::mem::replace(&mut self.outcome_if_dropped, Outcome::Overloaded);
            self.end(outcome);
        }
    }
}
