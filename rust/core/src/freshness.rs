//! How long an answer may be used: RFC 9111 for a shared cache, RFC 9213, and the operator's own settings.
//!
//! Two steps, because settings belong to whoever looks up and may change with a reload:
//! [`ResponseFreshness::from_headers`] turns header fields into facts once, when the response arrives;
//! [`evaluate`] is a pure function of these facts, the settings and the time.

mod headers;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How far an entry's arrival may lie ahead of the clock before the clock is taken to have jumped back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What a response says about its own lifetime.
///
/// On disk: `{"lifetime":{"explicit":3600},"must_revalidate":false}`; the other lifetimes are
/// `"unspecified"` and `{"uncacheable":"Cache-Control: no-store"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFreshness {
    /// How long it may be used, counted from its arrival.
    pub lifetime: Lifetime,
    /// `must-revalidate`: never used past its lifetime. (`proxy-revalidate` and what `s-maxage` implies
    /// are rules between HTTP caches; we are the origin's own client.)
    pub must_revalidate: bool,
}

/// The lifetime a response gives itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// No header field says anything.
    Unspecified,
    /// A positive lifetime in whole seconds, what `Age` says already taken off.
    Explicit(#[serde(with = "whole_seconds")] Duration),
    /// Not to be kept. Holds the header field that says so, for the warning: `Cache-Control: no-store`.
    Uncacheable(Box<str>),
}

/// The settings that decide over a lifetime.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessSettings {
    /// Overrides what the response says.
    pub pinned: Option<Duration>,
    /// Used when the response says nothing.
    pub default: Duration,
}

/// What may be done with an entry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Past its lifetime, but its certificate is still in date and the response allows serving it while
    /// a newer one is fetched.
    Stale,
    /// Never to be served again.
    Expired,
}

impl ResponseFreshness {
    /// Reads `CDN-Cache-Control`, `Cache-Control`, `Expires`, `Date` and `Age` of a response.
    pub fn from_headers(headers: &ureq::http::HeaderMap, arrived: Timestamp) -> Self {
        headers::read(headers, arrived)
    }
}

/// How long an answer may be used, counted from its arrival; `None` if it must not be kept at all.
pub fn lifetime(freshness: &ResponseFreshness, settings: FreshnessSettings) -> Option<Duration> {
    match (settings.pinned, &freshness.lifetime) {
        (Some(pinned), _) => Some(pinned),
        (None, Lifetime::Explicit(lifetime)) => Some(*lifetime),
        (None, Lifetime::Unspecified) => Some(settings.default),
        (None, Lifetime::Uncacheable(_)) => None,
    }
}

