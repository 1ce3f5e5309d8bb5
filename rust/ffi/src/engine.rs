//! Engines and lookup_configs: opened with settings as JSON, closed once.

use std::os::fd::IntoRawFd;

use cached_http_core::clock::Clock;
use cached_http_core::engine::{Engine, OpenError, Sizes};
use cached_http_core::settings::{EngineSettings, LookupSettings};

use crate::boundary::{collect_panics, guarded};
use crate::bytes::{Buffer, output, view};
use crate::handles::{
    ENGINES, EngineHandle, LOOKUP_CONFIGS, LookupConfigHandle, OpenLookupConfig, open_engine,
};
use crate::status::Status;
use crate::zeroizing_allocator::limit_arenas;

/// An engine's totals and sizes. `size` is set by the caller to the struct's size as it knows it, so that
/// fields can be added at the end; fields beyond it are not written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CountersView {
    /// Size of the caller's struct in bytes.
    pub size: usize,
    /// Entries in memory.
    pub entries: u64,
    /// Bytes of entries in memory.
    pub entry_bytes: u64,
    /// Negatives in memory.
    pub negatives: u64,
    /// Lookups answered with a fresh certificate.
    pub hits: u64,
    /// Lookups answered with "no such name".
    pub negative_hits: u64,
    /// Lookups that started or joined a fetch.
    pub misses: u64,
    /// Lookups rejected for their server name.
    pub invalid_names: u64,
    /// 200 answers.
    pub found: u64,
    /// Requests that gave no answer.
    pub fetch_errors: u64,
    /// 204 answers.
    pub no_certificate: u64,
    /// Bundles rejected.
    pub invalid_bundles: u64,
    /// Misses answered from disk.
    pub disk_hits: u64,
    /// Entries written to disk.
    pub disk_writes: u64,
    /// Reads and writes that the disk rejected, and damaged entries.
    pub disk_errors: u64,
    /// Entries that left memory.
    pub evictions: u64,
    /// Lookups turned away by a full queue.
    pub overloaded: u64,
    /// Lookups answered with a certificate past its lifetime.
    pub stale_hits: u64,
    /// Requests for a newer certificate while the kept one is served.
    pub refreshes: u64,
    /// 304 answers.
    pub not_modified: u64,
    /// Lookups turned away because the backend failed lately.
    pub backed_off: u64,
    /// Names whose last fetch failed, as far as they are remembered.
    pub failing_names: u64,
    /// 1 while no name is asked for, since the backend failed for one after the other; else 0.
    pub breaker_is_open: u64,
    /// Microseconds that all requests to the backend took.
    pub fetch_time_us: u64,
    /// Requests that took up to 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000 milliseconds, and longer.
    pub fetch_times: [u64; 12],
}

/// Opens an engine: `settings` is JSON with `backend` (URL without credentials and query, marks entries on
/// disk), `cache_dir` (optional, absolute), `max_memory` and `max_negative_memory` (bytes) and
/// `max_concurrent_fetches`. `descriptor` receives one to wait at for events: it can be read when there are events
/// again after `cached_http_next_events` gave none (how many bytes and which means nothing). The caller closes it,
/// and may make it non-blocking. On an error `message` (may be NULL) receives the reason, for the caller to free.
///
/// # Safety
/// `settings` points to `settings_length` readable bytes; the outputs are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_engine_open(
    settings: *const u8,
    settings_length: usize,
    engine: *mut EngineHandle,
    descriptor: *mut i32,
    message: *mut Buffer,
) -> Status {
    collect_panics();
    limit_arenas();
    guarded(|| {
        // SAFETY: passed on from the caller.
        let (json, engine, descriptor) =
            unsafe { (view(settings, settings_length)?, output(engine)?, output(descriptor)?) };
        // SAFETY: passed on from the caller.
        let settings = EngineSettings::from_json(json)
            .map_err(|error| unsafe { explain(message, Status::SettingsRejected, &error) })?;
        // SAFETY: passed on from the caller.
        let (opened, reader) = Engine::open(&settings, Clock::system())
            .and_then(|opened| opened.event_reader().map(|reader| (opened, reader)))
            .map_err(|error| unsafe { explain(message, open_status(&error), &error) })?;
        *descriptor = reader.into_raw_fd();
        *engine = ENGINES.insert(opened);
        Ok(Status::Ok)
    })
}

/// Applies the limits of newer settings (the same JSON) to an open engine; backend and directory stay as they
/// are.
///
/// # Safety
/// As for `cached_http_engine_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_engine_resize(
    engine: EngineHandle,
    settings: *const u8,
    settings_length: usize,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        // SAFETY: passed on from the caller.
        let json = unsafe { view(settings, settings_length)? };
        // SAFETY: passed on from the caller.
        let settings = EngineSettings::from_json(json)
            .map_err(|error| unsafe { explain(message, Status::SettingsRejected, &error) })?;
        engine.resize(&settings);
        Ok(Status::Ok)
    })
}

