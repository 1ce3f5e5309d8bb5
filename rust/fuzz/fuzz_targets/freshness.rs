//! Any header fields as what a response says of its lifetime, and what follows from it at any time.

#![no_main]

use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::freshness::{
    Freshness, FreshnessLifetime, FreshnessSettings, RefreshJitter, ResponseFreshness, evaluate, lifetime,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Times first, then one field a line.
    let Some((numbers, fields)) = data.split_first_chunk::<32>() else { return };
    let number = |place: usize| u64::from_le_bytes(numbers[8 * place..][..8].try_into().unwrap());
    let arrived = Timestamp(number(0) % 4_102_444_800_000); // the year 2100
    let headers = headers(fields);

    let said = ResponseFreshness::from_headers(&headers, arrived);
    match &said.lifetime {
        FreshnessLifetime::Explicit(seconds) => {
            assert!(*seconds >= Duration::from_secs(1) && seconds.subsec_nanos() == 0)
        }
        FreshnessLifetime::Uncacheable(reason) => {
            assert!(
                reason.len() < 100 && reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
                "{reason}"
            );
        }
        FreshnessLifetime::Unspecified => {}
    }
    let json = serde_json::to_string(&said).unwrap();
    assert_eq!(serde_json::from_str::<ResponseFreshness>(&json).unwrap(), said);
    more_fields_never_lengthen(&headers, arrived, &said);

    let settings = FreshnessSettings {
        pinned: (number(1) % 3 == 0).then(|| Duration::from_secs(number(1) >> 40)),
        default: Duration::from_secs(number(1) >> 48),
        stale_if_error: Duration::from_secs(number(2) >> 44),
        refresh_ahead: number(1) % 2 == 0,
    };
    let not_after = Timestamp(arrived.0.saturating_add(number(2) >> 16));
    let now = Timestamp(arrived.0.saturating_add(number(3) >> 16).saturating_sub(number(3) << 32 >> 24));
    let jitter = RefreshJitter(number(3) as u8);
    let verdict = evaluate(&said, arrived, not_after, settings, jitter, now);
    let lifetime = lifetime(&said, settings);
    let age = now.saturating_since(arrived);
    match verdict {
        Freshness::Fresh | Freshness::RefreshDue => {
            // A clock that was set back a little is let pass.
            assert!(now < not_after && (now < arrived || age < lifetime.expect("a lifetime")));
            assert!(settings.refresh_ahead || verdict == Freshness::Fresh);
        }
        Freshness::Stale => {
            assert!(
                now < not_after
                    && age < lifetime.expect("a lifetime").saturating_add(settings.stale_if_error)
            );
            assert!(settings.pinned.is_some() || !said.must_revalidate);
        }
        Freshness::Expired => {}
    }
    // Time alone never makes an answer better.
    let later = Timestamp(now.0.max(arrived.0).saturating_add(number(0) >> 32));
    if now >= arrived && rank(evaluate(&said, arrived, not_after, settings, jitter, later)) < rank(verdict) {
        panic!("{verdict:?} at {now:?}, better at {later:?}");
    }
});

fn rank(freshness: Freshness) -> u8 {
    match freshness {
        Freshness::Fresh => 0,
        Freshness::RefreshDue => 1,
        Freshness::Stale => 2,
        Freshness::Expired => 3,
    }
}

fn headers(fields: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in fields.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What restricts can only restrict.
fn more_fields_never_lengthen(headers: &HeaderMap, arrived: Timestamp, said: &ResponseFreshness) {
    let with = |name: &'static str, value: &'static str| {
        let mut more = headers.clone();
        more.append(name, HeaderValue::from_static(value));
        ResponseFreshness::from_headers(&more, arrived)
    };
    let seconds = |freshness: &ResponseFreshness| match freshness.lifetime {
        FreshnessLifetime::Explicit(seconds) => Some(seconds),
        FreshnessLifetime::Uncacheable(_) => Some(Duration::ZERO),
        FreshnessLifetime::Unspecified => None,
    };
    if let Some(before) = seconds(said) {
        if !headers.contains_key("age") {
            assert!(seconds(&with("age", "7")).expect("still a lifetime") <= before, "an Age lengthens it");
        }
        if !headers.contains_key("cdn-cache-control") {
            let shorter = with("cache-control", "no-store");
            assert_eq!(seconds(&shorter), Some(Duration::ZERO), "no-store is kept");
        }
    }
}
