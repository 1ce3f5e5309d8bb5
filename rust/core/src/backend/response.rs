//! What a response says: read within bounds, and no more generously than an honest server needs.

use std::io::{self, Read};
use std::time::Duration;

use ureq::Body;
use ureq::http::header::{self, HeaderMap, HeaderName};
use ureq::http::{Response, StatusCode, Uri};
use zeroize::Zeroizing;

use crate::backend::error::Failure;
use crate::backend::{BackendErrorKind, BackendResponse, MAX_BODY_LENGTH};
use crate::clock::Timestamp;
use crate::entry::ResponseMetadata;
use crate::freshness::ResponseFreshness;
use crate::server_name::MAX_NAME_LENGTH;

/// The longest `ETag` or `Last-Modified` stored.
const MAX_VALIDATOR_LENGTH: usize = 256;

/// The longest `Retry-After` read; how much of it is obeyed, the back-off decides.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Reads an answer to a request that was not conditional; `time_left` is for an error's text.
pub(super) fn read(
    mut response: Response<Body>,
    now: Timestamp,
    time_left: Duration,
) -> Result<BackendResponse, Failure> {
    match response.status() {
        StatusCode::OK => {
            check_framing(response.headers())?;
            let pem = read_body(response.body_mut(), time_left)?;
            Ok(BackendResponse::Found { pem, metadata: metadata(response.headers(), now) })
        }
        StatusCode::NO_CONTENT => {
            Ok(BackendResponse::NoCertificate { metadata: metadata(response.headers(), now) })
        }
        status => Err(Failure { kind: kind(status), ..reject(status, response.headers(), now) }),
    }
}

fn kind(status: StatusCode) -> BackendErrorKind {
    match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        true => BackendErrorKind::Failing,
        false => BackendErrorKind::Answered,
    }
}

fn reject(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Failure {
    let answered =
        format!("answered {} {}", status.as_u16(), status.canonical_reason().unwrap_or("(unknown)"));
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::new(format!("{answered}; a name without a certificate is 204"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Failure { retry_after: retry_after(headers, now), ..Failure::new(answered) }
        }
        _ if status.is_redirection() && headers.contains_key(header::LOCATION) => {
            let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let host = location.and_then(|value| Uri::try_from(value).ok()?.host().map(str::to_owned));
            let to = match host {
                Some(host) if host.len() <= MAX_NAME_LENGTH => format!(" to {host}"),
                _ => String::new(),
            };
            Failure::new(format!("{answered}{to}; redirects are not followed"))
        }
        _ => Failure::new(answered),
    }
}

/// What ureq reads generously but no honest server sends.
fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Failure::new("answered with both Transfer-Encoding and Content-Length"));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => {
            Err(Failure::new("answered with a Content-Encoding, which was not asked for"))
        }
        _ => Ok(()),
    }
}

/// Reads a body into a buffer that never grows, since a vector that moves leaves copies of a key behind.
/// Without a length (chunked, or ended by closing the connection) the largest is taken first; a body cut
/// short by closing is found out later, as a bundle that is not whole.
fn read_body(body: &mut Body, time_left: Duration) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let too_long = || Failure::new(format!("answered with more than {} KiB", MAX_BODY_LENGTH / 1024));
    let length = body.content_length();
    if length.is_some_and(|length| length > MAX_BODY_LENGTH) {
        return Err(too_long());
    }
    // One more than may come, so that what exceeds it is noticed.
    let capacity = length.unwrap_or(MAX_BODY_LENGTH) as usize + 1;
    let mut buffer = Zeroizing::new(vec![0; capacity]);
    let mut filled = 0;
    let mut reader = body.as_reader();
    while filled < capacity {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::from_ureq(error.into(), time_left)),
        }
    }
    if filled == capacity {
        return Err(too_long());
    }
    if length.is_some() {
        buffer.truncate(filled);
        return Ok(buffer);
    }
    Ok(Zeroizing::new(buffer[..filled].to_vec()))
}

pub(super) fn metadata(headers: &HeaderMap, now: Timestamp) -> ResponseMetadata {
    ResponseMetadata {
        fetched_at: now,
        freshness: ResponseFreshness::from_headers(headers, now),
        etag: validator(headers, header::ETAG),
        last_modified: validator(headers, header::LAST_MODIFIED),
    }
}

fn validator(headers: &HeaderMap, name: HeaderName) -> Option<Box<str>> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_VALIDATOR_LENGTH).then(|| value.into())
}

/// `Retry-After` in seconds or as a date (RFC 9110 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        Timestamp::from(httpdate::parse_http_date(value).ok()?).saturating_since(now)
    };
    Some(delay.min(MAX_RETRY_AFTER))
}
