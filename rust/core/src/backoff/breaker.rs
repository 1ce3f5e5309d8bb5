//! Whether a backend that fails as a whole is asked.

use std::sync::Arc;

use crate::backoff::failure::{Failure, jittered};
use crate::backoff::{Identity, LONGEST_DELAY, NAMES_TO_OPEN};
use crate::clock::Timestamp;

/// Names that failed since the last good word, and once they are enough the failure that holds for all.
#[derive(Default)]
pub(super) struct Breaker {
    names: Vec<(u64, Kind)>,
    kind: Kind,
    failure: Option<Failure>,
}

/// What a failure was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Answered,
    Unreachable,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether a probe is under way.
    pub(super) fn is_probing(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.probing)
    }

    /// Why all names wait, if they do.
    pub(super) fn reason(&self, identity: Identity, now: Timestamp) -> Option<Arc<str>> {
        let failure = self.failure.as_ref().filter(|failure| failure.holds(identity, now))?;
        Some(Arc::clone(&failure.reason))
    }

    /// Leave for a probe, or why not; `None` while it is closed.
    pub(super) fn admit(
        &mut self,
        is_known: bool,
        identity: Identity,
        now: Timestamp,
    ) -> Option<Result<(), Arc<str>>> {
        let failure = self.failure.as_mut()?;
        let any_name_tells = self.kind == Kind::Unreachable;
        let probe_from = match is_known || any_name_tells {
            true => failure.retry_at,
            false => failure.retry_at.saturating_add(failure.delay()),
        };
        if failure.holds(identity, now) || now < probe_from && failure.is_of(identity) {
            return Some(Err(Arc::clone(&failure.reason)));
        }
        // Until the probe's answer nobody else asks; should it never come, the next one does.
        failure.retry_at = now.saturating_add(LONGEST_DELAY);
        failure.identity = identity;
        failure.probing = true;
        Some(Ok(()))
    }

    pub(super) fn down(&mut self, name: u64, unreachable: bool, nth: impl FnOnce(u32) -> Failure) {
        let kind = if unreachable { Kind::Unreachable } else { Kind::Answered };
        match &mut self.failure {
            Some(failure) if failure.probing => {
                *failure = nth(failure.failures + 1);
                self.kind = kind;
            }
            // Requests that were under way when it opened say nothing new.
            Some(_) => {}
            None => {
                if !self.names.iter().any(|(known, _)| *known == name) {
                    self.names.push((name, kind));
                }
                if self.names.len() >= NAMES_TO_OPEN {
                    self.failure = Some(nth(1));
                    self.kind = kind;
                }
            }
        }
    }

    /// There was a connection: what was opened, or counted, for want of one is over.
    pub(super) fn reached(&mut self, now: Timestamp) {
        self.names.retain(|(_, kind)| *kind != Kind::Unreachable);
        match &mut self.failure {
            Some(_) if self.kind == Kind::Unreachable => *self = Breaker::default(),
            // The probe was of no use: the next may go after the same step.
            Some(failure) if failure.probing => {
                failure.probing = false;
                failure.retry_at = now.saturating_add(jittered(failure.delay()));
            }
            _ => {}
        }
    }
}
