//! A storage that fails or hangs: it costs no handshake that the backend could serve, and no more than its places.

use std::thread;
use std::time::{Duration, Instant};

use cached_http_core::events::Outcome;

use crate::node::{MAX_CONCURRENT, READ_INTERVAL, Says, TIMEOUT, World, until};
use crate::storage::{Kind, Mood};

#[test]
fn a_storage_that_fails_is_left_alone_and_taken_back() {
    let world = World::new();
    let node = world.node();
    until(|| node.engine.sizes().fleet_purges_read_at.is_some());
    world.storage.becomes(Mood::Fails);
    for number in 0..40 {
        node.gets(&format!("{number}.example"));
    }
    until(|| node.engine.sizes().fleet_breaker_is_open);
    world.storage.take_asked();
    let begun = Instant::now();
    for number in 40..80 {
        node.gets(&format!("{number}.example"));
    }
    println!("{:?} a miss while the breaker is open", begun.elapsed() / 40);
    assert_eq!(world.storage.take_asked(), []);
    assert!(node.counters().fleet_skipped > 0 && node.counters().fleet_failures >= 5);
    assert!(node.logs().len() < 10, "{:?}", node.logs());
    world.storage.becomes(Mood::Works);
    until(|| !node.engine.sizes().fleet_breaker_is_open);
    node.gets("after.example");
    node.has_written();
    assert_eq!(world.storage.records().len(), 1);
}

#[test]
fn a_storage_that_hangs_holds_its_places_and_nothing_else() {
    let (world, timeout) = (World::new(), TIMEOUT * 10);
    let node = world.patient_node(timeout);
    world.storage.becomes(Mood::Hangs);
    let longest = thread::scope(|scope| {
        let handshakes: Vec<_> = (0..60)
            .map(|number| {
                let node = &node;
                scope.spawn(move || {
                    let begun = Instant::now();
                    node.gets(&format!("{number}.example"));
                    begun.elapsed()
                })
            })
            .collect();
        handshakes.into_iter().map(|handshake| handshake.join().unwrap()).max().unwrap()
    });
    assert!(longest < timeout, "{longest:?}: nobody waits for the storage's own time");
    until(|| node.engine.sizes().fleet_breaker_is_open);
    thread::sleep(READ_INTERVAL * 12);
    let most_of = |batch: u32| {
        let took = (0..30).map(|number| {
            let begun = Instant::now();
            node.gets(&format!("{number}.{batch}.example"));
            begun.elapsed()
        });
        let mut took: Vec<_> = took.collect();
        took.sort();
        took[25]
    };
    // A few may be the machine's own, or all of a batch; a miss that waits for the storage takes 100 ms.
    let is_quick = |batch: u32| most_of(batch) < Duration::from_millis(90);
    assert!((0..5).any(is_quick), "misses wait for the storage");
    assert!(world.storage.most_inside() <= MAX_CONCURRENT as usize, "{}", world.storage.most_inside());
    assert!(node.engine.sizes().fleet_operations <= u64::from(MAX_CONCURRENT));

    // It comes back with all that it was asked for long ago.
    world.storage.becomes(Mood::Works);
    until(|| node.engine.sizes().fleet_operations == 0 && !node.engine.sizes().fleet_breaker_is_open);
    node.gets("after.example");
    node.has_written();
    until(|| !world.storage.records().is_empty());
}

#[test]
fn a_write_that_hangs_is_never_overtaken_by_the_next_of_its_key() {
    let world = World::new();
    let node = world.node();
    world.storage.becomes_for(Kind::Store, Mood::Hangs);
    node.gets("a.example");
    until(|| world.storage.take_asked().contains(&Kind::Store));
    assert!(node.purge("a.example").is_err(), "the journal hangs, too");
    thread::sleep(TIMEOUT);
    let asked = world.storage.take_asked();
    assert!(
        asked.iter().filter(|kind| **kind == Kind::Delete).count() <= 2,
        "not that of its key: {asked:?}"
    );
    world.storage.becomes_for(Kind::Store, Mood::Works);
    node.has_written();
    until(|| world.storage.records().is_empty());
}

#[test]
fn closing_waits_for_no_storage() {
    let world = World::new();
    let node = world.patient_node(TIMEOUT * 10);
    node.gets("a.example");
    world.storage.becomes(Mood::Hangs);
    world.backend_says(Says::Late(Duration::from_secs(15)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| node.ask("b.example"));
        thread::sleep(Duration::from_millis(50));
        let begun = Instant::now();
        node.engine.close();
        let _ = waiting.join().unwrap();
        assert!(begun.elapsed() < TIMEOUT * 9, "{:?}", begun.elapsed());
    });
    drop(node);
    world.storage.becomes(Mood::Works); // answers come to nobody
}

