use super::text::FIRST_LINE;
use super::*;

fn name(name: &str) -> Purged {
    Purged::Name(name.into())
}

/// A read, and the write that follows it.
fn turn(journal: &mut PurgeJournal, stored: &mut Vec<Purge>, now: Instant) -> Vec<Purged> {
    let news = journal.read(stored, now);
    news.iter().for_each(|purge| journal.note(purge, now));
    if let Some(written) = journal.to_write(stored, now) {
        *stored = written;
    }
    news.into_iter().map(|purge| purge.purged).collect()
}

#[test]
fn its_text_is_read_as_it_was_written() {
    let purged = [Purged::All, name("a.example"), Purged::Withdrawn("b.example".into())];
    let purges: Vec<_> = (1..).zip(purged).map(|(id, purged)| Purge { id: PurgeId(id), purged }).collect();
    assert_eq!(decode(encode(&purges).as_bytes()).as_ref(), Some(&purges));
    assert_eq!(decode(encode(&[]).as_bytes()), Some(vec![]));
    for line in [
        "1 a",
        "000000000000000g a",
        "0000000000000000 a",
        "0000000000000001",
        "0000000000000001 a b",
        "0000000000000001  ",
    ] {
        assert_eq!(decode(format!("{FIRST_LINE}{line}\n").as_bytes()), None, "{line}");
    }
    assert_eq!(decode(b"something else\n"), None);
    let ids = [PurgeId(1), PurgeId(u64::MAX)];
    assert_eq!(decode_ids(&encode_ids(ids.into_iter())), Some(ids.to_vec()));
    assert_eq!(decode_ids(""), Some(vec![]));
    assert_eq!(decode_ids("12,"), None);
}

#[test]
fn each_node_hears_of_a_purge_once_and_its_own_never() {
    let (mut a, mut b, mut stored, now) =
        (PurgeJournal::default(), PurgeJournal::default(), vec![], Instant::now());
    let id = a.add(name("a.example"), now);
    assert_eq!(a.of_name("a.example").collect::<Vec<_>>(), [id]);
    assert!(turn(&mut a, &mut stored, now).is_empty());
    assert_eq!(turn(&mut b, &mut stored, now), [name("a.example")]);
    assert!(turn(&mut b, &mut stored, now).is_empty() && turn(&mut a, &mut stored, now).is_empty());
    assert_eq!(b.of_name("a.example").collect::<Vec<_>>(), [id]);
    assert_eq!(b.of_name("b.example").count(), 0);
}

#[test]
fn what_another_writer_has_overwritten_is_added_again_until_two_reads_show_it() {
    let (mut a, mut b, mut stored, now) =
        (PurgeJournal::default(), PurgeJournal::default(), vec![], Instant::now());
    a.add(name("a.example"), now);
    b.add(name("b.example"), now);
    // Both read the empty journal, and then both write.
    let (by_a, by_b) = (a.to_write(&stored, now).unwrap(), b.to_write(&stored, now).unwrap());
    assert_eq!((by_a.len(), by_b.len()), (1, 1));
    stored = by_b;
    assert_eq!(turn(&mut a, &mut stored, now), [name("b.example")]);
    assert_eq!(turn(&mut b, &mut stored, now), [name("a.example")]);
    turn(&mut a, &mut stored, now);
    assert!(!a.unconfirmed().is_empty(), "one read");
    stored.retain(|purge| purge.purged != name("a.example"));
    turn(&mut a, &mut stored, now);
    assert_eq!(stored.len(), 2, "added once more");
    turn(&mut a, &mut stored, now);
    turn(&mut b, &mut stored, now);
    assert!(a.unconfirmed().is_empty() && b.unconfirmed().is_empty());
}

