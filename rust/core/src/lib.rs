//! The engine behind Caddy's `tls.get_certificate.cached_http`.
//!
//! This crate knows neither C nor Go nor Caddy; `rust/ffi` is its only user. The path of one lookup:
//!
//! 1. [`engine::Engine::lookup`] normalises the SNI ([`server_name`]) and looks into [`memory_store`]. An entry that
//!    is fresh under the caller's settings ([`freshness`]) is a hit and ends here. What the backend has no certificate
//!    for is in [`negative_store`].
//! 2. A miss joins the fetch of its name ([`single_flight`]). The first one becomes a job of a bounded worker pool
//!    ([`worker_pool`]): the disk ([`disk_store`]), then the [`backend`], if it may be asked now ([`backoff`]).
//! 3. The answer's PEM becomes a checked [`bundle`], and is offered to the host as a candidate ([`events`]). The host
//!    parses it with its own parser and confirms or rejects it. Only then is it stored, in memory and on disk, and
//!    everybody who waits is told.
//! 4. The host signs handshakes with the entry's key ([`keys`]). The key itself never leaves this library.
//!
//! Imports point one way: [`engine`] knows the parts. A part knows only the leaves ([`clock`], [`counters`],
//! [`freshness`], [`server_name`], [`settings`]) and [`entry`], the model that all share. `tests/check/imports.sh`
//! lists the exceptions. `docs/architecture.md` draws the whole.
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
