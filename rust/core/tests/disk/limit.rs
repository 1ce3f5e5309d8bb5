//! `max_disk`: what is counted, what goes, and when.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::{DiskStore, ENDED_GRACE};
use cached_http_core::freshness::FreshnessSettings;
use zeroize::Zeroizing;

use crate::help::{
    BACKEND, entry, entry_of, files_below, fresh, key, message, numbered, open, set_mode, space_of,
    sweep_all, times,
};

const BLOCK: u64 = 4096;
const HOUR: u64 = 3_600_000;
const GRACE: u64 = ENDED_GRACE.as_millis() as u64;
const SETTINGS: FreshnessSettings = FreshnessSettings {
    pinned: None,
    default: Duration::from_secs(1),
    stale_if_error: Duration::from_secs(2 * 3_600),
    refresh_ahead: true,
};

/// An entry of one block.
fn small(number: u32) -> StoredEntry {
    StoredEntry { pem: Zeroizing::new(vec![b'A'; 1_000]), ..entry_of(number) }
}

fn kept(store: &DiskStore, numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.filter(|number| store.load(&numbered(*number)).unwrap().is_some()).collect()
}

#[test]
fn the_limit_holds_at_every_write_and_the_least_recently_refreshed_go() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.set_limit(20 * BLOCK);
    for number in 0..20 {
        store.save(&small(number)).unwrap();
    }
    // A refresh makes an old entry a young one.
    let mut refreshed = small(0);
    refreshed.metadata.fetched_at = Timestamp(100);
    store.save(&refreshed).unwrap();
    for number in 20..40 {
        store.save(&small(number)).unwrap();
        assert!(space_of(&directory) <= 20 * BLOCK);
    }
    assert!(store.load(&numbered(0)).unwrap().is_some());
    let kept = kept(&store, 1..40);
    // Room is made by sixteenths.
    assert!(kept.len() >= 17, "{kept:?}");
    assert_eq!(kept, Vec::from_iter(40 - kept.len() as u32..40));
    assert_eq!(store.usage().bytes, (kept.len() as u64 + 1) * BLOCK);
}

#[test]
fn a_start_needs_no_walk_for_the_limit_to_hold() {
    let (_parent, directory) = fresh();
    let many = times(3_000, 30_000);
    let store = open(&directory);
    for number in 0..many {
        store.save(&small(number)).unwrap();
    }
    let limit = u64::from(many) * BLOCK;
    let store = open(&directory);
    store.set_limit(limit);
    assert!(!store.usage().is_exact);
    for number in many..many + 200 {
        store.save(&small(number)).unwrap();
    }
    let (space, usage) = (space_of(&directory), store.usage());
    println!("limit {limit}, {space} bytes on disk after 200 writes more, thought to be {}", usage.bytes);
    assert!(space <= limit * 105 / 100);
    sweep_all(&store, 0, &[]);
    assert!(space_of(&directory) <= limit);
    assert!(store.usage().is_exact && store.usage().bytes == space_of(&directory));
}

#[test]
fn what_others_do_is_counted_within_a_round() {
    let (_parent, directory) = fresh();
    let (store, other) = (open(&directory), open(&directory));
    (0..50).for_each(|number| other.save(&small(number)).unwrap());
    store.save(&small(50)).unwrap();
    (0..30).for_each(|number| other.remove(&numbered(number)).unwrap());
    // Not counted: what isn't ours to remove.
    let shard = files_below(&directory.join("entries"))[0].parent().unwrap().to_owned();
    fs::write(shard.join("notes.txt"), "mine").unwrap();
    symlink("/dangling", shard.join(format!("{}.pem", "0".repeat(64)))).unwrap();
    sweep_all(&store, 0, &[]);
    let usage = store.usage();
    assert_eq!((usage.entries, usage.bytes, usage.is_exact), (21, 21 * BLOCK, true));
    assert!(shard.join("notes.txt").exists());
}

#[test]
fn a_lower_limit_is_reached_in_the_background_and_no_write_waits_for_it() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    (0..200).for_each(|number| store.save(&small(number)).unwrap());
    store.set_limit(50 * BLOCK);
    sweep_all(&store, 0, &[]);
    assert!(space_of(&directory) <= 50 * BLOCK && store.usage().entries >= 40, "{:?}", store.usage());
    assert!(kept(&store, 0..120).is_empty() && kept(&store, 199..200) == [199]);

    store.set_limit(BLOCK - 1);
    assert!(message(store.save(&small(200))).contains("max_disk (4095 bytes)"));
    assert!(store.usage().entries >= 40, "nothing goes for what can't be written even so");
}

