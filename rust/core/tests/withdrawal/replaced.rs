//! A file from before a withdrawal is not read, however it came to be there again: the folder was not mounted when it was
//! withdrawn, a backup was played back, another process wrote it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use cached_http_core::engine::Lookup;
use cached_http_core::engine::operations::AskMode;
use cached_http_core::events::Outcome;

use crate::help::{Cache, ECDSA, NAME, ecdsa, files_below, no_certificate, set_mode, until};
use crate::support::host::next_token;

/// A way to withdraw [`NAME`].
type Withdraw = fn(&mut Cache);

const WAYS: [(&str, Withdraw); 3] = [
    ("a purge", |cache| drop(cache.host.operate(r#"{"purge": {"names": ["shop.example"]}}"#).unwrap())),
    ("a purge of all", |cache| drop(cache.host.operate(r#"{"purge_all": {}}"#).unwrap())),
    ("a no", |cache| {
        cache.backend.tell(&no_certificate());
        let (config, token) = (cache.host.config.clone(), next_token());
        cache.host.engine.ask(&config, NAME.as_bytes(), ECDSA, AskMode::Refresh, token);
        assert_eq!(cache.host.pump_until(token), Outcome::NoCertificate);
    }),
];

#[test]
fn a_backup_that_is_played_back() {
    for (way, withdraw) in WAYS {
        let mut cache = Cache::with(&ecdsa());
        let entries = cache.directory.path.join("entries");
        let (file, text) = (cache.file(), fs::read(cache.file()).unwrap());
        cache.advance(1);
        withdraw(&mut cache);
        until("the file is removed", || files_below(&entries).is_empty());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        for folder in file.ancestors().skip(1).take(3) {
            set_mode(folder, 0o700);
        }
        fs::write(&file, text).unwrap();
        set_mode(&file, 0o600);
        // The first removal may not have ended yet, and takes this one for its own.
        until("the file is removed again", || {
            assert!(!cache.serves(ECDSA), "after {way}");
            files_below(&entries).is_empty()
        });

        // What was fetched since is read.
        cache.advance(61);
        cache.gets(NAME, ECDSA, &ecdsa());
        until("it is written", || !files_below(&entries).is_empty());
        cache.forget_memory();
        assert_eq!(cache.host.look(NAME), Lookup::Miss);
        assert!(cache.serves(ECDSA), "after {way}");
    }
}

#[test]
fn a_folder_that_is_mounted_after_it() {
    for (way, withdraw) in WAYS {
        let mut cache = Cache::with(&ecdsa());
        let directory = cache.directory.path.clone();
        let elsewhere = directory.with_extension("not-mounted");
        fs::rename(&directory, &elsewhere).unwrap();
        fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
        cache.advance(1);
        withdraw(&mut cache);
        fs::remove_dir_all(&directory).unwrap();
        fs::rename(&elsewhere, &directory).unwrap();
        assert!(!cache.serves(ECDSA), "after {way}");
        until("the file is removed", || files_below(&directory.join("entries")).is_empty());
        assert!(!cache.stop().restart().serves(ECDSA), "after {way}");
    }
}

/// A clock that was wrong when something was withdrawn.
#[test]
fn what_is_fetched_by_a_clock_that_was_set_back_is_read() {
    for (way, withdraw) in WAYS {
        let mut cache = Cache::with(&ecdsa());
        let entries = cache.directory.path.join("entries");
        let right = cache.host.clock.now();
        cache.advance(3600);
        withdraw(&mut cache);
        until("the file is removed", || files_below(&entries).is_empty());
        cache.host.clock.set(right);
        cache.gets(NAME, ECDSA, &ecdsa());
        until("it is written", || files_below(&entries).len() == 1);
        cache.forget_memory();
        assert!(cache.serves(ECDSA), "after {way}");
    }
}
