//! What is served while the backend fails, when it is asked again, and how often.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use cached_http_core::engine::{Lookup, LookupRequest};
use cached_http_core::events::Outcome;
use support::host::{CacheDirectory, Host, MODERN, RSA_ONLY, answer, bundle, next_token, request};
use support::{Step, TestBackend};

/// A day past its lifetime of 100 s, and refreshed ahead.
const STALE: &str = r#","stale_if_error_ms":86400000,"refresh_ahead":true"#;
const FIELDS: &str = "Cache-Control: s-maxage=100\r\nETag: \"v1\"\r\n";

const UP: u8 = 0;
const STATUS_500: u8 = 1;
const RESET: u8 = 2;

/// A backend whose state a test changes.
struct Moody {
    backend: TestBackend,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn start(fields: &'static str) -> Self {
        let mood = Arc::new(AtomicU8::new(UP));
        let backend = TestBackend::start({
            let mood = Arc::clone(&mood);
            move |request| match mood.load(Ordering::SeqCst) {
                UP => vec![answer(request, fields)],
                STATUS_500 => vec![Step::respond("500 Internal Server Error", "", "")],
                _ => vec![Step::Reset],
            }
        });
        Moody { backend, mood }
    }

    fn becomes(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    fn host(&self, directory: Option<&Path>) -> Host {
        Host::new(&self.backend, directory, STALE)
    }
}

#[test]
fn past_its_lifetime_it_is_served_at_once_while_one_refresh_runs() {
    let moody = Moody::start(FIELDS);
    let mut host = moody.host(None);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    host.clock.advance(Duration::from_secs(100));
    for _ in 0..50 {
        assert_eq!(host.look("known.example"), Lookup::Stale(id));
    }
    host.pump_one_fetch();
    assert!(matches!(host.look("known.example"), Lookup::Hit(newer) if newer != id));
    assert_eq!(moody.backend.count(), 2);
    let counters = host.engine.counters();
    assert_eq!((counters.stale_hits, counters.refreshes), (50, 1));
}

#[test]
fn a_name_in_demand_is_refreshed_before_its_lifetime_ends() {
    let moody = Moody::start(FIELDS);
    let mut host = moody.host(None);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    host.clock.advance(Duration::from_millis(89_900));
    assert_eq!(host.look("known.example"), Lookup::Hit(id));
    assert_eq!(host.engine.counters().refreshes, 0);
    host.clock.advance(Duration::from_millis(10_050));
    assert_eq!(host.look("known.example"), Lookup::Hit(id), "still fresh, and served");
    host.pump_one_fetch();
    host.clock.advance(Duration::from_secs(50));
    assert!(matches!(host.look("known.example"), Lookup::Hit(newer) if newer != id));
    assert_eq!((moody.backend.count(), host.engine.counters().stale_hits), (2, 0));
}

#[test]
fn an_answer_of_not_modified_renews_the_lifetime_without_a_body() {
    let backend = TestBackend::start(|request| match request.header("if-none-match") {
        Some("\"v1\"") => {
            vec![Step::send("HTTP/1.1 304 Not Modified\r\nCache-Control: s-maxage=100\r\n\r\n")]
        }
        _ => vec![answer(request, FIELDS)],
    });
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), STALE);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    let bundle = host.engine.entry(id).unwrap().bundle.clone();
    for _ in 0..3 {
        host.clock.advance(Duration::from_secs(100));
        assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
        host.pump_one_fetch();
        let Lookup::Hit(renewed) = host.look("known.example") else { panic!() };
        assert!(host.engine.entry(renewed).unwrap().bundle.chain().eq(bundle.chain()));
    }
    assert_eq!((backend.count(), host.engine.counters().not_modified), (4, 3));
    // The renewal is on disk too.
    let clock = host.clock.clone();
    host.close();
    let mut host = Host::with_clock(&backend, Some(&directory.path), STALE, clock);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    assert_eq!(backend.count(), 4);
    host.close();
}

