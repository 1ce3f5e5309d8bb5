//! The words between an engine and the host's storage, which all nodes of a fleet share: the host carries out what the engine
//! wants. Keys and values say nothing that must be kept secret: values are sealed.

/// One operation that the engine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRequest {
    /// Which one it is, for the answer.
    pub id: RequestId,
    /// The storage's key: parts with slashes between them, of letters, digits and underscores.
    pub key: String,
    /// What to do.
    pub operation: StorageOperation,
}

/// Names one request. Never reused while the process lives; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What to do with a key.
#[derive(Clone, PartialEq, Eq)]
pub enum StorageOperation {
    /// Read its value.
    Load,
    /// Write this value.
    Store(Vec<u8>),
    /// Remove it.
    Delete,
}

impl StorageOperation {
    /// As logs call it.
    pub fn name(&self) -> &'static str {
        match self {
            StorageOperation::Load => "load",
            StorageOperation::Store(_) => "store",
            StorageOperation::Delete => "delete",
        }
    }
}

impl std::fmt::Debug for StorageOperation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StorageOperation::Load => formatter.write_str("Load"),
            StorageOperation::Store(value) => write!(formatter, "Store({} bytes)", value.len()),
            StorageOperation::Delete => formatter.write_str("Delete"),
        }
    }
}

/// What became of a request. The host says so when the storage has returned, however late that is: until then the request
/// keeps its place among those that may be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageAnswer {
    /// The value of a key.
    Found(Vec<u8>),
    /// There is no such key.
    Missing,
    /// It is written, or removed.
    Done,
    /// The storage has failed; the text says how.
    Failed(String),
}
