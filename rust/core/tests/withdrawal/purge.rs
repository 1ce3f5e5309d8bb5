//! A purge forgets everything of a name, and nothing that began before it brings anything back.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::{AskMode, Asked};
use cached_http_core::events::Outcome;

use crate::help::{Cache, ECDSA, ED25519, NAME, ecdsa, no_certificate, rsa};
use crate::support::host::{Host, RSA_ONLY, next_token};
use crate::support::{Step, TestBackend};

fn purge(cache: &Cache) -> bool {
    cache.host.engine.purge(b"SHOP.example").unwrap()
}

#[test]
fn every_variant_leaves_memory_and_disk() {
    let mut cache = Cache::with(&ecdsa());
    cache.gets(NAME, RSA_ONLY, &rsa());
    cache.until_written(2);
    assert!(purge(&cache));
    for client in [RSA_ONLY, ECDSA, ED25519] {
        assert_eq!(cache.host.look_as(NAME, client, None), Lookup::Miss);
        assert!(!cache.serves(client));
    }
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
}

#[test]
fn what_is_on_disk_alone_goes_as_well() {
    let mut cache = Cache::with(&ecdsa());
    cache.gets(NAME, RSA_ONLY, &rsa());
    cache.until_written(2);
    let cache = cache.stop().restart();
    purge(&cache);
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
}

#[test]
fn a_no_is_forgotten() {
    let mut cache = Cache::open();
    cache.is_told_no(ECDSA);
    assert_eq!(cache.host.look(NAME), Lookup::Negative);
    assert!(purge(&cache));
    assert_eq!(cache.host.look(NAME), Lookup::Miss);
    assert!(!purge(&cache), "there is nothing left");
}

#[test]
fn a_failure_is_forgotten_and_the_next_client_asks_at_once() {
    let mut cache = Cache::open();
    assert!(!cache.serves(ECDSA));
    cache.backend.tell(&ecdsa());
    assert!(matches!(cache.host.ask_as(NAME, ECDSA), Outcome::BackedOff(_)));
    assert!(purge(&cache));
    assert!(matches!(cache.host.ask_as(NAME, ECDSA), Outcome::Found(_)));
}

#[test]
fn that_there_is_a_certificate_of_another_kind_is_forgotten() {
    let mut cache = Cache::open();
    cache.backend.tell(&ecdsa());
    assert!(matches!(cache.host.ask_as(NAME, RSA_ONLY), Outcome::UnsupportedKeyType));
    assert_eq!(cache.host.look_as(NAME, RSA_ONLY, None), Lookup::UnsupportedKeyType);
    assert!(purge(&cache));
    cache.gets(NAME, RSA_ONLY, &rsa());
}

#[test]
fn a_fetch_under_way_serves_who_waits_and_nobody_else() {
    let mut cache = Cache::open();
    let early = cache.starts(ECDSA);
    let kept = cache.backend.next();
    assert!(purge(&cache), "there was a fetch");
    let late = cache.starts(ECDSA);
    let again = cache.backend.next();
    kept.answer(&ecdsa());
    assert!(matches!(cache.host.pump_until(early), Outcome::Found(_)));
    assert_eq!(cache.host.look(NAME), Lookup::Miss);
    again.answer(&no_certificate());
    assert_eq!(cache.host.pump_until(late), Outcome::NoCertificate);
    assert!(!cache.still_has(ECDSA));
}

#[test]
fn a_no_from_before_denies_nobody_after() {
    let mut cache = Cache::open();
    let early = cache.starts(ECDSA);
    let kept = cache.backend.next();
    purge(&cache);
    cache.gets(NAME, ECDSA, &ecdsa());
    kept.answer(&no_certificate());
    assert_eq!(cache.host.pump_until(early), Outcome::NoCertificate);
    assert!(matches!(cache.host.look(NAME), Lookup::Hit(_)), "it is older than the purge");
    assert!(cache.still_has(ECDSA));
}

#[test]
fn that_a_certificate_is_of_another_kind_from_before_denies_nobody_after() {
    let mut cache = Cache::open();
    let early = cache.starts(RSA_ONLY);
    let kept = cache.backend.next();
    purge(&cache);
    kept.answer(&ecdsa());
    assert!(matches!(cache.host.pump_until(early), Outcome::UnsupportedKeyType));
    assert_eq!(cache.host.look_as(NAME, RSA_ONLY, None), Lookup::Miss);
}

