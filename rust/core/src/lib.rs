//! The certificate cache behind Caddy's `tls.get_certificate.cached_http`.
//!
//! This crate knows neither C nor Go nor Caddy; `rust/ffi` is its only user. The path of one lookup:
//!
//! 1. [`engine::Engine::lookup`] normalises the SNI ([`server_name`]) and looks into [`memory_store`]; an
//!    entry that is fresh under the caller's settings ([`freshness`]) is a hit and ends here.
//! 2. A miss joins the flight of its name ([`single_flight`]) and, if it is the first, becomes a job of a
//!    bounded worker pool ([`worker_pool`]): first the disk ([`disk_store`]), then the [`backend`].
//! 3. The answer's PEM becomes a checked [`bundle`], and is offered upwards as a candidate ([`events`]).
//!    The host parses it with its own parser and confirms or rejects it; only then is it stored, in memory
//!    and on disk, and everybody who waits is told.
//! 4. The host signs handshakes with the entry's key ([`keys`]); the key itself never leaves this library.
//!
//! One name from miss to hit, with a backend on loopback:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpListener;
//!
//! use cached_http_core::clock::Clock;
//! use cached_http_core::engine::{Engine, Lookup, LookupRequest};
//! use cached_http_core::entry::ClientKind;
//! use cached_http_core::events::{Event, Outcome};
//! use cached_http_core::settings::{EngineSettings, LookupSettings};
//! use cached_http_core::single_flight::Token;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A backend that has a certificate for one name.
//! let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()])?;
//! let bundle = made.cert.pem() + &made.signing_key.serialize_pem();
//! let backend = TcpListener::bind("127.0.0.1:0")?;
//! let url = format!("http://{}/", backend.local_addr()?);
//! std::thread::spawn(move || -> std::io::Result<()> {
//!     let (mut connection, _) = backend.accept()?;
//!     connection.read(&mut [0; 4096])?;
//!     write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{bundle}", bundle.len())
//! });
//!
//! // The engine holds what is known of a backend, the configuration says how to ask it.
//! let settings = format!(
//!     r#"{{"backend": "{url}", "max_memory": 1000000, "max_negative_memory": 10000, "max_concurrent_fetches": 2}}"#
//! );
//! let engine = Engine::open(&EngineSettings::from_json(settings.as_bytes())?, Clock::system())?;
//! let settings = format!(
//!     r#"{{"url": "{url}", "default_ttl_ms": 60000, "negative_ttl_ms": 60000, "timeout_ms": 5000,
//!         "stale_if_error_ms": 0, "refresh_ahead": false}}"#
//! );
//! let config = engine.lookup_config(&LookupSettings::from_json(settings.as_bytes())?)?;
//!
//! // A miss asks the backend. The lookup returns at once; its token is told when the fetch has ended.
//! let mut request = LookupRequest {
//!     server_name: b"Shop.Example",
//!     client: ClientKind::Ecdsa,
//!     handshake_params: "",
//!     token: Some(Token(1)),
//!     peek: false,
//! };
//! assert_eq!(engine.lookup(&config, &request), Lookup::Pending);
//! let mut events = engine.event_reader()?;
//! let outcome = 'finished: loop {
//!     let taken = engine.next_events(8).ok_or("the engine is open")?;
//!     if taken.is_empty() {
//!         events.read(&mut [0; 64])?; // until there is more
//!     }
//!     for event in taken {
//!         match event {
//!             // Here the host would have its own parser look at the certificate.
//!             Event::Candidate(id) => assert!(engine.confirm(id)),
//!             Event::Finished { outcome, .. } => break 'finished outcome,
//!             Event::Retired(_) | Event::Log(_) | Event::Answered { .. } | Event::Storage(_) => {}
//!         }
//!     }
//! };
//! let Outcome::Found(id) = outcome else { return Err(format!("{outcome:?}").into()) };
//!
//! // From now on it is a hit: no request, no waiting.
//! request.token = None;
//! assert_eq!(engine.lookup(&config, &request), Lookup::Hit(id));
//! assert!(engine.entry(id).is_some());
//! engine.close();
//! # Ok(())
//! # }
//! ```
//!
//! Imports point one way: [`engine`] knows the parts, and the parts know the leaves ([`clock`], [`counters`], [`entry`],
//! [`freshness`], [`operations`], [`server_name`], [`settings`]); `tests/check/imports.sh` lists the few parts that know another.
#![forbid(unsafe_code)]
// Who writes to a closed stderr outside of Go's threads ends the process by SIGPIPE.
#![deny(clippy::dbg_macro, clippy::print_stderr, clippy::print_stdout)]

pub mod backend;
pub mod backoff;
pub mod bundle;
pub mod clock;
pub mod counters;
pub mod disk_format;
pub mod disk_store;
pub mod earliest_end;
pub mod engine;
pub mod entry;
pub mod events;
pub mod freshness;
pub mod interner;
pub mod keys;
pub mod log_sampler;
pub mod memory_store;
pub mod negative_store;
pub mod operations;
mod pem;
pub mod purge_journal;
pub mod record;
pub mod server_name;
pub mod settings;
pub mod shared_names;
pub mod single_flight;
pub mod storage;
pub mod worker_pool;
