//! Settings of engines and of configurations.

use std::path::Path;

use cached_http_core::settings::{DEFAULT_MAX_DISK, EngineSettings, LookupSettings};

use crate::steps::Options;
use crate::support::told::ToldBackend;

pub(crate) fn engine_settings(backend: &ToldBackend, directory: &Path, is_small: bool) -> EngineSettings {
    EngineSettings {
        backend: backend.backend.url(),
        cache_dir: Some(directory.to_owned()),
        max_disk: DEFAULT_MAX_DISK,
        // Room for one or two.
        max_memory: if is_small { 3_000 } else { 1 << 20 },
        max_negative_memory: 1 << 16,
        max_concurrent_fetches: 64,
        distributed: None,
    }
}

pub(crate) fn lookup_settings(backend: &ToldBackend, options: Options) -> LookupSettings {
    let json = serde_json::json!({
        "url": backend.backend.url(),
        "ttl_ms": options.ttl.map(|seconds| seconds * 1_000),
        "default_ttl_ms": options.default_ttl * 1_000,
        "negative_ttl_ms": 60_000,
        "timeout_ms": 60_000,
        "stale_if_error_ms": options.stale_if_error * 1_000,
        "refresh_ahead": options.refresh_ahead,
    });
    LookupSettings::from_json(json.to_string().as_bytes()).unwrap()
}
