//! Writes and reads under way, held by points of failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cached_http_core::engine::Lookup;
use cached_http_core::events::Outcome;
use cached_http_core::operations::{Answer, Operation, OperationError};
use fail::FailScenario;
use parking_lot::{Mutex, MutexGuard};

use crate::help::{Cache, ECDSA, NAME, ecdsa, files_below, until};
use crate::support::Step;
use crate::support::host::{RSA_ONLY, bundle, next_token};

/// Points of failure belong to the process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A point of failure that holds whoever comes there, and tells that somebody has.
struct Held {
    point: &'static str,
    has_come: Arc<AtomicBool>,
    may_go: Arc<AtomicBool>,
}

impl Held {
    fn at(point: &'static str) -> Self {
        let held = Held { point, has_come: Arc::default(), may_go: Arc::default() };
        let (has_come, may_go) = (Arc::clone(&held.has_come), Arc::clone(&held.may_go));
        fail::cfg_callback(point, move || {
            has_come.store(true, Ordering::SeqCst);
            while !may_go.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .unwrap();
        held
    }

    fn until_somebody_comes(&self) {
        until(self.point, || self.has_come.load(Ordering::SeqCst));
    }

    fn release(self) {
        fail::remove(self.point);
        self.may_go.store(true, Ordering::SeqCst);
    }
}

struct Scenario {
    scenario: FailScenario<'static>,
    _turn: MutexGuard<'static, ()>,
}

impl Scenario {
    fn begin() -> Self {
        let turn = ONE_AT_A_TIME.lock();
        Scenario { scenario: FailScenario::setup(), _turn: turn }
    }

    fn end(self) {
        self.scenario.teardown();
    }
}

/// Keeps the one thread that writes busy until the point is removed.
fn hold_the_writer(cache: &mut Cache) {
    let written = cache.host.engine.counters().disk_writes;
    cache.gets("other.example", ECDSA, &found("other.example"));
    cache.until_written(written + 1);
    fail::cfg("disk_remove", "pause").unwrap();
    cache.host.engine.purge(b"other.example").unwrap();
}

fn found(name: &str) -> Vec<Step> {
    vec![Step::respond("200 OK", "Cache-Control: s-maxage=10000\r\n", bundle(name, false))]
}

fn files(cache: &Cache) -> usize {
    files_below(&cache.directory.path.join("entries")).len()
}

#[test]
fn a_save_that_waits_does_not_undo_a_later_no() {
    let scenario = Scenario::begin();
    let mut cache = Cache::open();
    hold_the_writer(&mut cache);
    cache.gets(NAME, ECDSA, &ecdsa());
    cache.advance(10_000);
    cache.is_told_no(ECDSA);
    fail::remove("disk_remove");
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
    scenario.end();
}

/// The process may end before all is written.
#[test]
fn a_removal_does_not_wait_behind_saves() {
    let scenario = Scenario::begin();
    let mut cache = Cache::open();
    let written = cache.host.engine.counters().disk_writes;
    cache.gets(NAME, ECDSA, &ecdsa());
    cache.until_written(written + 1);
    hold_the_writer(&mut cache);
    for n in 0..10 {
        let name = format!("n{n}.example");
        cache.gets(&name, ECDSA, &found(&name));
    }
    cache.advance(10_000);
    cache.is_told_no(ECDSA);
    let saves = Arc::new(AtomicUsize::new(0));
    let saves_before = Arc::new(AtomicUsize::new(usize::MAX));
    let (counted, seen) = (Arc::clone(&saves), Arc::clone(&saves_before));
    fail::cfg_callback("disk_save", move || {
        counted.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    let removed = move || seen.store(saves.load(Ordering::SeqCst), Ordering::SeqCst);
    fail::cfg_callback("disk_remove", removed).unwrap();
    cache.stop();
    assert_eq!(saves_before.load(Ordering::SeqCst), 0);
    scenario.end();
}

#[test]
fn a_save_under_way_does_not_undo_a_later_purge() {
    let scenario = Scenario::begin();
    let mut cache = Cache::open();
    let save = Held::at("disk_save");
    cache.gets(NAME, ECDSA, &ecdsa());
    save.until_somebody_comes();
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    assert_eq!(files(&cache), 0, "the save is still under way");
    save.release();
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
    scenario.end();
}

#[test]
fn a_purge_is_answered_when_the_old_file_is_gone_though_a_save_has_come_in_its_place() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa());
    let file = cache.file();
    let old = std::fs::read(&file).unwrap();
    let save = Held::at("disk_save");
    cache.gets("other.example", ECDSA, &found("other.example"));
    save.until_somebody_comes(); // the writer hangs in this save
    let purge = Operation::Purge { names: vec![NAME.into()] };
    let config = cache.host.config.clone();
    cache.host.engine.operate(&config, purge, next_token()).unwrap();
    until("the purge has begun", || cache.host.look(NAME) == Lookup::Miss);
    cache.gets(NAME, ECDSA, &ecdsa()); // the next handshake
    std::thread::sleep(Duration::from_millis(100));
    assert!(cache.host.answers.is_empty() && std::fs::read(&file).unwrap() == old);
    save.release();
    let answer = cache.host.next_answer();
    assert_eq!(answer, Ok(Answer::Purged { purged: 1 }));
    assert!(std::fs::read(&file).unwrap() != old);
    scenario.end();
}

#[test]
fn looks_at_a_disk_that_hangs_are_answered_and_hold_up_nothing() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa());
    fail::cfg("disk_look", "pause").unwrap();
    let config = cache.host.config.clone();
    for _ in 0..100 {
        let look = Operation::Inspect { name: NAME.into() };
        cache.host.engine.operate(&config, look, next_token()).unwrap();
    }
    let begin = Instant::now();
    let names = Operation::Names { prefix: String::new(), state: None, limit: 9, cursor: None };
    cache.host.engine.operate(&config, names, next_token()).unwrap();
    let is_list = |answer: &Result<Answer, OperationError>| matches!(answer, Ok(Answer::Names(_)));
    while !is_list(&cache.host.next_answer()) {}
    cache.host.engine.operate(&config, Operation::PurgeAll {}, next_token()).unwrap();
    while cache.host.look(NAME) != Lookup::Miss {
        assert!(begin.elapsed() < Duration::from_secs(4), "a purge waits for looks");
        std::thread::sleep(Duration::from_millis(1));
    }
    let told = |answer: Result<Answer, OperationError>| match answer {
        Ok(Answer::Facts(facts)) => facts.disk_error.is_some(),
        _ => false,
    };
    while !told(cache.host.next_answer()) {}
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    fail::remove("disk_look");
    scenario.end();
}

