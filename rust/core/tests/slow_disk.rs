//! A disk that does not answer, or whose reading panics, while the backend is well.
//! Run with `cargo test -p cached-http-core --features failpoints --test slow_disk`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cached_http_core::engine::Lookup;
use cached_http_core::events::Outcome;
use fail::FailScenario;
use parking_lot::Mutex;
use support::host::{CacheDirectory, Host, RSA_ONLY, answer, backend, files_below};
use support::{Step, TestBackend};

/// Points of failure belong to the process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn what_the_backend_has_withdrawn_does_not_come_back_from_a_disk_that_is_slow_to_forget() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let gone = Arc::new(AtomicBool::new(false));
    let backend = TestBackend::start({
        let gone = Arc::clone(&gone);
        move |request| match gone.load(Ordering::SeqCst) {
            false => vec![answer(request, "Cache-Control: s-maxage=100\r\n")],
            // Not to be kept: each handshake asks again, and looks at the disk before.
            true => vec![Step::respond("204 No Content", "Cache-Control: no-store\r\n", "")],
        }
    });
    let directory = CacheDirectory::new();
    let mut host =
        Host::new(&backend, Some(&directory.path), r#","stale_if_error_ms":86400000,"refresh_ahead":true"#);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    while host.engine.counters().disk_writes == 0 {
        std::thread::yield_now();
    }
    fail::cfg("disk_remove", "sleep(1000)").unwrap();
    gone.store(true, Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(100));
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    host.pump_one_fetch();
    for _ in 0..3 {
        assert_eq!(host.ask("known.example"), Outcome::NoCertificate);
    }
    scenario.teardown();
    host.close();
}