#[test]
fn a_304_that_nobody_asked_for_is_an_error() {
    let backend = TestBackend::start(|_| vec![Step::send("HTTP/1.1 304 Not Modified\r\n\r\n")]);
    let mut host = Host::new(&backend, None, STALE);
    assert!(matches!(host.ask("known.example"), Outcome::Failed(reason) if reason.contains("304")));
}

#[test]
fn an_outage_of_an_hour_is_bridged_with_few_requests_and_ends_within_a_step() {
    for failure in [STATUS_500, RESET] {
        let moody = Moody::start(FIELDS);
        let mut host = moody.host(None);
        let names: Vec<_> = (0..100).map(|n| format!("known-{n}.example")).collect();
        for name in &names {
            assert!(matches!(host.ask(name), Outcome::Found(_)));
        }
        moody.becomes(failure);
        host.clock.advance(Duration::from_secs(100));
        let before = moody.backend.count();
        for second in 0..3600 {
            let begun = host.engine.counters().refreshes;
            for name in &names {
                assert!(matches!(host.look(name), Lookup::Stale(_)), "{name} after {second} s");
            }
            host.pump_fetches(host.engine.counters().refreshes - begun);
            host.clock.advance(Duration::from_secs(1));
        }
        let asked = moody.backend.count() - before;
        // Normal would be one request per name and lifetime: 3,600 in this hour.
        assert!((100..=720).contains(&asked), "{asked} requests");
        moody.becomes(UP);
        host.clock.advance(Duration::from_secs(30));
        for _ in 0..3 {
            let begun = host.engine.counters().refreshes;
            names.iter().for_each(|name| drop(host.look(name)));
            host.pump_fetches(host.engine.counters().refreshes - begun);
        }
        let fresh = names.iter().filter(|name| matches!(host.look(name), Lookup::Hit(_))).count();
        assert_eq!(fresh, names.len(), "all are refreshed within one step");
    }
}

#[test]
fn the_bridge_ends_after_its_time_and_never_outlives_the_certificate() {
    let moody = Moody::start(FIELDS);
    let mut host = moody.host(None);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)));
    let sizes = host.engine.sizes();
    assert_eq!(sizes.first_certificate_end, Some(host.engine.entry(id).unwrap().not_after()));
    assert_eq!(sizes.first_bridge_end, None, "nothing fails");
    moody.becomes(STATUS_500);
    let end = host.clock.now().saturating_add(Duration::from_secs(86_400 + 100));
    host.clock.advance(Duration::from_secs(86_400 + 99));
    assert_eq!(host.look("known.example"), Lookup::Stale(id));
    host.pump_one_fetch();
    assert_eq!(host.engine.sizes().first_bridge_end, Some(end), "announced");
    host.clock.advance(Duration::from_secs(1));
    assert_eq!(host.look("known.example"), Lookup::Miss);
    let Outcome::Failed(reason) = host.ask("known.example") else { panic!() };
    assert!(reason.contains("raising stale_if_error"), "{reason}");
    assert!(host.logs.iter().any(|record| record.message == reason), "the log says so, too: {:?}", host.logs);
    let Lookup::BackedOff(reason) = host.look_as("known.example", MODERN, Some(next_token())) else {
        panic!()
    };
    assert!(reason.contains("raising stale_if_error"), "{reason}");
}

#[test]
fn after_a_restart_the_disk_bridges_too() {
    let moody = Moody::start(FIELDS);
    let directory = CacheDirectory::new();
    let mut host = moody.host(Some(&directory.path));
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    let clock = host.clock.clone();
    host.close();
    clock.advance(Duration::from_secs(3600));
    moody.becomes(RESET);
    let mut host = Host::with_clock(&moody.backend, Some(&directory.path), STALE, clock);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)), "the backend is down");
    host.pump_one_fetch();
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    moody.becomes(UP);
    host.clock.advance(Duration::from_secs(1));
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    host.pump_one_fetch();
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)));
    host.close();
}

