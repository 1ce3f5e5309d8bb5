//! Refreshes and prefetches: the backend is asked though no handshake wants it.

use std::time::Duration;

use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::{AskMode, Asked};
use cached_http_core::entry::ClientKind;
use cached_http_core::events::{Event, Outcome};
use cached_http_core::operations::{Answer, OperationError};

use crate::help::{Cache, ECDSA, ED25519, NAME, ecdsa, no_certificate, rsa};
use crate::support::Step;
use crate::support::host::{RSA_ONLY, next_token};

/// The end of a fetch, and whether the backend said that what is stored is right.
fn ask(cache: &mut Cache, client: ClientKind, mode: AskMode) -> Result<(Outcome, bool), Asked> {
    let token = next_token();
    match cache.host.engine.ask(&cache.host.config, NAME.as_bytes(), client, mode, token) {
        Asked::Pending => {}
        other => return Err(other),
    }
    loop {
        for event in cache.host.next_events(1) {
            match event {
                Event::Finished { tokens, outcome, not_modified, .. } if tokens.contains(&token) => {
                    return Ok((outcome, not_modified));
                }
                other => drop(cache.host.handle(other)),
            }
        }
    }
}

fn refresh(cache: &mut Cache) -> (Outcome, bool) {
    ask(cache, ECDSA, AskMode::Refresh).unwrap()
}

#[test]
fn a_refresh_replaces_what_is_fresh_and_serves_it_until_then() {
    let mut cache = Cache::with(&ecdsa());
    let Lookup::Hit(old) = cache.host.look(NAME) else { panic!() };
    cache.backend.keep();
    let token = next_token();
    let config = cache.host.config.clone();
    let asked = cache.host.engine.ask(&config, NAME.as_bytes(), ECDSA, AskMode::Refresh, token);
    assert_eq!(asked, Asked::Pending);
    let kept = cache.backend.next();
    assert_eq!(cache.host.look(NAME), Lookup::Hit(old), "meanwhile");
    kept.answer(&ecdsa());
    let Outcome::Found(new) = cache.host.pump_until(token) else { panic!() };
    assert!(new != old && cache.host.look(NAME) == Lookup::Hit(new));
    assert_eq!(cache.host.engine.counters().misses, 1, "no refresh counts as a handshake");
}

#[test]
fn a_refresh_says_what_came_of_it() {
    let mut cache = Cache::open();
    let fields = "Cache-Control: s-maxage=10000\r\nETag: \"1\"\r\n";
    cache.gets(NAME, ECDSA, &[Step::respond("200 OK", fields, crate::support::host::bundle(NAME, false))]);
    cache.backend.tell(&[Step::send("HTTP/1.1 304 Not Modified\r\nCache-Control: s-maxage=10000\r\n\r\n")]);
    assert!(matches!(refresh(&mut cache), (Outcome::Found(_), true)));
    cache.backend.tell(&ecdsa());
    assert!(matches!(refresh(&mut cache), (Outcome::Found(_), false)));
    cache.backend.tell(&[Step::respond("500 Internal Server Error", "", "")]);
    assert!(matches!(refresh(&mut cache), (Outcome::Failed(_), false)));
    assert!(matches!(cache.host.look(NAME), Lookup::Hit(_)), "what is held is served");
    cache.backend.tell(&no_certificate());
    assert_eq!(refresh(&mut cache), (Outcome::NoCertificate, false));
    assert_eq!(cache.host.look(NAME), Lookup::Negative);
}

#[test]
fn a_refresh_goes_past_the_back_off_and_past_a_no() {
    let mut cache = Cache::open();
    assert!(!cache.serves(ECDSA));
    assert!(matches!(cache.host.ask_as(NAME, ECDSA), Outcome::BackedOff(_)));
    cache.backend.tell(&no_certificate());
    assert_eq!(refresh(&mut cache).0, Outcome::NoCertificate);
    cache.backend.tell(&ecdsa());
    assert_eq!(cache.host.look(NAME), Lookup::Negative);
    assert!(matches!(refresh(&mut cache).0, Outcome::Found(_)));
    assert!(matches!(cache.host.look(NAME), Lookup::Hit(_)));
}

#[test]
fn a_refresh_tells_of_a_request_that_began_after_it() {
    let mut cache = Cache::open();
    let early = cache.starts(ECDSA);
    let kept = cache.backend.next();
    let (config, token) = (cache.host.config.clone(), next_token());
    assert_eq!(
        cache.host.engine.ask(&config, NAME.as_bytes(), ECDSA, AskMode::Refresh, token),
        Asked::Pending
    );
    cache.backend.tell(&ecdsa()); // it is mended
    kept.answer(&no_certificate());
    assert_eq!(cache.host.pump_until(early), Outcome::NoCertificate);
    assert!(matches!(cache.host.pump_until(token), Outcome::Found(_)));
    assert!(matches!(cache.host.look(NAME), Lookup::Hit(_)));
}

