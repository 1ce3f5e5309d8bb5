use super::*;
use crate::entry::ClientKind;

const ME: Identity = 1;
const DOWN: Evidence = Evidence::Down { unreachable: false };
const UNREACHABLE: Evidence = Evidence::Down { unreachable: true };

fn key(name: &str) -> EntryKeyRef<'_> {
    EntryKeyRef { name, client: ClientKind::Ecdsa }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp((1e9 + seconds * 1000.0) as u64)
}

#[test]
fn a_name_waits_twice_as_long_each_time_and_success_resets_it() {
    let back_off = BackOff::default();
    let mut now = 0.0;
    for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        back_off.failed(key("a.example"), ME, Evidence::Up, "it was 500", None, at(now));
        assert_eq!(
            back_off.reason(key("a.example"), ME, at(now + 0.8 * longest - 0.01)).as_deref(),
            Some("it was 500")
        );
        assert_eq!(back_off.reason(key("b.example"), ME, at(now)), None, "others don't wait");
        now += longest;
        assert_eq!(back_off.admit(key("a.example"), true, ME, at(now)), Ok(()));
    }
    back_off.succeeded(key("a.example"), Evidence::Up, at(0.0));
    assert_eq!(back_off.reason(key("a.example"), ME, at(now)), None);
    back_off.failed(key("a.example"), ME, Evidence::Up, "again", None, at(now));
    assert_eq!(back_off.reason(key("a.example"), ME, at(now + 1.0)), None, "it starts from the first step");
}

#[test]
fn retry_after_is_obeyed_up_to_a_limit() {
    let back_off = BackOff::default();
    back_off.failed(key("a.example"), ME, Evidence::Up, "busy", Some(Duration::from_secs(60)), at(0.0));
    assert!(back_off.reason(key("a.example"), ME, at(59.9)).is_some());
    assert!(back_off.reason(key("a.example"), ME, at(60.0)).is_none());
    back_off.failed(key("b.example"), ME, Evidence::Up, "busy", Some(Duration::MAX), at(0.0));
    assert!(back_off.reason(key("b.example"), ME, at(299.9)).is_some());
    assert!(back_off.reason(key("b.example"), ME, at(300.0)).is_none());
}

#[test]
fn a_clock_that_is_set_back_blocks_nobody() {
    let back_off = BackOff::default();
    back_off.failed(key("a.example"), ME, Evidence::Up, "it was 500", None, at(0.0));
    assert!(back_off.reason(key("a.example"), ME, at(-86_400.0)).is_none());
}

#[test]
fn one_failing_name_never_opens_the_breaker_and_several_do() {
    let back_off = BackOff::default();
    for n in 0..50 {
        back_off.failed(key("a.example"), ME, DOWN, "down", None, at(f64::from(n)));
    }
    assert!(!back_off.breaker_is_open());
    for name in ["b.example", "c.example", "d.example"] {
        back_off.failed(key(name), ME, DOWN, "down", None, at(100.0));
    }
    assert_eq!(back_off.admit(key("z.example"), true, ME, at(100.0)), Ok(()));
    back_off.failed(key("e.example"), ME, DOWN, "down", None, at(100.0));
    assert_eq!(back_off.admit(key("z.example"), true, ME, at(100.0)).unwrap_err().as_ref(), "down");
}

#[test]
fn an_open_breaker_lets_one_probe_through_per_step() {
    let back_off = BackOff::default();
    for name in ["a", "b", "c", "d", "e"] {
        back_off.failed(key(name), ME, DOWN, "down", None, at(0.0));
    }
    let mut probes = 0;
    for tenth in 0..36_000 {
        let now = at(f64::from(tenth) / 10.0);
        for name in 0..10 {
            let name = format!("n{name}-{tenth}");
            if back_off.admit(key(&name), true, ME, now).is_ok() {
                probes += 1;
                back_off.failed(key(&name), ME, DOWN, "still down", None, now);
            }
        }
    }
    // An hour in steps of 30 s, up to a fifth shorter.
    assert!((120..=160).contains(&probes), "{probes}");
    let later = at(4_000.0);
    assert_eq!(back_off.admit(key("probe"), true, ME, later), Ok(()));
    assert!(back_off.admit(key("another"), true, ME, later).is_err(), "the probe has not answered yet");
    back_off.succeeded(key("probe"), Evidence::Up, at(0.0));
    assert_eq!(back_off.admit(key("another"), true, ME, later), Ok(()));
}

fn open(evidence: Evidence) -> BackOff {
    let back_off = BackOff::default();
    for name in ["a", "b", "c", "d", "e"] {
        back_off.failed(key(name), ME, evidence, "down", None, at(0.0));
    }
    assert!(back_off.breaker_is_open());
    back_off
}

#[test]
fn names_that_the_backend_never_knew_open_nothing_and_reset_nothing() {
    let back_off = BackOff::default();
    for n in 0..50 {
        back_off.failed(key(&format!("junk{n}")), ME, Evidence::Reached, "500", None, at(0.0));
    }
    assert!(!back_off.breaker_is_open());
    for name in ["a", "b", "c", "d"] {
        back_off.failed(key(name), ME, DOWN, "down", None, at(0.0));
    }
    back_off.succeeded(key("junk"), Evidence::Reached, at(0.0));
    back_off.failed(key("e"), ME, DOWN, "down", None, at(0.0));
    assert!(back_off.breaker_is_open(), "a scanner's 204 does not hide an outage");
}

#[test]
fn a_scanner_does_not_win_the_probes() {
    let back_off = open(DOWN);
    assert!(back_off.admit(key("junk"), false, ME, at(1.1)).is_err(), "known names first");
    assert_eq!(back_off.admit(key("known"), true, ME, at(1.1)), Ok(()));
    let back_off = open(DOWN);
    assert_eq!(back_off.admit(key("new"), false, ME, at(2.1)), Ok(()), "if no known one came");
    back_off.failed(key("new"), ME, Evidence::Reached, "500", None, at(2.2));
    assert!(back_off.breaker_is_open());
    assert_eq!(back_off.admit(key("known"), true, ME, at(3.3)), Ok(()));
    back_off.succeeded(key("known"), Evidence::Up, at(3.3));
    assert!(!back_off.breaker_is_open());
}

#[test]
fn any_answer_ends_what_was_a_want_of_connections() {
    let back_off = open(UNREACHABLE);
    assert_eq!(back_off.admit(key("junk"), false, ME, at(1.1)), Ok(()));
    back_off.failed(key("junk"), ME, Evidence::Reached, "500", None, at(1.2));
    assert!(!back_off.breaker_is_open());
}

#[test]
fn failures_hold_for_those_who_ask_in_the_same_way() {
    let back_off = open(DOWN);
    let other = 2;
    assert!(back_off.reason(key("a"), ME, at(0.1)).is_some());
    assert!(back_off.reason(key("a"), other, at(0.1)).is_none());
    assert_eq!(back_off.admit(key("z"), true, other, at(0.1)), Ok(()), "the new token is tried at once");
    assert!(back_off.admit(key("y"), true, other, at(0.1)).is_err(), "by one request");
}
