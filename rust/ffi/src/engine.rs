//! Engines and lookup_configs: opened with settings as JSON, closed once.

use std::os::fd::IntoRawFd;

use cached_http_core::clock::Clock;
use cached_http_core::engine::{Engine, OpenError};
use cached_http_core::settings::{EngineSettings, LookupSettings};

use crate::boundary::{collect_panics, guarded};
use crate::bytes::{Buffer, explain, optional_output, output, view};
use crate::handles::{
    ENGINES, EngineHandle, LOOKUP_CONFIGS, LookupConfigHandle, OpenLookupConfig, open_engine,
};
use crate::status::Status;
use crate::zeroizing_allocator::limit_arenas;

/// Opens an engine: `settings` is JSON with `backend` (URL without credentials and query, marks entries on
/// disk), `cache_dir` (optional, absolute), `max_memory`, `max_negative_memory` and `max_disk`
/// (bytes; the last is optional), `max_concurrent_fetches`, and for nodes of a fleet `distributed` (with `key_files`, absolute
/// paths, `read_interval_ms`, `timeout_ms` and `max_concurrent`). `descriptor` receives one to wait at for events: it can be read when there are events
/// again after `cached_http_next_events` gave none (how many bytes and which means nothing). The caller closes it,
/// and may make it non-blocking. With `SETTINGS_REJECTED`, `DIRECTORY_REJECTED` and `OUT_OF_DESCRIPTORS`, `message`
/// (may be NULL) receives the reason, for the caller to free.
///
/// # Safety
/// `settings` points to `settings_length` readable bytes; the outputs are NULL or writable, and don't overlap.
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
        // SAFETY: `settings` has `settings_length` bytes, the outputs are NULL or writable, and apart from each other: our own contract.
        let (json, engine, descriptor, mut message) = unsafe {
            (view(settings, settings_length)?, output(engine)?, output(descriptor)?, optional_output(message))
        };
        let settings = EngineSettings::from_json(json)
            .map_err(|error| explain(message.as_deref_mut(), Status::SettingsRejected, &error))?;
        let (opened, reader) = Engine::open(&settings, Clock::system())
            .and_then(|opened| opened.event_reader().map(|reader| (opened, reader)))
            .map_err(|error| explain(message, open_status(&error), &error))?;
        descriptor.write(reader.into_raw_fd());
        engine.write(ENGINES.insert(opened));
        Ok(Status::Ok)
    })
}

/// Applies the limits of newer settings (the same JSON) to an open engine; backend and directory stay as they
/// are. With `SETTINGS_REJECTED`, `message` (may be NULL) receives the reason, for the caller to free.
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
        // SAFETY: `settings` has `settings_length` bytes, and `message` is NULL or writable: our own contract.
        let (json, mut message) = unsafe { (view(settings, settings_length)?, optional_output(message)) };
        let settings = EngineSettings::from_json(json)
            .map_err(|error| explain(message.as_deref_mut(), Status::SettingsRejected, &error))?;
        engine.resize(&settings).map_err(|error| explain(message, Status::SettingsRejected, &error))?;
        Ok(Status::Ok)
    })
}

/// Closes an engine and returns at once: fetches are cut, and `cached_http_next_events` goes on until pending
/// writes are made and then returns `CLOSED`. Keys opened from it go on working. The handle is closed for
/// every other call. Its descriptor is the caller's to close.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_engine_close(engine: EngineHandle) -> Status {
    guarded(|| {
        open_engine(engine)?.close();
        Ok(Status::Ok)
    })
}

/// Opens a config over an engine: `settings` is JSON with `url`, `ttl_ms` (optional), `default_ttl_ms`,
/// `negative_ttl_ms`, `timeout_ms`, `stale_if_error_ms` (0 for never), `refresh_ahead`, and optionally
/// `share_names`, `headers` (a list of name-value pairs), `trusted_ca_pem` and `client_certificate_pem`. They apply to the lookups made through this config. With `SETTINGS_REJECTED`, `message`
/// (may be NULL) receives the reason, for the caller to free.
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
        // SAFETY: `settings` has `settings_length` bytes, the outputs are writable and two places: our own contract.
        let (json, handle, mut message) =
            unsafe { (view(settings, settings_length)?, output(config)?, optional_output(message)) };
        let settings = LookupSettings::from_json(json)
            .map_err(|error| explain(message.as_deref_mut(), Status::SettingsRejected, &error))?;
        let config = engine
            .lookup_config(&settings)
            .map_err(|error| explain(message, Status::SettingsRejected, &error))?;
        handle.write(LOOKUP_CONFIGS.insert(OpenLookupConfig { engine: Engine::clone(&engine), config }));
        Ok(Status::Ok)
    })
}

/// Closes a config. Fetches that its lookups started go on.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_lookup_config_close(config: LookupConfigHandle) -> Status {
    guarded(|| LOOKUP_CONFIGS.remove(config).map(|_| Status::Ok))
}

fn open_status(error: &OpenError) -> Status {
    match error {
        OpenError::Directory(_) => Status::DirectoryRejected,
        OpenError::KeyFile(_) => Status::SettingsRejected,
        OpenError::Pipe(_) => Status::OutOfDescriptors,
    }
}
