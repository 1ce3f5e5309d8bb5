//! The cache through its public API, with a real backend on loopback and this test as its host.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cached_http_core::clock::{Clock, Timestamp};
use cached_http_core::counters::Sizes;
use cached_http_core::engine::Lookup;
use cached_http_core::events::{Event, Outcome};
use rcgen::{CertificateParams, KeyPair};
use support::host::{
    CacheDirectory, Host, MODERN, RSA_ONLY, answer, backend, bundle, lookup_settings, next_token, request,
};
use support::{Step, TestBackend};

#[test]
fn a_name_costs_one_request_per_lifetime() {
    let backend = backend("Cache-Control: s-maxage=100\r\n");
    let mut host = Host::new(&backend, None, "");
    assert_eq!(host.look("known.example"), Lookup::Miss);
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    assert_eq!(host.look("KNOWN.example"), Lookup::Hit(id));
    host.clock.advance(Duration::from_secs(99));
    assert_eq!(host.look("known.example"), Lookup::Hit(id));
    assert_eq!(backend.count(), 1);
    host.clock.advance(Duration::from_secs(1));
    let Outcome::Found(newer) = host.ask("known.example") else { panic!() };
    assert!(newer != id && backend.count() == 2);
    assert!(host.engine.entry(id).is_none(), "the older generation is gone");
}

#[test]
fn an_unknown_name_is_remembered_for_its_time() {
    let backend = backend("");
    let mut host = Host::new(&backend, None, "");
    assert_eq!(host.ask("unknown.example"), Outcome::NoCertificate);
    assert_eq!(host.look("unknown.example"), Lookup::Negative);
    host.clock.advance(Duration::from_secs(60));
    assert_eq!(host.look("unknown.example"), Lookup::Miss);
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_name_that_is_no_more_leaves_memory_and_disk() {
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let backend = TestBackend::start({
        let gone = gone.clone();
        move |request| match gone.load(Ordering::SeqCst) {
            false => vec![answer(request, "Cache-Control: s-maxage=10\r\n")],
            true => vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")],
        }
    });
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    host.clock.advance(Duration::from_secs(10));
    gone.store(true, Ordering::SeqCst);
    assert_eq!(host.ask("known.example"), Outcome::NoCertificate);
    assert!(host.engine.entry(id).is_none());
    let clock = host.clock.clone();
    host.close();
    let entries = walk(&directory.path.join("entries"));
    assert_eq!(entries, 0, "the file is removed");
    let mut host = Host::with_clock(&backend, Some(&directory.path), "", clock);
    assert_eq!(host.ask("known.example"), Outcome::NoCertificate);
    host.close();
}

#[test]
fn errors_and_invalid_bundles_are_never_kept_and_displace_nothing() {
    for body in [bundle("other.example", false), "<html>".into(), String::new()] {
        let backend = TestBackend::start(move |_| vec![Step::respond("200 OK", "", body.clone())]);
        let mut host = Host::new(&backend, None, "");
        for requests in 1..=2 {
            let outcome = host.ask("known.example");
            assert!(
                matches!(&outcome, Outcome::Failed(reason) if reason.contains("rejected")),
                "{outcome:?}"
            );
            assert_eq!(backend.count(), requests, "a failure is not an answer");
            host.clock.advance(Duration::from_secs(30));
        }
    }
    let backend = backend("Cache-Control: s-maxage=100\r\n");
    let mut host = Host::new(&backend, None, "");
    host.reject = Some("the host's parser disagrees");
    let outcome = host.ask("known.example");
    assert!(matches!(&outcome, Outcome::Failed(reason) if reason.contains("the host's parser disagrees")));
    assert_eq!(host.look("known.example"), Lookup::Miss);
    assert_eq!(host.engine.counters().invalid_bundles, 1);
}

#[test]
fn what_must_not_be_kept_serves_who_waits_and_says_so_once() {
    let backend = backend("Cache-Control: no-store\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    for requests in 1..=3 {
        assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
        assert_eq!(backend.count(), requests);
    }
    assert_eq!(host.ask("unknown.example"), Outcome::NoCertificate);
    assert_eq!(host.look("unknown.example"), Lookup::Miss);
    assert_eq!(host.logs.len(), 1, "{:?}", host.logs);
    assert!(host.logs[0].message.contains("no-store") && host.logs[0].message.contains("'ttl'"));
    host.close();
    assert_eq!(walk(&directory.path.join("entries")), 0);
}

#[test]
fn a_pinned_lifetime_overrides_what_responses_say() {
    let backend = backend("Cache-Control: no-engine, private\r\n");
    let mut host = Host::new(&backend, None, r#","ttl_ms":5000"#);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    assert_eq!(host.ask("unknown.example"), Outcome::NoCertificate);
    host.clock.advance(Duration::from_millis(4_999));
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)));
    assert_eq!(host.look("unknown.example"), Lookup::Negative);
    assert!(host.logs.is_empty());
}

