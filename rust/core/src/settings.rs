//! What crosses the boundary as JSON, once per engine and once per module instance. Unknown fields are
//! rejected: a misspelt option must not silently mean its default.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A settings document that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("settings: {0}")]
pub struct SettingsError(String);

/// Bytes of entries on disk unless the settings say otherwise: about a million.
pub const DEFAULT_MAX_DISK: NonZeroU64 = NonZeroU64::new(4 << 30).unwrap();

/// What belongs to the store that all module instances of one backend and cache directory share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// The backend without credentials, query and fragment; it marks entries on disk.
    pub backend: String,
    /// Where entries are kept over restarts; memory only if absent.
    #[serde(default)]
    pub cache_dir: Option<PathBuf>,
    /// Bytes of entries kept on disk, each in whole blocks of 4 KiB.
    #[serde(default = "default_max_disk")]
    pub max_disk: NonZeroU64,
    /// Bytes of entries held in memory.
    pub max_memory: u64,
    /// Bytes of negative entries held in memory.
    pub max_negative_memory: u64,
    /// How many requests to the backend may be under way at once.
    pub max_concurrent_fetches: u32,
    /// What nodes of a fleet share with each other; none if absent.
    #[serde(default)]
    pub distributed: Option<FleetSettings>,
}

/// How a fleet's storage is used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    /// Tells storages apart: another text is another storage, whose purges have to be read first.
    #[serde(default)]
    pub storage: String,
    /// Files with a key each. The first seals, all open.
    pub key_files: Vec<PathBuf>,
    /// How often the purges of other nodes are read, in milliseconds.
    #[serde(rename = "read_interval_ms", deserialize_with = "milliseconds")]
    pub read_interval: Duration,
    /// How long an operation of the storage may take, in milliseconds.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// How many operations may be under way at once, those included that nobody waits for any more.
    pub max_concurrent: u32,
}

/// What belongs to one module instance and applies when it looks something up.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupSettings {
    /// The `http` or `https` URL of the backend, as the operator wrote it; it may hold credentials.
    pub url: String,
    /// A lifetime that overrides what responses say, in milliseconds.
    #[serde(default, rename = "ttl_ms", deserialize_with = "optional_milliseconds")]
    pub ttl: Option<Duration>,
    /// The lifetime of a response that says nothing, in milliseconds.
    #[serde(rename = "default_ttl_ms", deserialize_with = "milliseconds")]
    pub default_ttl: Duration,
    /// How long "no such name" is kept unless the response says, in milliseconds.
    #[serde(rename = "negative_ttl_ms", deserialize_with = "milliseconds")]
    pub negative_ttl: Duration,
    /// The deadline of one fetch, its waiting in the queue included, in milliseconds.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// How long past its lifetime an entry may be served while the backend fails, in milliseconds; 0 for never.
    #[serde(rename = "stale_if_error_ms", deserialize_with = "milliseconds")]
    pub stale_if_error: Duration,
    /// Whether an entry is fetched anew before its lifetime ends.
    pub refresh_ahead: bool,
    /// Whether an entry answers for the other names that its certificate covers, too.
    #[serde(default)]
    pub share_names: bool,
    /// Header fields added to each request, as name and value.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// PEM text of the only authorities trusted for an `https` backend; the platform's store if absent.
    #[serde(default)]
    pub trusted_ca_pem: Option<String>,
    /// PEM text of the certificate chain and key shown to an `https` backend.
    #[serde(default)]
    pub client_certificate_pem: Option<String>,
}

impl EngineSettings {
    /// Reads a settings document.
    pub fn from_json(json: &[u8]) -> Result<Self, SettingsError> {
        from_json(json)
    }
}

impl LookupSettings {
    /// Reads a settings document.
    pub fn from_json(json: &[u8]) -> Result<Self, SettingsError> {
        from_json(json)
    }

    /// Stands for what the backend knows the client by, and the client the backend: it may answer others otherwise.
    pub fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.url, &self.headers, &self.trusted_ca_pem, &self.client_certificate_pem).hash(&mut hasher);
        hasher.finish()
    }
}

/// Neither URL, headers nor PEM text: each may hold a secret.
impl std::fmt::Debug for LookupSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LookupSettings")
            .field("ttl", &self.ttl)
            .field("default_ttl", &self.default_ttl)
            .field("negative_ttl", &self.negative_ttl)
            .field("timeout", &self.timeout)
            .field("stale_if_error", &self.stale_if_error)
            .field("refresh_ahead", &self.refresh_ahead)
            .field("share_names", &self.share_names)
            .finish_non_exhaustive()
    }
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, SettingsError> {
    serde_json::from_slice(json).map_err(|error| {
        // serde_json's text may quote a value; its place and kind are enough.
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is unknown, missing or of the wrong type",
            _ => "not a JSON document",
        };
        SettingsError(format!("{what} (column {})", error.column()))
    })
}

fn default_max_disk() -> NonZeroU64 {
    DEFAULT_MAX_DISK
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn optional_milliseconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|value| value.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lookup_settings() {
        let json = br#"{"url":"http://user:secret@127.0.0.1/","ttl_ms":1500,"default_ttl_ms":3600000,
            "negative_ttl_ms":60000,"timeout_ms":10000,"stale_if_error_ms":0,"refresh_ahead":true,"headers":[["X-Token","secret"]]}"#;
        let settings = LookupSettings::from_json(json).unwrap();
        assert_eq!(settings.ttl, Some(Duration::from_millis(1500)));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn the_disk_is_bounded_by_default_and_never_by_nothing() {
        let with = |max_disk: &str| {
            let json = format!(
                r#"{{"backend":"http://a","max_memory":1,"max_negative_memory":1,"max_concurrent_fetches":1{max_disk}}}"#
            );
            EngineSettings::from_json(json.as_bytes()).map(|settings| settings.max_disk.get()).ok()
        };
        assert_eq!(with(""), Some(4 << 30));
        assert_eq!(with(r#","max_disk":1048576"#), Some(1 << 20));
        assert_eq!(with(r#","max_disk":0"#), None);
    }

    #[test]
    fn rejects_unknown_fields_without_quoting_values() {
        let json = br#"{"backend":"http://a","max_memory":1,"max_negative_memory":1,"max_concurrent_fetches":1,"tll":"secret"}"#;
        let message = EngineSettings::from_json(json).unwrap_err().to_string();
        assert!(message.contains("unknown") && !message.contains("secret"), "{message}");
    }
}
