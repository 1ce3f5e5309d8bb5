//! A purge on one node is one on all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cached_http_core::events::Outcome;
use cached_http_core::operations::{Answer, OperationError};

use crate::node::{Node, READ_INTERVAL, Says, TIMEOUT, World, until, usually, write_key};
use crate::storage::{Kind, Mood};

/// How long the machine may be busy with something else; certificates live for an hour.
const BUSY: Duration = Duration::from_secs(5);

/// Both hold the same certificate of these names.
fn two_nodes(world: &World, names: &[&str]) -> (Node, Node) {
    let (one, two) = (world.node(), world.node());
    for name in names {
        let sent = one.gets(name);
        one.has_written();
        assert_eq!(two.gets(name), sent);
    }
    world.renew();
    (one, two)
}

#[test]
fn what_is_purged_on_one_node_is_gone_on_all_and_comes_back_from_nowhere() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example", "b.example"]);
    let (old, kept) = (one.holds("a.example").unwrap(), one.holds("b.example"));
    assert_eq!(one.purge("a.example"), Ok(Answer::Purged { purged: 1 }));
    let begun = Instant::now();
    until(|| two.holds("a.example").is_none());
    assert!(begun.elapsed() < READ_INTERVAL * 5 + BUSY, "{:?}", begun.elapsed());
    one.has_written();
    assert_eq!(world.storage.records().len(), 1, "that of the other name");
    let new = two.gets("a.example");
    assert_ne!(new, old);
    two.has_written();
    assert_eq!(one.gets("a.example"), new);
    assert_eq!(world.node().gets("a.example"), new);
    assert_eq!((one.holds("b.example"), two.holds("b.example")), (kept.clone(), kept));
    assert_eq!(two.counters().fleet_purges, 1);
}

#[test]
fn two_that_purge_at_once_are_both_heard() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example", "b.example"]);
    let three = world.node();
    three.gets("a.example");
    three.gets("b.example");
    for _ in 0..5 {
        thread::scope(|scope| {
            scope.spawn(|| one.purge("a.example").unwrap());
            scope.spawn(|| two.purge("b.example").unwrap());
        });
        until(|| three.holds("a.example").is_none() && three.holds("b.example").is_none());
        for name in ["a.example", "b.example"] {
            three.gets(name);
        }
        until(|| one.holds("b.example").is_none() && two.holds("a.example").is_none());
    }
}

#[test]
fn a_purge_of_all_reaches_all_and_no_record_from_before_is_adopted() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example", "b.example"]);
    let old = one.holds("a.example").unwrap();
    one.operate(r#"{"purge_all":{}}"#).unwrap();
    until(|| two.holds("a.example").is_none() && two.holds("b.example").is_none());
    assert_ne!(two.gets("a.example"), old);
    let late = world.node();
    until(|| late.counters().fleet_purges == 1);
    assert_ne!(late.gets("b.example"), old);
}

#[test]
fn a_node_that_was_down_hears_of_a_purge_when_it_starts_and_carries_out_each_once() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let old = {
        let down = world.node_with_disk(&disk);
        let old = down.gets("a.example");
        down.gets("b.example");
        down.operate(r#"{"sync":{}}"#).unwrap();
        old
    };
    world.renew();
    world.node().operate(r#"{"purge_all":{}}"#).unwrap();
    {
        let up = world.node_with_disk(&disk);
        until(|| up.counters().fleet_purges == 1);
        assert_ne!(up.gets("a.example"), old);
        up.operate(r#"{"sync":{}}"#).unwrap();
        // It is noted that this purge is carried out, in one of the next turns.
        thread::sleep(READ_INTERVAL * 25);
    }
    world.storage.becomes_for(Kind::Load, Mood::Works);
    let again = world.node_with_disk(&disk);
    until(|| again.engine.sizes().fleet_purges_read_at.is_some());
    assert_eq!(again.counters().fleet_purges, 0);
    world.backend_says(Says::Nothing);
    again.gets("a.example");
    assert_eq!(again.counters().disk_hits, 1);
}

#[test]
fn a_purge_that_the_storage_does_not_take_outlives_a_restart() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let two = world.node();
    let old = {
        let one = world.node_with_disk(&disk);
        let old = one.gets("a.example");
        one.has_written();
        assert_eq!(two.gets("a.example"), old);
        world.storage.becomes_for(Kind::Store, Mood::Fails);
        world.storage.becomes_for(Kind::Delete, Mood::Fails);
        let refused = one.purge("a.example").unwrap_err().to_string();
        assert!(refused.contains("also after a restart"), "{refused}");
        world.renew();
        old
    };
    let one = world.node_with_disk(&disk);
    until(|| one.engine.sizes().fleet_purges_read_at.is_some());
    assert_ne!(one.gets("a.example"), old, "its record is there still");
    assert_eq!(two.holds("a.example"), Some(old.clone()));
    world.storage.becomes_for(Kind::Store, Mood::Works);
    world.storage.becomes_for(Kind::Delete, Mood::Works);
    until(|| two.holds("a.example") != Some(old.clone()));
}

#[test]
fn a_purge_waits_for_no_purge_that_comes_after_it() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    world.storage.journal_becomes(Kind::Store, Some(Mood::Slow(Duration::from_millis(100))));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                one.begins_to_purge(&format!("other-{number}.example"));
                thread::sleep(Duration::from_millis(10));
            }
        });
        let answers: Vec<_> = (0..3).map(|_| one.purge("a.example")).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
}

