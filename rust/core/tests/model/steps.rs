//! What can happen, in any order.

use cached_http_core::entry::ClientKind;
use proptest::prelude::*;

/// One step; one that can't be taken when its turn comes does nothing, so that any sequence is one, and any part of it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A handshake.
    Ask {
        name: usize,
        client: ClientKind,
    },
    /// The backend answers one of the requests that it keeps.
    Answer {
        which: usize,
        answer: Answer,
    },
    Purge {
        name: usize,
    },
    PurgeAll,
    /// An operator has the backend asked.
    Refresh {
        name: usize,
    },
    /// The clock goes on by so many seconds, or back.
    Clock(i64),
    /// The process ends and starts on the same folder.
    Restart,
    /// A configuration takes the place of the one before; the engine stays, with another limit.
    Reload {
        options: usize,
        is_small: bool,
    },
    /// Something happens to a file, or to its folder.
    Disk {
        which: usize,
        fault: DiskFault,
    },
    /// Whether the host decides on candidates at once.
    HostWaits(bool),
    /// The host decides on one.
    Decide {
        which: usize,
        agrees: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Certificate { key: Key, flaw: Flaw, ends_in: i64, fields: usize },
    NotModified { fields: usize },
    NoCertificate { fields: usize },
    Error(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa,
    Ecdsa,
    Ed25519,
}

/// What is wrong with a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    OtherName,
    OtherKey,
    Ended,
    NotBegun,
    Cut,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum DiskFault {
    Damaged,
    OpenToOthers,
    /// The folder that it is in refuses everything.
    Refuses,
    /// What can be put right is.
    Mended,
}

pub(crate) const NAMES: [&str; 2] = ["a.example", "b.example"];

/// Header fields of answers, with the lifetime in seconds that they give; `None` if they say nothing.
pub(crate) const FIELDS: [(&str, Lifetime); 5] = [
    ("", Lifetime { seconds: None, is_kept: true, must_revalidate: false }),
    ("Cache-Control: s-maxage=60\r\n", Lifetime { seconds: Some(60), is_kept: true, must_revalidate: false }),
    (
        "Cache-Control: max-age=9999\r\n",
        Lifetime { seconds: Some(9_999), is_kept: true, must_revalidate: false },
    ),
    (
        "Cache-Control: max-age=60, must-revalidate\r\n",
        Lifetime { seconds: Some(60), is_kept: true, must_revalidate: true },
    ),
    ("Cache-Control: no-store\r\n", Lifetime { seconds: None, is_kept: false, must_revalidate: false }),
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) seconds: Option<u64>,
    pub(crate) is_kept: bool,
    pub(crate) must_revalidate: bool,
}

/// What configurations differ in; all times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) ttl: Option<u64>,
    pub(crate) default_ttl: u64,
    pub(crate) stale_if_error: u64,
    pub(crate) refresh_ahead: bool,
}

pub(crate) const OPTIONS: [Options; 4] = [
    Options { ttl: None, default_ttl: 3_600, stale_if_error: 0, refresh_ahead: false },
    Options { ttl: None, default_ttl: 100, stale_if_error: 86_400, refresh_ahead: true },
    Options { ttl: Some(90), default_ttl: 100, stale_if_error: 300, refresh_ahead: true },
    Options { ttl: Some(4_000), default_ttl: 100, stale_if_error: 0, refresh_ahead: true },
];

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..70)
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let client = prop::sample::select(&ClientKind::ALL[..]);
    prop_oneof![
        50 => (name(), client).prop_map(|(name, client)| Step::Ask { name, client }),
        35 => (prop_oneof![2 => Just(0), 1 => 0..9_usize], answer()).prop_map(|(which, answer)| Step::Answer { which, answer }),
        3 => name().prop_map(|name| Step::Purge { name }),
        2 => Just(Step::PurgeAll),
        4 => name().prop_map(|name| Step::Refresh { name }),
        10 => prop::sample::select(&[1, 20, 20, 55, 61, 61, 90, 3_500, 86_400, -1, -20, -90, -4_000, -90_000][..])
            .prop_map(Step::Clock),
        3 => Just(Step::Restart),
        3 => (0..OPTIONS.len(), any::<bool>())
            .prop_map(|(options, is_small)| Step::Reload { options, is_small }),
        5 => (0..9_usize, disk_fault()).prop_map(|(which, fault)| Step::Disk { which, fault }),
        2 => any::<bool>().prop_map(Step::HostWaits),
        5 => (0..9_usize, prop::bool::weighted(0.8))
            .prop_map(|(which, agrees)| Step::Decide { which, agrees }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let fields = || 0..FIELDS.len();
    let key = prop::sample::select(&[Key::Rsa, Key::Ecdsa, Key::Ecdsa, Key::Ed25519][..]);
    let flaw = prop_oneof![
        12 => Just(Flaw::None),
        2 => prop::sample::select(&[Flaw::OtherName, Flaw::OtherKey, Flaw::Ended, Flaw::NotBegun, Flaw::Cut][..]),
    ];
    let ends_in = prop::sample::select(&[50, 3_000, 100_000, 10_000_000, 10_000_000][..]);
    prop_oneof![
        12 => (key, flaw, ends_in, fields())
            .prop_map(|(key, flaw, ends_in, fields)| Answer::Certificate { key, flaw, ends_in, fields }),
        2 => fields().prop_map(|fields| Answer::NotModified { fields }),
        3 => fields().prop_map(|fields| Answer::NoCertificate { fields }),
        1 => (0..3_usize).prop_map(Answer::Error),
    ]
}

fn disk_fault() -> impl Strategy<Value = DiskFault> {
    use DiskFault::{Damaged, Mended, OpenToOthers, Refuses};
    prop::sample::select(&[Damaged, OpenToOthers, Refuses, Mended][..])
}
