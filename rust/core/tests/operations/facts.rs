//! All that is known of one name.

use std::fs;
use std::time::Duration;

use cached_http_core::operations::{Answer, NameFacts, NameState, OperationError};

use crate::help::{Cache, ECDSA, NAME, ecdsa, rsa};
use crate::support::host::RSA_ONLY;

const INSPECT: &str = r#"{"inspect": {"name": "Shop.Example"}}"#;

fn facts(cache: &mut Cache) -> NameFacts {
    match cache.host.operate(INSPECT) {
        Ok(Answer::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_that_is_not_known_is_no_name_that_is_known() {
    let mut cache = Cache::open();
    assert_eq!(cache.host.operate(INSPECT), Err(OperationError::UnknownName));
    let wrong = cache.host.operate(r#"{"inspect": {"name": "10.0.0.1"}}"#);
    assert!(matches!(wrong, Err(OperationError::InvalidName { .. })), "{wrong:?}");
}

#[test]
fn each_certificate_is_told_with_its_times_and_where_it_is() {
    let mut cache = Cache::with(&ecdsa());
    cache.gets(NAME, RSA_ONLY, &rsa());
    cache.until_written(2);
    let known = facts(&mut cache);
    assert_eq!((known.name.as_str(), known.entries.len()), (NAME, 2));
    for entry in &known.entries {
        assert!(entry.in_memory && entry.on_disk && entry.state == NameState::Fresh);
        let fetched_at = cache.host.clock.now();
        assert_eq!(entry.fetched_at, fetched_at);
        assert_eq!(entry.fresh_until, Some(fetched_at.saturating_add(Duration::from_secs(10_000))));
        assert!(entry.leaf.starts_with(&[0x30]));
    }
    assert_ne!(known.entries[0].leaf, known.entries[1].leaf);

    let mut cache = cache.stop().restart();
    let known = facts(&mut cache);
    assert!(known.entries.len() == 2 && known.entries.iter().all(|entry| !entry.in_memory && entry.on_disk));
    assert_eq!(cache.host.engine.sizes().entries, 0, "looking has changed nothing");
    let counters = cache.host.engine.counters();
    assert_eq!((counters.disk_hits, counters.hits, counters.misses), (0, 0, 0));
}

#[test]
fn a_no_a_failure_and_a_kind_that_is_of_no_use_are_told() {
    let mut cache = Cache::open();
    cache.is_told_no(ECDSA);
    let until = facts(&mut cache).negative_until;
    assert_eq!(until, Some(cache.host.clock.now().saturating_add(Duration::from_secs(60))));
    assert!(!cache.serves(ECDSA));
    let known = facts(&mut cache);
    assert!(known.last_error.is_some_and(|text| text.contains("500")));
    assert!(known.retry_at > known.failing_since && known.negative_until.is_none());
    cache.advance(60);
    cache.backend.tell(&ecdsa());
    cache.host.ask_as(NAME, RSA_ONLY);
    let known = facts(&mut cache);
    assert!(known.unsupported_until.is_some() && known.entries.is_empty());
}

#[test]
fn damage_is_not_told_and_left_for_a_lookup_to_find() {
    let cache = Cache::with(&ecdsa());
    let file = cache.file();
    let mut cache = cache.stop().restart();
    fs::write(&file, "damaged").unwrap();
    assert_eq!(cache.host.operate(INSPECT), Err(OperationError::UnknownName));
    assert!(file.exists() && cache.host.engine.counters().disk_errors == 0);
}

#[test]
fn a_folder_that_is_refused_is_told_and_not_taken_for_nothing() {
    let mut cache = Cache::with(&ecdsa()).stop().restart();
    crate::help::set_mode(&cache.directory.path, 0o750);
    let known = facts(&mut cache);
    assert!(known.entries.is_empty() && known.disk_error.is_some_and(|error| error.contains("0750")));
}

#[test]
fn no_answer_has_key_or_pem_text() {
    let mut cache = Cache::with(&ecdsa());
    let json = String::from_utf8(Answer::Facts(facts(&mut cache)).to_json()).unwrap();
    assert!(
        !json.contains("PRIVATE") && !json.contains("BEGIN") && json.contains(r#""leaf":"MII"#),
        "{json}"
    );
}
