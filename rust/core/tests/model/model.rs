//! What is known of all that the backend has sent, and the one question that matters: may this be served?

use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::entry::ClientKind;

use crate::steps::{Lifetime, Options};

/// The order of all events; no clock, since clocks go back.
pub(crate) type Moment = u64;

/// A certificate that the backend has sent, or confirmed by 304.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) name: usize,
    pub(crate) leaf: Vec<u8>,
    /// The least capable kind of client that can use it.
    pub(crate) kind: ClientKind,
    /// Whether there was nothing wrong with it.
    pub(crate) is_good: bool,
    pub(crate) asked: Moment,
    /// The time by the clock when it was asked for: its lifetime begins then.
    pub(crate) asked_at: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) lifetime: Lifetime,
}

/// From this moment on, nothing that was asked for before and that such a client could use.
#[derive(Clone, Debug)]
struct Withdrawal {
    name: usize,
    up_to: ClientKind,
    at: Moment,
    is_purge: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) sendings: Vec<Sending>,
    withdrawals: Vec<Withdrawal>,
    moment: Moment,
}

/// How a handshake came to its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Fresh,
    Stale,
    /// It waited from this moment on, and the backend had to be asked or not.
    Waited {
        since: Moment,
        asked_backend: bool,
    },
}

impl Model {
    /// The next moment.
    pub(crate) fn tick(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn purged(&mut self, name: usize) {
        let at = self.tick();
        self.withdrawals.push(Withdrawal { name, up_to: ClientKind::Ed25519, at, is_purge: true });
    }

    /// The backend has no certificate for such a client, and was asked at this moment. An answer that is older than a
    /// withdrawal says nothing.
    pub(crate) fn no_certificate(&mut self, name: usize, client: ClientKind, asked: Moment) {
        let at = self.tick();
        if !self.withdrawn_since(asked, Moment::MAX, name, client) {
            self.withdrawals.push(Withdrawal { name, up_to: client, at, is_purge: false });
        }
    }

    /// Whether a client may be told that there is no certificate.
    pub(crate) fn may_deny(&self, name: usize, client: ClientKind) -> bool {
        let of_name = self.withdrawals.iter().filter(|withdrawal| withdrawal.name == name);
        let last_purge = of_name.clone().rfind(|withdrawal| withdrawal.is_purge).map_or(0, |purge| purge.at);
        of_name.into_iter().any(|no| !no.is_purge && no.up_to >= client && no.at > last_purge)
    }

    /// Why a certificate must not be served, if so.
    pub(crate) fn objection(
        &self,
        (name, client): (usize, ClientKind),
        leaf: &[u8],
        way: Way,
        options: &[Options],
        now: Timestamp,
    ) -> Option<String> {
        let sendings: Vec<_> = self.sendings.iter().filter(|sending| sending.leaf == leaf).collect();
        let objection = |sending: &&Sending| {
            let (withdrawn_for, until) = match way {
                // Who waits for the backend is told what it says, if it came before the withdrawal.
                Way::Waited { since, asked_backend: true } => (client, since),
                Way::Waited { since, asked_backend: false } => (sending.kind, since),
                Way::Fresh | Way::Stale => (sending.kind, Moment::MAX),
            };
            match () {
                () if sending.name != name => Some("it is foreign"),
                () if !sending.is_good => Some("it was flawed"),
                () if sending.kind > client => Some("the client can't use it"),
                () if now >= sending.not_after => Some("it has expired"),
                () if self.withdrawn_since(sending.asked, until, name, withdrawn_for) => {
                    Some("it is withdrawn")
                }
                () if !options.iter().any(|options| may_be_used(sending, way, options, now)) => {
                    Some("it is past its lifetime")
                }
                () => None,
            }
        };
        let objections: Option<Vec<_>> = sendings.iter().map(objection).collect();
        objections.map(|objections| format!("{objections:?}"))
    }

    fn withdrawn_since(&self, asked: Moment, until: Moment, name: usize, kind: ClientKind) -> bool {
        let mut of_name = self.withdrawals.iter().filter(|withdrawal| withdrawal.name == name);
        of_name.any(|one| one.up_to >= kind && asked < one.at && one.at < until)
    }
}

/// A clock may be a little behind what it was.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

fn may_be_used(sending: &Sending, way: Way, options: &Options, now: Timestamp) -> bool {
    let Lifetime { seconds, is_kept, must_revalidate } = sending.lifetime;
    if let Way::Waited { asked_backend: true, .. } = way {
        return true;
    }
    if !is_kept && options.ttl.is_none() {
        return false;
    }
    let lifetime = options.ttl.or(seconds).unwrap_or(options.default_ttl);
    let bridge = match way {
        Way::Fresh => 0,
        _ if must_revalidate && options.ttl.is_none() => 0,
        _ => options.stale_if_error,
    };
    let is_plausible = way != Way::Fresh || sending.asked_at <= now.saturating_add(TOLERANCE);
    is_plausible && now.saturating_since(sending.asked_at) < Duration::from_secs(lifetime + bridge)
}
