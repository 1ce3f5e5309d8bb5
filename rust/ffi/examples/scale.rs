//! What names cost in memory and in time, as their number grows. In one process, with the allocator that
//! Caddy gets: bundles are parsed as a backend's answers are, and kept in the memory store.
//!
//! ```sh
//! cargo run --release --example scale -p cached-http-ffi -- [COUNT | --curve]
//! ```
//! Prints one JSON object per figure; with `--curve`, a Markdown table of 1,000 to 1,000,000 names, each number
//! in a process of its own.

// Linked for its global allocator, which wipes what it frees.
extern crate cached_http as _;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cached_http_core::bundle::Bundle;
use cached_http_core::clock::{Clock, Timestamp};
use cached_http_core::entry::{ClientKind, Entry, EntryKey, EntryKeyRef, ResponseMetadata};
use cached_http_core::freshness::{self, Freshness, FreshnessLifetime, FreshnessSettings, ResponseFreshness};
use cached_http_core::interner::Interner;
use cached_http_core::memory_store::MemoryStore;
use cached_http_core::server_name::{NameBuffer, ServerName};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const MILLION: usize = 1_000_000;
const GIBIBYTE: usize = 1 << 30;
/// What a name may take if a million are to fit into 2 GiB. Also the store's capacity per name.
const BYTES_PER_NAME: usize = 2 * GIBIBYTE / MILLION;
/// Kept certificates are distinct; so many of their keys are.
const DISTINCT_KEYS: usize = 64;
/// Their median counts: other programs may run beside this one.
const LOOKUP_ROUNDS: usize = 5;
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = |count: &str| count.parse().expect("COUNT is a number");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => report(&measure(MILLION)),
        ["--curve"] => curve(),
        [count] => report(&measure(names(count))),
        ["--row", count] => table_row(&measure(names(count))),
        _ => panic!("usage: scale [COUNT | --curve]"),
    }
}

/// What was measured with `names` names.
struct Figures {
    names: usize,
    fill_us: f64,
    rss_bytes: usize,
    bytes_per_name: f64,
    weight_per_name: f64,
    lookup_ns: f64,
    refetches: usize,
    /// All names, page by page, as an operator lists them.
    walk: Duration,
    /// The 99th percentile of lookups during the walk, as a multiple of that before it.
    walk_p99_ratio: f64,
    /// Everything purged: until nothing is found any more, and until its memory is given back.
    purge: Duration,
    give_back: Duration,
    /// The longest lookup meanwhile.
    longest_lookup: Duration,
}

fn measure(names: usize) -> Figures {
    let templates = Templates::generate();
    let before = resident_bytes();

    // Small stores get some room: a capacity is split between shards, which don't fill evenly.
    let store = MemoryStore::new((names.max(20_000) * BYTES_PER_NAME) as u64);
    let start = Instant::now();
    fill(&store, &templates, names);
    let fill_us = start.elapsed().as_secs_f64() * 1e6 / names as f64;
    let rss_bytes = resident_bytes();

    let order = shuffled(names);
    let now = Clock::system().now();
    let found = order.iter().filter(|name| look_up(&store, name.as_bytes(), now)).count();
    let mut rounds: Vec<f64> = (0..LOOKUP_ROUNDS).map(|_| time_lookups(&store, &order, now)).collect();
    rounds.sort_by(f64::total_cmp);
    let lookup_ns = rounds[LOOKUP_ROUNDS / 2];
    let weight_per_name = store.bytes() as f64 / names as f64;

    let quiet = lookups_during(&store, &order, now, || std::thread::sleep(Duration::from_millis(500)));
    let start = Instant::now();
    let walked = lookups_during(&store, &order, now, || walk(&store));
    let walk = start.elapsed();
    let mut purge = Duration::ZERO;
    let start = Instant::now();
    let purged = lookups_during(&store, &order, now, || {
        store.invalidate();
        purge = start.elapsed();
        give_back(&store);
    });
    let give_back = start.elapsed();

    Figures {
        names,
        fill_us,
        rss_bytes,
        bytes_per_name: rss_bytes.saturating_sub(before) as f64 / names as f64,
        weight_per_name,
        lookup_ns,
        refetches: names - found,
        walk,
        walk_p99_ratio: percentile(&walked, 99).as_secs_f64() / percentile(&quiet, 99).as_secs_f64(),
        purge,
        give_back,
        longest_lookup: purged.last().copied().unwrap_or_default(),
    }
}