#[test]
fn what_has_ended_is_swept_and_nothing_else() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    let expired = StoredEntry { not_after: Timestamp(5 * HOUR), ..small(1) };
    let mut strict = small(2);
    strict.metadata.freshness.must_revalidate = true;
    for entry in [&expired, &strict, &small(3)] {
        store.save(entry).unwrap();
    }
    let other = DiskStore::open(&directory, "https://other.example/").unwrap();
    other.save(&StoredEntry { not_after: Timestamp(5 * HOUR), ..small(4) }).unwrap();
    other.save(&small(5)).unwrap();

    // An hour of lifetime, two of `stale_if_error`, and then a week in which a longer one brings it back.
    let lasting = FreshnessSettings { stale_if_error: Duration::from_secs(3 * 3_600), ..SETTINGS };
    for (now, settings, ended) in [
        (5 * HOUR - 1, vec![SETTINGS], 0),
        (5 * HOUR, vec![SETTINGS], 2),
        (GRACE + HOUR, vec![SETTINGS], 0),
        (GRACE + HOUR + 10, vec![SETTINGS], 1),
        (GRACE + 3 * HOUR + 10, vec![], 0),
        (GRACE + 3 * HOUR + 10, vec![SETTINGS, lasting], 0),
        (GRACE + 3 * HOUR + 10, vec![SETTINGS], 1),
    ] {
        assert_eq!(sweep_all(&store, now, &settings), (ended, 0), "at {now}");
    }
    assert_eq!(kept(&store, 0..10), [] as [u32; 0]);
    assert_eq!(kept(&other, 0..10), [5]);
    assert_eq!(store.usage().entries, 0);
}

#[test]
fn a_removal_of_all_is_at_once_and_leaves_nothing_in_the_end() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    let other = DiskStore::open(&directory, "https://other.example/").unwrap();
    other.save(&entry(1)).unwrap();
    let many = times(20_000, 1_000_000);
    store.save(&entry(1)).unwrap();
    let file = entry_file_of(&store, &directory);
    let entries = file.parent().unwrap().parent().unwrap();
    for number in 0..many {
        let shard = entries.join(format!("{:02x}", number % 256));
        if number < 256 {
            fs::create_dir_all(&shard).unwrap();
            set_mode(&shard, 0o700);
        }
        let path = shard.join(format!("{:02x}{number:062x}.pem", number % 256));
        fs::write(&path, "x").unwrap();
        set_mode(&path, 0o600);
    }
    let store = open(&directory);
    let (begin, mut steps, mut longest) = (Instant::now(), 0, Duration::ZERO);
    sweep_timed(&store, &mut steps, &mut longest);
    println!("{many} files: counted in {:?}, {steps} steps of {longest:?} at most", begin.elapsed());
    assert_eq!((store.usage().entries, store.usage().is_exact), (u64::from(many) + 1, true));

    let begin = Instant::now();
    store.remove_all().unwrap();
    let took = begin.elapsed();
    assert_eq!(store.load(&key()).unwrap(), None);
    assert_eq!(store.usage().entries, 0);
    store.save(&entry(2)).unwrap();
    let (begin, mut steps, mut longest) = (Instant::now(), 0, Duration::ZERO);
    sweep_timed(&store, &mut steps, &mut longest);
    println!(
        "{many} files: all withdrawn in {took:?}, removed in {:?}, {steps} steps of {longest:?} at most",
        begin.elapsed()
    );
    assert!(took < Duration::from_secs(2));
    assert_eq!(files_below(&directory.join("tmp")).len(), 0);
    assert_eq!(fs::read_dir(directory.join("tmp")).unwrap().count(), 0);
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));
    assert_eq!(other.load(&key()).unwrap(), Some(entry(1)), "another backend's");
}

#[test]
fn a_purge_that_was_cut_is_ended_by_the_next_start() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    (0..20).for_each(|number| store.save(&small(number)).unwrap());
    store.remove_all().unwrap();
    drop(store);
    assert_eq!(files_below(&directory.join("tmp")).len(), 20);
    open(&directory).sweep_step(Timestamp(0), &[]).unwrap();
    assert_eq!(files_below(&directory).len(), 0);
}

/// A backup tool's, or what a hand has put there.
#[test]
fn what_is_not_ours_keeps_nothing_from_its_turn() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&small(1)).unwrap();
    let file = files_below(&directory.join("entries")).remove(0);
    let (shard, backend) = (file.parent().unwrap(), file.parent().unwrap().parent().unwrap());
    let strays = ["entries/.DS_Store", "tmp/purged-stray"].map(|stray| directory.join(stray));
    let strays = strays.into_iter().chain([backend.join(".DS_Store"), shard.join("copy.pem")]);
    strays.for_each(|stray| fs::write(stray, "x").unwrap());
    fs::create_dir(shard.join("folder")).unwrap();
    store.remove_all().unwrap();
    store.save(&small(2)).unwrap();
    let later = Timestamp(u64::MAX); // its certificate has ended
    let removed: u64 = (0..256).map(|_| store.sweep_step(later, &[]).unwrap().ended).sum();
    assert_eq!(removed, 1);
    let left = files_below(&directory);
    assert_eq!(left.len(), 4, "what is not ours stays: {left:?}");
}

/// Sweeps until nothing is urgent.
fn sweep_timed(store: &DiskStore, steps: &mut u32, longest: &mut Duration) {
    loop {
        let begin = Instant::now();
        let report = store.sweep_step(Timestamp(0), &[]).unwrap();
        (*steps, *longest) = (*steps + 1, begin.elapsed().max(*longest));
        if !report.more {
            return;
        }
    }
}

fn entry_file_of(store: &DiskStore, directory: &Path) -> PathBuf {
    let name = cached_http_core::disk_format::file_name(BACKEND, &key());
    assert!(store.load(&key()).unwrap().is_some());
    let is_it = |path: &PathBuf| path.ends_with(&name);
    let ours = cached_http_core::disk_format::directory_name(BACKEND);
    files_below(&directory.join("entries").join(ours)).into_iter().find(is_it).unwrap()
}