/// Removals that wait have everything cleared when they are too many: a scan of known names must queue none.
#[test]
fn a_no_to_rsa_only_clients_queues_no_removal_of_what_others_use() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let bundle = support::host::bundle("*.known.example", false);
    let backend = TestBackend::start(move |request| {
        let is_modern =
            request.parameter("signature_schemes").is_some_and(|schemes| schemes.starts_with("403"));
        match is_modern {
            true => vec![Step::respond("200 OK", "Cache-Control: s-maxage=86400\r\n", bundle.clone())],
            false => vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")],
        }
    });
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let names: Vec<_> = (0..10).map(|n| format!("n{n}.known.example")).collect();
    for name in &names {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    while host.engine.counters().disk_writes < names.len() as u64 {
        std::thread::yield_now();
    }
    let clock = host.clock.clone();
    host.close();

    let mut host = Host::with_clock(&backend, Some(&directory.path), "", clock);
    fail::cfg("disk_save", "pause").unwrap(); // the writer hangs
    assert!(matches!(host.ask("other.known.example"), Outcome::Found(_)));
    for name in &names {
        assert_eq!(host.ask_as(name, RSA_ONLY), Outcome::NoCertificate);
    }
    for name in &names {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    // What waits to be removed is not read. A machine that stalls makes a read late, which then counts for none.
    let disk_hits = host.engine.counters().disk_hits;
    assert!(disk_hits > names.len() as u64 / 2, "{disk_hits} of {} are read from disk", names.len());
    scenario.teardown();
    host.close();
}

#[test]
fn a_write_that_panics_ends_no_later_one() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let backend = backend("Cache-Control: s-maxage=86400\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(10), "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    fail::cfg("disk_save", "1*panic").unwrap();
    assert!(matches!(host.ask("known-0.example"), Outcome::Found(_)));
    std::thread::sleep(Duration::from_millis(200));
    assert!(matches!(host.ask("known-1.example"), Outcome::Found(_)));
    until("both are written", &|| host.engine.counters().disk_writes == 2);
    fail::cfg("disk_remove", "1*panic").unwrap();
    host.engine.purge(b"known-0.example").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(matches!(host.ask("known-2.example"), Outcome::Found(_)));
    until("the third is written", &|| host.engine.counters().disk_writes == 3);
    host.engine.purge(b"none.example").unwrap();
    until("the first is removed", &|| host.engine.sizes().disk_entries == 2);
    scenario.teardown();
    host.close();
}

#[test]
fn a_disk_that_hangs_fails_no_handshake() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let backend = backend("Cache-Control: s-maxage=86400\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    const NAMES: usize = 12;
    for n in 0..NAMES {
        assert!(matches!(host.ask(&format!("known-{n}.example")), Outcome::Found(_)));
    }
    host.close();

    let mut host = Host::new(&backend, Some(&directory.path), "");
    let mut names = (0..NAMES).map(|n| format!("known-{n}.example"));
    let mut ask = || {
        let (name, begin) = (names.next().expect("another name"), Instant::now());
        assert!(matches!(host.ask(&name), Outcome::Found(_)), "{name}");
        let counters = host.engine.counters();
        (begin.elapsed(), backend.count() - NAMES, counters.disk_hits, counters.disk_errors)
    };
    fail::cfg("disk_read", "sleep(6000)").unwrap();
    let hung = Instant::now();
    let (first, requests, ..) = ask();
    // The machine may be slow once or twice.
    let next = (0..3).map(|_| ask().0).min().unwrap_or_default();
    println!("a disk that hangs: the first name after {first:?}, the next after {next:?}");
    assert!(first < Duration::from_secs(5) && requests == 1, "{first:?}, {requests} requests");
    assert!(next < Duration::from_millis(500), "the next waits for a disk that is known to hang: {next:?}");

    fail::remove("disk_read");
    std::thread::sleep(Duration::from_millis(6300).saturating_sub(hung.elapsed()));
    let mut expected = 4;
    let (mut requests, mut disk_hits, mut disk_errors);
    loop {
        (_, requests, disk_hits, disk_errors) = ask();
        if disk_hits > 0 || expected == 8 {
            break;
        }
        expected += 1; // the read that hung has not ended yet
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((requests, disk_hits, disk_errors), (expected, 1, 1), "the disk is used again");

    fail::cfg("disk_read", "panic").unwrap();
    let (_, requests, disk_hits, _) = ask();
    assert_eq!((requests, disk_hits), (expected + 1, 1), "a read that panics");
    scenario.teardown();
    let told = host.logs.iter().filter(|record| record.message.contains("does not answer in time")).count();
    assert_eq!(told, 1, "{:?}", host.logs);
}

#[test]
fn a_panic_in_the_last_write_ends_the_events_all_the_same() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let backend = backend("Cache-Control: s-maxage=86400\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    fail::cfg("disk_save", "panic").unwrap();
    assert!(matches!(host.ask("known-0.example"), Outcome::Found(_)));
    host.engine.close();
    let begun = Instant::now();
    while host.engine.next_events(16).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the host waits for ever");
        std::thread::sleep(Duration::from_millis(1));
    }
    scenario.teardown();
}

#[test]
fn a_thread_that_can_not_be_made_once_ends_no_retries() {
    let _turn = ONE_AT_A_TIME.lock();
    let scenario = FailScenario::setup();
    let backend = backend("Cache-Control: s-maxage=86400\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let elsewhere = directory.path.with_extension("not-mounted");
    fail::cfg("timer_thread", "return").unwrap();
    for name in ["known-0.example", "known-1.example"] {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    host.operate(r#"{"sync": {}}"#).unwrap();
    std::fs::rename(&directory.path, &elsewhere).unwrap();
    host.operate(r#"{"purge": {"names": ["known-0.example"]}}"#).unwrap_err();
    scenario.teardown();
    // Whatever wants something of the disk.
    host.operate(r#"{"purge": {"names": ["known-1.example"]}}"#).unwrap_err();
    std::fs::rename(&elsewhere, &directory.path).unwrap();
    let begun = Instant::now();
    while !files_below(&directory.path.join("entries")).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody tries again");
        std::thread::sleep(Duration::from_millis(10));
    }
}
