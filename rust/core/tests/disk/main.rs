//! The disk store on a real file system: permissions, planted files, other processes, kills and a full disk.

mod directories;
mod faults;
mod files;
mod help;
mod limit;
mod processes;
mod strace;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::DiskStore;
use cached_http_core::entry::{ClientKind, EntryKey};
use cached_http_core::freshness::FreshnessLifetime;
use zeroize::Zeroizing;

use help::{entry, entry_file, files_below, fresh, key, message, open, skipped};

#[test]
fn an_entry_outlives_the_store() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    assert_eq!(store.load(&key()).unwrap(), None);
    store.save(&entry(1)).unwrap();
    store.save(&entry(2)).unwrap();
    let store = open(&directory);
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));

    let rsa_only = EntryKey { client: ClientKind::RsaOnly, ..key() };
    assert_eq!(store.load(&rsa_only).unwrap(), None);
    let other_backend = DiskStore::open(&directory, "https://other.example/").unwrap();
    assert_eq!(other_backend.load(&key()).unwrap(), None);

    store.remove(&rsa_only).unwrap();
    store.remove(&key()).unwrap();
    store.remove(&key()).unwrap();
    assert_eq!(open(&directory).load(&key()).unwrap(), None);
}

#[test]
fn an_answer_that_forbids_keeping_it_is_not_written() {
    let (_parent, directory) = fresh();
    let mut no_store = entry(1);
    no_store.metadata.freshness.lifetime = FreshnessLifetime::Uncacheable("Cache-Control: no-store".into());
    let store = open(&directory);
    assert!(store.save(&no_store).is_err());
    assert_eq!(files_below(&directory), [] as [PathBuf; 0]);
}

#[test]
fn a_directory_emptied_by_hand_is_made_again() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    fs::remove_dir_all(directory.join("entries")).unwrap();
    fs::remove_dir_all(directory.join("tmp")).unwrap();
    assert_eq!(store.load(&key()).unwrap(), None);
    store.save(&entry(2)).unwrap();
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));
}

/// It may be a file system that is not mounted: what lies there comes back.
#[test]
fn a_cache_directory_that_is_gone_refuses_everything() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    // Before anything was kept there is nothing to be removed.
    assert_eq!(store.load(&key()).unwrap(), None);
    store.remove(&key()).unwrap();
    assert_eq!(store.remove_all().unwrap(), 0);
    assert_eq!(store.load_note().unwrap(), None);
    store.save(&entry(1)).unwrap();
    let elsewhere = directory.with_extension("not-mounted");
    for store in [store, open(&directory)] {
        fs::rename(&directory, &elsewhere).unwrap();
        let refusals = [
            message(store.save(&entry(3))),
            message(store.load(&key())),
            message(store.remove(&key())),
            message(store.remove_all()),
            message(store.load_note()),
            message(store.save_note(b"")),
            message(store.list(None, 1)),
            message(store.sweep_step(Timestamp(0), &[])),
        ];
        assert!(refusals.iter().all(|refusal| refusal.contains("is gone")), "{refusals:?}");
        assert!(!directory.exists());
        // Another store of this process knows that it was there, as after a reload; which goes on.
        let another = open(&directory);
        assert!(message(another.remove(&key())).contains("is gone"));
        fs::rename(&elsewhere, &directory).unwrap();
        assert_eq!(store.load(&key()).unwrap(), Some(entry(1)));
    }
    let store = open(&directory);
    store.remove(&key()).unwrap();
    assert_eq!(store.load(&key()).unwrap(), None);
}

#[test]
fn openssl_reads_certificate_and_key() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skipped("openssl is not installed");
    }
    let pair = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    let pem = pair.cert.pem() + &pair.signing_key.serialize_pem();
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&StoredEntry { pem: Zeroizing::new(pem.into_bytes()), ..entry(1) }).unwrap();
    let file = entry_file(&directory);
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).arg("-in").arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let public_key = run(&["x509", "-noout", "-pubkey"]);
    assert!(!public_key.is_empty());
    assert_eq!(public_key, run(&["pkey", "-pubout"]));
}
