//! What went wrong, in words for an operator: no URL, no header value, no body.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

/// How much of another library's text is repeated; a server's certificate can name a thousand hosts.
const MAX_DETAIL_LENGTH: usize = 200;

/// Why there is no answer, or a setting can't be used. The text names the host and the cause; neither it nor the
/// sources have credentials, query or body.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// What happened, with the backend's host.
    pub message: String,
    /// What `Retry-After` of a 429 or 503 asked for, an hour at most.
    pub retry_after: Option<Duration>,
    /// What the failure says of the backend.
    pub kind: BackendErrorKind,
    /// What a library or the operating system said, if it was they who found the fault.
    pub(super) source: Option<Source>,
}

/// What a failure says of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendErrorKind {
    /// There was no connection: other names would fare no better.
    Unreachable,
    /// It fails, for this name at least: no answer in time, half an answer, 429 or a 5xx status.
    Failing,
    /// It works, but its answer about this name is of no use.
    Answered,
}

pub(super) type Source = Box<dyn Error + Send + Sync>;

/// Why a request has no usable answer, without the host.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) retry_after: Option<Duration>,
    pub(super) kind: BackendErrorKind,
    pub(super) source: Option<Source>,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Failure { text: text.into(), retry_after: None, kind: BackendErrorKind::Answered, source: None }
    }

    pub(super) fn from_ureq(error: ureq::Error, time_left: Duration) -> Self {
        let kind = kind(&error);
        let text = match &error {
            ureq::Error::Timeout(_) => format!("no answer within {}", rounded(time_left)),
            ureq::Error::Io(error) => io_text(error),
            ureq::Error::HostNotFound => "the host has no address".to_owned(),
            ureq::Error::Rustls(error) => tls_text(error),
            ureq::Error::Tls(text) => format!("TLS: {text}"),
            ureq::Error::LargeResponseHeader(..) => {
                format!("answered with a header of more than {} KiB", super::MAX_HEADER_LENGTH / 1024)
            }
            ureq::Error::Protocol(error) => format!("answered no valid HTTP ({})", detail(error)),
            // Its text may hold the URL.
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the request can't be made".to_owned(),
            error => detail(error),
        };
        Failure { kind, source: source(error), ..Failure::new(text) }
    }
}

/// A setting that can't be used; `text` says which and why, without its value.
pub(super) fn setting(text: impl Into<String>) -> BackendError {
    BackendError { message: text.into(), retry_after: None, kind: BackendErrorKind::Answered, source: None }
}

/// The same, found by a library; only for errors that don't quote what they were given.
pub(super) fn setting_from<E: Error + Send + Sync + 'static>(
    text: impl Into<String>,
) -> impl FnOnce(E) -> BackendError {
    move |source| BackendError { source: Some(Box::new(source)), ..setting(text) }
}

/// What ureq wraps, which it does not show as its source. Errors that may quote the URL have none.
fn source(error: ureq::Error) -> Option<Source> {
    match error {
        ureq::Error::Io(error) => Some(Box::new(error)),
        ureq::Error::Rustls(error) => Some(Box::new(error)),
        ureq::Error::Protocol(error) => Some(Box::new(error)),
        ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::LargeResponseHeader(..)
        | ureq::Error::Timeout(_)
        | ureq::Error::Tls(_) => Some(Box::new(error)),
        _ => None,
    }
}

/// A malformed response may affect one name, half a response says that the backend fails, no connection affects all.
fn kind(error: &ureq::Error) -> BackendErrorKind {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotConnected};
    use ureq::Timeout::{Connect, Resolve};
    match error {
        ureq::Error::LargeResponseHeader(..)
        | ureq::Error::Protocol(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_) => BackendErrorKind::Answered,
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Rustls(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Timeout(Connect | Resolve) => BackendErrorKind::Unreachable,
        ureq::Error::Io(error)
            if matches!(
                error.kind(),
                ConnectionRefused | HostUnreachable | NetworkUnreachable | NotConnected
            ) || error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) =>
        {
            BackendErrorKind::Unreachable
        }
        _ => BackendErrorKind::Failing,
    }
}

/// The connection ended before there was an answer.
pub(super) fn is_disconnect(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ureq::Error::Io(error) = error else { return false };
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn io_text(error: &io::Error) -> String {
    // rustls reports what is wrong with a handshake through the socket's error.
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_text(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "connection reset".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "connection closed before the whole answer came".to_owned(),
        io::ErrorKind::NotConnected => "shut down".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
        _ => detail(error),
    }
}

fn tls_text(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "TLS: the certificate is of no authority that is trusted; is the option trusted_ca missing?".to_owned()
        }
        rustls::Error::InvalidCertificate(reason) if detail(reason).contains("CaUsedAsEndEntity") => {
            "TLS: the certificate is marked as an authority's own (CA:TRUE); give the backend one of its own, made \
             with CA:FALSE, and the authority to trusted_ca"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => {
            format!("TLS: certificate not trusted ({})", detail(reason))
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "TLS: it wants a certificate of ours; set the option client_certificate".to_owned()
        }
        rustls::Error::InvalidMessage(_) => "TLS: what it sent is no TLS; is its URL http, not https?".to_owned(),
        error => format!("TLS: {}", detail(error)),
    }
}

/// Foreign text: one line, and short.
fn detail(text: &dyn std::fmt::Display) -> String {
    text.to_string().chars().flat_map(char::escape_debug).take(MAX_DETAIL_LENGTH).collect()
}

/// A duration to read: 10s, 1.25s, 480ms.
fn rounded(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    format!("{:?}", Duration::from_millis(milliseconds.next_multiple_of(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_may_quote_the_url_is_no_source() {
        let secret = || "http://user:secret@a.test/".to_owned();
        for error in [
            ureq::Error::BadUri(secret()),
            ureq::Error::RequireHttpsOnly(secret()),
            ureq::Error::Other(secret().into()),
        ] {
            let Failure { source, .. } = Failure::from_ureq(error, Duration::ZERO);
            assert!(source.is_none(), "{source:?}");
        }
    }
}
