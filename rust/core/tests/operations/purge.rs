//! A purge by names or of all: nothing of it is left, in memory or on disk, once it is answered.

use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::{AskMode, Asked};
use cached_http_core::events::Outcome;
use cached_http_core::operations::{Answer, OperationError};

use crate::asking::certificate_for;
use crate::help::{Cache, ECDSA, NAME, ecdsa, files_below, no_certificate, rsa, set_mode, until};
use crate::support::host::{Host, RSA_ONLY, backend, next_token};

const PURGE: &str = r#"{"purge": {"names": ["SHOP.example."]}}"#;
const PURGE_ALL: &str = r#"{"purge_all": {}}"#;

fn purged(count: u64) -> Result<Answer, OperationError> {
    Ok(Answer::Purged { purged: count })
}

#[test]
fn a_name_is_gone_from_disk_when_the_answer_comes() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::with(&ecdsa());
        cache.gets(NAME, RSA_ONLY, &rsa());
        cache.until_written(2);
        assert!(matches!(cache.host.operate(operation), Ok(Answer::Purged { purged: 1.. })), "{operation}");
        assert_eq!(files_below(&cache.directory.path.join("entries")).len(), 0, "{operation}");
        assert_eq!(cache.host.look(NAME), Lookup::Miss);
        until("memory is given back", || cache.host.engine.sizes().entries == 0);
        assert!(!cache.still_has(ECDSA));
    }
}

#[test]
fn what_is_on_disk_alone_counts_and_goes() {
    let cache = Cache::with(&ecdsa());
    let mut cache = cache.stop().restart();
    assert_eq!(cache.host.operate(PURGE), purged(1));
    assert_eq!(cache.host.operate(PURGE), purged(0));
    assert_eq!(cache.stop().files(), 0);
}

#[test]
fn all_count_after_a_restart_and_their_files_go_unasked() {
    let mut cache = Cache::with(&ecdsa());
    cache.gets("other.example", ECDSA, &certificate_for("other.example"));
    cache.until_written(2);
    let mut cache = cache.stop().restart();
    assert_eq!(cache.host.operate(PURGE_ALL), purged(2));
    until("the files are gone", || files_below(&cache.directory.path).is_empty());
}

#[test]
fn what_a_stop_has_left_of_a_purge_goes_with_the_next_start() {
    let cache = Cache::with(&ecdsa());
    let directory = cache.stop();
    let left = directory.directory.path.join("tmp/purged-0123456789abcdef");
    let entries = directory.file().ancestors().nth(2).unwrap().to_owned(); // the backend's
    std::fs::rename(entries, &left).unwrap();
    let cache = directory.restart();
    assert!(left.exists(), "to open it changes nothing");
    cache.host.resize(&cache.backend.backend, Some(&cache.directory.path));
    until("it is gone", || !left.exists());
}

/// A file system that is not mounted for a while.
#[test]
fn a_purge_while_the_cache_directory_is_gone_is_an_error_and_holds_when_it_is_back() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::with(&ecdsa());
        let directory = cache.directory.path.clone();
        let elsewhere = directory.with_extension("not-mounted");
        std::fs::rename(&directory, &elsewhere).unwrap();
        let answer = cache.host.operate(operation);
        assert!(matches!(answer, Err(OperationError::Disk(_))), "{operation}: {answer:?}");
        std::fs::rename(&elsewhere, &directory).unwrap();
        assert!(!cache.serves(ECDSA), "{operation}");
        assert!(cache.host.operate(operation).is_ok(), "{operation}: another try");
        let stopped = cache.stop();
        assert_eq!(stopped.files(), 0, "{operation}");
        assert!(!stopped.restart().serves(ECDSA), "{operation}");
    }
}

#[test]
fn a_purge_of_all_evicts_nothing() {
    let mut cache = Cache::with(&ecdsa());
    assert!(cache.host.operate(PURGE_ALL).is_ok());
    cache.gets(NAME, ECDSA, &ecdsa());
    assert_eq!(cache.host.engine.counters().evictions, 0);
}

