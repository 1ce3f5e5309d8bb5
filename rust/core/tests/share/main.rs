//! `share_names`: a certificate answers for the other names it covers, and nothing that was withdrawn comes back by it.

mod denied;
#[path = "../support/mod.rs"]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::AskMode;
use cached_http_core::events::Outcome;
use cached_http_core::operations::Answer;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use support::Step;
use support::host::{CacheDirectory, Host, RSA_ONLY, files_below};
use support::told::ToldBackend;

pub(crate) const ON: &str = r#","share_names":true"#;
pub(crate) const APEX: &str = "example.com";
pub(crate) const WWW: &str = "www.example.com";

pub(crate) fn covering(names: &[&str], rsa: bool) -> Vec<Step> {
    let key = if rsa { KeyPair::generate_for(&PKCS_RSA_SHA256) } else { KeyPair::generate() }.unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let bundle = certificate.pem() + &key.serialize_pem();
    vec![Step::respond("200 OK", "Cache-Control: s-maxage=1000\r\n", bundle)]
}

pub(crate) fn no_certificate() -> Vec<Step> {
    vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")]
}

/// A host that has fetched a certificate for [`APEX`] that covers these names.
pub(crate) fn host(names: &[&str], options: &str) -> (ToldBackend, Host) {
    let backend = ToldBackend::start();
    let mut host = Host::new(&backend.backend, None, options);
    backend.tell(&covering(names, false));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)));
    (backend, host)
}

#[test]
fn apex_and_www_cost_one_request() {
    let (backend, host) = host(&[APEX, "WWW.example.com"], ON);
    let Lookup::Hit(apex) = host.look(APEX) else { panic!() };
    assert_eq!(host.look(WWW), Lookup::Hit(apex));
    assert_eq!(host.look("shop.example.com"), Lookup::Miss);
    assert_eq!(backend.backend.count(), 1);
}

#[test]
fn it_is_off_unless_asked_for() {
    let (_backend, host) = host(&[APEX, WWW], "");
    assert_eq!(host.look(WWW), Lookup::Miss);
}

#[test]
fn a_wildcard_answers_for_one_label() {
    let (_backend, host) = host(&[APEX, "*.example.com"], ON);
    assert!(matches!(host.look(WWW), Lookup::Hit(_)));
    assert!(matches!(host.look("any.example.com"), Lookup::Hit(_)));
    assert_eq!(host.look("a.b.example.com"), Lookup::Miss);
    assert_eq!(host.engine.sizes().entries, 1, "a scan of its names takes no room");
}