#[test]
fn a_purge_of_a_name_is_over_at_last_and_one_of_all_never() {
    let (mut journal, mut stored, start) = (PurgeJournal::default(), vec![], Instant::now());
    journal.add(Purged::All, start);
    journal.add(name("a.example"), start);
    for _ in 0..3 {
        turn(&mut journal, &mut stored, start);
    }
    let later = start + NAME_LIFETIME;
    journal.add(name("b.example"), later);
    turn(&mut journal, &mut stored, later);
    let purged: Vec<_> = stored.iter().map(|purge| purge.purged.clone()).collect();
    assert_eq!(purged, [Purged::All, name("b.example")]);
    assert_eq!(journal.of_name("a.example").count(), 2, "a slow writer may still bring a record of it");
    turn(&mut journal, &mut stored, start + 2 * NAME_LIFETIME);
    assert_eq!(journal.of_name("a.example").count(), 1);

    for _ in 0..20 {
        journal.add(Purged::All, later);
        for _ in 0..3 {
            turn(&mut journal, &mut stored, later);
        }
    }
    assert_eq!(stored.iter().filter(|purge| purge.purged == Purged::All).count(), MAX_OF_ALL);
}

#[test]
fn a_journal_that_is_full_loses_withdrawals_first_and_then_stands_for_all() {
    let (mut journal, mut stored, now) = (PurgeJournal::default(), vec![], Instant::now());
    for number in 0..9_000 {
        journal.add(Purged::Withdrawn(format!("{number}.withdrawn.example").into()), now);
    }
    journal.add(name("a.example"), now);
    turn(&mut journal, &mut stored, now);
    assert_eq!(stored.len(), 1, "the operator's own");
    for number in 0..9_000 {
        journal.add(name(&format!("{number}.purged.example")), now);
    }
    turn(&mut journal, &mut stored, now);
    assert_eq!(stored.iter().map(|purge| &purge.purged).collect::<Vec<_>>(), [&Purged::All]);
    assert!(encode(&stored).len() < MAX_TEXT_LENGTH);
    let mut other = PurgeJournal::default();
    assert_eq!(turn(&mut other, &mut stored, now), [Purged::All]);
}

#[test]
fn what_the_storage_loses_is_told_again_by_any_that_knows_of_it() {
    let (mut a, mut b, mut stored, now) =
        (PurgeJournal::default(), PurgeJournal::default(), vec![], Instant::now());
    turn(&mut b, &mut stored, now); // what it finds at its start may be older than it can say
    a.add(name("a.example"), now);
    a.add(Purged::Withdrawn("b.example".into()), now);
    for _ in 0..3 {
        turn(&mut a, &mut stored, now);
        turn(&mut b, &mut stored, now);
    }
    assert!(a.unconfirmed().is_empty());
    stored.clear();
    assert!(turn(&mut b, &mut stored, now).is_empty());
    assert_eq!(stored.len(), 1, "the other is found out by each node itself");
    assert!(turn(&mut a, &mut stored, now).is_empty());
    assert_eq!(a.to_write(&stored, now), None);
}

#[test]
fn many_purges_of_all_end_in_peace() {
    let (mut a, mut b, mut stored, now) =
        (PurgeJournal::default(), PurgeJournal::default(), vec![], Instant::now());
    for _ in 0..3 * MAX_OF_ALL {
        a.add(name("a.example"), now);
        a.add(Purged::All, now);
        for _ in 0..3 {
            turn(&mut a, &mut stored, now);
            turn(&mut b, &mut stored, now);
        }
    }
    for _ in 0..4 {
        turn(&mut a, &mut stored, now);
        turn(&mut b, &mut stored, now);
    }
    let last = stored.clone();
    assert!(turn(&mut a, &mut stored, now).is_empty() && turn(&mut b, &mut stored, now).is_empty());
    assert_eq!(stored, last);
    assert_eq!((a.of_name("a.example").count(), b.of_name("a.example").count()), (MAX_OF_ALL, MAX_OF_ALL));
}

#[test]
fn a_journal_that_is_missing_for_a_moment_after_hours_purges_nothing_again() {
    let (mut a, mut stored, start) = (PurgeJournal::default(), vec![], Instant::now());
    a.add(Purged::All, start);
    for _ in 0..3 {
        turn(&mut a, &mut stored, start);
    }
    let later = start + 3 * NAME_LIFETIME;
    assert!(turn(&mut a, &mut stored, later).is_empty());
    // One read that finds nothing: a module that takes an outage for that, or a replica that lags.
    assert!(turn(&mut a, &mut vec![], later).is_empty());
    assert_eq!(a.of_name("a.example").count(), 1, "records from before are refused still");
    assert_eq!(turn(&mut a, &mut stored, later), [], "the whole cache is purged again");
}

