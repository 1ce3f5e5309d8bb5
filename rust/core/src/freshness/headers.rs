//! What the header fields of a response say about its lifetime.
//!
//! The order for a shared cache: `CDN-Cache-Control` (RFC 9213), then of `Cache-Control` `s-maxage` and
//! `max-age`, then `Expires` (RFC 9111 4.2.1); what `Age` says is taken off. What can't be read counts as
//! "do not keep", never as "says nothing": a typing error must not turn into the operator's default.

use std::time::{Duration, SystemTime};

use sfv::{BareItem, Dictionary, ListEntry, Parser};
use ureq::http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};

use super::{FreshnessLifetime, ResponseFreshness};
use crate::clock::Timestamp;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// A number of seconds, or a value that is none.
type Seconds = Result<u64, NotANumber>;

#[derive(Clone, Copy, Debug)]
struct NotANumber;

/// The directives of one header field that matter here.
#[derive(Debug, Default)]
struct Directives {
    /// A directive that forbids keeping the response, or "malformed".
    forbidden_by: Option<&'static str>,
    s_maxage: Option<Seconds>,
    max_age: Option<Seconds>,
    must_revalidate: bool,
}

pub(super) fn read(headers: &HeaderMap, arrived: Timestamp) -> ResponseFreshness {
    let (field, directives) = match cdn_cache_control(headers) {
        Some(directives) => ("CDN-Cache-Control", directives),
        None => ("Cache-Control", cache_control(headers)),
    };
    // A CDN-Cache-Control that is there stands for Expires, too (RFC 9213 2.2).
    let expires = if field == "Cache-Control" { expires(headers, arrived) } else { None };
    ResponseFreshness {
        lifetime: lifetime(field, &directives, expires, age(headers)),
        must_revalidate: directives.must_revalidate,
    }
}

/// The reasons are made of our own words and numbers only, since they end up in a log.
fn lifetime(field: &str, directives: &Directives, expires: Option<Seconds>, age: u64) -> FreshnessLifetime {
    if let Some(directive) = directives.forbidden_by {
        return FreshnessLifetime::Uncacheable(format!("{field}: {directive}").into());
    }
    let of_directive = |name| (format!("{field}: {name} is not a number"), format!("{field}: {name}=0"));
    let (seconds, (unreadable, zero)) = match (directives.s_maxage, directives.max_age, expires) {
        (Some(seconds), _, _) => (seconds, of_directive("s-maxage")),
        (None, Some(seconds), _) => (seconds, of_directive("max-age")),
        (None, None, Some(seconds)) => {
            (seconds, ("Expires: not a date".to_owned(), "Expires: already past".to_owned()))
        }
        (None, None, None) => return FreshnessLifetime::Unspecified,
    };
    match seconds {
        Err(NotANumber) => FreshnessLifetime::Uncacheable(unreadable.into()),
        Ok(0) => FreshnessLifetime::Uncacheable(zero.into()),
        Ok(seconds) if seconds <= age => FreshnessLifetime::Uncacheable(format!("Age: {age}").into()),
        Ok(seconds) => FreshnessLifetime::Explicit(Duration::from_secs(seconds - age)),
    }
}

impl Directives {
    /// `value` is `None` for a directive without an argument.
    fn add(&mut self, name: &str, value: Option<Seconds>) {
        match name {
            "no-store" => self.forbidden_by = Some("no-store"),
            "private" => self.forbidden_by = self.forbidden_by.or(Some("private")),
            // With a field list it concerns these fields only, but few caches tell the two apart (RFC 9111 5.2.2.4).
            "no-cache" => self.forbidden_by = self.forbidden_by.or(Some("no-cache")),
            "must-revalidate" => self.must_revalidate = true,
            "s-maxage" => restrict(&mut self.s_maxage, value.unwrap_or(Err(NotANumber))),
            "max-age" => restrict(&mut self.max_age, value.unwrap_or(Err(NotANumber))),
            _ => {}
        }
    }

