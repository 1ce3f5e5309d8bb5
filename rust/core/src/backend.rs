//! The operator's backend: one GET per name, over ureq.
//!
//! ureq's defaults (no timeouts, redirects followed, proxy variables read, unbounded bodies) are all set
//! here on purpose, since keys travel on this road.

mod client_parameters;
mod connections;
mod error;
mod resolver;
mod response;
mod target;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header;
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

pub use self::client_parameters::client_parameters;
use self::connections::{Connections, MAX_IDLE_AGE};
use self::error::Failure;
pub use self::error::{BackendError, BackendErrorKind};
use self::target::Target;
use crate::clock::Timestamp;
use crate::entry::ResponseMetadata;
use crate::settings::LookupSettings;

/// The longest body read. A chain of ten certificates and an RSA-4096 key is under 32 KiB.
pub const MAX_BODY_LENGTH: u64 = 256 * 1024;

/// The longest status line and header fields read; ureq takes 128 fields at most.
const MAX_HEADER_LENGTH: usize = 16 * 1024;

/// What each connection holds. The longest header has to fit and be seen to be exceeded. It is wiped after each answer, so that more would cost
/// time as well.
const INPUT_BUFFER_LENGTH: usize = MAX_HEADER_LENGTH + 4096;
const OUTPUT_BUFFER_LENGTH: usize = 16 * 1024;

/// Idle connections kept for reuse: as many as there can be workers, or a burst of misses would open and close one
/// each.
const MAX_IDLE_CONNECTIONS: usize = 1024;

/// A client for one backend. Thread-safe; its connections are pooled.
pub struct Backend {
    connections: Connections,
    target: Target,
}

/// What is asked of the backend for one handshake.
#[derive(Clone, Debug)]
pub struct BackendRequest {
    /// The normalised server name.
    pub server_name: Box<str>,
    /// The further query parameters, already percent-encoded: [`client_parameters()`] and what the host adds.
    pub handshake_params: Arc<str>,
    /// What the host holds already: the answer may be that it is not modified.
    pub validators: Validators,
}

/// The validators of a stored response, for a conditional request (RFC 9110 8.8).
#[derive(Clone, Debug, Default)]
pub struct Validators {
    /// Its `ETag`.
    pub etag: Option<Box<str>>,
    /// Its `Last-Modified`.
    pub last_modified: Option<Box<str>>,
}

/// An answer that says something about the name.
pub enum BackendResponse {
    /// 200: a bundle of PEM blocks, not yet looked at.
    Found {
        /// The body; wiped when dropped.
        pem: Zeroizing<Vec<u8>>,
        /// What the response said beside it.
        metadata: ResponseMetadata,
    },
    /// 304: what the host holds is still the answer.
    NotModified {
        /// What the response said; validators that it left out stay as they were.
        metadata: ResponseMetadata,
    },
    /// 204: the backend has no certificate for the name.
    NoCertificate {
        /// When it said so and for how long.
        metadata: ResponseMetadata,
    },
}

impl Backend {
    /// How long a connection waits for the next request.
    pub const IDLE_AGE: Duration = MAX_IDLE_AGE;

    /// Makes a client from the settings of a module instance; fails on an unusable URL, header or PEM text.
    /// Opens no connection.
    pub fn new(settings: &LookupSettings) -> Result<Self, BackendError> {
        let target = Target::new(settings)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_response_header_size(MAX_HEADER_LENGTH)
            .input_buffer_size(INPUT_BUFFER_LENGTH)
            .output_buffer_size(OUTPUT_BUFFER_LENGTH)
            .user_agent(concat!("caddy-cached-http/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            .max_idle_age(MAX_IDLE_AGE)
            .timeout_global(Some(settings.timeout))
            .tls_config(tls::configuration(settings)?)
            .build();
        Ok(Backend { connections: Connections::new(config), target })
    }

    /// Asks for one name; ends within `time_left`, whatever the backend does. Lifetimes are counted from
    /// `now`, the time of asking: the answer can't be newer (RFC 9111 4.2.3).
    pub fn fetch(
        &self,
        request: &BackendRequest,
        time_left: Duration,
        now: Timestamp,
    ) -> Result<BackendResponse, BackendError> {
        let started = Instant::now();
        let uri = self.target.uri(request).map_err(|failure| self.error(failure))?;
        let validators = &request.validators;
        let agent = self.connections.lend();
        let mut answer = self.call(&agent, &uri, validators, time_left, MAX_IDLE_AGE);
        // The server may close an idle connection just when it is reused, so a request that got no answer
        // is sent once more, on a new one (RFC 9110 9.2.2).
        if answer.as_ref().is_err_and(error::is_disconnect) {
            let time_left = time_left.saturating_sub(started.elapsed());
            answer = self.call(&agent, &uri, validators, time_left, Duration::ZERO);
        }
        let response = answer.map_err(|error| self.error(Failure::from_ureq(error, time_left)))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if !validators.is_none() => Ok(BackendResponse::NotModified {
                metadata: validators.kept_by(response::metadata(response.headers(), now)),
            }),
            _ => response::read(response, now, time_left).map_err(|failure| self.error(failure)),
        }
    }

    /// Cuts requests under way and makes further ones fail at once. One that is still looking up a name or
    /// connecting ends with its deadline.
    pub fn shutdown(&self) {
        self.connections.shut_down();
    }

    /// Whether somebody has to begin to call [`Backend::close_idle`], after [`Backend::IDLE_AGE`]: a request was made since
    /// it last said that all are closed.
    pub fn begin_watch(&self) -> bool {
        self.connections.begin_watch()
    }

    /// Closes the connections that wait, if no request was made for their age; else says after how long to try again.
    pub fn close_idle(&self, now: Instant) -> Option<Duration> {
        self.connections.close_idle(now)
    }

    fn call(
        &self,
        agent: &Agent,
        uri: &Uri,
        validators: &Validators,
        time_left: Duration,
        max_idle_age: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        // A little less for the connection, so that its want is told from the want of an answer.
        let request = agent.get(uri).config().timeout_global(Some(time_left));
        let request = request.timeout_connect(Some(time_left * 9 / 10));
        let mut request = request.max_idle_age(max_idle_age).build();
        for (name, value) in self.target.headers() {
            request = request.header(name, value);
        }
        if let Some(etag) = &validators.etag {
            request = request.header(header::IF_NONE_MATCH, &**etag);
        }
        if let Some(last_modified) = &validators.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, &**last_modified);
        }
        request.call()
    }

    fn error(&self, failure: Failure) -> BackendError {
        BackendError {
            message: format!("backend {}: {}", self.target.host(), failure.text),
            retry_after: failure.retry_after,
            kind: failure.kind,
            source: failure.source,
        }
    }
}

impl Validators {
    /// Whether there is nothing to make a request conditional with.
    pub fn is_none(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    fn kept_by(&self, metadata: ResponseMetadata) -> ResponseMetadata {
        let etag = metadata.etag.or_else(|| self.etag.clone());
        let last_modified = metadata.last_modified.or_else(|| self.last_modified.clone());
        ResponseMetadata { etag, last_modified, ..metadata }
    }
}

/// Neither URL nor header fields: each may hold a secret.
impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Backend").field("host", &self.target.host()).finish_non_exhaustive()
    }
}
