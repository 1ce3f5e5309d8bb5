use super::*;
use proptest::prelude::*;
use ureq::http::HeaderValue;

/// Sun, 06 Nov 1994 08:49:37 GMT
const ARRIVED: Timestamp = Timestamp(784_111_777_000);

fn read_lines(lines: &[(&str, &str)]) -> ResponseFreshness {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    read(&headers, ARRIVED)
}

#[track_caller]
fn lasts(seconds: u64, lines: &[(&str, &str)]) {
    assert_eq!(
        read_lines(lines).lifetime,
        FreshnessLifetime::Explicit(Duration::from_secs(seconds)),
        "{lines:?}"
    );
}

#[track_caller]
fn uncacheable(reason: &str, lines: &[(&str, &str)]) {
    assert_eq!(read_lines(lines).lifetime, FreshnessLifetime::Uncacheable(reason.into()), "{lines:?}");
}

#[track_caller]
fn says_nothing(lines: &[(&str, &str)]) {
    assert_eq!(read_lines(lines).lifetime, FreshnessLifetime::Unspecified, "{lines:?}");
}

#[test]
fn the_most_specific_field_decides() {
    let expires = ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT");
    says_nothing(&[]);
    lasts(3600, &[expires]);
    lasts(60, &[expires, ("Cache-Control", "public, max-age=60")]);
    lasts(30, &[expires, ("Cache-Control", "max-age=60, S-MaxAge=30")]);
    lasts(30, &[("Cache-Control", "s-maxage=30, max-age=soon")]);
    lasts(20, &[expires, ("Cache-Control", "s-maxage=30"), ("CDN-Cache-Control", "max-age=20")]);
    lasts(20, &[("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=20, foo=(1 2);bar")]);
    uncacheable(
        "CDN-Cache-Control: no-store",
        &[("CDN-Cache-Control", "no-store"), ("Cache-Control", "s-maxage=9")],
    );
}

#[test]
fn a_cdn_field_that_is_malformed_or_says_nothing_is_not_there() {
    for value in ["", "max-age", "MAX-AGE=5", "max-age=5;", "public", "no-store=?0", "max-age=5,", "\"x"] {
        let lines = [("CDN-Cache-Control", value), ("Cache-Control", "max-age=60")];
        // A known directive with a value of another type is not a number rather than not there.
        if value == "max-age" {
            uncacheable("CDN-Cache-Control: max-age is not a number", &lines);
        } else {
            lasts(60, &lines);
        }
    }
    for value in ["max-age=\"60\"", "max-age=-1", "max-age=1.5", "max-age=(1)"] {
        uncacheable("CDN-Cache-Control: max-age is not a number", &[("CDN-Cache-Control", value)]);
    }
    lasts(7, &[("CDN-Cache-Control", "max-age=5"), ("CDN-Cache-Control", "max-age=7")]);
    // It is there, so that neither Cache-Control nor Expires counts.
    let lines = [("CDN-Cache-Control", "must-revalidate"), ("Cache-Control", "max-age=60")];
    says_nothing(&lines);
    assert!(read_lines(&lines).must_revalidate);
}

#[test]
fn what_forbids_keeping_is_named() {
    for (value, reason) in [
        ("no-store", "Cache-Control: no-store"),
        ("No-Store, max-age=60", "Cache-Control: no-store"),
        ("no-store=\"x\"", "Cache-Control: no-store"),
        ("max-age=60, private", "Cache-Control: private"),
        ("private=\"Set-Cookie, X\", max-age=60", "Cache-Control: private"),
        ("no-cache, private", "Cache-Control: no-cache"),
        ("no-cache=\"Set-Cookie\"", "Cache-Control: no-cache"),
        ("private, no-store", "Cache-Control: no-store"),
        ("max-age=0, private, must-revalidate", "Cache-Control: private"),
        ("max-age=0", "Cache-Control: max-age=0"),
        ("max-age=60, s-maxage=0", "Cache-Control: s-maxage=0"),
        ("max-age", "Cache-Control: max-age is not a number"),
        ("max-age=", "Cache-Control: max-age is not a number"),
        ("max-age=-1", "Cache-Control: max-age is not a number"),
        ("max-age=+1", "Cache-Control: max-age is not a number"),
        ("max-age=1.5", "Cache-Control: max-age is not a number"),
        ("max-age=60s", "Cache-Control: max-age is not a number"),
        ("max-age= 60", "Cache-Control: max-age is not a number"),
        ("max-age=\"60", "Cache-Control: malformed"),
        ("x=\"y, no-store", "Cache-Control: malformed"),
        ("x=6\\\"0, no-store", "Cache-Control: malformed"),
    ] {
        uncacheable(reason, &[("Cache-Control", value)]);
    }
    // Nor is it hidden in an extension's value.
    lasts(60, &[("Cache-Control", "x=\"a, no-store, \\\", private\", max-age=60")]);
}

