//! Records that are damaged, of others, or old: each is a miss.

use std::time::Duration;

use cached_http_core::events::Outcome;
use cached_http_core::operations::{Answer, OperationError};

use crate::node::{Node, Says, World, until, usually, write_key};
use crate::storage::{Kind, Mood};

/// What becomes of records by name: each must be a miss that the backend serves.
fn is_refused(world: &World, node: &Node, name: &str) {
    let before = world.requests();
    node.gets(name);
    assert_eq!(world.requests(), before + 1, "{name} was served from its record");
}

#[test]
fn damaged_cut_and_exchanged_records_are_misses_and_counted() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    for name in
        ["flip.example", "cut.example", "swap1.example", "swap2.example", "empty.example", "huge.example"]
    {
        let had = world.storage.records();
        one.gets(name);
        one.has_written();
        let (key, record) =
            world.storage.records().into_iter().find(|(key, _)| !had.contains_key(key)).unwrap();
        match name {
            "flip.example" => {
                let mut flipped = record;
                let middle = flipped.len() / 2;
                flipped[middle] ^= 1;
                world.storage.put(&key, flipped);
            }
            "cut.example" => world.storage.put(&key, record[..record.len() - 1].to_vec()),
            "empty.example" => world.storage.put(&key, vec![]),
            "huge.example" => world.storage.put(&key, vec![b'c'; 300 << 10]),
            "swap2.example" => {
                let records = world.storage.records();
                let other = records.keys().find(|other| **other != key).unwrap();
                world.storage.put(&key, records[other].clone());
            }
            _ => {}
        }
    }
    for name in ["flip.example", "cut.example", "swap2.example", "empty.example", "huge.example"] {
        is_refused(&world, &two, name);
    }
    until(|| two.counters().fleet_damaged == 5);
    assert_eq!(two.counters().fleet_adopted, 0);
    // Each was written anew.
    two.has_written();
    usually(0, || {
        let (three, before) = (world.node(), world.requests());
        three.gets("flip.example");
        world.requests() - before
    });
}

#[test]
fn a_record_from_before_a_purge_that_is_put_back_is_refused() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    let old = one.gets("a.example");
    one.has_written();
    let records = world.storage.records();
    world.renew();
    one.purge("a.example").unwrap();
    one.has_written();
    until(|| two.counters().fleet_purges == 1);
    world.storage.put_back(&records);
    assert_ne!(two.gets("a.example"), old);
    until(|| two.counters().fleet_unfit == 1);
    two.has_written();
    // A node that is asked before it has read of the purge does not know better by chance.
    world.storage.put_back(&records);
    world.storage.becomes_for(Kind::Load, Mood::Slow(Duration::from_millis(50)));
    for _ in 0..5 {
        assert_ne!(world.node().gets("a.example"), old);
    }
}

#[test]
fn a_key_is_changed_without_losing_a_record() {
    let world = World::new();
    let (old, new) = (world.folder.path().join("fleet.key"), world.folder.path().join("new.key"));
    write_key(&new, 2);
    let (mut one, mut two) = (world.node(), world.node());
    one.gets("a.example");
    one.has_written();
    // The new key opens everywhere before it seals anywhere.
    one.takes_keys(&[old.clone(), new.clone()]);
    two.takes_keys(&[old.clone(), new.clone()]);
    one.takes_keys(&[new.clone(), old.clone()]);
    one.gets("b.example");
    one.has_written();
    let mut first = Some(two);
    usually(0, || {
        let keys = [old.clone(), new.clone()];
        let two = first.take().unwrap_or_else(|| world.node_with(&world.clock, None, &keys));
        let before = world.requests();
        two.gets("a.example");
        two.gets("b.example");
        world.requests() - before
    });
    let before = world.requests();
    // Who has not the key asks the backend, and says why.
    let without = world.node();
    without.gets("b.example");
    until(|| without.counters().fleet_unknown_key == 1);
    assert_eq!(world.requests(), before + 1);
    assert!(without.logs().iter().any(|line| line.contains("encryption key")), "{:?}", without.logs());
    one.takes_keys(&[new]);
    world.backend_says(Says::Nothing);
    one.gets("b.example");
}

