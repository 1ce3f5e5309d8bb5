//! The model all parts share: what is kept for a name, and under which key.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use compact_str::CompactString;

use crate::bundle::Bundle;
use crate::clock::Timestamp;
use crate::freshness::{RefreshJitter, ResponseFreshness};
use crate::keys::KeyAlgorithm;

/// Names one immutable generation of an entry. Never reused while the process lives; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

impl EntryId {
    /// The next unused id of this process.
    pub fn next() -> Self {
        // An entry is refreshed ahead earlier or later by its id: nodes of a fleet that fetch the same names in the same order
        // must not renew them at the same moment.
        static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(fastrand::u64(1..1 << 48)));
        EntryId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a client can do with certificates, from its ClientHello. Each kind can use what those before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKind {
    /// It can use RSA certificates only.
    RsaOnly,
    /// It can use ECDSA certificates, too: browsers.
    Ecdsa,
    /// It can use Ed25519 certificates, too: openssl, curl, Go.
    Ed25519,
}

impl ClientKind {
    /// All kinds, the least capable first.
    pub const ALL: [ClientKind; 3] = [ClientKind::RsaOnly, ClientKind::Ecdsa, ClientKind::Ed25519];

    /// The least capable kind of client that can use a certificate with this key.
    pub fn for_key(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::Rsa { .. } => ClientKind::RsaOnly,
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => ClientKind::Ecdsa,
            KeyAlgorithm::Ed25519 => ClientKind::Ed25519,
        }
    }

    /// Whether such a client can use a certificate with this key.
    pub fn can_use(self, algorithm: KeyAlgorithm) -> bool {
        ClientKind::for_key(algorithm) <= self
    }

    /// Under which kinds an entry may lie that such a client can use, in the order in which to look. An RSA
    /// certificate that was sent to a client of another kind serves all; the reverse would hide an ECDSA certificate
    /// that the backend may have.
    pub fn usable(self) -> &'static [ClientKind] {
        match self {
            ClientKind::RsaOnly => &[ClientKind::RsaOnly, ClientKind::Ecdsa],
            ClientKind::Ecdsa => &[ClientKind::Ecdsa],
            ClientKind::Ed25519 => &[ClientKind::Ecdsa, ClientKind::Ed25519],
        }
    }

    /// Under which kind an answer is stored that such a client was given: what a client of less capability can use
    /// as well must not be hidden from it, nor be taken from it by a client of more.
    pub fn stores_under(self, algorithm: KeyAlgorithm) -> ClientKind {
        match ClientKind::for_key(algorithm) {
            ClientKind::RsaOnly => self.min(ClientKind::Ecdsa),
            kind => kind,
        }
    }
}

/// What an entry is kept under: a normalised name and a kind of client. A backend may have a certificate of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// The normalised server name; most lie here, without an allocation of their own.
    pub name: CompactString,
    /// The kind of client that it is for.
    pub client: ClientKind,
}

/// The borrowed form of [`EntryKey`], so that a lookup allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKeyRef<'a> {
    /// The normalised server name.
    pub name: &'a str,
    /// The kind of client that it is for.
    pub client: ClientKind,
}

impl EntryKey {
    /// A name's keys, one for each kind of client.
    pub fn all_kinds(name: &CompactString) -> [EntryKey; 3] {
        ClientKind::ALL.map(|client| EntryKey { name: name.clone(), client })
    }

    /// This key, borrowed.
    pub fn borrowed(&self) -> EntryKeyRef<'_> {
        EntryKeyRef { name: &self.name, client: self.client }
    }
}

impl<'a> EntryKeyRef<'a> {
    /// This key, owned.
    pub fn to_owned(self) -> EntryKey {
        EntryKey { name: self.name.into(), client: self.client }
    }

    /// The same name's key for another kind of client.
    pub fn of(self, client: ClientKind) -> EntryKeyRef<'a> {
        EntryKeyRef { client, ..self }
    }

    /// The name's keys, one for each kind of client.
    pub fn all_kinds(self) -> impl Iterator<Item = EntryKeyRef<'a>> {
        ClientKind::ALL.into_iter().map(move |client| self.of(client))
    }
}