#[test]
fn a_candidate_from_before_is_not_stored() {
    // From the backend, and from disk.
    for on_disk in [false, true] {
        let mut cache = Cache::open();
        cache.backend.tell(&ecdsa());
        if on_disk {
            cache.gets(NAME, ECDSA, &ecdsa());
            cache = cache.stop().restart();
            cache.backend.keep();
        }
        let waits = cache.starts(ECDSA);
        let id = cache.next_candidate();
        purge(&cache);
        assert!(cache.host.engine.confirm(id));
        assert!(matches!(cache.host.pump_until(waits), Outcome::Found(_)));
        assert_eq!(cache.host.look(NAME), Lookup::Miss, "on disk: {on_disk}");
        assert!(!cache.still_has(ECDSA), "on disk: {on_disk}");
    }
}

#[test]
fn a_failure_from_before_holds_back_nobody_after() {
    let mut cache = Cache::open();
    let early = cache.starts(ECDSA);
    let kept = cache.backend.next();
    purge(&cache);
    kept.answer(&[Step::respond("500 Internal Server Error", "", "")]);
    assert!(matches!(cache.host.pump_until(early), Outcome::Failed(_)));
    cache.gets(NAME, ECDSA, &ecdsa());
}

#[test]
fn nothing_purged_is_confirmed_by_a_304() {
    let fields = "Cache-Control: s-maxage=100\r\nETag: \"1\"\r\n";
    let with_etag = [Step::respond("200 OK", fields, crate::support::host::bundle(NAME, false))];
    // A stale file is a candidate while the name is purged.
    let mut cache = Cache::with(&with_etag);
    cache = cache.stop().restart_with(r#","stale_if_error_ms":900000000,"refresh_ahead":false"#);
    cache.advance(200);
    cache.backend.keep();
    let waits = cache.starts(ECDSA);
    let id = cache.next_candidate();
    purge(&cache);
    assert!(cache.host.engine.confirm(id));
    assert!(matches!(cache.host.pump_until(waits), Outcome::Found(_)));
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(cache.backend.try_next().is_none(), "a request with the purged validator");
    assert_eq!(cache.host.look(NAME), Lookup::Miss);
}

/// Whoever begins a refresh as the purge is made: either has nothing to be confirmed, or is marked.
#[test]
fn a_refresh_that_begins_meanwhile_brings_nothing_back() {
    let has_certificate = Arc::new(AtomicBool::new(true));
    let backend = TestBackend::start({
        let (has_certificate, old) =
            (Arc::clone(&has_certificate), crate::support::host::bundle(NAME, false));
        move |request| match request.header("if-none-match") {
            Some(_) => vec![Step::send("HTTP/1.1 304 Not Modified\r\nCache-Control: s-maxage=1000\r\n\r\n")],
            None if has_certificate.load(SeqCst) => {
                vec![Step::respond("200 OK", "Cache-Control: s-maxage=1000\r\nETag: \"1\"\r\n", &old)]
            }
            None => no_certificate(),
        }
    });
    let mut host = Host::new(&backend, None, "");
    for round in 0..400 {
        has_certificate.store(true, SeqCst);
        host.engine.purge(NAME.as_bytes()).unwrap();
        assert!(matches!(host.ask(NAME), Outcome::Found(_)));
        has_certificate.store(false, SeqCst);
        let (engine, config, token) = (host.engine.clone(), host.config.clone(), next_token());
        let go = Arc::new(Barrier::new(2));
        let refresh = std::thread::spawn({
            let go = Arc::clone(&go);
            move || {
                go.wait();
                engine.ask(&config, NAME.as_bytes(), ECDSA, AskMode::Refresh, token)
            }
        });
        go.wait();
        host.engine.purge(NAME.as_bytes()).unwrap();
        assert_eq!(refresh.join().unwrap(), Asked::Pending);
        host.pump_until(token);
        assert!(!matches!(host.look(NAME), Lookup::Hit(_)), "round {round}");
    }
}