#[test]
fn a_purge_of_who_can_not_open_the_journal_is_heard_by_nobody_and_says_so() {
    let world = World::new();
    let other = world.folder.path().join("other.key");
    write_key(&other, 2);
    let (one, mut two) = (world.node(), world.node());
    one.gets("a.example");
    one.purge("a.example").unwrap();
    two.takes_keys(&[other]);
    let answer = || two.purge("a.example").unwrap_err().to_string();
    assert!(answer().contains("can't open the journal"), "{}", answer());
}

#[test]
fn one_read_of_the_journal_that_hangs_is_no_reason_to_hear_nothing() {
    let world = World::new();
    let (mut one, two) = two_nodes(&world, &["a.example"]);
    world.storage.journal_becomes(Kind::Load, Some(Mood::Hangs));
    until(|| world.storage.hanging() == 2); // a read of each
    world.storage.journal_becomes(Kind::Load, None);
    one.purge("a.example").unwrap_err();
    until(|| two.holds("a.example").is_none());
    until(|| two.engine.sizes().fleet_operations == 1); // it hangs still
    world.storage.becomes(Mood::Fails);
    one.purge("b.example").unwrap_err();
    one.leaves();
    until(|| one.logs().iter().any(|line| line.contains("not told to the others")));
}

#[test]
fn what_hangs_on_one_storage_holds_up_no_other() {
    let world = World::new();
    let (one, mut two) = two_nodes(&world, &["a.example"]);
    world.storage.becomes(Mood::Hangs);
    two.gets("b.example");
    two.gets("c.example");
    until(|| two.engine.sizes().fleet_breaker_is_open);
    world.storage.works_for_what_comes();
    two.takes_storage("two");
    until(|| !two.engine.sizes().fleet_breaker_is_open);
    two.purge("b.example").unwrap();
    one.purge("a.example").ok();
    until(|| two.holds("a.example").is_none());
    assert!(two.engine.sizes().fleet_operations > 0, "nothing hangs");
    world.storage.becomes(Mood::Works);
    until(|| two.engine.sizes().fleet_operations == 0);
}

#[test]
fn what_the_backend_withdraws_is_withdrawn_on_all() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example"]);
    world.clock.advance(Duration::from_secs(3_700));
    world.backend_says(Says::No);
    one.holds("a.example");
    until(|| one.holds("a.example").is_none());
    until(|| two.holds("a.example").is_none());
    one.has_written();
    assert!(world.storage.records().is_empty());
    assert_eq!(two.ask("a.example"), Outcome::NoCertificate);
}

#[test]
fn a_no_holds_though_the_storage_was_too_slow_to_say_yes() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    one.has_written();
    let two = world.node();
    world.storage.becomes_for(Kind::Load, Mood::Slow(Duration::from_millis(250)));
    world.backend_says(Says::No);
    assert_eq!(two.ask("a.example"), Outcome::NoCertificate);
    thread::sleep(Duration::from_millis(300));
    world.storage.becomes_for(Kind::Load, Mood::Works);
    two.has_written();
    until(|| world.storage.records().is_empty());
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(two.ask("a.example"), Outcome::NoCertificate);
    until(|| one.holds("a.example").is_none());
}