    fn say_nothing(&self) -> bool {
        let Directives { forbidden_by, s_maxage, max_age, must_revalidate } = self;
        forbidden_by.is_none() && s_maxage.is_none() && max_age.is_none() && !must_revalidate
    }
}

/// Of values that differ the most restrictive counts (RFC 9111 4.2.1).
fn restrict(kept: &mut Option<Seconds>, value: Seconds) {
    *kept = Some(match (*kept, value) {
        (None, value) => value,
        (Some(Ok(kept)), Ok(value)) => Ok(kept.min(value)),
        _ => Err(NotANumber),
    });
}

/// A structured field (RFC 9213 2.1): one that is malformed or says nothing counts as not there.
fn cdn_cache_control(headers: &HeaderMap) -> Option<Directives> {
    let lines: Vec<&[u8]> = headers.get_all(CDN_CACHE_CONTROL).iter().map(|value| value.as_bytes()).collect();
    let dictionary = Parser::new(&lines.join(&b", "[..])).parse::<Dictionary>().ok()?;
    let mut directives = Directives::default();
    for (name, member) in &dictionary {
        let value = match member {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::Boolean(true) => None,
                BareItem::Boolean(false) => continue,
                BareItem::Integer(number) => Some(u64::try_from(*number).map_err(|_| NotANumber)),
                _ => Some(Err(NotANumber)),
            },
            ListEntry::InnerList(_) => Some(Err(NotANumber)),
        };
        directives.add(name.as_str(), value);
    }
    (!directives.say_nothing()).then_some(directives)
}

fn cache_control(headers: &HeaderMap) -> Directives {
    let mut directives = Directives::default();
    for line in headers.get_all(CACHE_CONTROL) {
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let Some(end) = end_of_directive(rest) else {
                // The rest of the line is inside a quoted string that never ends; no-store may be, too.
                directives.forbidden_by = directives.forbidden_by.or(Some("malformed"));
                break;
            };
            let (name, value) = match split_once(&rest[..end], b'=') {
                Some((name, value)) => (name, Some(seconds(value))),
                None => (&rest[..end], None),
            };
            if let Ok(name) = str::from_utf8(name.trim_ascii()) {
                directives.add(&name.to_ascii_lowercase(), value);
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    directives
}

/// Where the first directive of `line` ends: at a comma outside a quoted string, or with the line.
/// `None` if a quoted string does not end.
fn end_of_directive(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(index),
            _ => {}
        }
    }
    (!quoted).then_some(line.len())
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..index], &text[index + 1..]))
}

/// Reads delta-seconds (RFC 9111 1.2.2), plain or quoted: recipients ought to accept both (5.2).
fn seconds(value: &[u8]) -> Seconds {
    let value = value.trim_ascii_end();
    let digits = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber);
    }
    // Too large a number means "very long" (RFC 9111 1.2.2).
    Ok(digits
        .iter()
        .fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// `Expires` as seconds after `Date`, or after the arrival if there is no usable `Date`.
fn expires(headers: &HeaderMap, arrived: Timestamp) -> Option<Seconds> {
    let date = headers.get(DATE).and_then(|value| http_date(value.as_bytes())).unwrap_or(arrived);
    let mut result = None;
    for value in headers.get_all(EXPIRES) {
        let seconds = http_date(value.as_bytes()).map(|expires| expires.saturating_since(date).as_secs());
        restrict(&mut result, seconds.ok_or(NotANumber));
    }
    result
}

fn http_date(value: &[u8]) -> Option<Timestamp> {
    httpdate::parse_http_date(str::from_utf8(value).ok()?).ok().map(|date: SystemTime| date.into())
}

/// The largest `Age`. One that is no number is ignored, as RFC 9111 5.1 asks.
fn age(headers: &HeaderMap) -> u64 {
    let values = headers.get_all(AGE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    values.filter_map(|value| seconds(value.trim_ascii()).ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
