//! What fresh eyes have broken: withdrawn certificates that came back, good ones that were dropped, threads that were lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use cached_http_core::entry::ClientKind;
use cached_http_core::events::Outcome;

use crate::node::{Node, READ_INTERVAL, Says, TIMEOUT, World, until, write_key};
use crate::storage::{Kind, Mood};

#[test]
fn a_no_to_the_more_capable_takes_the_record_of_the_less_capable_too() {
    let world = World::new();
    let one = world.node();
    world.backend_says(Says::Rsa);
    assert!(matches!(one.ask_as("a.example", ClientKind::RsaOnly), Outcome::Found(_)));
    one.has_written();
    assert_eq!(world.storage.records().len(), 1);
    world.backend_says(Says::No);
    let two = world.node();
    assert_eq!(two.ask("a.example"), Outcome::NoCertificate);
    assert_eq!(two.ask_as("a.example", ClientKind::RsaOnly), Outcome::NoCertificate);
    two.has_written();
    world.clock.advance(Duration::from_secs(120));
    // The backend has said "no" to this node, and says so still.
    assert_eq!(two.ask_as("a.example", ClientKind::RsaOnly), Outcome::NoCertificate);
}

#[test]
fn a_no_to_those_of_rsa_alone_leaves_the_others_theirs_on_all_nodes() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let (one, two) = (world.node_with_disk(&disk), world.node());
    world.backend_says(Says::NoToRsaOnly);
    let sent = one.gets("a.example");
    one.has_written();
    one.operate(r#"{"sync":{}}"#).unwrap();
    assert_eq!(two.gets("a.example"), sent);
    assert_eq!(one.ask_as("a.example", ClientKind::RsaOnly), Outcome::NoCertificate);
    thread::sleep(Duration::from_millis(500) + READ_INTERVAL * 8);
    assert_eq!(one.holds("a.example"), Some(sent.clone()));
    assert_eq!((two.counters().fleet_purges, world.storage.records().len()), (0, 1));
    assert_eq!(two.holds("a.example"), Some(sent));
}

/// Returns what the node had before all was purged. The backend has another one now, and the storage has the old one still.
fn gets_and_purges_all(world: &World, node: &Node) -> Vec<u8> {
    let old = node.gets("a.example");
    node.has_written();
    thread::sleep(READ_INTERVAL * 6);
    node.operate(r#"{"purge_all":{}}"#).unwrap();
    world.renew();
    old
}

#[test]
fn a_restart_with_a_journal_that_fails_once_brings_nothing_back_from_before_a_purge_of_all() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let old = {
        let node = world.node_with_disk(&disk);
        let old = gets_and_purges_all(&world, &node);
        node.operate(r#"{"sync":{}}"#).unwrap();
        thread::sleep(READ_INTERVAL * 25); // it is noted on disk
        old
    };
    assert_eq!(world.storage.records().len(), 1, "records can't be listed");
    world.storage.journal_becomes(Kind::Load, Some(Mood::Fails));
    let again = world.node_with_disk(&disk);
    let first = again.gets("a.example");
    world.storage.journal_becomes(Kind::Load, None);
    until(|| again.engine.sizes().fleet_purges_read_at.is_some());
    thread::sleep(READ_INTERVAL * 10);
    let later = again.holds("a.example");
    println!("first is the old one: {}; later: {}", first == old, later.as_ref() == Some(&old));
    assert!(later.as_ref() != Some(&old), "for good");
    assert!(first != old, "for a moment");
}

#[test]
fn a_start_drops_nothing_that_came_after_the_purges_of_names() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let other = world.node();
    let fetched = {
        let node = world.node_with_disk(&disk);
        let before = node.gets("a.example");
        node.has_written();
        other.purge("a.example").unwrap();
        until(|| node.counters().fleet_purges == 1);
        world.renew();
        let fetched = node.gets("a.example");
        assert!(fetched != before);
        node.operate(r#"{"sync":{}}"#).unwrap();
        thread::sleep(READ_INTERVAL * 25); // it is noted on disk
        fetched
    };
    world.backend_says(Says::Nothing);
    let again = world.node_with_disk(&disk);
    until(|| again.engine.sizes().fleet_purges_read_at.is_some());
    thread::sleep(READ_INTERVAL * 2);
    assert_eq!(again.counters().fleet_purges, 0, "carried out again");
    assert_eq!(again.gets("a.example"), fetched);
}

#[test]
fn a_new_node_whose_first_read_of_the_journal_fails_adopts_nothing_from_before_a_purge_of_all() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let world = World::new();
        let node = world.node();
        let old = gets_and_purges_all(&world, &node);
        world.storage.journal_becomes(Kind::Load, Some(mood));
        let late = world.node();
        thread::sleep(TIMEOUT + Duration::from_millis(50));
        assert!(late.gets("a.example") != old, "{mood:?}");
    }
}

