//! How long an answer may be used: RFC 9111 for a shared cache, RFC 9213, and the operator's own settings.
//!
//! Two steps, because settings belong to whoever looks up and may change with a reload:
//! [`ResponseFreshness::from_headers`] turns header fields into metadata once, when the response arrives;
//! [`evaluate`] is a pure function of these metadata, the settings and the time.

mod headers;

use std::time::Duration;

use crate::clock::Timestamp;

/// How far an entry's arrival may lie ahead of the clock before the clock is taken to have jumped back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate that ends within this time is looked for daily: its successor must be there soon.
const LAST_DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What a response says about its own lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseFreshness {
    /// How long it may be used, counted from its arrival.
    pub lifetime: FreshnessLifetime,
    /// `must-revalidate`: never used past its lifetime. (`proxy-revalidate` and what `s-maxage` implies
    /// are rules between HTTP caches; we are the backend's own client.)
    pub must_revalidate: bool,
}

/// The lifetime a response gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreshnessLifetime {
    /// No header field says anything.
    Unspecified,
    /// A positive lifetime in whole seconds, what `Age` says already taken off.
    Explicit(Duration),
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
    /// How long past its lifetime an entry may be served while the backend gives no newer one; zero for never.
    pub stale_if_error: Duration,
    /// Whether an entry is fetched anew before its lifetime ends.
    pub refresh_ahead: bool,
}

/// How early within the last tenth of its lifetime an entry is fetched anew, 0 to 255: from its id, so that
/// entries that were fetched together are not all due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshJitter(pub u8);

/// What may be done with an entry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it, and fetch a newer one meanwhile.
    RefreshDue,
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
        (None, FreshnessLifetime::Explicit(lifetime)) => Some(*lifetime),
        (None, FreshnessLifetime::Unspecified) => Some(settings.default),
        (None, FreshnessLifetime::Uncacheable(_)) => None,
    }
}

/// What may be done now with an answer that arrived at `fetched_at` and whose certificate ends at `not_after`.
pub fn evaluate(
    freshness: &ResponseFreshness,
    fetched_at: Timestamp,
    not_after: Timestamp,
    settings: FreshnessSettings,
    jitter: RefreshJitter,
    now: Timestamp,
) -> Freshness {
    if now >= not_after {
        return Freshness::Expired;
    }
    let Some(lifetime) = lifetime(freshness, settings) else { return Freshness::Expired };
    // It can't outlive the certificate, so that a successor is looked for before that ends.
    let lifetime = lifetime.min(not_after.saturating_since(fetched_at));
    // The clock was set back since: how old the answer is can't be known, so it is not fresh for years.
    let from_the_future = fetched_at > now.saturating_add(CLOCK_TOLERANCE);
    let end = fetched_at.saturating_add(lifetime);
    if now < end && !from_the_future {
        let due = || refresh_due(fetched_at, lifetime, not_after, jitter, now);
        return if settings.refresh_ahead && due() { Freshness::RefreshDue } else { Freshness::Fresh };
    }
    let bridge = bridge(freshness, settings);
    if bridge.is_zero() || now >= end.saturating_add(bridge) { Freshness::Expired } else { Freshness::Stale }
}

/// Until when the answer is fresh; `None` if it must not be stored.
pub fn fresh_until(
    freshness: &ResponseFreshness,
    fetched_at: Timestamp,
    not_after: Timestamp,
    settings: FreshnessSettings,
) -> Option<Timestamp> {
    Some(fetched_at.saturating_add(lifetime(freshness, settings)?).min(not_after))
}

/// Until when the answer is served if no newer one comes; `None` if it must not be stored.
pub fn served_until(
    freshness: &ResponseFreshness,
    fetched_at: Timestamp,
    not_after: Timestamp,
    settings: FreshnessSettings,
) -> Option<Timestamp> {
    let end = fresh_until(freshness, fetched_at, not_after, settings)?;
    Some(end.saturating_add(bridge(freshness, settings)).min(not_after))
}

/// How long past its lifetime the answer may be served. A pinned lifetime overrides all that the response says.
fn bridge(freshness: &ResponseFreshness, settings: FreshnessSettings) -> Duration {
    match freshness.must_revalidate && settings.pinned.is_none() {
        true => Duration::ZERO,
        false => settings.stale_if_error,
    }
}