#[test]
fn lines_combine_and_the_most_restrictive_value_counts() {
    lasts(30, &[("Cache-Control", "max-age=60"), ("Cache-Control", "public, max-age=30")]);
    lasts(30, &[("Cache-Control", ",, max-age=30 ,max-age=30,")]);
    uncacheable(
        "Cache-Control: max-age is not a number",
        &[("Cache-Control", "max-age=60"), ("Cache-Control", "max-age=x")],
    );
    uncacheable("Cache-Control: no-store", &[("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")]);
    lasts(60, &[("Pragma", "no-cache"), ("Cache-Control", "max-age=60")]);
    says_nothing(&[("Pragma", "no-cache")]);
    says_nothing(&[("Cache-Control", "public, immutable, stale-if-error=60")]);
}

#[test]
fn numbers_may_be_quoted_and_saturate() {
    lasts(60, &[("Cache-Control", "max-age=\"60\"")]);
    lasts(1 << 31, &[("Cache-Control", "max-age=2147483648")]);
    lasts(u64::MAX, &[("Cache-Control", "max-age=99999999999999999999999999")]);
}

#[test]
fn age_is_taken_off() {
    let max_age = ("Cache-Control", "max-age=60");
    lasts(50, &[max_age, ("Age", "10")]);
    lasts(40, &[max_age, ("Age", "10"), ("Age", "20, 5")]);
    lasts(60, &[max_age, ("Age", "-10")]);
    lasts(60, &[max_age, ("Age", "old")]);
    uncacheable("Age: 60", &[max_age, ("Age", "60")]);
    uncacheable("Age: 18446744073709551615", &[max_age, ("Age", &"9".repeat(300))]);
    lasts(3590, &[("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"), ("Age", "10")]);
    says_nothing(&[("Age", "10")]);
}

#[test]
fn expires_counts_from_date() {
    let date = ("Date", "Sun, 06 Nov 1994 09:49:30 GMT");
    lasts(7, &[date, ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")]);
    lasts(7, &[date, ("Expires", "Sunday, 06-Nov-94 09:49:37 GMT")]);
    lasts(
        7,
        &[date, ("Expires", "Sun, 06 Nov 1994 10:49:37 GMT"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")],
    );
    lasts(3600, &[("Date", "today"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")]);
    uncacheable("Expires: already past", &[date, ("Expires", date.1)]);
    uncacheable("Expires: already past", &[("Expires", "Sun, 06 Nov 1994 08:49:37 GMT")]);
    uncacheable("Expires: not a date", &[("Expires", "0")]);
    uncacheable("Expires: not a date", &[("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"), ("Expires", "-1")]);
}

#[test]
fn must_revalidate_is_kept() {
    assert!(read_lines(&[("Cache-Control", "max-age=60, Must-Revalidate")]).must_revalidate);
    assert!(!read_lines(&[("Cache-Control", "s-maxage=60, proxy-revalidate")]).must_revalidate);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_are_never_repeated(
        lines in proptest::collection::vec(
            (0..5_usize, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        arrived: u64,
    ) {
        let names = [CDN_CACHE_CONTROL, CACHE_CONTROL, EXPIRES, DATE, AGE];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(names[name].clone(), value);
            }
        }
        check(&read(&headers, Timestamp(arrived)))?;
    }

    #[test]
    fn nearly_right_fields_neither(
        cache_control in "(max-age|s-maxage|no-store|private|x)?[=,\" \\\\]{0,3}[0-9]{0,25}[\",; ]{0,2}(max-age=[0-9]{1,3})?",
        cdn in "(max-age|no-store)?[=;, ]{0,2}[0-9]{0,16}",
        age in "[0-9, ]{0,22}",
    ) {
        let lines =
            [("Cache-Control", cache_control.as_str()), ("CDN-Cache-Control", cdn.as_str()), ("Age", age.as_str())];
        check(&read_lines(&lines))?;
    }
}

fn check(freshness: &ResponseFreshness) -> Result<(), TestCaseError> {
    match &freshness.lifetime {
        FreshnessLifetime::Unspecified => {}
        FreshnessLifetime::Explicit(lifetime) => prop_assert!(!lifetime.is_zero()),
        FreshnessLifetime::Uncacheable(reason) => {
            prop_assert!(reason.is_ascii() && reason.len() < 64, "{reason}")
        }
    }
    Ok(())
}