#[test]
fn a_purge_takes_all_that_answer_however_many() {
    let (backend, mut host) = host(&[APEX, "*.example.com"], ON);
    for n in 0..12 {
        backend.tell(&covering(&["*.example.com"], false));
        let token = support::host::next_token();
        let (config, name) = (host.config.clone(), format!("n{n}.example.com"));
        let mode = AskMode::Refresh;
        host.engine.ask(&config, name.as_bytes(), support::host::MODERN, mode, token);
        assert!(matches!(host.pump_until(token), Outcome::Found(_)));
    }
    assert!(host.operate(r#"{"purge": {"names": ["n11.example.com"]}}"#).is_ok());
    for n in 0..12 {
        assert_eq!(host.look(&format!("n{n}.example.com")), Lookup::Miss, "n{n}");
    }
}

#[test]
fn until_its_lifetime_ends() {
    let (_backend, host) =
        host(&[APEX, WWW], r#","share_names":true,"stale_if_error_ms":900000000,"refresh_ahead":false"#);
    host.clock.advance(Duration::from_secs(1001));
    assert!(matches!(host.look(APEX), Lookup::Stale(_)));
    assert_eq!(host.look(WWW), Lookup::Miss);
}

#[test]
fn a_clients_kind_counts() {
    let (backend, mut host) = host(&[APEX, WWW], ON);
    assert_eq!(host.look_as(WWW, RSA_ONLY, None), Lookup::Miss, "it is ECDSA");
    backend.tell(&covering(&[APEX, WWW], true));
    assert!(matches!(host.ask_as(APEX, RSA_ONLY), Outcome::Found(_)));
    assert!(matches!(host.look_as(WWW, RSA_ONLY, None), Lookup::Hit(_)));
}

#[test]
fn what_covers_a_purged_name_goes_with_it() {
    for operation in [r#"{"purge": {"names": ["www.example.com"]}}"#, r#"{"purge_all": {}}"#] {
        let (backend, directory) = (ToldBackend::start(), CacheDirectory::new());
        let mut host = Host::new(&backend.backend, Some(&directory.path), ON);
        backend.tell(&covering(&[APEX, WWW], false));
        assert!(matches!(host.ask(APEX), Outcome::Found(_)));
        backend.tell(&covering(&["other.example"], false));
        assert!(matches!(host.ask("other.example"), Outcome::Found(_)));
        assert!(matches!(host.operate(operation), Ok(Answer::Purged { purged: 1.. })));
        assert_eq!((host.look(WWW), host.look(APEX)), (Lookup::Miss, Lookup::Miss), "{operation}");
        let other = host.look("other.example");
        assert_eq!(matches!(other, Lookup::Hit(_)), !operation.contains("all"), "{operation}");
    }
}

#[test]
fn a_purge_waits_for_the_file_of_what_covers_its_name() {
    let (backend, directory) = (ToldBackend::start(), CacheDirectory::new());
    let mut host = Host::new(&backend.backend, Some(&directory.path), ON);
    backend.tell(&covering(&[APEX, WWW], false));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)));
    host.operate(r#"{"sync": {}}"#).unwrap();
    let files = || files_below(&directory.path.join("entries"));
    let shard = files()[0].parent().unwrap().to_owned();
    let set_mode = |mode| fs::set_permissions(&shard, Permissions::from_mode(mode)).unwrap();
    set_mode(0o755); // which the disk's writer refuses
    let refused = host.operate(r#"{"purge": {"names": ["www.example.com"]}}"#);
    assert!(
        refused.as_ref().is_err_and(|error| error.to_string().contains("refuses to remove")),
        "{refused:?}"
    );
    set_mode(0o700);
    host.operate(r#"{"purge": {"names": ["example.com"]}}"#).unwrap();
    assert!(files().is_empty());
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_shared_after_it() {
    let backend = ToldBackend::start();
    let mut host = Host::new(&backend.backend, None, ON);
    let token = support::host::next_token();
    assert_eq!(host.look_as(APEX, support::host::MODERN, Some(token)), Lookup::Pending);
    let kept = backend.next();
    assert_eq!(
        host.operate(r#"{"purge": {"names": ["www.example.com"]}}"#),
        Ok(Answer::Purged { purged: 0 })
    );
    kept.answer(&covering(&[APEX, WWW], false));
    assert!(matches!(host.pump_until(token), Outcome::Found(_)));
    assert!(matches!(host.look(APEX), Lookup::Hit(_)));
    assert_eq!(host.look(WWW), Lookup::Miss);
}

/// A host with a folder, and the same after a restart.
fn restarted(host: Host, backend: &ToldBackend, directory: &CacheDirectory) -> Host {
    let clock = host.clock.clone();
    host.close();
    Host::with_clock(&backend.backend, Some(&directory.path), ON, clock)
}

#[test]
fn what_comes_from_disk_is_not_shared_be_it_confirmed() {
    let (backend, directory) = (ToldBackend::start(), CacheDirectory::new());
    let mut host = Host::new(&backend.backend, Some(&directory.path), ON);
    backend.tell(&covering(&[APEX, "*.example.com"], false));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)));
    let mut host = restarted(host, &backend, &directory);
    host.clock.advance(Duration::from_secs(10));
    backend.tell(&no_certificate());
    assert_eq!(host.ask(WWW), Outcome::NoCertificate);
    host.operate(r#"{"purge": {"names": ["shop.example.com"]}}"#).unwrap();
    host.clock.advance(Duration::from_secs(61));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)));
    assert_eq!(host.look(WWW), Lookup::Miss, "the no is newer than the file");
    assert_eq!(host.look("shop.example.com"), Lookup::Miss, "so is the purge");
}

#[test]
fn every_holder_shares_and_goes_with_a_purge() {
    let (backend, mut host) = host(&[APEX, "*.example.com"], ON);
    // The same certificate under another name, by a client that came at the same time.
    backend.keep();
    let tokens = [support::host::next_token(), support::host::next_token()];
    host.operate(r#"{"purge_all": {}}"#).unwrap();
    host.clock.advance(Duration::from_secs(1));
    for (name, token) in [(APEX, tokens[0]), ("b.example.com", tokens[1])] {
        assert_eq!(host.look_as(name, support::host::MODERN, Some(token)), Lookup::Pending);
    }
    let same = covering(&[APEX, "*.example.com"], false);
    backend.next().answer(&same);
    backend.next().answer(&same);
    host.pump_fetches(2);
    assert_eq!(host.engine.sizes().entries, 2);
    host.operate(r#"{"purge": {"names": ["www.example.com"]}}"#).unwrap();
    for name in [APEX, "b.example.com", WWW] {
        assert_eq!(host.look(name), Lookup::Miss, "{name}");
    }
}

#[test]
fn settings_without_it_take_nothing_from_those_with_it() {
    let (backend, mut host) = host(&[APEX, WWW], ON);
    let settings = support::host::lookup_settings(&backend.backend, "");
    let other = host.engine.lookup_config(&settings).unwrap();
    let with = std::mem::replace(&mut host.config, other);
    host.clock.advance(Duration::from_secs(1001));
    backend.tell(&covering(&[APEX, WWW], false));
    assert!(matches!(host.ask(APEX), Outcome::Found(_)), "refreshed by the other");
    assert_eq!(host.look(WWW), Lookup::Miss);
    host.config = with;
    assert!(matches!(host.look(WWW), Lookup::Hit(_)));
}