#[test]
fn a_no_and_a_failure_are_forgotten() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::open();
        cache.is_told_no(ECDSA);
        assert_eq!(cache.host.operate(operation), purged(1));
        assert_eq!(cache.host.look(NAME), Lookup::Miss);
        assert!(!cache.serves(ECDSA), "it fails");
        assert_eq!(cache.host.operate(operation), purged(1));
        cache.backend.tell(&ecdsa());
        assert!(matches!(cache.host.ask_as(NAME, ECDSA), Outcome::Found(_)), "no back-off is left");
    }
}

#[test]
fn what_is_under_way_ends_for_who_waits_and_is_not_kept() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::open();
        let early = cache.starts(ECDSA);
        let kept = cache.backend.next();
        assert!(cache.host.operate(operation).is_ok());
        let late = cache.starts(ECDSA);
        let again = cache.backend.next();
        kept.answer(&ecdsa());
        assert!(matches!(cache.host.pump_until(early), Outcome::Found(_)));
        assert_eq!(cache.host.look(NAME), Lookup::Miss, "{operation}");
        again.answer(&no_certificate());
        assert_eq!(cache.host.pump_until(late), Outcome::NoCertificate);
        assert!(!cache.still_has(ECDSA), "{operation}");
    }
}

#[test]
fn a_refresh_from_before_brings_nothing_back() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::with(&ecdsa());
        cache.backend.keep();
        let (config, token) = (cache.host.config.clone(), next_token());
        let asked = cache.host.engine.ask(&config, NAME.as_bytes(), ECDSA, AskMode::Refresh, token);
        assert_eq!(asked, Asked::Pending);
        let kept = cache.backend.next();
        assert!(cache.host.operate(operation).is_ok());
        kept.answer(&ecdsa());
        cache.host.pump_one_fetch();
        assert_eq!(cache.host.look(NAME), Lookup::Miss, "{operation}");
        assert!(!cache.still_has(ECDSA), "{operation}");
    }
}

#[test]
fn what_comes_after_is_kept() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::with(&ecdsa());
        assert!(cache.host.operate(operation).is_ok());
        cache.gets(NAME, ECDSA, &ecdsa());
        cache.until_written(2);
        assert!(cache.still_has(ECDSA), "{operation}");
    }
}

#[test]
fn one_wrong_name_and_nothing_is_done() {
    let mut cache = Cache::with(&ecdsa());
    let answer = cache.host.operate(r#"{"purge": {"names": ["shop.example", "no name\u0007"]}}"#);
    let Err(OperationError::InvalidName { name, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(name, "no name\\u{7}");
    assert!(cache.still_has(ECDSA));
}

#[test]
fn a_disk_that_refuses_is_told_and_what_it_keeps_is_not_served() {
    for operation in [PURGE, PURGE_ALL] {
        let mut cache = Cache::with(&ecdsa());
        let shard = cache.file().parent().unwrap().to_owned();
        // Root may remove from a folder without write permission, so the folder is made one that is not ours to use.
        set_mode(&shard, 0o777);
        let entries = cache.directory.path.join("entries");
        if operation == PURGE_ALL {
            set_mode(&entries, 0o777);
        }
        let answer = cache.host.operate(operation);
        assert!(matches!(&answer, Err(OperationError::Disk(text)) if text.contains("refuses")), "{answer:?}");
        assert!(!cache.serves(ECDSA), "{operation}");
        set_mode(&shard, 0o700);
        set_mode(&entries, 0o700);
        // It is tried again before the process ends.
        assert_eq!(cache.stop().files(), 0, "{operation}");
    }
}

#[test]
fn many_names_and_all_leave_the_others_alone() {
    let backend = backend("Cache-Control: s-maxage=1000\r\n");
    let mut host = Host::new(&backend, None, "");
    let names: Vec<_> = (0..300).map(|number| format!("known{number}.example")).collect();
    for name in &names {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    let list = serde_json::to_string(&names[..100]).unwrap();
    assert_eq!(host.operate(&format!(r#"{{"purge": {{"names": {list}}}}}"#)), purged(100));
    let held = |host: &Host| names.iter().filter(|name| matches!(host.look(name), Lookup::Hit(_))).count();
    assert_eq!(held(&host), 200);
    assert_eq!(host.operate(PURGE_ALL), purged(200));
    assert_eq!(held(&host), 0);
    until("memory is given back", || host.engine.sizes().entry_bytes == 0);
    assert_eq!(host.engine.sizes().entries, 0);
}