#[test]
fn settings_apply_when_somebody_looks() {
    let backend = backend("");
    let mut host = Host::new(&backend, None, "");
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    host.clock.advance(Duration::from_secs(100));
    let shorter = host.engine.lookup_config(&lookup_settings(&backend, r#","ttl_ms":99000"#)).unwrap();
    assert_eq!(host.engine.lookup(&shorter, &request("known.example", MODERN, None)), Lookup::Miss);
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)), "the other config's settings are its own");
}

#[test]
fn many_wait_for_one_request() {
    let backend = TestBackend::start(|request| {
        vec![Step::Wait(Duration::from_millis(300)), answer(request, "Cache-Control: s-maxage=100\r\n")]
    });
    let mut host = Host::new(&backend, None, "");
    let tokens: Vec<_> = (0..200).map(|_| next_token()).collect();
    for token in &tokens {
        let lookup = host.look_as("known.example", MODERN, Some(*token));
        assert_eq!(lookup, Lookup::Pending);
    }
    assert!(matches!(host.pump_until(tokens[199]), Outcome::Found(_)));
    assert_eq!((backend.count(), host.engine.counters().found), (1, 1));
}

#[test]
fn a_restart_keeps_the_remaining_lifetime() {
    let backend = backend("Cache-Control: s-maxage=100\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    host.clock.advance(Duration::from_secs(60));
    assert!(matches!(host.ask("known-later.example"), Outcome::Found(_)));
    let clock = host.clock.clone();
    host.close();

    clock.advance(Duration::from_secs(40));
    let mut host = Host::with_clock(&backend, Some(&directory.path), "", clock);
    assert!(matches!(host.ask("known-later.example"), Outcome::Found(_)));
    assert_eq!((backend.count(), host.engine.counters().disk_hits), (2, 1), "fresh: no request");
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    assert_eq!(backend.count(), 3, "its first lifetime has passed");
    host.close();
}

#[test]
fn an_entry_on_disk_takes_the_same_road_as_a_fresh_one() {
    let backend = backend("Cache-Control: s-maxage=100\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    host.close();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    host.reject = Some("the host's parser disagrees");
    assert!(
        matches!(host.ask("known.example"), Outcome::Failed(_)),
        "rejected from disk, then from the backend"
    );
    assert_eq!(backend.count(), 2);
    assert!(host.logs.iter().any(|record| record.message.contains("on disk is rejected")), "{:?}", host.logs);
    host.close();
}

#[test]
fn an_rsa_only_client_never_gets_an_ecdsa_certificate() {
    let backend = backend("");
    let mut host = Host::new(&backend, None, "");
    assert_eq!(host.ask_as("known.example", RSA_ONLY), Outcome::UnsupportedKeyType, "which is no 'no'");
    let lookup = host.look_as("known.example", RSA_ONLY, None);
    assert_eq!(lookup, Lookup::UnsupportedKeyType, "and is not asked about again");
    assert_eq!(host.look("known.example"), Lookup::Miss, "others ask in their own way");
    assert_eq!(host.engine.sizes().negatives, 0, "and nobody takes it for an unknown name");
    assert_eq!(host.engine.sizes().failing_names, 0);
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    assert_eq!(host.look_as("known.example", RSA_ONLY, None), Lookup::UnsupportedKeyType);
    assert_eq!(backend.count(), 2);
}

#[test]
fn an_rsa_certificate_serves_both_kinds_of_client() {
    let pem = bundle("known.example", true);
    let backend = TestBackend::start(move |_| vec![Step::respond("200 OK", "", pem.clone())]);
    let mut host = Host::new(&backend, None, "");
    let Outcome::Found(id) = host.ask("known.example") else { panic!() };
    assert_eq!(host.ask_as("known.example", RSA_ONLY), Outcome::Found(id));
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_certificate_is_never_served_past_its_end() {
    let pem = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["known.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
        params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
    };
    let backend = TestBackend::start(move |_| vec![Step::respond("200 OK", "", pem.clone())]);
    let end = Timestamp::from_unix_seconds(1_924_992_000); // 2031-01-01
    let clock = Clock::manual(Timestamp(end.0 - 2_000));
    let mut host = Host::with_clock(&backend, None, r#","ttl_ms":86400000"#, clock.clone());
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    clock.set(Timestamp(end.0 - 1));
    assert!(matches!(host.look("known.example"), Lookup::Hit(_)));
    clock.set(Timestamp(end.0 + 1_000));
    assert_eq!(host.look("known.example"), Lookup::Miss);
    assert!(matches!(host.ask("known.example"), Outcome::Failed(_)), "and an expired answer is rejected");
}

#[test]
fn what_leaves_memory_is_told_and_comes_back_from_disk() {
    let backend = backend("Cache-Control: s-maxage=1000\r\n");
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let mut names = std::collections::HashMap::new();
    for n in 0..1500 {
        let name = format!("known-{n}.example");
        let Outcome::Found(id) = host.ask(&name) else { panic!() };
        // Half of them are opened by the host, which wants to hear of their end.
        if n % 2 == 0 {
            host.engine.entry(id).unwrap().mark_opened();
        }
        names.insert(id, (n, name));
    }
    let Sizes { entries, entry_bytes: bytes, .. } = host.engine.sizes();
    assert!(bytes <= 1 << 20 && entries < 1500, "{entries} entries of {bytes} bytes");
    host.ask("unknown.example");
    assert!(!host.retired.is_empty() && host.retired.len() < host.engine.counters().evictions as usize);
    assert!(host.retired.iter().all(|id| names[id].0 % 2 == 0 && host.engine.entry(*id).is_none()));
    while host.engine.counters().disk_writes < 1500 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let evicted = host.retired[0];
    assert!(matches!(host.ask(&names[&evicted].1), Outcome::Found(id) if id != evicted));
    assert_eq!(backend.count(), 1501, "1500 names and the unknown one");
    host.close();
}

#[test]
fn closing_ends_a_hung_fetch_and_tells_who_waits() {
    let backend = TestBackend::start(|_| vec![Step::Hang]);
    let mut host = Host::new(&backend, None, "");
    let token = next_token();
    assert_eq!(host.look_as("known.example", MODERN, Some(token)), Lookup::Pending);
    while backend.count() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begin = std::time::Instant::now();
    host.engine.close();
    let told = host.engine.next_events(1).expect("whoever waits is told before the end");
    assert!(matches!(&told[..], [Event::Finished { tokens, .. }] if tokens[..] == [token]), "{told:?}");
    assert_eq!(host.look_as("known.example", MODERN, Some(token)), Lookup::Closed);
    assert!(begin.elapsed() < Duration::from_secs(4), "less than a request's own time");
    host.logs.clear();
}

#[test]
fn entries_of_one_issuer_share_it() {
    let issuer_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "issuer");
    let issuer_pem = params.clone().self_signed(&issuer_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, issuer_key);
    let backend = TestBackend::start(move |request| {
        let name = request.parameter("server_name").unwrap_or_default();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        vec![Step::respond("200 OK", "", leaf.pem() + &issuer_pem + &key.serialize_pem())]
    });
    let mut host = Host::new(&backend, None, "");
    let chains: Vec<_> = ["a.example", "b.example", "c.example"]
        .map(|name| match host.ask(name) {
            Outcome::Found(id) => host.engine.entry(id).unwrap(),
            other => panic!("{other:?}"),
        })
        .into();
    assert!(Arc::ptr_eq(chains[0].bundle.issuers(), chains[1].bundle.issuers()));
    let own = chains[2].bundle.issuers()[0].len() as u64;
    assert!(chains[2].weight() + own / 2 < chains[0].weight(), "a shared issuer is not counted again");
}

fn walk(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}
