//! What an operator can ask of a cache, and what he is told; a cache carries it out in `engine/operations.rs`. Operations
//! and answers cross the boundary as JSON, with times in milliseconds since the Unix epoch.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::server_name::InvalidServerName;

/// A question or an order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// A page of names.
    Names {
        /// What they begin with, in their normal form.
        #[serde(default)]
        prefix: String,
        /// All with a certificate in memory if absent.
        #[serde(default)]
        state: Option<NameState>,
        /// At most so many.
        limit: usize,
        /// Of the page before.
        #[serde(default)]
        cursor: Option<String>,
    },
    /// All that is known of a name.
    Inspect {
        /// The name, in any spelling.
        name: String,
    },
    /// Forgets all that is known of these names, in memory and on disk. What is under way is not stored.
    Purge {
        /// The names, in any spelling. If one is none that anybody could own, nothing is done.
        names: Vec<String>,
    },
    /// The same for all names.
    PurgeAll {},
    /// Waits until all that was to be written to disk is there. An error if the disk has not kept something of it.
    Sync {
        /// The same for what was to be written before: milliseconds.
        #[serde(default)]
        of_last_ms: u64,
    },
    /// Puts a text where the other nodes of the fleet find it, sealed, in place of the last one; done at once without a fleet.
    ShareText {
        /// What it is about, of the host's choice.
        about: String,
        /// The text; absent removes the last one.
        #[serde(default)]
        text: Option<String>,
    },
    /// The text that a node of the fleet has shared last.
    SharedText {
        /// What it is about.
        about: String,
    },
}

impl Operation {
    /// Reads an operation; the error says what is wrong with it, and quotes nothing of it.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => {
                    "unknown, or a field is unknown, missing or of the wrong type"
                }
                _ => "not a JSON document",
            };
            format!("operation: {what} (column {})", error.column())
        })
    }
}

impl Answer {
    /// Its JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What became of an operation.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of [`Operation::Names`].
    Names(NamesPage),
    /// Of [`Operation::Inspect`].
    Facts(NameFacts),
    /// Of [`Operation::Sync`] and [`Operation::ShareText`].
    Done {},
    /// Of [`Operation::SharedText`].
    Shared {
        /// `None` if there is none that can be opened.
        text: Option<String>,
    },
    /// Of a purge: how many names were known.
    Purged {
        /// Names in memory or on disk.
        purged: u64,
    },
}

/// Why an operation has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// A name that nobody could own.
    #[error("{name}: {error}")]
    InvalidName {
        /// What was given, cut and escaped.
        name: String,
        /// What is wrong with it.
        error: InvalidServerName,
    },
    /// A cursor that no page has given.
    #[error("the cursor is none that a page has given")]
    InvalidCursor,
    /// Nothing is known of the name.
    #[error("nothing is known of this name")]
    UnknownName,
    /// The disk has failed; the text says how.
    #[error("{0}")]
    Disk(String),
    /// The storage of the fleet has failed; the text says what that means.
    #[error("{0}")]
    Storage(String),
    /// The cache was closed, or a bug ended the operation.
    #[error("the cache was closed before it had answered")]
    Closed,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameState {
    /// A certificate in memory, within its lifetime.
    Fresh,
    /// One past its lifetime, served until a newer one comes.
    Stale,
    /// One in memory that is served no more.
    Expired,
    /// The backend has none.
    Negative,
    /// The last request failed.
    Failing,
    /// A file in the cache directory.
    Disk,
    /// To ask for: in memory, those whose certificates end first, the first of them first.
    Ending,
}

/// A page of names. It may be short, or empty, and yet not the last.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamesPage {
    /// The names, in their order unless the state has one of its own.
    pub names: Vec<NameSummary>,
    /// Of the next page.
    pub cursor: Option<String>,
}

/// A line of a page. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameSummary {
    /// In its normal form.
    pub name: String,
    /// What is known of it.
    pub state: NameState,
    /// When its certificate ends.
    pub not_after: Option<Timestamp>,
    /// When the lifetime ends of what is known.
    pub fresh_until: Option<Timestamp>,
    /// Since when requests for it fail.
    pub failing_since: Option<Timestamp>,
    /// From when on it may be asked for again.
    pub retry_at: Option<Timestamp>,
    /// Why the last request failed.
    pub last_error: Option<String>,
}

/// What is known of a name. Times are in milliseconds since the Unix epoch.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct NameFacts {
    /// In its normal form.
    pub name: String,
    /// Its certificates, in memory and on disk.
    pub entries: Vec<CertificateFacts>,
    /// Until then it is remembered that the backend has none.
    pub negative_until: Option<Timestamp>,
    /// Until then clients are turned away that can't use the certificate which the backend has.
    pub unsupported_until: Option<Timestamp>,
    /// Since when requests for it fail.
    pub failing_since: Option<Timestamp>,
    /// From when on it may be asked for again.
    pub retry_at: Option<Timestamp>,
    /// Why the last request failed.
    pub last_error: Option<String>,
    /// Why it is not known what lies on disk.
    pub disk_error: Option<String>,
    /// Why it is not known what lies on the fleet's storage.
    pub fleet_error: Option<String>,
}

/// One certificate of a name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// Its text in DER. The host knows how to read it.
    #[serde(serialize_with = "as_base64")]
    pub leaf: Vec<u8>,
    /// When the backend was asked.
    pub fetched_at: Timestamp,
    /// The end of its lifetime.
    pub fresh_until: Option<Timestamp>,
    /// Until when it is served if no newer one can be had.
    pub stale_until: Option<Timestamp>,
    /// [`NameState::Fresh`], `Stale` or `Expired`.
    pub state: NameState,
    /// Whether it is in memory.
    pub in_memory: bool,
    /// Whether it is on disk.
    pub on_disk: bool,
    /// Whether it is on the fleet's storage.
    pub in_fleet: bool,
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}