#[test]
fn a_journal_that_nobody_can_open_is_none_that_says_nothing_was_purged() {
    let world = World::new();
    let node = world.node();
    let old = gets_and_purges_all(&world, &node);
    drop(node);
    let key = world.storage.journal_key().unwrap();
    let mut journal = world.storage.value(&key).unwrap();
    journal.pop();
    world.storage.put(&key, journal);
    let late = world.node();
    assert!(late.gets("a.example") != old);
}

#[test]
fn a_write_that_returns_long_after_a_purge_by_another_is_taken_back() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    world.storage.becomes_for(Kind::Store, Mood::Hangs);
    world.storage.journal_becomes(Kind::Store, Some(Mood::Works));
    let old = one.gets("a.example");
    thread::sleep(TIMEOUT + READ_INTERVAL * 6); // it is given up
    two.purge("a.example").unwrap();
    until(|| one.counters().fleet_purges == 1);
    thread::sleep(READ_INTERVAL * 4);
    world.storage.becomes_for(Kind::Store, Mood::Works); // it is done at last
    thread::sleep(READ_INTERVAL * 8);
    let left = world.storage.records().len();
    // Two hours later nobody knows of the purge any more.
    drop((one, two));
    world.storage.remove(&world.storage.journal_key().unwrap());
    world.renew();
    let is_back = world.node().gets("a.example") == old;
    assert_eq!((left, is_back), (0, false));
}

#[test]
fn a_journal_that_hangs_alone_takes_not_all_places() {
    let world = World::new();
    let one = world.node();
    one.gets("a.example");
    one.gets("b.example");
    one.has_written();
    let two = world.node();
    until(|| two.engine.sizes().fleet_purges_read_at.is_some());
    world.storage.journal_becomes(Kind::Load, Some(Mood::Hangs));
    thread::sleep((TIMEOUT + READ_INTERVAL) * 3);
    two.gets("b.example");
    thread::sleep((TIMEOUT + READ_INTERVAL) * 8);
    println!("{:?}", two.engine.sizes().fleet_operations);
    world.backend_says(Says::Nothing);
    let told = two.ask("a.example");
    assert!(matches!(told, Outcome::Found(_)), "{told:?}");
}

#[test]
fn with_keys_changed_in_the_wrong_order_all_purges_are_heard_at_last() {
    let world = World::new();
    let (old, new) = (world.folder.path().join("fleet.key"), world.folder.path().join("new.key"));
    write_key(&new, 2);
    let (mut one, mut two) = (world.node(), world.node());
    for name in ["a.example", "b.example", "c.example"] {
        one.gets(name);
        one.has_written();
        two.gets(name);
    }
    one.takes_keys(&[new.clone(), old.clone()]);
    one.purge("a.example").unwrap();
    two.purge("b.example").unwrap_err(); // not told to who has the new key alone
    until(|| one.holds("b.example").is_none());
    one.purge("c.example").unwrap();
    thread::sleep(READ_INTERVAL * 6);
    assert!(two.holds("a.example").is_some(), "it can't know");
    two.takes_keys(&[new, old]);
    until(|| two.holds("a.example").is_none() && two.holds("c.example").is_none());
}