impl quick_cache::Equivalent<EntryKey> for EntryKeyRef<'_> {
    fn equivalent(&self, key: &EntryKey) -> bool {
        *self == key.borrowed()
    }
}

/// What the backend's response said beside the bundle; kept on disk with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseMetadata {
    /// When the backend was asked: its lifetime counts from then.
    pub fetched_at: Timestamp,
    /// How long the response says it may be used.
    pub freshness: ResponseFreshness,
    /// The `ETag` of the response, for a conditional request.
    pub etag: Option<Box<str>>,
    /// The `Last-Modified` of the response, for a conditional request.
    pub last_modified: Option<Box<str>>,
}

/// One answer of the backend. Immutable: a newer answer is a new entry with a new id.
#[derive(Debug)]
pub struct Entry {
    /// This generation's id.
    pub id: EntryId,
    /// The checked certificate chain and its private key; shared with the generations that the backend renewed
    /// without sending it again.
    pub bundle: Arc<Bundle>,
    /// What the response said beside them.
    pub metadata: ResponseMetadata,
    /// The further query parameters it was fetched with, for the next time.
    pub handshake_params: Arc<str>,
    // Of the bundle's, what every lookup asks: it lies elsewhere in memory, and of a million hardly any is in the
    // processor's cache.
    not_after: Timestamp,
    algorithm: KeyAlgorithm,
    // The parts of its key, side by side with other small ones: a million names pay for each gap.
    name: CompactString,
    client: ClientKind,
    weight: u32,
    opened: AtomicBool,
    refreshing: AtomicBool,
}

impl Entry {
    /// A new generation with an id of its own.
    pub fn new(
        key: EntryKey,
        bundle: Arc<Bundle>,
        metadata: ResponseMetadata,
        handshake_params: Arc<str>,
    ) -> Self {
        let validators = [&metadata.etag, &metadata.last_modified];
        let validators: usize = validators.into_iter().flatten().map(|validator| validator.len()).sum();
        let weight =
            size_of::<Self>() + name_weight(&key.name) + bundle.weight() + validators + STORE_OVERHEAD;
        let EntryKey { name, client } = key;
        let (not_after, algorithm) = (bundle.not_after(), bundle.private_key().algorithm());
        Entry {
            id: EntryId::next(),
            bundle,
            metadata,
            handshake_params,
            not_after,
            algorithm,
            name,
            client,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            opened: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
        }
    }

    /// Counts what the names take that it shares.
    pub fn with_further_weight(mut self, bytes: usize) -> Self {
        self.weight = self.weight.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self
    }

    /// What it is kept under.
    pub fn key(&self) -> EntryKeyRef<'_> {
        EntryKeyRef { name: &self.name, client: self.client }
    }

    /// When its certificate stops being valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The kind of its private key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Notes that the host has built something of its own from this entry and wants to hear of its end.
    pub fn mark_opened(&self) {
        self.opened.store(true, Ordering::Release);
    }

    /// Whether the host has built something from it.
    pub fn was_opened(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    /// How early it is fetched anew.
    pub fn refresh_jitter(&self) -> RefreshJitter {
        // Multiplicative hashing: neighbouring ids give distant spreads.
        RefreshJitter((self.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
    }

    /// Asks to be the one that fetches a newer generation; true for one caller until
    /// [`Entry::end_refresh`].
    pub fn begin_refresh(&self) -> bool {
        !self.refreshing.load(Ordering::Acquire) && !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// Notes that a refresh has ended.
    pub fn end_refresh(&self) {
        self.refreshing.store(false, Ordering::Release);
    }

    /// Bytes it occupied in memory when it was made, about: its own, the bundle's, and what the stores add. It
    /// stays the same, so that a store's sums do.
    pub fn weight(&self) -> u64 {
        self.weight.into()
    }
}

/// What a name occupies beyond its place in a key.
fn name_weight(name: &CompactString) -> usize {
    if name.is_heap_allocated() { name.capacity() } else { 0 }
}

/// Index slots and allocator rounding per entry.
const STORE_OVERHEAD: usize = 128;
