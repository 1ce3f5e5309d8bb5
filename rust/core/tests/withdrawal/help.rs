//! A host with a folder, a backend that is told what to say, and looks at the folder's files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cached_http_core::clock::Clock;
use cached_http_core::engine::Lookup;
use cached_http_core::entry::ClientKind;
use cached_http_core::events::{Event, Outcome};
use cached_http_core::single_flight::Token;

use crate::support::Step;
pub(crate) use crate::support::host::files_below;
use crate::support::host::{CacheDirectory, Host, bundle, engine_settings, next_token};
use crate::support::told::ToldBackend;

pub(crate) const NAME: &str = "shop.example";
pub(crate) const ECDSA: ClientKind = ClientKind::Ecdsa;
pub(crate) const ED25519: ClientKind = ClientKind::Ed25519;

/// A lifetime that ends in no test by itself.
const FIELDS: &str = "Cache-Control: s-maxage=10000\r\n";

/// One cache over its restarts: the same folder, backend and clock.
pub(crate) struct Cache {
    pub(crate) host: Host,
    pub(crate) backend: ToldBackend,
    pub(crate) directory: CacheDirectory,
}

impl Cache {
    /// A cache whose backend keeps requests until it is told otherwise.
    pub(crate) fn open() -> Self {
        let (backend, directory) = (ToldBackend::start(), CacheDirectory::new());
        let host = Host::new(&backend.backend, Some(&directory.path), "");
        Cache { host, backend, directory }
    }

    /// A cache that holds [`NAME`], in memory and on disk.
    pub(crate) fn with(steps: &[Step]) -> Self {
        let mut cache = Self::open();
        cache.gets(NAME, ECDSA, steps);
        cache.until_written(1);
        cache
    }

    /// A client's handshake, answered by the backend like this: it is found.
    pub(crate) fn gets(&mut self, name: &str, client: ClientKind, steps: &[Step]) {
        self.backend.tell(steps);
        let outcome = self.host.ask_as(name, client);
        assert!(matches!(outcome, Outcome::Found(_)), "{outcome:?}");
    }

    /// A client's handshake, to which the backend says that there is no certificate.
    pub(crate) fn is_told_no(&mut self, client: ClientKind) {
        self.backend.tell(&no_certificate());
        assert_eq!(self.host.ask_as(NAME, client), Outcome::NoCertificate);
    }

    /// Starts a handshake whose request the backend keeps.
    pub(crate) fn starts(&mut self, client: ClientKind) -> Token {
        let token = next_token();
        assert_eq!(self.host.look_as(NAME, client, Some(token)), Lookup::Pending);
        token
    }

    /// Plays the host up to a candidate, and leaves that undecided.
    pub(crate) fn next_candidate(&mut self) -> cached_http_core::entry::EntryId {
        loop {
            for event in self.host.next_events(1) {
                match event {
                    Event::Candidate(id) => return id,
                    other => drop(self.host.handle(other)),
                }
            }
        }
    }

    /// Drives all entries out of memory.
    pub(crate) fn forget_memory(&mut self) {
        let mut settings = engine_settings(&self.backend.backend, Some(&self.directory.path));
        settings.max_memory = 1;
        self.host.engine.resize(&settings).unwrap();
        self.host.resize(&self.backend.backend, Some(&self.directory.path));
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.host.clock.advance(Duration::from_secs(seconds));
    }

    /// Ends the process, pending writes made.
    pub(crate) fn stop(self) -> Stopped {
        let Cache { host, backend, directory } = self;
        let clock = host.clock.clone();
        host.close();
        Stopped { clock, backend, directory }
    }

    /// Whether a client is served, here and after a restart, while the backend has nothing to say.
    pub(crate) fn still_has(mut self, client: ClientKind) -> bool {
        let here = self.serves(client);
        let mut restarted = self.stop().restart();
        here || restarted.serves(client)
    }

    /// Whether a client is served while the backend has nothing to say, and what it said before is over.
    pub(crate) fn serves(&mut self, client: ClientKind) -> bool {
        self.advance(61);
        self.backend.tell(&[Step::respond("500 Internal Server Error", "", "")]);
        matches!(self.host.ask_as(NAME, client), Outcome::Found(_))
    }

    pub(crate) fn until_written(&self, count: u64) {
        until("the entry is written", || self.host.engine.counters().disk_writes == count);
    }

    pub(crate) fn file(&self) -> PathBuf {
        file_in(&self.directory)
    }
}

/// A cache between two processes.
pub(crate) struct Stopped {
    pub(crate) clock: Clock,
    pub(crate) backend: ToldBackend,
    pub(crate) directory: CacheDirectory,
}

impl Stopped {
    pub(crate) fn restart(self) -> Cache {
        self.restart_with("")
    }

    pub(crate) fn restart_with(self, options: &str) -> Cache {
        let Stopped { clock, backend, directory } = self;
        let host = Host::with_clock(&backend.backend, Some(&directory.path), options, clock);
        Cache { host, backend, directory }
    }

    pub(crate) fn file(&self) -> PathBuf {
        file_in(&self.directory)
    }

    pub(crate) fn files(&self) -> usize {
        files_below(&self.directory.path.join("entries")).len()
    }
}

pub(crate) fn ecdsa() -> Vec<Step> {
    vec![Step::respond("200 OK", FIELDS, bundle(NAME, false))]
}

pub(crate) fn rsa() -> Vec<Step> {
    vec![Step::respond("200 OK", FIELDS, bundle(NAME, true))]
}

pub(crate) fn no_certificate() -> Vec<Step> {
    vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")]
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn file_in(directory: &CacheDirectory) -> PathBuf {
    let files = files_below(&directory.path.join("entries"));
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}
