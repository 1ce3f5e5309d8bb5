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
//! Imports point one way: `cache` knows the parts, the parts know only the leaves (`clock`, `entry`,
//! `error`, `server_name`, `settings`, `freshness`).
#![forbid(unsafe_code)]

pub mod backend;
pub mod backoff;
pub mod bundle;
pub mod clock;
pub mod counters;
pub mod disk_format;
pub mod disk_store;
pub mod engine;
pub mod entry;
pub mod events;
pub mod freshness;
pub mod interner;
pub mod keys;
pub mod log_sampler;
pub mod memory_store;
pub mod negative_store;
mod pem;
pub mod server_name;
pub mod settings;
pub mod single_flight;
pub mod worker_pool;
