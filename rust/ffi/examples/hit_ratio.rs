//! Whether hot names stay in memory while names that are asked for once pass by: the memory store against a
//! plain LRU of the same bytes.
//!
//! ```sh
//! cargo run --release --example hit_ratio -p cached-http-ffi
//! ```
//! 100,000 names asked for by Zipf's law (exponent 1), a store for 10,000 of them, and between every two lookups
//! one for a name of a scan, until the scan has brought ten times what the store holds. Prints one JSON object
//! per figure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cached_http_core::bundle::Bundle;
use cached_http_core::clock::Timestamp;
use cached_http_core::entry::{ClientKind, Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use cached_http_core::freshness::{FreshnessLifetime, ResponseFreshness};
use cached_http_core::memory_store::MemoryStore;
use rcgen::{CertificateParams, KeyPair};

const NAMES: usize = 100_000;
const ENTRIES_OF_THE_STORE: usize = 10_000;
const SCANNED: usize = 10 * ENTRIES_OF_THE_STORE;

fn main() {
    let source = Source::generate();
    let capacity = source.entry(&zipf_name(0)).weight() * ENTRIES_OF_THE_STORE as u64;
    let cold = || Random(0x9e37_79b9_7f4a_7c15);
    let ours = hit_ratio(&source, cold(), &mut Ours(MemoryStore::new(capacity)));
    let lru = hit_ratio(&source, cold(), &mut Lru::new(capacity));
    println!(
        r#"{{"row":"hit ratio of hot names during a scan, memory store","value":{ours:.4},"unit":"ratio","target":"> {lru:.4}","pass":{}}}"#,
        ours > lru
    );
    println!(
        r#"{{"row":"hit ratio of hot names during a scan, plain LRU","value":{lru:.4},"unit":"ratio","note":"for comparison"}}"#
    );
}

/// A bounded store as its user sees it.
trait Store {
    fn has(&mut self, name: &str) -> bool;
    fn insert(&mut self, entry: Entry);
}

/// The share of lookups by Zipf's law that hit while the scan passes. The store is warm when that begins.
fn hit_ratio(source: &Source, mut random: Random, store: &mut impl Store) -> f64 {
    let zipf = Zipf::new(NAMES);
    let ask = |store: &mut _, name: &str| {
        let hit = Store::has(store, name);
        if !hit {
            Store::insert(store, source.entry(name));
        }
        hit
    };
    for _ in 0..SCANNED {
        ask(store, &zipf_name(zipf.draw(&mut random)));
    }
    let mut hits = 0;
    for scanned in 0..SCANNED {
        hits += usize::from(ask(store, &zipf_name(zipf.draw(&mut random))));
        ask(store, &format!("scan{scanned:06}.example"));
    }
    hits as f64 / SCANNED as f64
}

fn zipf_name(rank: usize) -> String {
    format!("name{rank:06}.example")
}

struct Ours(MemoryStore);

impl Store for Ours {
    fn has(&mut self, name: &str) -> bool {
        self.0.entry_for(EntryKeyRef { name, client: ClientKind::Ecdsa }).is_some()
    }

    fn insert(&mut self, entry: Entry) {
        let _evicted = self.0.insert(Arc::new(entry));
    }
}

/// The yardstick: what was not asked for the longest goes first.
struct Lru {
    capacity: u64,
    bytes: u64,
    uses: u64,
    by_name: HashMap<String, (u64, Entry)>,
    by_use: BTreeMap<u64, String>,
}

impl Lru {
    fn new(capacity: u64) -> Self {
        Lru { capacity, bytes: 0, uses: 0, by_name: HashMap::new(), by_use: BTreeMap::new() }
    }
}

impl Store for Lru {
    fn has(&mut self, name: &str) -> bool {
        let Some((last_use, _)) = self.by_name.get_mut(name) else { return false };
        self.uses += 1;
        let name = self.by_use.remove(last_use).expect("both maps have the name");
        *last_use = self.uses;
        self.by_use.insert(self.uses, name);
        true
    }

    fn insert(&mut self, entry: Entry) {
        self.uses += 1;
        self.bytes += entry.weight();
        self.by_use.insert(self.uses, entry.key().name.to_owned());
        self.by_name.insert(entry.key().name.to_owned(), (self.uses, entry));
        while self.bytes > self.capacity {
            let (_, name) = self.by_use.pop_first().expect("bytes belong to an entry");
            let (_, entry) = self.by_name.remove(&name).expect("both maps have the name");
            self.bytes -= entry.weight();
        }
    }
}

/// Ranks 0, 1, 2... with probabilities proportional to 1, 1/2, 1/3...
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let add = |rank| {
            sum += 1.0 / (rank as f64);
            sum
        };
        Zipf { cumulative: (1..=ranks).map(add).collect() }
    }

    fn draw(&self, random: &mut Random) -> usize {
        let point = random.fraction() * self.cumulative[self.cumulative.len() - 1];
        self.cumulative.partition_point(|sum| *sum <= point).min(self.cumulative.len() - 1)
    }
}

/// xorshift64: the same draws for both stores and in each run.
struct Random(u64);

impl Random {
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One real bundle, parsed anew for each entry: what counts here is what an entry weighs.
struct Source {
    pem: String,
}

impl Source {
    fn generate() -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let parameters = CertificateParams::new(vec![zipf_name(0)]).expect("a DNS name");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Source { pem: certificate.pem() + &key.serialize_pem() }
    }

    fn entry(&self, name: &str) -> Entry {
        let lifetime = FreshnessLifetime::Explicit(Duration::from_secs(60));
        let freshness = ResponseFreshness { lifetime, must_revalidate: false };
        let metadata =
            ResponseMetadata { fetched_at: Timestamp(0), freshness, etag: None, last_modified: None };
        let bundle = Bundle::parse(self.pem.as_bytes()).expect("a sound bundle");
        Entry::new(
            EntryKey { name: name.into(), client: ClientKind::Ecdsa },
            Arc::new(bundle),
            metadata,
            "".into(),
        )
    }
}
