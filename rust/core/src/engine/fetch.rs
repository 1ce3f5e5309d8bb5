//! What a miss sets in motion: the disk, then the backend, then a candidate. One [`Fetch`] is one flight; it
//! ends its flight exactly once, dropped or panicking included.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::{BackendRequest, BackendResponse, Validators};
use crate::bundle::{Bundle, BundleError};
use crate::clock::Timestamp;
use crate::engine::{LookupConfig, Shared};
use crate::entry::{ClientCapabilities, Entry, EntryId, EntryKey};
use crate::events::{Event, Outcome};
use crate::worker_pool::{Priority, SubmitError};

/// A flight and what it needs to get its answer. It belongs to no handshake: a client that leaves ends nothing.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<LookupConfig>,
    pub(super) key: EntryKey,
    pub(super) client: ClientCapabilities,
    pub(super) handshake_params: Arc<str>,
    /// What is kept already: a refresh is to replace it, and it can make the request conditional.
    pub(super) kept: Option<Arc<Entry>>,
    pub(super) priority: Priority,
    /// Whether the disk was looked at and has nothing.
    pub(super) is_not_on_disk: bool,
    /// The candidate that the host has agreed to, which ends the flight whether or not its client can use it.
    pub(super) accepted: Option<EntryId>,
    deadline: Instant,
    asked_backend: bool,
    outcome_if_dropped: Outcome,
    finished: bool,
}

impl Fetch {
    pub(super) fn new(
        shared: &Arc<Shared>,
        config: &Arc<LookupConfig>,
        key: EntryKey,
        client: ClientCapabilities,
        handshake_params: &str,
    ) -> Self {
        Fetch {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            key,
            client,
            handshake_params: handshake_params.into(),
            kept: None,
            priority: Priority::Foreground,
            is_not_on_disk: false,
            accepted: None,
            deadline: Instant::now() + config.timeout,
            asked_backend: false,
            outcome_if_dropped: Outcome::Overloaded,
            finished: false,
        }
    }

    /// A fetch that replaces an entry, which goes on being served.
    pub(super) fn refresh(shared: &Arc<Shared>, config: &Arc<LookupConfig>, kept: &Arc<Entry>) -> Self {
        let key = kept.key().to_owned();
        // Nobody waits, so it is for whoever could use what is kept.
        let client = ClientCapabilities { ecdsa: key.ecdsa, ed25519: key.ecdsa };
        let mut fetch = Self::new(shared, config, key, client, &kept.handshake_params);
        fetch.kept = Some(Arc::clone(kept));
        fetch.priority = Priority::Background;
        shared.counters.refreshes.increment();
        fetch
    }

    /// Queues the work; returns at once.
    pub(super) fn start(self) {
        if self.shared.disk.is_some() {
            self.queue_read();
        } else {
            self.queue_request();
        }
    }

    /// Goes on to the backend, from the disk or because an entry from there was rejected.
    pub(super) fn queue_request(self) {
        let shared = Arc::clone(&self.shared);
        if let Some(reason) = shared.back_off.reason(self.key.borrowed(), shared.clock.now()) {
            shared.counters.backed_off.increment();
            return self.finish(Outcome::BackedOff(reason));
        }
        let priority = self.priority;
        let mut fetch = self;
        let job = move || {
            let given_up = format!("{}: the fetch was given up", fetch.shared.backend_name);
            fetch.outcome_if_dropped = Outcome::Failed(given_up);
            fetch.request();
        };
        if shared.fetchers.submit(priority, Box::new(job)) == Err(SubmitError::Full) {
            shared.counters.overloaded.increment();
        }
    }

    /// Ends the flight and tells whoever waits.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn request(mut self) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("fetch");
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        // A request that can hardly be answered in time helps nobody, and keeps the next from being so.
        if time_left < self.config.timeout / 4 {
            self.shared.counters.overloaded.increment();
            let reason = format!("{}: no worker was free in time", self.shared.backend_name);
            return self.finish(Outcome::Failed(reason));
        }
        let now = self.shared.clock.now();
        if let Err(reason) = self.shared.back_off.admit(self.key.borrowed(), now) {
            return self.finish(Outcome::BackedOff(reason));
        }
        self.asked_backend = true;
        let request = BackendRequest {
            server_name: self.key.name.as_str().into(),
            handshake_params: Arc::clone(&self.handshake_params),
            validators: self.validators(now),
        };
        let asked_at = Instant::now();
        let answer = self.config.backend.fetch(&request, time_left, now);
        self.shared.fetch_times.record(asked_at.elapsed());
        match answer {
            Ok(BackendResponse::Found { pem, metadata }) => {
                self.shared.counters.found.increment();
                self.found(&pem, metadata);
            }
            Ok(BackendResponse::NotModified { metadata }) => self.not_modified(metadata),
            Ok(BackendResponse::NoCertificate { metadata }) => self.no_certificate(metadata),
            // The time that a request has spent in our queue is not the backend's fault.
            Err(error) if asked_at.elapsed() >= time_left && time_left < self.config.timeout * 3 / 4 => {
                self.shared.counters.fetch_errors.increment();
                self.finish(Outcome::Failed(error.message));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Only for what would still be served: who has nothing good needs a body.
    fn validators(&self, now: Timestamp) -> Validators {
        match &self.kept {
            Some(kept) if now < kept.bundle.not_after() => Validators {
                etag: kept.metadata.etag.clone(),
                last_modified: kept.metadata.last_modified.clone(),
            },
            _ => Validators::default(),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        if let Some(kept) = &self.kept {
            kept.end_refresh();
        }
        let tokens = self.shared.flights.finish(&self.key);
        let server_name = self.key.name.as_str().into();
        self.shared.events.push(Event::Finished {
            server_name,
            asked_backend: self.asked_backend,
            accepted: self.accepted,
            tokens,
            outcome,
        });
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

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.finished {
            let outcome = std::mem::replace(&mut self.outcome_if_dropped, Outcome::Overloaded);
            self.end(outcome);
        }
    }
}
