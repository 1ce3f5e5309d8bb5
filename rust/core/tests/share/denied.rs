//! What the backend has said no to is not shared by what it said before, and no more than that is taken from sharing.

use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::AskMode;
use cached_http_core::entry::ClientKind;
use cached_http_core::events::Outcome;

use crate::support::host::{Host, MODERN, RSA_ONLY, lookup_settings, next_token};
use crate::support::told::ToldBackend;
use crate::{APEX, ON, WWW, covering, host, no_certificate};

#[test]
fn a_no_beats_it_and_goes_on_doing_so() {
    let backend = ToldBackend::start();
    let mut host = Host::new(&backend.backend, None, ON);
    backend.tell(&no_certificate());
    assert_eq!(host.ask(WWW), Outcome::NoCertificate);
    host.clock.advance(Duration::from_secs(1));
    backend.tell(&covering(&[APEX, WWW], false));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)));
    assert_eq!(host.look(WWW), Lookup::Negative);
    // Told no by a prefetch, or because it was asked before: what is older does not answer when the no is over.
    host.clock.advance(Duration::from_secs(61));
    assert!(matches!(host.look(WWW), Lookup::Hit(_)), "the certificate is newer than the no");
    backend.tell(&no_certificate());
    host.clock.advance(Duration::from_secs(1));
    let config = host.config.clone();
    let token = next_token();
    let mode = AskMode::Refresh;
    host.engine.ask(&config, WWW.as_bytes(), MODERN, mode, token);
    assert_eq!(host.pump_until(token), Outcome::NoCertificate);
    host.clock.advance(Duration::from_secs(61));
    assert_eq!(host.look(WWW), Lookup::Miss, "the no is newer than the certificate");
    assert!(matches!(host.look(APEX), Lookup::Hit(_)));
}

#[test]
fn a_no_beats_what_was_under_way_when_it_came() {
    for (kind, of) in [(MODERN, "this kind"), (RSA_ONLY, "less can use it")] {
        let backend = ToldBackend::start();
        let mut host = Host::new(&backend.backend, None, ON);
        let token = next_token();
        assert_eq!(host.look_as(APEX, MODERN, Some(token)), Lookup::Pending);
        let kept = backend.next();
        host.clock.advance(Duration::from_secs(1));
        backend.tell(&no_certificate());
        assert_eq!(host.ask(WWW), Outcome::NoCertificate);
        kept.answer(&covering(&[APEX, "*.example.com"], kind == RSA_ONLY));
        assert!(matches!(host.pump_until(token), Outcome::Found(_)));
        host.clock.advance(Duration::from_secs(61));
        assert_eq!(host.look_as(WWW, kind, None), Lookup::Miss, "the no is over, and newer: {of}");
        assert!(matches!(host.look_as("shop.example.com", kind, None), Lookup::Hit(_)), "{of}");
    }
}

#[test]
fn a_no_beats_it_though_the_clock_was_set_back() {
    let (backend, mut host) = host(&[APEX, "*.example.com"], ON);
    host.clock.set(Timestamp(host.clock.now().0 - 30_000));
    backend.tell(&no_certificate());
    let (config, token) = (host.config.clone(), next_token());
    host.engine.ask(&config, WWW.as_bytes(), MODERN, AskMode::Refresh, token);
    assert_eq!(host.pump_until(token), Outcome::NoCertificate);
    assert_eq!(host.look(WWW), Lookup::Negative);
    host.clock.advance(Duration::from_secs(61));
    assert_eq!(host.look(WWW), Lookup::Miss, "the no is over, and came later");
    assert!(matches!(host.look("shop.example.com"), Lookup::Hit(_)));
}

#[test]
fn a_no_to_clients_that_can_use_none_takes_no_sharing_from_others() {
    let (backend, mut host) = host(&[APEX, WWW], ON);
    backend.tell(&no_certificate());
    assert_eq!(host.ask_as(WWW, RSA_ONLY), Outcome::NoCertificate);
    assert!(matches!(host.look(WWW), Lookup::Hit(_)), "the certificate is ECDSA");
    assert_eq!(host.look_as(WWW, RSA_ONLY, None), Lookup::Negative);
}

/// Asks for so many names that nobody has.
fn scan(host: &mut Host, client: ClientKind, count: usize) {
    for batch in 0..count / 64 {
        for n in 0..64 {
            let (name, token) = (format!("x{batch}-{n}.example.com"), next_token());
            assert_eq!(host.look_as(&name, client, Some(token)), Lookup::Pending);
        }
        host.pump_fetches(64);
    }
}

#[test]
fn made_up_names_below_a_wildcard_take_no_sharing_from_others() {
    let (backend, mut host) = host(&[APEX, "*.example.com"], ON);
    let (shop, shared) = ("shop.example.org", "www.shop.example.org");
    backend.tell(&covering(&[shop, shared], false));
    assert!(matches!(host.ask(shop), Outcome::Found(_)));
    backend.tell(&no_certificate());
    scan(&mut host, RSA_ONLY, 128);
    assert!(matches!(host.look(WWW), Lookup::Hit(_)), "the certificate is ECDSA");
    // Of a site where names are not shared, which asks the same backend.
    let settings = lookup_settings(&backend.backend, "");
    let other = host.engine.lookup_config(&settings).unwrap();
    let with = std::mem::replace(&mut host.config, other);
    assert_eq!(host.ask("mail.example.com"), Outcome::NoCertificate);
    scan(&mut host, MODERN, 16_384 + 64);
    host.config = with;
    host.clock.advance(Duration::from_secs(61));
    assert!(matches!(host.look(shop), Lookup::Hit(_)));
    assert!(matches!(host.look(shared), Lookup::Hit(_)), "of another customer");
    assert_eq!(host.look("mail.example.com"), Lookup::Miss, "what was denied stays so");
}