#[test]
fn a_failing_name_is_asked_for_seldom_and_fails_at_once_with_the_reason() {
    let moody = Moody::start(FIELDS);
    moody.becomes(STATUS_500);
    let mut host = moody.host(None);
    let mut backed_off = 0;
    for _ in 0..1000 {
        match host.ask("known.example") {
            Outcome::Failed(_) => {}
            Outcome::BackedOff(reason) => {
                assert!(reason.contains("500"), "{reason}");
                backed_off += 1;
            }
            other => panic!("{other:?}"),
        }
        host.clock.advance(Duration::from_millis(10));
    }
    assert!(moody.backend.count() <= 5, "{} requests", moody.backend.count());
    assert_eq!(backed_off + moody.backend.count(), 1000);
    assert!(host.logs.is_empty(), "who waits is told: {:?}", host.logs);
}

#[test]
fn a_bad_bundle_never_displaces_a_good_one() {
    let bad = Arc::new(AtomicU8::new(0));
    let backend = TestBackend::start({
        let bad = Arc::clone(&bad);
        move |request| match bad.load(Ordering::SeqCst) {
            0 => vec![answer(request, FIELDS)],
            1 => vec![Step::respond("200 OK", FIELDS, bundle("other.example", false))],
            2 => vec![Step::respond("200 OK", FIELDS, "<html>")],
            _ => vec![Step::respond("200 OK", FIELDS, "")],
        }
    });
    let mut host = Host::new(&backend, None, STALE);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    host.clock.advance(Duration::from_secs(100));
    for kind in 1..=3 {
        bad.store(kind, Ordering::SeqCst);
        assert_eq!(host.look("known.example"), Lookup::Stale(id));
        host.pump_one_fetch();
        host.clock.advance(Duration::from_secs(30));
    }
    host.reject = Some("the host's parser disagrees");
    bad.store(0, Ordering::SeqCst);
    assert_eq!(host.look("known.example"), Lookup::Stale(id));
    host.pump_one_fetch();
    assert_eq!(host.look("known.example"), Lookup::Stale(id));
    assert_eq!((backend.count(), host.engine.counters().invalid_bundles), (5, 4));
}

#[test]
fn an_answer_that_must_not_be_kept_ends_the_older_one() {
    let strict = Arc::new(AtomicU8::new(0));
    let backend = TestBackend::start({
        let strict = Arc::clone(&strict);
        move |request| match strict.load(Ordering::SeqCst) {
            0 => vec![answer(request, FIELDS)],
            _ => vec![answer(request, "Cache-Control: no-store\r\n")],
        }
    });
    let mut host = Host::new(&backend, None, STALE);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    strict.store(1, Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(100));
    assert_eq!(host.look("known.example"), Lookup::Stale(id));
    host.pump_one_fetch();
    assert_eq!(host.look("known.example"), Lookup::Miss);
}

#[test]
fn whatever_the_clock_does_nothing_out_of_date_is_served_and_little_is_asked() {
    let moody = Moody::start(FIELDS);
    let mut host = moody.host(None);
    let start = host.clock.now();
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    let year = Duration::from_secs(365 * 86_400);
    for _ in 0..20 {
        for to in
            [start.saturating_add(year), start, cached_http_core::clock::Timestamp(start.0 - 31_536_000_000)]
        {
            let asked = moody.backend.count();
            host.clock.set(to);
            match host.look("known.example") {
                Lookup::Hit(_) => {}
                Lookup::Stale(_) => host.pump_one_fetch(),
                Lookup::Miss => assert!(matches!(host.ask("known.example"), Outcome::Found(_))),
                other => panic!("{other:?}"),
            }
            assert!(moody.backend.count() <= asked + 1, "one refetch per jump at most");
        }
    }
}