#[test]
fn a_read_under_way_does_not_undo_a_later_purge() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa()).stop().restart();
    cache.backend.tell(&ecdsa());
    let read = Held::at("disk_loaded");
    let waits = cache.starts(ECDSA);
    read.until_somebody_comes();
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    read.release();
    assert!(matches!(cache.host.pump_until(waits), Outcome::Found(_)));
    assert_eq!(cache.host.look(NAME), Lookup::Miss);
    assert!(!cache.still_has(ECDSA));
    scenario.end();
}

#[test]
fn a_removal_that_waits_is_not_narrowed_by_a_later_one() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa());
    hold_the_writer(&mut cache);
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    cache.is_told_no(RSA_ONLY);
    fail::remove("disk_remove");
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0, "an RSA-only client's no leaves it alone, but the purge does not");
    scenario.end();
}

/// 21,000 purges leave 63,000 removals to be made, which is less than may wait, and twice as many are more.
#[test]
fn removals_that_were_made_leave_nothing_behind() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa());
    for round in 0..2 {
        hold_the_writer(&mut cache);
        purge_made_up_names(&cache, round, 21_000);
        fail::remove("disk_remove");
        // Behind them all.
        cache.gets("last.example", ECDSA, &found("last.example"));
        cache.until_written(3 + 2 * round);
        cache.host.engine.purge(b"last.example").unwrap();
    }
    let mut cache = cache.stop().restart();
    assert!(cache.serves(ECDSA), "others are not touched");
    scenario.end();
}

#[test]
fn a_removal_that_finds_no_room_is_made_all_the_same() {
    let scenario = Scenario::begin();
    let mut cache = Cache::with(&ecdsa()).stop().restart();
    hold_the_writer(&mut cache);
    purge_made_up_names(&cache, 0, 22_000);
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    assert!(!cache.serves(ECDSA), "what waits longer than any queue is not read");
    fail::remove("disk_remove");
    let stopped = cache.stop();
    let mut cache = stopped.restart();
    assert!(!cache.serves(ECDSA), "nor is it there after a restart");
    // The disk is trusted again.
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    cache.gets(NAME, ECDSA, &ecdsa());
    assert!(cache.still_has(ECDSA));
    scenario.end();
}

fn purge_made_up_names(cache: &Cache, round: u64, count: u64) {
    for n in 0..count {
        cache.host.engine.purge(format!("n{n}.round{round}.example").as_bytes()).unwrap();
    }
}