/// Closes an engine and returns at once: fetches are cut, and `cached_http_next_events` goes on until pending
/// writes are made and then returns `CLOSED`. Keys opened from it go on working. The handle is closed for
/// every other call.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_engine_close(engine: EngineHandle) -> Status {
    guarded(|| {
        open_engine(engine)?.close();
        Ok(Status::Ok)
    })
}

/// Reads an engine's totals. `counters->size` must be set.
///
/// # Safety
/// `counters` is NULL or points to `counters->size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_engine_counters(
    engine: EngineHandle,
    counters: *mut CountersView,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        if counters.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not NULL, and a struct of the caller's always starts with its size.
        let size = unsafe { (&raw const (*counters).size).read() };
        if size < size_of::<usize>() {
            return Err(Status::InvalidArgument);
        }
        let view = counters_view(&engine, size);
        // SAFETY: `size` bytes are the caller's, and no more than the source has are copied.
        unsafe {
            let source = (&raw const view).cast::<u8>();
            source.copy_to_nonoverlapping(counters.cast::<u8>(), size.min(size_of::<CountersView>()));
        }
        Ok(Status::Ok)
    })
}

/// Opens a config over an engine: `settings` is JSON with `url`, `ttl_ms` (optional), `default_ttl_ms`,
/// `negative_ttl_ms`, `timeout_ms`, `stale_if_error_ms` (0 for never), `refresh_ahead`, and optionally `headers` (a list of name-value pairs), `trusted_ca_pem` and
/// `client_certificate_pem`. They apply to the lookups made through this config.
///
/// # Safety
/// As for `cached_http_engine_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_lookup_config_open(
    engine: EngineHandle,
    settings: *const u8,
    settings_length: usize,
    config: *mut LookupConfigHandle,
    message: *mut Buffer,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        // SAFETY: passed on from the caller.
        let (json, handle) = unsafe { (view(settings, settings_length)?, output(config)?) };
        // SAFETY: passed on from the caller.
        let settings = LookupSettings::from_json(json)
            .map_err(|error| unsafe { explain(message, Status::SettingsRejected, &error) })?;
        // SAFETY: passed on from the caller.
        let config = engine
            .lookup_config(&settings)
            .map_err(|error| unsafe { explain(message, Status::SettingsRejected, &error) })?;
        *handle = LOOKUP_CONFIGS.insert(OpenLookupConfig { engine: Engine::clone(&engine), config });
        Ok(Status::Ok)
    })
}

/// Closes a config. Fetches that its lookups started go on.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_lookup_config_close(config: LookupConfigHandle) -> Status {
    guarded(|| LOOKUP_CONFIGS.remove(config).map(|_| Status::Ok))
}

/// Hands the reason out, if the caller wants it.
///
/// # Safety
/// `message` is NULL or writable.
pub(crate) unsafe fn explain(message: *mut Buffer, status: Status, reason: &dyn std::fmt::Display) -> Status {
    // SAFETY: the caller vouches for it.
    if let Ok(message) = unsafe { output(message) } {
        *message = Buffer::from(reason.to_string().into_bytes());
    }
    status
}

fn open_status(error: &OpenError) -> Status {
    match error {
        OpenError::Directory(_) => Status::DirectoryRejected,
        OpenError::Pipe(_) => Status::OutOfDescriptors,
    }
}

fn counters_view(engine: &Engine, size: usize) -> CountersView {
    let totals = engine.counters();
    let Sizes { entries, entry_bytes, negatives, failing_names, breaker_is_open } = engine.sizes();
    let (fetch_times, fetch_time_us) = engine.fetch_times().snapshot();
    CountersView {
        size,
        entries,
        entry_bytes,
        negatives,
        hits: totals.hits,
        negative_hits: totals.negative_hits,
        misses: totals.misses,
        invalid_names: totals.invalid_names,
        found: totals.found,
        fetch_errors: totals.fetch_errors,
        no_certificate: totals.no_certificate,
        invalid_bundles: totals.invalid_bundles,
        disk_hits: totals.disk_hits,
        disk_writes: totals.disk_writes,
        disk_errors: totals.disk_errors,
        evictions: totals.evictions,
        overloaded: totals.overloaded,
        stale_hits: totals.stale_hits,
        refreshes: totals.refreshes,
        not_modified: totals.not_modified,
        backed_off: totals.backed_off,
        failing_names,
        breaker_is_open: u64::from(breaker_is_open),
        fetch_time_us,
        fetch_times,
    }
}
