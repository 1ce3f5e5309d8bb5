//! The step to the backend: leave to ask, a worker, one request.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::backend::{self, Backend, BackendRequest, BackendResponse, Validators};
use crate::clock::Timestamp;
use crate::engine::LookupConfig;
use crate::engine::fetch::Fetch;
use crate::engine::shared::Shared;
use crate::engine::timer::Timer;
use crate::events::Outcome;
use crate::log_sampler::LogKind;
use crate::worker_pool::SubmitError;

impl Fetch {
    /// Goes on to the backend; returns at once.
    pub(in crate::engine) fn queue_request(self) {
        let shared = Arc::clone(&self.shared);
        let (key, identity) = (self.key.borrowed(), self.config.identity);
        if !self.past_the_back_off
            && let Some(reason) = shared.back_off.reason(key, identity, shared.clock.now())
        {
            return self.back_off(&reason);
        }
        let (priority, name) = (self.priority, self.key.clone());
        let mut fetch = self;
        let job = move || {
            let given_up = format!("{}: the fetch was given up", fetch.shared.backend_name);
            fetch.outcome_if_dropped = Outcome::Failed(given_up);
            fetch.request();
        };
        if shared.fetchers.submit(priority, Box::new(job)) == Err(SubmitError::Full) {
            shared.counters.overloaded.increment();
            shared.log(LogKind::Overload, name.borrowed(), || {
                format!("{}: too many names wait for the backend; {RAISE_THE_LIMIT}", shared.backend_name)
            });
        }
    }

    fn request(mut self) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("fetch");
        let shared = Arc::clone(&self.shared);
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        // A request that can hardly be answered in time helps nobody, and keeps the next from being so.
        if time_left < self.config.timeout / 4 {
            shared.counters.overloaded.increment();
            shared.log(LogKind::Overload, self.key.borrowed(), || {
                format!("{}: no worker was free in time; {RAISE_THE_LIMIT}", shared.backend_name)
            });
            return self.without_answer(Outcome::Overloaded);
        }
        let now = shared.clock.now();
        let (key, identity) = (self.key.borrowed(), self.config.identity);
        if !self.past_the_back_off
            && let Err(reason) = shared.back_off.admit(key, self.is_known(), identity, now)
        {
            return self.back_off(&reason);
        }
        self.asked_backend = true;
        let request = BackendRequest {
            server_name: self.key.name.as_str().into(),
            handshake_params: self.query().into(),
            validators: self.validators(now),
        };
        let asked_at = Instant::now();
        let answer = self.config.backend.fetch(&request, time_left, now);
        shared.fetch_times.record(asked_at.elapsed());
        shared.watch_connections(&self.config);
        match answer {
            Ok(BackendResponse::Found { pem, metadata }) => self.found(&pem, metadata),
            Ok(BackendResponse::NotModified { metadata }) => self.not_modified(metadata),
            Ok(BackendResponse::NoCertificate { metadata }) => self.no_certificate(metadata),
            // The time that a request has spent in our queue is not the backend's fault.
            Err(error) if asked_at.elapsed() >= time_left && time_left < self.config.timeout * 3 / 4 => {
                shared.counters.fetch_errors.increment();
                self.without_answer(Outcome::Failed(error.message));
            }
            Err(error) => self.failed(error),
        }
    }

    fn back_off(self, reason: &str) {
        let reason = self.explained(reason).into();
        self.without_answer(Outcome::BackedOff(reason));
    }

    /// The answer is for all clients of a kind, and a refresh for those of the entry's.
    fn query(&self) -> String {
        format!("{}&{}", backend::client_parameters(self.key.client), self.handshake_params)
    }

    /// Only for what would still be served: who has nothing good needs a body.
    fn validators(&self, now: Timestamp) -> Validators {
        match &self.stored {
            Some(stored) if now < stored.not_after() => Validators {
                etag: stored.metadata.etag.clone(),
                last_modified: stored.metadata.last_modified.clone(),
            },
            _ => Validators::default(),
        }
    }
}

impl Shared {
    /// Sees to it that connections close that wait for a request in vain, once per use.
    fn watch_connections(&self, config: &Arc<LookupConfig>) {
        self.timer.revive();
        if config.backend.begin_watch() {
            close_when_idle(&self.timer, Arc::downgrade(config), Backend::IDLE_AGE);
        }
    }
}

fn close_when_idle(timer: &Timer, config: Weak<LookupConfig>, after: Duration) {
    let again = timer.clone();
    let task = move || {
        if let Some(left) = config.upgrade().and_then(|config| config.backend.close_idle(Instant::now())) {
            close_when_idle(&again, config, left);
        }
    };
    timer.after(after, Box::new(task));
}

const RAISE_THE_LIMIT: &str = "if the backend can take more requests at once, raise max_concurrent_fetches";