#[test]
fn a_storage_that_fails_and_says_that_nothing_is_there_is_not_believed() {
    let world = World::new();
    let (node, other) = (world.node(), world.node());
    node.purge("purged.example").unwrap();
    until(|| other.counters().fleet_purges == 1);
    world.storage.becomes(Mood::Forgets);
    for number in 0..20 {
        node.gets(&format!("{number}.example"));
    }
    until(|| node.engine.sizes().fleet_breaker_is_open);
    let read_at = || node.engine.sizes().fleet_purges_read_at;
    let last_read = read_at();
    world.clock.advance(Duration::from_secs(60));
    thread::sleep(READ_INTERVAL * 5);
    assert!(node.engine.sizes().fleet_breaker_is_open && read_at() == last_read);
    world.storage.becomes(Mood::Works);
    until(|| !node.engine.sizes().fleet_breaker_is_open && read_at() > last_read);
    // What the storage has lost meanwhile is told again.
    let late = world.node();
    until(|| late.counters().fleet_purges == 1);
}

#[test]
fn a_storage_that_takes_nothing_is_read_all_the_same() {
    let world = World::new();
    let one = world.node();
    let sent: Vec<_> = (0..60).map(|number| one.gets(&format!("{number}.example"))).collect();
    one.has_written();
    drop(one);
    assert!(!world.storage.has_journal(), "nobody has purged anything");
    for kind in [Kind::Store, Kind::Delete] {
        world.storage.becomes_for(kind, Mood::Fails);
    }
    let two = world.node();
    (100..120).for_each(|number| drop(two.gets(&format!("{number}.example"))));
    until(|| two.engine.sizes().fleet_breaker_is_open);
    world.storage.take_asked();
    // One that finds nothing either is down, most likely: it is asked once a turn.
    let begun = Instant::now();
    (120..220).for_each(|number| drop(two.gets(&format!("{number}.example"))));
    let turns = begun.elapsed().as_millis() / (READ_INTERVAL.as_millis() * 8 / 10) + 1;
    let asked = world.storage.take_asked().len();
    assert!(asked as u128 <= turns + 5, "{asked} in {turns} turns");

    world.backend_says(Says::Nothing);
    let mut numbers = 0..60;
    // A name that has just failed is left alone for a while.
    until(|| matches!(two.ask(&format!("{}.example", numbers.next().unwrap())), Outcome::Found(_)));
    for number in numbers {
        assert_eq!(two.gets(&format!("{number}.example")), sent[number]);
    }
    assert!(two.engine.sizes().fleet_breaker_is_open);

    // Whether there is room again shows once in a while, also when nobody purges.
    for kind in [Kind::Store, Kind::Delete] {
        world.storage.becomes_for(kind, Mood::Works);
    }
    until(|| !two.engine.sizes().fleet_breaker_is_open);
}

#[test]
fn a_full_storage_with_a_journal_takes_one_write_a_turn() {
    let world = World::new();
    let node = world.node();
    node.purge("a.example").unwrap();
    thread::sleep(READ_INTERVAL * 6);
    for kind in [Kind::Store, Kind::Delete] {
        world.storage.becomes_for(kind, Mood::Fails);
    }
    let asks = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            node.gets(&format!("{number}.example"));
            thread::sleep(Duration::from_millis(2));
        }
    };
    let mut numbers = 1_000..;
    let mut ask_another = || drop(node.gets(&format!("{}.example", numbers.next().unwrap())));
    // Each turn of the journal closes it for one write.
    until(|| {
        ask_another();
        node.engine.sizes().fleet_breaker_is_open
    });
    let begun = Instant::now();
    world.storage.take_asked();
    asks(40..240);
    let writes = world.storage.take_asked().iter().filter(|kind| **kind != Kind::Load).count();
    let turns = begun.elapsed().as_millis() / (READ_INTERVAL.as_millis() * 8 / 10) + 1;
    // Some may wait for their place when the first fails.
    assert!(writes as u128 <= turns * u128::from(MAX_CONCURRENT), "{writes} in {turns} turns");
    for kind in [Kind::Store, Kind::Delete] {
        world.storage.becomes_for(kind, Mood::Works);
    }
    until(|| {
        ask_another();
        !node.engine.sizes().fleet_breaker_is_open
    });
}