/// In the last tenth of the lifetime; of a day, once the certificate itself is about to end.
fn refresh_due(
    fetched_at: Timestamp,
    lifetime: Duration,
    not_after: Timestamp,
    jitter: RefreshJitter,
    now: Timestamp,
) -> bool {
    let ends_soon = not_after.saturating_since(now) <= LAST_DAYS;
    let period = if ends_soon { lifetime.min(DAY) } else { lifetime };
    let ahead = period / 10 / 256 * (u32::from(jitter.0) + 1);
    now >= fetched_at.saturating_add(period.saturating_sub(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEVER: Timestamp = Timestamp(u64::MAX);
    const SETTINGS: FreshnessSettings = FreshnessSettings {
        pinned: None,
        default: Duration::from_secs(10),
        stale_if_error: Duration::from_secs(1_000_000),
        refresh_ahead: false,
    };
    const JITTER: RefreshJitter = RefreshJitter(255);

    fn explicit(seconds: u64, must_revalidate: bool) -> ResponseFreshness {
        ResponseFreshness {
            lifetime: FreshnessLifetime::Explicit(Duration::from_secs(seconds)),
            must_revalidate,
        }
    }

    fn no_store() -> ResponseFreshness {
        ResponseFreshness {
            lifetime: FreshnessLifetime::Uncacheable("Cache-Control: no-store".into()),
            must_revalidate: false,
        }
    }

    #[test]
    fn a_pinned_lifetime_wins_over_everything() {
        let pinned = FreshnessSettings { pinned: Some(Duration::from_secs(7)), ..SETTINGS };
        let unspecified =
            ResponseFreshness { lifetime: FreshnessLifetime::Unspecified, must_revalidate: false };
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
        let at = |now, not_after| {
            evaluate(&explicit(60, false), fetched_at, not_after, SETTINGS, JITTER, Timestamp(now))
        };
        assert_eq!(at(1_000_000, NEVER), Freshness::Fresh);
        assert_eq!(at(1_059_999, NEVER), Freshness::Fresh);
        assert_eq!(at(1_060_000, NEVER), Freshness::Stale);
        assert_eq!(at(1_060_000, Timestamp(1_060_000)), Freshness::Expired);
        assert_eq!(at(1_030_000, Timestamp(1_030_000)), Freshness::Expired, "the certificate ends first");
        let strict = evaluate(&explicit(60, true), fetched_at, NEVER, SETTINGS, JITTER, Timestamp(1_060_000));
        assert_eq!(strict, Freshness::Expired, "must-revalidate");
        assert_eq!(
            evaluate(&no_store(), fetched_at, NEVER, SETTINGS, JITTER, fetched_at),
            Freshness::Expired
        );
    }

    #[test]
    fn a_clock_that_jumped_back_makes_nothing_fresh_for_years() {
        let at = |fetched_at| {
            evaluate(
                &explicit(60, false),
                Timestamp(fetched_at),
                NEVER,
                SETTINGS,
                JITTER,
                Timestamp(1_000_000),
            )
        };
        assert_eq!(at(1_000_000 + 300_000), Freshness::Fresh, "ordinary clock corrections change nothing");
        assert_eq!(at(1_000_000 + 300_001), Freshness::Stale);
    }

    #[test]
    fn an_unreachable_backend_is_bridged_for_a_time() {
        let stale = |seconds| FreshnessSettings { stale_if_error: Duration::from_secs(seconds), ..SETTINGS };
        let at = |settings, response: &ResponseFreshness, now| {
            evaluate(response, Timestamp(0), NEVER, settings, JITTER, Timestamp(now))
        };
        assert_eq!(at(stale(5), &explicit(60, false), 64_999), Freshness::Stale);
        assert_eq!(at(stale(5), &explicit(60, false), 65_000), Freshness::Expired);
        assert_eq!(at(stale(0), &explicit(60, false), 60_000), Freshness::Expired);
        assert_eq!(at(stale(5), &explicit(60, true), 60_000), Freshness::Expired, "must-revalidate");
        let pinned = FreshnessSettings { pinned: Some(Duration::from_secs(60)), ..stale(5) };
        assert_eq!(at(pinned, &explicit(1, true), 60_000), Freshness::Stale, "overridden by the operator");
    }

    #[test]
    fn a_refresh_is_due_in_the_last_tenth_and_daily_in_the_last_days() {
        let settings = FreshnessSettings { refresh_ahead: true, ..SETTINGS };
        let hours = |hours: f64| Timestamp((hours * 3_600_000.0) as u64);
        let at = |lifetime: u64, jitter, not_after, now| {
            let response = explicit(lifetime * 3600, false);
            evaluate(&response, hours(0.0), not_after, settings, RefreshJitter(jitter), hours(now))
        };
        assert_eq!(at(10, 255, NEVER, 8.99), Freshness::Fresh);
        assert_eq!(at(10, 255, NEVER, 9.01), Freshness::RefreshDue);
        assert_eq!(at(10, 127, NEVER, 9.49), Freshness::Fresh, "each has its own time");
        assert_eq!(at(10, 127, NEVER, 9.51), Freshness::RefreshDue);
        assert_eq!(at(10, 255, NEVER, 10.0), Freshness::Stale);
        let end = hours(100.0);
        assert_eq!(at(99, 255, end, 27.0), Freshness::Fresh, "its end is more than three days away");
        assert_eq!(at(99, 255, end, 28.1), Freshness::RefreshDue, "fetched more than a day ago");
        assert_eq!(at(99, 255, hours(60.0), 20.0), Freshness::Fresh, "fetched today");
    }

    proptest! {
        #[test]
        fn fresh_means_in_date_and_within_the_lifetime(
            seconds: u64, must_revalidate: bool, fetched_at: u64, not_after: u64, now: u64,
            refresh_ahead: bool, pinned in proptest::option::of(any::<u64>()),
        ) {
            let pinned = pinned.map(Duration::from_secs);
            let settings = FreshnessSettings { pinned, refresh_ahead, ..SETTINGS };
            let response = explicit(seconds, must_revalidate);
            let verdict =
                evaluate(&response, Timestamp(fetched_at), Timestamp(not_after), settings, JITTER, Timestamp(now));
            if matches!(verdict, Freshness::Fresh | Freshness::RefreshDue) {
                prop_assert!(now < not_after);
                prop_assert!(fetched_at <= now.saturating_add(300_000));
            }
            if verdict == Freshness::Stale {
                prop_assert!(now < not_after && (!must_revalidate || pinned.is_some()));
            }
        }
    }
}
