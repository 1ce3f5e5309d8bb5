//! A "no" removes the name's file, whatever could be read of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cached_http_core::clock::Timestamp;
use rcgen::{CertificateParams, KeyPair};

use crate::help::{Cache, ECDSA, NAME, ecdsa, files_below, set_mode};
use crate::support::Step;

#[test]
fn a_file_that_can_not_be_read_does_not_outlive_a_no() {
    let damage = |file: &Path| {
        let mut text = fs::read(file).unwrap();
        *text.last_mut().unwrap() ^= 1;
        fs::write(file, text).unwrap();
    };
    let link = |file: &Path| {
        let elsewhere = file.parent().unwrap().join("elsewhere");
        fs::rename(file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, file).unwrap();
    };
    let open_to_others = |file: &Path| set_mode(file, 0o644);
    type Change<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Change<'_>); 3] =
        [("damaged", &damage), ("open to others", &open_to_others), ("a symbolic link", &link)];
    for (case, spoil) in cases {
        let stopped = Cache::with(&ecdsa()).stop();
        let file = stopped.file();
        spoil(&file);
        let mut cache = stopped.restart();
        cache.is_told_no(ECDSA);
        let stopped = cache.stop();
        // An operator could mend it, and it would be served again.
        assert!(file.symlink_metadata().is_err(), "{case}: it is still there");
        assert!(!stopped.restart().serves(ECDSA), "{case}");
    }
}

#[test]
fn an_ended_certificate_on_disk_does_not_outlive_a_no() {
    let end = Timestamp::from_unix_seconds(1_924_992_000); // 2031-01-01
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let stopped = Cache::with(&[Step::respond("200 OK", "Cache-Control: s-maxage=99999999\r\n", pem)]).stop();
    let fetched = stopped.clock.now();

    stopped.clock.set(end.saturating_add(Duration::from_secs(1)));
    let mut cache = stopped.restart();
    cache.is_told_no(ECDSA);
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
    stopped.clock.set(fetched);
    assert!(!stopped.restart().serves(ECDSA), "the clock was wrong, and the certificate is in date again");
}

#[test]
fn a_removal_that_the_disk_refuses_is_made_when_it_can_be() {
    let mut cache = Cache::with(&ecdsa());
    let shard = cache.file().parent().unwrap().to_owned();
    set_mode(&shard, 0o755);
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    crate::help::until("the removal is refused", || cache.host.engine.counters().disk_errors > 0);
    assert!(!cache.serves(ECDSA), "it is not read meanwhile");
    set_mode(&shard, 0o700);
    assert!(!cache.serves(ECDSA));
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0, "the last chance is when the cache is closed");
    assert!(!stopped.restart().serves(ECDSA));
}

#[test]
fn a_save_that_fails_leaves_nothing_that_was_withdrawn_before_it() {
    let mut cache = Cache::with(&ecdsa());
    let shard = cache.file().parent().unwrap().to_owned();
    set_mode(&shard, 0o755);
    cache.host.engine.purge(NAME.as_bytes()).unwrap();
    cache.gets(NAME, ECDSA, &ecdsa());
    crate::help::until("both are refused", || cache.host.engine.counters().disk_errors >= 2);
    set_mode(&shard, 0o700);
    let stopped = cache.stop();
    assert_eq!(stopped.files(), 0);
}

/// A file system that is not mounted for a while.
#[test]
fn a_no_while_the_cache_directory_is_gone_holds_when_it_is_back() {
    let stopped = Cache::with(&ecdsa()).stop();
    let directory = stopped.directory.path.clone();
    let elsewhere = directory.with_extension("not-mounted");
    let mut cache = stopped.restart();
    fs::rename(&directory, &elsewhere).unwrap();
    cache.is_told_no(ECDSA);
    // Three reads, a step of the sweep, the removals.
    crate::help::until("the removal is refused", || cache.host.engine.counters().disk_errors >= 5);
    fs::rename(&elsewhere, &directory).unwrap();
    assert!(!cache.serves(ECDSA), "it is not read, whatever lies there");
    crate::help::until("the file is removed, though nobody asks for anything", || {
        files_below(&directory.join("entries")).is_empty()
    });
    assert!(!cache.stop().restart().serves(ECDSA));
}

/// Another `cache_dir` or backend by a reload, and back: the process is the same.
#[test]
fn what_the_disk_has_not_removed_is_not_read_by_the_next_cache_of_the_process() {
    let ways: [fn(&mut Cache); 3] = [
        |cache| assert!(cache.host.operate(r#"{"purge": {"names": ["shop.example"]}}"#).is_err()),
        |cache| assert!(cache.host.operate(r#"{"purge_all": {}}"#).is_err()),
        |cache| cache.is_told_no(ECDSA),
    ];
    for withdraw in ways {
        let cache = Cache::with(&ecdsa());
        let directory = cache.directory.path.clone();
        let elsewhere = directory.with_extension("not-mounted");
        let mut cache = cache.stop().restart();
        assert!(cache.serves(ECDSA));
        fs::rename(&directory, &elsewhere).unwrap();
        cache.advance(10_001);
        withdraw(&mut cache);
        let stopped = cache.stop().restart().stop(); // one that serves nobody, as of a configuration that is refused
        fs::rename(&elsewhere, &directory).unwrap();
        let mut cache = stopped.restart_with(r#","stale_if_error_ms":86400000,"refresh_ahead":true"#);
        assert!(!cache.serves(ECDSA));
        crate::help::until("the file is removed", || files_below(&directory.join("entries")).is_empty());
        assert!(!cache.stop().restart().serves(ECDSA));
    }
}