/// How long lookups took while something else was done, in order.
fn lookups_during(
    store: &MemoryStore,
    order: &[String],
    now: Timestamp,
    work: impl FnOnce(),
) -> Vec<Duration> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lookups = scope.spawn(|| {
            let mut times = Vec::new();
            let mut names = order.iter().cycle();
            while !done.load(Ordering::Relaxed)
                && let Some(name) = names.next()
            {
                let start = Instant::now();
                black_box(look_up(store, name.as_bytes(), now));
                times.push(start.elapsed());
            }
            times
        });
        work();
        done.store(true, Ordering::Relaxed);
        let mut times = lookups.join().expect("lookups don't panic");
        times.sort();
        times
    })
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

fn walk(store: &MemoryStore) {
    let mut after = String::new();
    while let Some(next) = black_box(store.page("", &after, 256)).next {
        after = next.to_string();
    }
}

fn give_back(store: &MemoryStore) {
    let mut after = String::new();
    while let (_retired, Some(next)) = store.remove_invalid(&after) {
        after = next.to_string();
    }
}

/// Nanoseconds of one lookup, on average.
fn time_lookups(store: &MemoryStore, order: &[String], now: Timestamp) -> f64 {
    let start = Instant::now();
    for name in order {
        black_box(look_up(store, black_box(name.as_bytes()), now));
    }
    start.elapsed().as_secs_f64() * 1e9 / order.len() as f64
}

/// What the cache does for a hit, but for its counters.
fn look_up(store: &MemoryStore, server_name: &[u8], now: Timestamp) -> bool {
    let settings =
        FreshnessSettings { pinned: None, default: LIFETIME, stale_if_error: LIFETIME, refresh_ahead: true };
    let mut buffer = NameBuffer::default();
    let Ok(name) = ServerName::parse(server_name, &mut buffer) else { return false };
    let Some(entry) = store.entry_for(EntryKeyRef { name: name.as_str(), client: ClientKind::Ecdsa }) else {
        return false;
    };
    let (metadata, not_after) = (&entry.metadata, entry.not_after());
    let spread = entry.refresh_jitter();
    freshness::evaluate(&metadata.freshness, metadata.fetched_at, not_after, settings, spread, now)
        == Freshness::Fresh
}

/// Parses and keeps a bundle for each name, on as many threads as there are processors.
fn fill(store: &MemoryStore, templates: &Templates, names: usize) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let now = Clock::system().now();
    let query: &Arc<str> = &"".into();
    let issuers = &Interner::default();
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for number in (first..names).step_by(threads) {
                    let freshness = ResponseFreshness {
                        lifetime: FreshnessLifetime::Explicit(LIFETIME),
                        must_revalidate: false,
                    };
                    let metadata =
                        ResponseMetadata { fetched_at: now, freshness, etag: None, last_modified: None };
                    let key = EntryKey { name: name(number).into(), client: ClientKind::Ecdsa };
                    let mut bundle = templates.bundle(number);
                    bundle.share_issuers(|own| issuers.intern(own));
                    // The host opens each candidate; from then on its parsed key is the host's.
                    drop(bundle.private_key().signing_key());
                    let _evicted = store.insert(Arc::new(Entry::new(
                        key,
                        Arc::new(bundle),
                        metadata,
                        Arc::clone(query),
                    )));
                }
            });
        }
    });
}

fn name(number: usize) -> String {
    format!("shop{number:08}.example")
}

/// All names in random order, so that no lookup finds its entry in the processor's engine. The names themselves lie
/// in that order, since the name of a handshake was just read.
fn shuffled(names: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..names).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..names).rev() {
        // xorshift64: any order without a pattern will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order.into_iter().map(name).collect()
}

/// Real leaves with real keys, and their issuer. A million key pairs would take minutes; a bundle that differs
/// only by its name takes the same memory, and nothing here looks at the issuer's signature.
struct Templates {
    leaves: Vec<Leaf>,
    issuer_pem: String,
}

