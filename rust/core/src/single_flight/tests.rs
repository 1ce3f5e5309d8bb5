use super::*;

fn key(name: &str) -> EntryKey {
    EntryKey { name: name.into(), client: ClientKind::Ecdsa }
}

fn lead(flights: &SingleFlight, key: EntryKey, token: u64) -> Arc<Flight> {
    match flights.join(key, Some(Token(token)), || None::<()>) {
        Joined::Leader(flight) => flight,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_leads_and_the_others_follow() {
    let flights = SingleFlight::default();
    let a = lead(&flights, key("a.example"), 1);
    assert!(matches!(flights.join(key("a.example"), Some(Token(2)), || None::<()>), Joined::Follower));
    lead(&flights, key("b.example"), 3);
    assert_eq!(flights.finish(&a).0, [Token(1), Token(2)]);
    assert_eq!(flights.finish(&a).0, []);
    let settled = flights.join(key("a.example"), Some(Token(4)), || Some("kept"));
    assert!(matches!(settled, Joined::Settled("kept")));
    lead(&flights, key("a.example"), 5);
}

#[test]
fn who_wants_a_later_request_waits_for_the_next_flight() {
    let flights = SingleFlight::default();
    let first = lead(&flights, key("a.example"), 1);
    assert!(matches!(flights.join_next(key("a.example"), Token(2)), Joined::Follower));
    assert_eq!(flights.finish(&first), (vec![Token(1)], vec![Token(2)]));
    let Joined::Leader(second) = flights.join_next(key("a.example"), Token(2)) else { panic!() };
    assert_eq!(flights.finish(&second), (vec![Token(2)], vec![]));
}

#[test]
fn what_is_stored_while_a_flight_is_under_way_is_known_to_it_if_its_client_can_use_it() {
    let of = |client| EntryKey { client, ..key("a.example") };
    let flights = SingleFlight::default();
    let rsa_only = lead(&flights, of(ClientKind::RsaOnly), 1);
    let modern = lead(&flights, of(ClientKind::Ecdsa), 2);
    let stored = |flight: &Flight| ClientKind::ALL.map(|under| flight.has_stored(under));
    flights.note_stored(of(ClientKind::Ecdsa).borrowed(), ClientKind::Ecdsa);
    assert_eq!((stored(&rsa_only), stored(&modern)), ([false; 3], [false, true, false]));
    flights.note_stored(of(ClientKind::RsaOnly).borrowed(), ClientKind::RsaOnly);
    assert_eq!((stored(&rsa_only), stored(&modern)), ([true, false, false], [true, true, false]));
}

#[test]
fn what_is_withdrawn_while_a_flight_is_under_way_is_known_to_it() {
    let of = |client| EntryKey { client, ..key("a.example") };
    let flights = SingleFlight::default();
    let flight = lead(&flights, key("a.example"), 1);
    let rsa_only = lead(&flights, of(ClientKind::RsaOnly), 2);
    flights.withdraw(&rsa_only);
    assert!(flight.is_withdrawn(ClientKind::RsaOnly) && !flight.is_superseded());
    assert!(!flight.is_withdrawn(ClientKind::Ecdsa), "an RSA-only client could not have used it");
    let other = lead(&flights, EntryKey { client: ClientKind::Ed25519, ..key("b.example") }, 3);
    flights.withdraw(&other);
    assert!(!flight.is_superseded(), "another name");

    let most_capable = lead(&flights, of(ClientKind::Ed25519), 4);
    flights.withdraw(&most_capable);
    assert!(flight.is_superseded());
    lead(&flights, key("a.example"), 5);
    let joined = flights.join(of(ClientKind::Ed25519), Some(Token(6)), || None::<()>);
    assert!(matches!(joined, Joined::Follower), "the one that was told goes on to its end");
    assert_eq!(flights.finish(&flight).0, [Token(1)]);
}

#[test]
fn what_comes_after_a_flight_has_ended_may_be_older_than_a_withdrawal() {
    let flights = SingleFlight::default();
    let flight = lead(&flights, key("a.example"), 1);
    assert!(!flight.is_withdrawn(ClientKind::RsaOnly));
    flights.finish(&flight);
    assert!(!flights.detach(key("a.example").borrowed()), "a purge does not find it");
    assert!(flight.is_withdrawn(ClientKind::RsaOnly) && flight.is_superseded());
}

#[test]
fn after_a_purge_a_name_has_a_flight_of_its_own() {
    let flights = SingleFlight::default();
    let old = lead(&flights, key("a.example"), 1);
    assert!(flights.detach(key("a.example").borrowed()) && old.is_withdrawn(ClientKind::Ed25519));
    assert!(!flights.detach(key("a.example").borrowed()));
    let new = lead(&flights, key("a.example"), 2);
    assert!(!new.is_withdrawn(ClientKind::RsaOnly));
    assert_eq!(flights.finish(&old).0, [Token(1)]);
    assert!(matches!(flights.join(key("a.example"), None, || None::<()>), Joined::Follower), "new goes on");
    assert_eq!(flights.finish(&new).0, [Token(2)]);
}

#[test]
fn whoever_waits_is_found_behind_a_purge_too_and_told_once() {
    let flights = SingleFlight::default();
    let old = lead(&flights, key("a.example"), 1);
    flights.detach(key("a.example").borrowed());
    let new = lead(&flights, key("a.example"), 2);
    let mut waiting = flights.detach_all();
    waiting.sort_by_key(|(_, tokens)| tokens[0].0);
    assert_eq!(waiting, [("a.example".into(), vec![Token(1)]), ("a.example".into(), vec![Token(2)])]);
    assert_eq!((flights.finish(&old).0, flights.finish(&new).0), (vec![], vec![]));
    let flights = flights.flights.lock();
    assert!(flights.current.is_empty() && flights.detached.is_empty());
}