#[test]
fn after_a_restart_in_an_outage_the_disk_knows_more_names_than_it_takes_to_open_the_breaker() {
    let moody = Moody::start(FIELDS);
    let directory = CacheDirectory::new();
    let mut host = moody.host(Some(&directory.path));
    let names: Vec<_> = (0..20).map(|n| format!("known-{n}.example")).collect();
    for name in &names {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    let clock = host.clock.clone();
    host.close();
    clock.advance(Duration::from_secs(3600));
    moody.becomes(STATUS_500);
    let mut host = Host::with_clock(&moody.backend, Some(&directory.path), STALE, clock);
    for n in 0..10 {
        assert!(matches!(
            host.ask(&format!("made-up-{n}.example")),
            Outcome::Failed(_) | Outcome::BackedOff(_)
        ));
    }
    assert!(!host.engine.sizes().breaker_is_open, "names that the backend never knew");
    for name in &names[..5] {
        assert!(matches!(host.ask(name), Outcome::Found(_)), "{name}");
    }
    // Each has set a refresh in motion.
    while !host.engine.sizes().breaker_is_open {
        host.pump_one_fetch();
    }
    for name in &names[5..] {
        assert!(matches!(host.ask(name), Outcome::Found(_)), "{name}");
    }
    assert!(matches!(host.ask("made-up.example"), Outcome::BackedOff(_)), "nothing to serve");
    host.close();
}

#[test]
fn what_a_304_leaves_out_stays_as_it_was() {
    let backend = TestBackend::start(|request| match request.header("if-none-match") {
        Some(_) => vec![Step::send("HTTP/1.1 304 Not Modified\r\n\r\n")],
        None => vec![answer(request, FIELDS)],
    });
    let mut host = Host::new(&backend, None, STALE);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    let freshness = host.engine.entry(id).unwrap().metadata.freshness.clone();
    host.clock.advance(Duration::from_secs(100));
    assert!(matches!(host.look("known.example"), Lookup::Stale(_)));
    host.pump_one_fetch();
    let Lookup::Hit(renewed) = host.look("known.example") else { panic!() };
    assert_eq!(host.engine.entry(renewed).unwrap().metadata.freshness, freshness);
}

#[test]
fn an_rsa_only_client_does_not_ask_for_ever_once_the_name_has_moved_to_ecdsa() {
    let moved = Arc::new(AtomicU8::new(0));
    let backend = TestBackend::start({
        let moved = Arc::clone(&moved);
        move |_| {
            let pem = bundle("known.example", moved.load(Ordering::SeqCst) == 0);
            vec![Step::respond("200 OK", FIELDS, pem)]
        }
    });
    let mut host = Host::new(&backend, None, STALE);
    assert!(matches!(host.ask_as("known.example", RSA_ONLY), Outcome::Found(_)));
    moved.store(1, Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(100));
    for _ in 0..200 {
        let lookup = host.look_as("known.example", RSA_ONLY, None);
        assert!(matches!(lookup, Lookup::Stale(_)), "{lookup:?}");
        std::thread::sleep(Duration::from_millis(2));
        for event in host.engine.next_events(16).unwrap() {
            host.handle(event);
        }
        host.clock.advance(Duration::from_millis(50));
    }
    assert!((2..=6).contains(&backend.count()), "{} requests in 10 s", backend.count());
}

#[test]
fn an_outage_has_a_line_for_its_beginning_and_one_for_its_end() {
    let moody = Moody::start(FIELDS);
    let mut host = moody.host(None);
    for n in 0..10 {
        drop(host.ask(&format!("known-{n}.example")));
    }
    host.clock.advance(Duration::from_secs(2 * 24 * 3600)); // past the bridge
    moody.becomes(STATUS_500);
    for n in 0..10 {
        drop(host.ask(&format!("known-{n}.example")));
    }
    host.clock.advance(Duration::from_millis(999));
    moody.becomes(UP);
    assert!(matches!(host.ask("known-0.example"), Outcome::Found(_)));
    drop(host.ask("known-1.example"));
    let lines = host.logs.iter().map(|record| record.message.as_str());
    let lines: Vec<_> = lines.filter(|line| !line.contains("stale_if_error")).collect();
    assert!(
        matches!(lines[..], [began, ended] if began.contains("one name after the other") && began.contains("500") && ended.contains("answers again")),
        "{lines:?}"
    );
}

#[test]
fn time_spent_in_our_own_queue_is_not_the_backends_fault() {
    let backend = TestBackend::start(|request| {
        std::thread::sleep(Duration::from_secs(1));
        vec![answer(request, FIELDS)]
    });
    // 7 workers for handshakes, 10 s for each: 63 can be answered. What is begun in time has seconds left, on a busy machine too.
    let mut host = Host::new(&backend, None, &format!(r#"{STALE},"timeout_ms":10000"#));
    let asked = 120;
    for n in 0..asked {
        let name = format!("known-{n}.example");
        let lookup = host.look_as(&name, MODERN, Some(next_token()));
        assert_eq!(lookup, Lookup::Pending);
    }
    let (mut found, mut turned_away) = (0, 0);
    while found + turned_away < asked {
        for event in host.next_events(64) {
            match host.handle(event) {
                Some((_, Outcome::Found(_))) => found += 1,
                Some((_, Outcome::Overloaded)) => turned_away += 1,
                Some((_, other)) => panic!("{other:?}"),
                None => {}
            }
        }
    }
    assert_eq!(backend.count(), found, "a request that can't be answered in time is not made");
    assert_eq!(host.engine.counters().overloaded, turned_away as u64);
    assert!(host.logs.iter().any(|record| record.message.contains("raise max_concurrent_fetches")));
    let sizes = host.engine.sizes();
    assert!(found >= 14 && !sizes.breaker_is_open && sizes.failing_names == 0, "{found} {sizes:?}");
}

#[test]
fn a_late_answer_does_not_displace_a_newer_one() {
    // 1 once it is asked, 2 when it may answer.
    let released = Arc::new(AtomicU8::new(0));
    let backend = TestBackend::start({
        let released = Arc::clone(&released);
        move |request| {
            // The hello query tells the slow one.
            if request.parameter("slow").is_some() {
                let _ = released.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
                while released.load(Ordering::SeqCst) == 1 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            vec![Step::respond("200 OK", FIELDS, bundle("known.example", false))]
        }
    });
    let mut host = Host::new(&backend, None, STALE);
    let slow = next_token();
    let asked =
        LookupRequest { handshake_params: "slow=1", ..request("known.example", RSA_ONLY, Some(slow)) };
    let lookup = host.engine.lookup(&host.config, &asked);
    assert_eq!(lookup, Lookup::Pending);
    while released.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    host.clock.advance(Duration::from_secs(1));
    let Outcome::Found(newer) = host.ask("known.example") else { panic!() };
    released.store(2, Ordering::SeqCst);
    assert_eq!(host.pump_until(slow), Outcome::UnsupportedKeyType);
    assert_eq!(host.look("known.example"), Lookup::Hit(newer));
}

/// Defends known names and new customers against a scanner: the backend is well, but fails for names it doesn't know.
#[test]
fn names_that_the_backend_never_knew_take_no_other_name_down() {
    let backend = TestBackend::start(|request| {
        match request.parameter("server_name").unwrap_or_default().starts_with("known") {
            true => vec![answer(request, "Cache-Control: s-maxage=2\r\n")],
            false => vec![Step::respond("500 Internal Server Error", "", "")],
        }
    });
    let mut host = Host::new(&backend, None, "");
    for second in 0..20 {
        for n in 0..20 {
            assert!(!matches!(host.ask(&format!("junk-{second}-{n}.example")), Outcome::Found(_)));
            assert!(matches!(host.ask(&format!("known-{n}.example")), Outcome::Found(_)), "{second} {n}");
        }
        assert!(matches!(host.ask(&format!("known-new-{second}.example")), Outcome::Found(_)));
        host.clock.advance(Duration::from_secs(1));
    }
    assert!(!host.engine.sizes().breaker_is_open);
}