struct Leaf {
    der: Vec<u8>,
    key_pem: String,
}

impl Templates {
    fn generate() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.distinguished_name.push(DnType::OrganizationName, "A certificate authority");
        parameters.distinguished_name.push(DnType::CommonName, "Issuing authority of the measurement");
        let issuer_key = KeyPair::generate().expect("a key pair");
        let issuer_pem = parameters.self_signed(&issuer_key).expect("an issuer").pem();
        let issuer = Issuer::new(parameters, issuer_key);
        let leaves = (0..DISTINCT_KEYS).map(|_| Leaf::generate(&issuer)).collect();
        Templates { leaves, issuer_pem }
    }

    /// A bundle for a name: a leaf for it alone, with memory of its own for leaf and key.
    fn bundle(&self, number: usize) -> Bundle {
        let leaf = &self.leaves[number % self.leaves.len()];
        let mut der = leaf.der.clone();
        let (placeholder, wanted) = (name(0), name(number));
        let places: Vec<usize> =
            (0..der.len()).filter(|place| der[*place..].starts_with(placeholder.as_bytes())).collect();
        assert!(!places.is_empty(), "the leaf has its name");
        for place in places {
            der[place..place + wanted.len()].copy_from_slice(wanted.as_bytes());
        }
        let (body, issuer, key) = (STANDARD.encode(der), &self.issuer_pem, &leaf.key_pem);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n{issuer}\n{key}");
        Bundle::parse(pem.as_bytes()).expect("a sound bundle")
    }
}

impl Leaf {
    fn generate(issuer: &Issuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut parameters = CertificateParams::new(vec![name(0)]).expect("a DNS name");
        parameters.distinguished_name.push(DnType::CommonName, name(0));
        parameters.use_authority_key_identifier_extension = true;
        let der = parameters.signed_by(&key, issuer).expect("a leaf").der().to_vec();
        Leaf { der, key_pem: key.serialize_pem() }
    }
}

/// The process's resident memory, from Linux.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}

fn report(figures: &Figures) {
    let Figures { names, .. } = figures;
    let row = |what: &str, value: f64, unit: &str, target: f64| {
        let pass = value <= target;
        println!(
            r#"{{"row":"{what}, {names} names","value":{value:.1},"unit":"{unit}","target":"<= {target}","pass":{pass}}}"#
        );
    };
    let mebibyte = (1 << 20) as f64;
    row("RSS per name", figures.bytes_per_name, "bytes", BYTES_PER_NAME as f64);
    row("RSS", figures.rss_bytes as f64 / mebibyte, "MiB", (2 * GIBIBYTE) as f64 / mebibyte);
    row("lookup in random order", figures.lookup_ns, "ns", 1000.0);
    row("refetches", figures.refetches as f64, "names", 0.0);
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    row("p99 of lookups while all are listed, of that before", figures.walk_p99_ratio, "x", 1.2);
    row("all listed", milliseconds(figures.walk), "ms", 2000.0);
    row("all purged: nothing is found", milliseconds(figures.purge), "ms", 1.0);
    row("all purged: memory given back", milliseconds(figures.give_back), "ms", 2000.0);
    row("longest lookup meanwhile", milliseconds(figures.longest_lookup), "ms", 50.0);
}

fn curve() {
    println!(
        "| names | RSS | RSS per name | counted by the store | one lookup | refetches | parse and keep |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for names in [1_000, 10_000, 100_000, MILLION] {
        // Memory that an earlier number left behind would count for a later one.
        let program = std::env::current_exe().expect("a path");
        let status = std::process::Command::new(program).args(["--row", &names.to_string()]).status();
        assert!(status.expect("this program runs").success());
    }
}

fn table_row(figures: &Figures) {
    let Figures { names, rss_bytes, bytes_per_name, weight_per_name, lookup_ns, refetches, fill_us, .. } =
        figures;
    let mebibytes = rss_bytes >> 20;
    println!(
        "| {names} | {mebibytes} MiB | {bytes_per_name:.0} B | {weight_per_name:.0} B | {lookup_ns:.0} ns \
         | {refetches} | {fill_us:.0} us |"
    );
}