#[test]
fn only_kinds_that_are_held_are_refreshed() {
    let mut cache = Cache::with(&ecdsa());
    assert_eq!(ask(&mut cache, RSA_ONLY, AskMode::Refresh), Err(Asked::NothingHeld));
    assert_eq!(ask(&mut cache, ED25519, AskMode::Refresh), Err(Asked::NothingHeld));
    cache.gets(NAME, RSA_ONLY, &rsa());
    assert!(matches!(ask(&mut cache, RSA_ONLY, AskMode::Refresh), Ok((Outcome::Found(_), false))));
}

#[test]
fn a_prefetch_leaves_alone_what_is_fresh_here_or_on_disk() {
    let cache = Cache::with(&ecdsa());
    let mut cache = cache.stop().restart();
    cache.backend.keep(); // whoever asks waits for ever
    assert!(matches!(ask(&mut cache, ECDSA, AskMode::Prefetch), Ok((Outcome::Found(_), _))), "from disk");
    assert_eq!(ask(&mut cache, ECDSA, AskMode::Prefetch), Err(Asked::Held));
    assert_eq!(cache.host.engine.counters().fetch_errors, 0);
}

#[test]
fn a_prefetch_gets_what_is_stale_or_was_denied_and_waits_after_failures() {
    let mut cache = Cache::with(&ecdsa());
    cache.advance(10_001);
    assert!(matches!(ask(&mut cache, ECDSA, AskMode::Prefetch), Ok((Outcome::Found(_), _))));
    assert!(matches!(cache.host.look(NAME), Lookup::Hit(_)));
    cache.is_purged_and_told_no();
    cache.backend.tell(&ecdsa());
    assert!(matches!(ask(&mut cache, ECDSA, AskMode::Prefetch), Ok((Outcome::Found(_), _))), "too early");
    cache.is_purged_and_told_no();
    cache.advance(61);
    assert!(!cache.serves(ECDSA));
    cache.backend.tell(&ecdsa());
    assert!(matches!(ask(&mut cache, ECDSA, AskMode::Prefetch), Ok((Outcome::BackedOff(_), _))));
    cache.host.clock.advance(Duration::from_secs(2));
    assert!(matches!(ask(&mut cache, ECDSA, AskMode::Prefetch), Ok((Outcome::Found(_), _))));
}

#[test]
fn a_sync_says_what_was_not_kept_though_the_last_was() {
    let mut cache = Cache::with(&ecdsa());
    let directory = cache.directory.path.clone();
    let elsewhere = directory.with_extension("not-mounted");
    std::fs::rename(&directory, &elsewhere).unwrap();
    cache.gets("other.example", ECDSA, &certificate_for("other.example"));
    const OF_LAST_HOUR: &str = r#"{"sync": {"of_last_ms": 3600000}}"#;
    let answer = cache.host.operate(OF_LAST_HOUR);
    assert!(matches!(answer, Err(OperationError::Disk(_))), "{answer:?}");
    std::fs::rename(&elsewhere, &directory).unwrap();
    cache.gets("third.example", ECDSA, &certificate_for("third.example"));
    let answer = cache.host.operate(OF_LAST_HOUR);
    assert!(matches!(answer, Err(OperationError::Disk(_))), "{answer:?}");
    assert_eq!(
        cache.host.operate(r#"{"sync": {}}"#),
        Ok(Answer::Done {}),
        "it asks for what comes from now on"
    );
}

#[test]
fn what_was_fetched_is_on_disk_when_a_sync_is_answered() {
    let mut cache = Cache::open();
    for n in 0..50 {
        cache.gets(&format!("n{n}.example"), ECDSA, &certificate_for(&format!("n{n}.example")));
    }
    assert_eq!(cache.host.operate(r#"{"sync": {}}"#), Ok(Answer::Done {}));
    assert_eq!(cache.host.engine.counters().disk_writes, 50);
}

#[test]
fn a_kind_that_the_backend_does_not_have_is_asked_for_once() {
    let mut cache = Cache::with(&ecdsa());
    assert!(matches!(ask(&mut cache, RSA_ONLY, AskMode::Prefetch), Ok((Outcome::UnsupportedKeyType, _))));
    assert_eq!(ask(&mut cache, RSA_ONLY, AskMode::Prefetch), Err(Asked::UnsupportedKeyType));
}

pub(crate) fn certificate_for(name: &str) -> Vec<Step> {
    let fields = "Cache-Control: s-maxage=1000\r\n";
    vec![Step::respond("200 OK", fields, crate::support::host::bundle(name, false))]
}

impl Cache {
    fn is_purged_and_told_no(&mut self) {
        self.host.engine.purge(NAME.as_bytes()).unwrap();
        self.is_told_no(ECDSA);
    }
}