#[test]
fn nothing_on_the_storage_is_in_clear() {
    let world = World::new();
    let node = world.node();
    node.gets("secret-name.example");
    node.purge("other.example").unwrap();
    node.has_written();
    for (key, record) in world.storage.records() {
        for needle in ["secret-name", "PRIVATE", "CERTIFICATE", "other"] {
            let found = record.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found && !key.contains(needle), "{needle}");
        }
    }
}

#[test]
fn the_hosts_word_counts_for_records_too() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    one.has_written();
    // A certificate that has ended since is no answer, whoever has stored it.
    world.clock.advance(std::time::Duration::from_secs(200 * 365 * 24 * 3_600 * 12));
    world.backend_says(Says::Nothing);
    let late = world.node();
    assert!(matches!(late.ask("a.example"), Outcome::Failed(_)));
    assert_eq!(late.counters().fleet_adopted, 0);
}

#[test]
fn an_operator_is_told_that_a_certificate_lies_on_the_storage() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    one.has_written();
    let late = world.node();
    for (node, in_memory) in [(&one, true), (&late, false)] {
        let Ok(Answer::Facts(facts)) = node.operate(r#"{"inspect":{"name":"a.example"}}"#) else { panic!() };
        assert_eq!(facts.entries.len(), 1);
        assert!(facts.entries[0].in_fleet && facts.entries[0].in_memory == in_memory);
        assert_eq!(facts.fleet_error, None);
    }
    world.storage.becomes(Mood::Fails);
    let Ok(Answer::Facts(facts)) = one.operate(r#"{"inspect":{"name":"a.example"}}"#) else { panic!() };
    assert!(facts.fleet_error.is_some() && !facts.entries[0].in_fleet);
}

/// What an operation of a text answers.
fn text(node: &Node, operation: &str, field: &str) -> Result<Answer, OperationError> {
    node.operate(&format!(r#"{{"{operation}": {{"about": "orders/a.example"{field}}}}}"#))
}

#[test]
fn a_text_is_shared_sealed_with_who_has_the_key() {
    let is = |text: Option<&str>| Ok(Answer::Shared { text: text.map(str::to_owned) });
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    assert_eq!(text(&other, "shared_text", ""), is(None));
    text(&one, "share_text", r#", "text": "it has failed""#).unwrap();
    assert_eq!(text(&other, "shared_text", ""), is(Some("it has failed")));
    let tells = |value: &[u8]| value.windows(6).any(|part| part == b"failed" || part == b"a.exam");
    let (key, record) = world.storage.records().into_iter().find(|(key, _)| key.contains("/texts/")).unwrap();
    assert!(!tells(key.as_bytes()) && !tells(&record));

    let key_of_others = world.folder.path().join("other.key");
    write_key(&key_of_others, 9);
    let stranger = world.node_with(&world.clock, None, &[key_of_others]);
    assert_eq!(text(&stranger, "shared_text", ""), is(None));
    world.storage.put(&key, b"it has succeeded".to_vec());
    assert_eq!(text(&one, "shared_text", ""), is(None));
    text(&other, "share_text", "").unwrap();
    assert!(!world.storage.records().contains_key(&key));

    world.storage.becomes(Mood::Fails);
    text(&one, "share_text", r#", "text": "again""#).unwrap_err();
    text(&one, "shared_text", "").unwrap_err();
}

#[test]
fn without_a_fleet_no_text_is_shared() {
    let world = World::new();
    let mut node = world.node();
    node.leaves();
    text(&node, "share_text", r#", "text": "it has failed""#).unwrap();
    assert_eq!(text(&node, "shared_text", ""), Ok(Answer::Shared { text: None }));
}