#[test]
fn a_journal_that_the_storage_has_lost_is_told_again_though_the_purge_of_all_is_old() {
    let (mut a, mut stored, start) = (PurgeJournal::default(), vec![], Instant::now());
    a.add(Purged::All, start);
    for _ in 0..3 {
        turn(&mut a, &mut stored, start);
    }
    stored.clear();
    turn(&mut a, &mut stored, start + 3 * NAME_LIFETIME);
    assert_eq!(stored.len(), 1);
}

#[test]
fn a_node_that_starts_later_makes_no_other_purge_all_again() {
    let now = Instant::now();
    let (mut nodes, mut stored) = ([(); 3].map(|()| PurgeJournal::default()), vec![]);
    for _ in 0..4 {
        for node in &mut nodes {
            let _ = node.add(Purged::All, now);
        }
        for _ in 0..4 {
            nodes.iter_mut().for_each(|node| drop(turn(node, &mut stored, now)));
        }
    }
    let mut again = vec![];
    for minute in 0..24 * 60 {
        let now = now + Duration::from_secs(minute * 60);
        if minute == 180 {
            nodes[2] = PurgeJournal::default();
        }
        for (number, node) in nodes.iter_mut().enumerate() {
            if !turn(node, &mut stored, now).is_empty() && number < 2 {
                again.push(minute);
            }
        }
    }
    assert!(
        again.is_empty(),
        "{} times, the first in minute {:?}, the last in {:?}",
        again.len(),
        again.first(),
        again.last()
    );
}

#[test]
fn many_purges_of_all_before_the_next_write_are_one() {
    let (mut a, mut stored, now) = (PurgeJournal::default(), vec![], Instant::now());
    for _ in 0..3 {
        a.add(name("a.example"), now);
        a.add(Purged::All, now);
    }
    let last = a.add(Purged::Withdrawn("b.example".into()), now);
    turn(&mut a, &mut stored, now);
    assert_eq!(stored.iter().map(|purge| &purge.purged).filter(|purged| **purged == Purged::All).count(), 1);
    assert_eq!((stored.len(), stored.iter().any(|purge| purge.id == last)), (2, true));
    assert_eq!(a.of_name("a.example").count(), 1);
}

#[test]
fn nodes_that_purge_all_in_turn_agree_on_which_ones_count() {
    let now = Instant::now();
    let (mut nodes, mut stored) = ([(); 3].map(|()| PurgeJournal::default()), vec![]);
    for _ in 0..2 * MAX_OF_ALL {
        // All read the same, and each writes over the one before.
        let shown = stored.clone();
        for node in &mut nodes {
            let _ = node.add(Purged::All, now);
            let mut seen = shown.clone();
            turn(node, &mut seen, now);
            stored = seen;
        }
    }
    for _ in 0..6 {
        nodes.iter_mut().for_each(|node| drop(turn(node, &mut stored, now)));
    }
    for node in &mut nodes {
        assert_eq!(turn(node, &mut stored, now), []);
        assert_eq!(node.to_write(&stored, now), None, "it is written again and again");
    }
    let known = nodes.each_ref().map(|node| node.of_name("a.example").collect::<Vec<_>>());
    assert!(known.iter().all(|ids| *ids == known[0]), "each would refuse the others' records: {known:?}");
}

#[test]
fn a_node_that_starts_later_keeps_no_purge_of_a_name_alive() {
    let start = Instant::now();
    let (mut old, mut stored) = (PurgeJournal::default(), vec![]);
    let _ = old.add(name("a.example"), start);
    let mut young = PurgeJournal::default();
    let mut again = 0;
    for minute in 0..12 * 60 {
        let now = start + Duration::from_secs(minute * 60);
        if minute % 90 == 80 {
            young = PurgeJournal::default();
            // What it has noted on its disk.
            stored.iter().for_each(|purge| young.note(purge, now));
        }
        if minute % 10 == 0 {
            let _ = old.add(name("b.example"), now);
        }
        again += usize::from(turn(&mut old, &mut stored, now).contains(&name("a.example")));
        turn(&mut young, &mut stored, now);
    }
    assert_eq!(again, 0);
    assert!(!stored.iter().any(|purge| purge.purged == name("a.example")));
}