#[test]
fn a_purge_that_the_storage_does_not_take_says_so_and_is_told_later() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example"]);
    world.storage.becomes(Mood::Fails);
    let told = one.purge("a.example");
    assert!(
        matches!(&told, Err(OperationError::Storage(reason)) if reason.contains("purged here")),
        "{told:?}"
    );
    assert!(one.holds("a.example").is_none() && two.holds("a.example").is_some());
    world.storage.becomes(Mood::Works);
    until(|| two.holds("a.example").is_none());
}

#[test]
fn what_was_under_way_when_another_purged_is_not_kept() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    let disk = world.folder.path().join("cache");
    drop(disk);
    one.gets("a.example");
    one.has_written();
    world.backend_says(Says::Late(Duration::from_millis(400)));
    world.clock.advance(Duration::from_secs(3_700));
    two.gets("a.example"); // stale, and asked for anew
    until(|| world.requests() == 2);
    assert!(one.purge("a.example").is_ok());
    until(|| two.counters().fleet_purges == 1);
    world.renew();
    thread::sleep(Duration::from_millis(500));
    assert!(two.holds("a.example").is_none());
    two.has_written();
    assert!(world.storage.records().is_empty());
}

#[test]
fn a_node_that_starts_serves_what_was_fetched_after_a_purge_that_it_has_yet_to_hear_of() {
    let world = World::new();
    let (one, _two) = two_nodes(&world, &["a.example"]);
    one.purge("a.example").unwrap();
    let new = one.gets("a.example");
    one.has_written();
    world.backend_says(Says::Nothing);
    for delay in [0, 5, 20] {
        world.storage.becomes_for(Kind::Load, Mood::Slow(Duration::from_millis(delay)));
        let late = world.node();
        assert_eq!(late.gets("a.example"), new);
        until(|| late.counters().fleet_purges == 1);
        assert_eq!(late.gets("a.example"), new);
        assert_eq!(late.holds("a.example"), Some(new.clone()));
    }
    assert_eq!(world.storage.records().len(), 1, "it was not taken for withdrawn");
}

#[test]
fn of_another_storage_no_record_is_adopted_before_its_purges_are_read() {
    let world = World::new();
    let purger = world.node();
    purger.gets("a.example");
    purger.has_written();
    let before = world.storage.records();
    purger.purge("a.example").unwrap();
    purger.has_written();
    // The second has the journal with the purge, and the record that it is about.
    let mut second = before;
    second.extend(world.storage.records());
    drop(purger);
    world.storage.holds(&std::collections::BTreeMap::new());

    let mut node = world.node();
    node.gets("b.example"); // it has read the journal of an empty storage
    node.has_written();
    world.storage.holds(&second);
    world.storage.becomes_for(Kind::Load, Mood::Slow(Duration::from_millis(300)));
    node.takes_storage("two");
    thread::sleep(Duration::from_millis(20)); // that reads the journal, slowly
    world.storage.becomes(Mood::Works);
    let requests = world.requests();
    node.gets("a.example");
    assert_eq!(world.requests(), requests + 1, "the record that was purged came back");
}

#[test]
fn a_purge_that_a_slow_storage_has_taken_is_no_error() {
    let world = World::new();
    let (one, two) = two_nodes(&world, &["a.example"]);
    // It takes the journal when nobody waits for that any more.
    world.storage.journal_becomes(Kind::Store, Some(Mood::Slow(TIMEOUT + TIMEOUT / 4)));
    usually(true, || one.purge("a.example").is_ok());
    until(|| two.holds("a.example").is_none());
}

#[test]
fn a_purge_of_all_that_a_slow_storage_has_taken_stands_for_those_before_it() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    // It takes the journal when nobody waits for that any more.
    world.storage.journal_becomes(Kind::Store, Some(Mood::Slow(TIMEOUT + TIMEOUT / 4)));
    one.begins_to_purge("a.example");
    usually(true, || one.operate(r#"{"purge_all":{}}"#).is_ok());
    usually(true, || one.purge("b.example").is_ok());
}
