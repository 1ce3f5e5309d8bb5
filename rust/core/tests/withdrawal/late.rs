//! An answer that was asked for before a "no" comes after it.

use cached_http_core::engine::Lookup;
use cached_http_core::events::Outcome;

use crate::help::{Cache, ECDSA, ED25519, NAME, ecdsa, no_certificate, rsa};
use crate::support::Step;
use crate::support::host::RSA_ONLY;

#[test]
fn a_late_certificate_does_not_bring_the_name_back() {
    for (slow, quick, late) in [
        (ECDSA, ED25519, ecdsa()),
        (RSA_ONLY, ECDSA, rsa()),
        // What an RSA-only client could have used, too.
        (ECDSA, RSA_ONLY, rsa()),
    ] {
        let mut cache = Cache::open();
        let waits = cache.starts(slow);
        let kept = cache.backend.next();
        cache.is_told_no(quick);
        kept.answer(&late);
        let outcome = cache.host.pump_until(waits);
        assert!(matches!(outcome, Outcome::Found(_)), "it is told what the backend said: {outcome:?}");
        assert!(!cache.still_has(slow), "{slow:?} asked, then {quick:?}");
    }
}

#[test]
fn a_late_certificate_that_could_not_have_been_meant_is_stored() {
    let mut cache = Cache::open();
    let waits = cache.starts(ECDSA);
    let kept = cache.backend.next();
    cache.is_told_no(RSA_ONLY);
    kept.answer(&ecdsa());
    assert!(matches!(cache.host.pump_until(waits), Outcome::Found(_)));
    assert!(cache.still_has(ECDSA), "an RSA-only client can't use it, so its 'no' says nothing of it");
}

#[test]
fn who_comes_after_a_no_does_not_wait_for_an_answer_from_before_it() {
    let mut cache = Cache::open();
    let early = cache.starts(ECDSA);
    let kept = cache.backend.next();
    // Not to be kept: the next client asks again.
    cache.backend.tell(&[Step::send("HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n")]);
    assert_eq!(cache.host.ask_as(NAME, ED25519), Outcome::NoCertificate);
    cache.backend.keep();
    let late = cache.starts(ECDSA);
    let again = cache.backend.next();
    kept.answer(&ecdsa());
    assert!(matches!(cache.host.pump_until(early), Outcome::Found(_)));
    again.answer(&no_certificate());
    assert_eq!(cache.host.pump_until(late), Outcome::NoCertificate);
    assert_eq!(cache.host.look_as(NAME, ECDSA, None), Lookup::Negative);
}

#[test]
fn a_candidate_that_the_host_agrees_to_after_a_no_is_not_stored() {
    let mut cache = Cache::open();
    cache.backend.tell(&ecdsa());
    let waits = cache.starts(ECDSA);
    let id = cache.next_candidate();
    cache.is_told_no(ED25519);
    assert!(cache.host.engine.confirm(id));
    cache.host.pump_until(waits);
    assert!(!cache.still_has(ECDSA));
}
