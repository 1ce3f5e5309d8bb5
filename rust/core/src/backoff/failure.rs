//! How long a failure holds.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::{FIRST_DELAY, Identity, LONGEST_DELAY, LONGEST_RETRY_AFTER};
use crate::clock::Timestamp;

/// The last of failures in a row.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) failures: u32,
    pub(super) retry_at: Timestamp,
    pub(super) reason: Arc<str>,
    pub(super) identity: Identity,
    /// Whether one request is under way that tells whether the backend works again.
    pub(super) probing: bool,
}

impl Failure {
    pub(super) fn new(
        failures: u32,
        identity: Identity,
        reason: &str,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Self {
        let mut failure =
            Failure { failures, retry_at: now, reason: reason.into(), identity, probing: false };
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        failure.retry_at = now.saturating_add(jittered(failure.delay()).max(asked));
        failure
    }

    pub(super) fn delay(&self) -> Duration {
        let doublings = (self.failures.saturating_sub(1)).min(10);
        (FIRST_DELAY * (1 << doublings)).min(LONGEST_DELAY)
    }

    pub(super) fn is_of(&self, identity: Identity) -> bool {
        self.identity == identity
    }

    /// A wait longer than any given means that the clock was set back: it is over.
    pub(super) fn holds(&self, identity: Identity, now: Timestamp) -> bool {
        self.is_of(identity)
            && now < self.retry_at
            && self.retry_at.saturating_since(now) <= LONGEST_RETRY_AFTER
    }
}

/// Somewhat less than the delay, so that what failed together is not tried again together.
pub(super) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.8 + 0.2 * fastrand::f64())
}