#[test]
fn a_node_that_was_down_for_longer_than_purges_are_told_looks_for_all_anew() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    world.backend_says(Says::Certificate(100_000));
    let old = {
        let down = world.node_with_disk(&disk);
        let old = down.gets("a.example");
        down.has_written();
        down.operate(r#"{"sync":{}}"#).unwrap();
        old
    };
    let up = world.node();
    up.purge("a.example").unwrap();
    up.has_written();
    world.renew();
    // Two hours later the purge is over: the next that is written leaves it out.
    world.storage.remove(&world.storage.journal_key().unwrap());
    drop(up);
    world.clock.advance(Duration::from_secs(3 * 3_600));
    let again = world.node_with_disk(&disk);
    until(|| again.engine.sizes().fleet_purges_read_at.is_some());
    let first = again.gets("a.example");
    println!("at first it is the old one: {}", first == old);
    until(|| again.holds("a.example").as_ref() != Some(&old)); // or what is purged is served for a day
}

#[test]
fn who_inspects_is_answered_though_the_node_leaves_the_fleet_meanwhile() {
    let world = World::new();
    let node = world.node();
    node.gets("a.example");
    node.has_written();
    world.storage.becomes_for(Kind::Load, Mood::Hangs);
    thread::scope(|scope| {
        let asking = scope.spawn(|| node.operate(r#"{"inspect":{"name":"a.example"}}"#));
        thread::sleep(Duration::from_millis(50));
        node.is_made_leave();
        assert!(asking.join().is_ok(), "no answer, and a thread is lost");
    });
}

#[test]
fn a_node_that_closes_while_somebody_inspects_loses_no_thread() {
    let threads = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(Result::ok)
            .filter(|task| {
                fs::read_to_string(task.path().join("comm")).is_ok_and(|name| {
                    name.starts_with("cached_http_op") || name.starts_with("cached_http_wa")
                })
            })
            .count()
    };
    let world = World::new();
    let node = world.node();
    node.gets("a.example");
    node.has_written();
    world.storage.becomes_for(Kind::Load, Mood::Hangs);
    thread::scope(|scope| {
        scope.spawn(|| {
            let token = crate::support::host::next_token();
            let operation =
                cached_http_core::operations::Operation::from_json(br#"{"inspect":{"name":"a.example"}}"#)
                    .unwrap();
            node.engine.operate(&node.config, operation, token).unwrap();
        });
    });
    thread::sleep(Duration::from_millis(50));
    node.engine.close();
    drop(node);
    until(|| threads() == 0); // those of the tests beside this one come and go
}

/// Held: nodes that are slow, start anew and purge at the same time.
#[test]
fn whatever_happens_at_once_nothing_purged_is_served_again() {
    let world = World::new();
    let disks: Vec<_> = (0..3).map(|number| world.folder.path().join(format!("cache{number}"))).collect();
    let mut nodes: Vec<_> = disks.iter().map(|disk| world.node_with_disk(disk)).collect();
    let names = ["a.example", "b.example", "c.example"];
    let mut gone: std::collections::HashSet<Vec<u8>> = Default::default();
    let mut back = 0;
    for round in 0..24 {
        for kind in [Kind::Load, Kind::Store, Kind::Delete] {
            let delay = Duration::from_millis(fastrand::u64(0..40));
            world.storage.becomes_for(kind, if fastrand::bool() { Mood::Works } else { Mood::Slow(delay) });
        }
        if round % 4 == 3 {
            let number = fastrand::usize(0..3);
            drop(nodes.remove(number));
            nodes.insert(number, world.node_with_disk(&disks[number]));
        }
        if round % 7 == 0 {
            world.clock.advance(Duration::from_secs(3_500)); // refreshes
        }
        thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| names.iter().for_each(|name| drop(node.gets(name))));
            }
        });
        let name = names[fastrand::usize(0..3)];
        let all = fastrand::u8(0..8) == 0;
        thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| (0..5).for_each(|_| drop(node.gets(name))));
            }
            scope.spawn(|| thread::sleep(Duration::from_millis(fastrand::u64(0..10))));
        });
        nodes.iter().for_each(|node| gone.extend(node.holds(name)));
        world.renew();
        let number = fastrand::usize(0..3);
        let purger = &nodes[number];
        let heard = || nodes.iter().map(|node| node.counters().fleet_purges).collect::<Vec<_>>();
        let before = heard();
        thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| (0..3).for_each(|_| drop(node.gets(name))));
            }
            match all {
                true => drop(purger.operate(r#"{"purge_all":{}}"#).unwrap()),
                false => drop(purger.purge(name).unwrap()),
            }
        });
        until(|| {
            heard().iter().zip(&before).enumerate().all(|(n, (now, before))| n == number || now > before)
        });
        thread::sleep(READ_INTERVAL * 8);
        for (number, node) in nodes.iter().enumerate() {
            if gone.contains(&node.gets(name)) {
                back += 1;
                println!("round {round}: {name} is back on node {number}");
            }
        }
    }
    assert_eq!(back, 0);
}

