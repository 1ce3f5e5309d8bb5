//! What one node was sent, the others adopt; hits cost nothing, and junk leaves nothing.

use std::time::{Duration, Instant};

use cached_http_core::entry::ClientKind;
use cached_http_core::events::Outcome;

use crate::node::{Says, World, until, usually};
use crate::storage::{Kind, Mood, Storage};

#[test]
fn a_name_costs_the_backend_one_request_and_the_storage_no_more_than_two_operations() {
    let a_hit_costs_nothing = vec![];
    let wanted = [vec![Kind::Load, Kind::Store], vec![Kind::Load], a_hit_costs_nothing];
    usually((wanted, (1, 1, 1)), || {
        let world = World::new();
        let (one, two) = (world.node(), world.node());
        let sent = one.gets("a.example");
        one.has_written();
        let first = world.storage.take_asked();
        assert_eq!(two.gets("a.example"), sent);
        let second = world.storage.take_asked();
        for node in [&one, &two] {
            assert_eq!(node.holds("a.example").as_ref(), Some(&sent));
        }
        let hits = world.storage.take_asked();
        assert!(!Storage::answers_nobody(&one.engine));
        ([first, second, hits], (world.requests(), two.counters().fleet_adopted, one.counters().fleet_sealed))
    });
}

#[test]
fn a_node_that_starts_while_the_backend_is_down_serves_what_the_fleet_knows() {
    let world = World::new();
    let one = world.node();
    let names: Vec<_> = (0..50).map(|number| format!("{number}.example")).collect();
    let sent: Vec<_> = names.iter().map(|name| one.gets(name)).collect();
    one.has_written();
    world.backend_says(Says::Nothing);
    let (disk, clock) = (world.folder.path().join("cache"), world.clock.clone());
    {
        let late = world.node_with_disk(&disk);
        for (name, sent) in names.iter().zip(&sent) {
            assert_eq!(&late.gets(name), sent);
        }
        assert!(matches!(late.ask("unknown.example"), Outcome::Failed(_)));
    }
    // Past its lifetime, too, as stale_if_error allows; and what was adopted is on disk.
    clock.advance(Duration::from_secs(7_200));
    assert_eq!(world.node().gets("1.example"), sent[1]);
    world.storage.becomes(Mood::Fails);
    assert_eq!(world.node_with_disk(&disk).gets("2.example"), sent[2]);
}

#[test]
fn junk_names_add_no_key() {
    let world = World::new();
    let node = world.node();
    world.backend_says(Says::No);
    for number in 0..300 {
        assert_eq!(node.ask(&format!("junk{number}.example")), Outcome::NoCertificate);
    }
    world.backend_says(Says::Nothing);
    for number in 0..20 {
        node.ask(&format!("more{number}.example"));
    }
    until(|| node.engine.sizes().fleet_operations == 0);
    let asked = world.storage.take_asked();
    assert!(asked.iter().all(|kind| *kind == Kind::Load) && asked.len() <= 320, "{asked:?}");
    assert!(world.storage.records().is_empty() && !world.storage.has_journal());
}

#[test]
fn a_slow_storage_costs_a_miss_a_moment_and_then_nothing() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    for number in 0..30 {
        one.gets(&format!("{number}.example"));
    }
    one.has_written();
    world.storage.becomes(Mood::Slow(Duration::from_millis(250)));
    let took = |number: usize| {
        let begun = Instant::now();
        two.gets(&format!("{number}.example"));
        begun.elapsed()
    };
    // The machine may be slow once; who waits for the storage takes all of its time each time.
    let first: Vec<_> = (0..10).map(took).collect();
    let (shortest, later) = (first[..5].iter().min().unwrap(), &first[0]);
    assert!(*later >= Duration::from_millis(95) && *shortest < Duration::from_millis(240), "{first:?}");
    let later: Vec<_> = (10..25).map(took).collect();
    let fastest = later.iter().min().unwrap();
    assert!(*fastest < Duration::from_millis(60), "no miss waits any more: {later:?}");
    assert!(!two.engine.sizes().fleet_breaker_is_open, "slow is not broken");

    // It still helps when the backend has nothing.
    until(|| two.engine.sizes().fleet_operations == 0);
    world.backend_says(Says::Nothing);
    two.gets("25.example");
    world.storage.becomes(Mood::Works);
    for number in 26..28 {
        two.gets(&format!("{number}.example"));
    }
}

#[test]
fn a_backend_that_hangs_is_overtaken_by_the_storage() {
    let world = World::new();
    let (one, two) = (world.node(), world.node());
    let sent = one.gets("a.example");
    one.has_written();
    world.backend_says(Says::Late(Duration::from_secs(15)));
    world.storage.becomes(Mood::Slow(Duration::from_millis(200)));
    let begun = Instant::now();
    assert_eq!(two.gets("a.example"), sent);
    assert!(begun.elapsed() < Duration::from_secs(4), "less than a request has: {:?}", begun.elapsed());
    assert_eq!(two.holds("a.example"), Some(sent));
}

#[test]
fn clients_of_all_kinds_are_served_in_an_outage() {
    let world = World::new();
    let one = world.node();
    for client in ClientKind::ALL {
        one.ask_as("a.example", client);
    }
    one.has_written();
    world.backend_says(Says::Nothing);
    let late = world.node();
    for client in [ClientKind::Ed25519, ClientKind::Ecdsa] {
        assert!(matches!(late.ask_as("a.example", client), Outcome::Found(_)), "{client:?}");
    }
}
