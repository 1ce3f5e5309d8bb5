//! Names, page by page and by state.

use std::time::Duration;

use cached_http_core::engine::Lookup;
use cached_http_core::events::Outcome;
use cached_http_core::operations::{Answer, NameState, NameSummary, NamesPage, OperationError};

use crate::support::host::{CacheDirectory, Host, RSA_ONLY, bundle};
use crate::support::{Request, Step, TestBackend};

/// Certificates for "known...", in both kinds for "known-both...", none for "none...", errors for others.
fn backend() -> TestBackend {
    TestBackend::start(|request: &Request| {
        let name = request.parameter("server_name").unwrap_or_default();
        let rsa = !request.parameter("signature_schemes").unwrap_or_default().contains("403");
        vec![match name {
            _ if name.starts_with("known-both") => respond(name, rsa),
            _ if name.starts_with("known") => respond(name, false),
            _ if name.starts_with("none") => Step::send("HTTP/1.1 204 No Content\r\n\r\n"),
            _ => Step::respond("500 Internal Server Error", "", ""),
        }]
    })
}

fn respond(name: &str, rsa: bool) -> Step {
    Step::respond("200 OK", "Cache-Control: s-maxage=100\r\n", bundle(name, rsa))
}

fn page(host: &mut Host, query: &str) -> NamesPage {
    match host.operate(&format!(r#"{{"names": {{{query}}}}}"#)) {
        Ok(Answer::Names(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All names of all pages.
fn walk(host: &mut Host, query: &str) -> Vec<NameSummary> {
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let from = cursor.map_or(String::new(), |cursor: String| format!(r#","cursor":"{cursor}""#));
        let page = page(host, &format!("{query}{from}"));
        names.extend(page.names);
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return names,
        }
    }
}

fn texts(names: &[NameSummary]) -> Vec<&str> {
    names.iter().map(|summary| summary.name.as_str()).collect()
}

#[test]
fn every_name_comes_once_in_order_whatever_the_page() {
    let backend = backend();
    let mut host = Host::new(&backend, None, "");
    let mut expected = Vec::new();
    for number in 0..40 {
        let name = format!("known{number}.example");
        assert!(matches!(host.ask(&name), Outcome::Found(_)));
        expected.push(name);
    }
    for number in 0..10 {
        let name = format!("known-both{number}.example");
        assert!(matches!(host.ask(&name), Outcome::Found(_)));
        assert!(matches!(host.ask_as(&name, RSA_ONLY), Outcome::Found(_)));
        expected.push(name);
    }
    expected.sort();
    for limit in [1, 2, 3, 7, 49, 50, 51, 1000] {
        let names = walk(&mut host, &format!(r#""limit":{limit}"#));
        assert_eq!(texts(&names), expected, "{limit}");
        assert!(names.iter().all(|summary| summary.state == NameState::Fresh), "{limit}");
    }
    let both: Vec<_> = expected.iter().filter(|name| name.starts_with("known-b")).collect();
    assert_eq!(texts(&walk(&mut host, r#""limit":3,"prefix":"KNOWN-b""#)), both);
    assert_eq!(walk(&mut host, r#""limit":3,"prefix":"l""#), []);
    // Asking has counted as nothing.
    let counters = host.engine.counters();
    assert_eq!((counters.hits, counters.misses), (0, 60));
}

#[test]
fn a_name_is_listed_by_what_is_known_of_it() {
    let backend = backend();
    let mut host = Host::new(&backend, None, r#","stale_if_error_ms":1000000,"refresh_ahead":true"#);
    for number in 0..5 {
        assert!(matches!(host.ask(&format!("known{number}.example")), Outcome::Found(_)));
        assert_eq!(host.ask(&format!("none{number}.example")), Outcome::NoCertificate);
        assert!(matches!(host.ask(&format!("bad{number}.example")), Outcome::Failed(_)));
    }
    let negatives = walk(&mut host, r#""limit":2,"state":"negative""#);
    assert_eq!(texts(&negatives)[..2], ["none0.example", "none1.example"]);
    assert!(negatives.len() == 5 && negatives.iter().all(|summary| summary.fresh_until.is_some()));
    let failing = walk(&mut host, r#""limit":2,"state":"failing","prefix":"bad""#);
    assert_eq!(failing.len(), 5);
    assert!(
        failing.iter().all(|summary| summary.last_error.as_ref().is_some_and(|text| text.contains("500")))
    );
    assert!(failing.iter().all(|summary| summary.retry_at > summary.failing_since));
    assert_eq!(walk(&mut host, r#""limit":9,"state":"stale""#), []);

    host.clock.advance(Duration::from_secs(101));
    assert_eq!(walk(&mut host, r#""limit":9,"state":"fresh""#), []);
    assert_eq!(walk(&mut host, r#""limit":2,"state":"stale""#).len(), 5);
    assert_eq!(walk(&mut host, r#""limit":9,"state":"negative""#), [], "their time is over");
    host.clock.advance(Duration::from_secs(1_000_001));
    assert_eq!(walk(&mut host, r#""limit":2,"state":"expired""#).len(), 5);
}

#[test]
fn what_fails_since_when_is_told_from_the_first_failure_on() {
    let backend = backend();
    let mut host = Host::new(&backend, None, "");
    let begin = host.clock.now();
    for _ in 0..3 {
        assert!(matches!(host.ask("bad.example"), Outcome::Failed(_)));
        host.clock.advance(Duration::from_secs(40));
    }
    let failing = walk(&mut host, r#""limit":9,"state":"failing""#);
    assert_eq!(failing[0].failing_since, Some(begin));
}

#[test]
fn what_ends_first_comes_first() {
    let backend = backend();
    let mut host = Host::new(&backend, None, "");
    for number in 0..9 {
        assert!(matches!(host.ask(&format!("known{number}.example")), Outcome::Found(_)));
    }
    let page = page(&mut host, r#""limit":4,"state":"ending""#);
    assert_eq!((page.names.len(), page.cursor), (4, None));
    assert!(page.names.is_sorted_by_key(|summary| summary.not_after));
}

#[test]
fn what_is_on_disk_alone_is_listed() {
    let (backend, directory) = (backend(), CacheDirectory::new());
    let mut host = Host::new(&backend, Some(&directory.path), "");
    for number in 0..20 {
        assert!(matches!(host.ask(&format!("known{number}.example")), Outcome::Found(_)));
    }
    host.close();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    assert_eq!(walk(&mut host, r#""limit":9"#), []);
    for limit in [1, 7, 20, 100] {
        let mut names = walk(&mut host, &format!(r#""limit":{limit},"state":"disk""#));
        names.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(names.len(), 20, "{limit}");
        assert!(names.windows(2).all(|pair| pair[0].name < pair[1].name), "{limit}");
        assert!(names.iter().all(|summary| summary.not_after.is_some()));
    }
    assert_eq!(walk(&mut host, r#""limit":3,"state":"disk","prefix":"known7""#).len(), 1);
    assert_eq!(host.engine.counters().disk_hits, 0);
    assert_eq!(host.look("known1.example"), Lookup::Miss, "nothing was read into memory");
}

#[test]
fn a_cursor_that_is_none_finds_what_lies_behind_it_or_nothing() {
    let (backend, directory) = (backend(), CacheDirectory::new());
    let mut host = Host::new(&backend, Some(&directory.path), "");
    assert!(matches!(host.ask("known.example"), Outcome::Found(_)));
    for state in ["fresh", "negative", "failing", "disk"] {
        for cursor in ["zz", "\u{fc}", "../../etc/passwd", "ff"] {
            let query = format!(r#"{{"names": {{"limit":9,"state":"{state}","cursor":"{cursor}"}}}}"#);
            let answer = host.operate(&query);
            match state {
                "disk" => assert_eq!(answer, Err(OperationError::InvalidCursor)),
                _ => assert!(matches!(answer, Ok(Answer::Names(_))), "{state}: {answer:?}"),
            }
        }
    }
}