#[test]
fn a_single_failure_does_not_make_all_due_while_the_journal_is_read() {
    let world = World::new();
    world.backend_says(Says::Certificate(1_000_000));
    let node = world.node();
    node.gets("a.example");
    node.has_written();
    until(|| node.engine.sizes().fleet_purges_read_at.is_some());
    world.storage.becomes_for(Kind::Load, Mood::Fails);
    world.backend_says(Says::No);
    node.ask("junk.example");
    world.storage.becomes_for(Kind::Load, Mood::Works);
    world.backend_says(Says::Certificate(1_000_000));
    thread::sleep(READ_INTERVAL * 4);
    // Hits alone, and the journal, which is read all the time: nobody has ever purged, so there is none.
    let before = world.requests();
    for _ in 0..90 {
        world.clock.advance(Duration::from_secs(60));
        thread::sleep(READ_INTERVAL + READ_INTERVAL / 2);
        node.holds("a.example");
    }
    assert_eq!(world.requests(), before, "{:?}", node.logs());
}

#[test]
fn scanned_names_write_nothing_though_the_disk_cannot_be_read() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let node = world.node_with_disk(&disk);
    node.gets("a.example");
    node.has_written();
    node.operate(r#"{"sync":{}}"#).unwrap();
    world.backend_says(Says::No);
    // What lies there is refused: others might have written it.
    let mut folders = vec![disk.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o777)).unwrap();
                folders.push(entry.path());
            }
        }
    }
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o777)).unwrap();
    world.storage.take_asked();
    for number in 0..300 {
        assert_eq!(node.ask(&format!("junk{number}.example")), Outcome::NoCertificate);
    }
    thread::sleep(Duration::from_millis(900));
    let asked = world.storage.take_asked();
    let writes = asked.iter().filter(|kind| **kind != Kind::Load).count();
    let length =
        world.storage.journal_key().and_then(|key| world.storage.value(&key)).map(|value| value.len());
    assert_eq!((writes, length), (0, None), "{:?}", node.logs());
}

#[test]
fn a_handshake_that_joins_a_prefetch_waits_no_longer_for_the_storage() {
    let world = World::new();
    let node = world.node();
    until(|| node.engine.sizes().fleet_purges_read_at.is_some());
    world.storage.becomes_for(Kind::Load, Mood::Hangs);
    // The machine may be slow once; a storage that is waited for takes all of its time each time.
    let took = (0..4).map(|number| {
        let name = format!("n{number}.example");
        node.prefetches(&name);
        let begun = std::time::Instant::now();
        node.gets(&name);
        begun.elapsed()
    });
    let shortest = took.min().unwrap_or_default();
    assert!(shortest < TIMEOUT - Duration::from_millis(80), "{shortest:?}");
}