/// What may be done now with an answer that arrived at `fetched_at` and whose certificate ends at `not_after`.
pub fn evaluate(
    freshness: &ResponseFreshness,
    fetched_at: Timestamp,
    not_after: Timestamp,
    settings: FreshnessSettings,
    now: Timestamp,
) -> Freshness {
    if now >= not_after {
        return Freshness::Expired;
    }
    let Some(lifetime) = lifetime(freshness, settings) else { return Freshness::Expired };
    // The clock was set back since: how old the answer is can't be known, so it is not fresh for years.
    let from_the_future = fetched_at > now.saturating_add(CLOCK_TOLERANCE);
    if now < fetched_at.saturating_add(lifetime) && !from_the_future {
        Freshness::Fresh
    } else if freshness.must_revalidate {
        Freshness::Expired
    } else {
        Freshness::Stale
    }
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        duration.as_secs().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEVER: Timestamp = Timestamp(u64::MAX);
    const SETTINGS: FreshnessSettings = FreshnessSettings { pinned: None, default: Duration::from_secs(10) };

    fn explicit(seconds: u64, must_revalidate: bool) -> ResponseFreshness {
        ResponseFreshness { lifetime: Lifetime::Explicit(Duration::from_secs(seconds)), must_revalidate }
    }

    fn no_store() -> ResponseFreshness {
        ResponseFreshness {
            lifetime: Lifetime::Uncacheable("Cache-Control: no-store".into()),
            must_revalidate: false,
        }
    }

    #[test]
    fn a_pinned_lifetime_wins_over_everything() {
        let pinned = FreshnessSettings { pinned: Some(Duration::from_secs(7)), ..SETTINGS };
        let unspecified = ResponseFreshness { lifetime: Lifetime::Unspecified, must_revalidate: false };
        for response in [explicit(60, false), no_store(), unspecified.clone()] {
            assert_eq!(lifetime(&response, pinned), Some(Duration::from_secs(7)));
        }
        assert_eq!(lifetime(&explicit(60, false), SETTINGS), Some(Duration::from_secs(60)));
        assert_eq!(lifetime(&unspecified, SETTINGS), Some(SETTINGS.default));
        assert_eq!(lifetime(&no_store(), SETTINGS), None);
    }

    #[test]
    fn an_answer_goes_from_fresh_to_stale_to_expired() {
        let fetched_at = Timestamp(1_000_000);
        let at =
            |now, not_after| evaluate(&explicit(60, false), fetched_at, not_after, SETTINGS, Timestamp(now));
        assert_eq!(at(1_000_000, NEVER), Freshness::Fresh);
        assert_eq!(at(1_059_999, NEVER), Freshness::Fresh);
        assert_eq!(at(1_060_000, NEVER), Freshness::Stale);
        assert_eq!(at(1_060_000, Timestamp(1_060_000)), Freshness::Expired);
        assert_eq!(at(1_030_000, Timestamp(1_030_000)), Freshness::Expired, "the certificate ends first");
        let strict = evaluate(&explicit(60, true), fetched_at, NEVER, SETTINGS, Timestamp(1_060_000));
        assert_eq!(strict, Freshness::Expired, "must-revalidate");
        assert_eq!(evaluate(&no_store(), fetched_at, NEVER, SETTINGS, fetched_at), Freshness::Expired);
    }

    #[test]
    fn a_clock_that_jumped_back_makes_nothing_fresh_for_years() {
        let at = |fetched_at| {
            evaluate(&explicit(60, false), Timestamp(fetched_at), NEVER, SETTINGS, Timestamp(1_000_000))
        };
        assert_eq!(at(1_000_000 + 300_000), Freshness::Fresh, "ordinary clock corrections change nothing");
        assert_eq!(at(1_000_000 + 300_001), Freshness::Stale);
    }

    #[test]
    fn the_disk_form_is_readable_and_comes_back() {
        let unspecified = ResponseFreshness { lifetime: Lifetime::Unspecified, must_revalidate: false };
        for (value, json) in [
            (explicit(3600, true), r#"{"lifetime":{"explicit":3600},"must_revalidate":true}"#),
            (unspecified, r#"{"lifetime":"unspecified","must_revalidate":false}"#),
            (no_store(), r#"{"lifetime":{"uncacheable":"Cache-Control: no-store"},"must_revalidate":false}"#),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<ResponseFreshness>(json).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn fresh_means_in_date_and_within_the_lifetime(
            seconds: u64, must_revalidate: bool, fetched_at: u64, not_after: u64, now: u64,
            pinned in proptest::option::of(any::<u64>()),
        ) {
            let settings = FreshnessSettings { pinned: pinned.map(Duration::from_secs), ..SETTINGS };
            let response = explicit(seconds, must_revalidate);
            let verdict =
                evaluate(&response, Timestamp(fetched_at), Timestamp(not_after), settings, Timestamp(now));
            if verdict == Freshness::Fresh {
                prop_assert!(now < not_after);
                prop_assert!(fetched_at <= now.saturating_add(300_000));
            }
            if verdict == Freshness::Stale {
                prop_assert!(now < not_after && !must_revalidate);
            }
        }
    }
}
