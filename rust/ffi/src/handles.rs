//! Handles are numbers looked up in tables: a call after close finds nothing, and is an error rather than a
//! crash. Whoever found an object holds a count of it for the length of the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cached_http_core::engine::{Engine, LookupConfig};
use cached_http_core::keys::SigningKey;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::status::Status;

/// Names an open engine. Who opened it owns it: closes it once with `cached_http_engine_close`, and takes its events until
/// `CLOSED`. No handle is ever 0 or reused, so that one which is closed names nothing else.
pub type EngineHandle = u64;
/// Names an open config: one module instance's settings over an engine. Who opened it closes it once with
/// `cached_http_lookup_config_close`; until then it keeps its engine's memory, be the engine closed or not.
pub type LookupConfigHandle = u64;
/// Names a key to sign with. Who opened it closes it once with `cached_http_key_close`. The key itself stays with the
/// library, and outlives its entry and its engine until then.
pub type KeyHandle = u64;
/// Names one immutable generation of an entry. Not a handle: nobody owns it and there is nothing to close. It may leave
/// memory at any time (`GONE`), but no other entry ever gets its number.
pub type EntryId = u64;

/// One kind of handle.
pub(crate) struct Handles<T> {
    open: RwLock<Option<FxHashMap<u64, Arc<T>>>>,
}

/// A module instance together with the cache it looks into.
pub(crate) struct OpenLookupConfig {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<LookupConfig>,
}

pub(crate) static ENGINES: Handles<Engine> = Handles::new();
pub(crate) static LOOKUP_CONFIGS: Handles<OpenLookupConfig> = Handles::new();
pub(crate) static KEYS: Handles<SigningKey> = Handles::new();

/// The engine behind a handle that was not closed. A closed one stays in the table until it is drained.
pub(crate) fn open_engine(handle: u64) -> Result<Arc<Engine>, Status> {
    let engine = ENGINES.find(handle)?;
    if engine.is_closed() { Err(Status::Closed) } else { Ok(engine) }
}

impl<T> Handles<T> {
    const fn new() -> Self {
        Handles { open: RwLock::new(None) }
    }

    pub(crate) fn insert(&self, object: impl Into<Arc<T>>) -> u64 {
        // One sequence for all kinds: a handle passed as the wrong kind is not found.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        self.open.write().get_or_insert_default().insert(handle, object.into());
        handle
    }

    pub(crate) fn find(&self, handle: u64) -> Result<Arc<T>, Status> {
        let open = self.open.read();
        open.as_ref().and_then(|open| open.get(&handle)).cloned().ok_or(Status::Closed)
    }

    pub(crate) fn remove(&self, handle: u64) -> Result<Arc<T>, Status> {
        self.open.write().as_mut().and_then(|open| open.remove(&handle)).ok_or(Status::Closed)
    }

    fn count(&self) -> u64 {
        self.open.read().as_ref().map_or(0, |open| open.len() as u64)
    }
}

/// How many engines, configs and keys are open in this process: 0 where nothing leaks. Any thread; never
/// blocks.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_live_handles() -> u64 {
    ENGINES.count() + LOOKUP_CONFIGS.count() + KEYS.count()
}

/// Takes part in linking only: a caller takes its address, so that an archive with another ABI version does
/// not link. The number grows with each change that breaks callers.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_abi_5() {}
