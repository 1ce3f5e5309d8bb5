//! Files that are not as they were written.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::DiskStore;
use cached_http_core::entry::{ClientKind, EntryKey};

use crate::help::{entry, entry_file, files_below, fresh, is_root, key, message, open, set_mode, skipped};

#[test]
fn a_damaged_file_is_reported_once_and_removed() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    for damage in [cut as fn(&Path), flip, grow, empty, make_huge] {
        store.save(&entry(1)).unwrap();
        damage(&entry_file(&directory));
        let text = message(store.load(&key()));
        assert!(text.contains("removed") && !text.contains("BEGIN"), "{text}");
        assert_eq!(store.load(&key()).unwrap(), None);
    }
}

/// `cp -al` of the cache directory, as backups do it.
#[test]
fn a_backup_of_hard_links_costs_nothing_and_is_never_written_into() {
    let (parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let backup = parent.path().join("backup.pem");
    fs::hard_link(entry_file(&directory), &backup).unwrap();
    assert_eq!(open(&directory).load(&key()).unwrap(), Some(entry(1)));

    let kept = fs::read(&backup).unwrap();
    store.save(&entry(2)).unwrap();
    assert_eq!(fs::read(&backup).unwrap(), kept);
    store.remove(&key()).unwrap();
    assert!(backup.exists());
}

#[test]
fn an_entry_of_another_version_is_left_until_it_is_written_anew() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    let text = fs::read_to_string(&file).unwrap().replacen("format 1", "format 2", 1);
    fs::write(&file, &text).unwrap();
    for _ in 0..2 {
        assert!(message(store.load(&key())).contains("another version"));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    store.save(&entry(2)).unwrap();
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));
}

#[test]
fn a_withdrawal_removes_whatever_is_there() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    for plant in [flip as fn(&Path), |file| set_mode(file, 0o644), empty, make_huge] {
        store.save(&entry(1)).unwrap();
        plant(&file);
        store.remove(&key()).unwrap();
        assert!(fs::symlink_metadata(&file).is_err());
    }
}

#[test]
fn no_truncated_and_no_changed_entry_is_ever_served() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    let whole = fs::read(&file).unwrap();
    let (mut removed, mut left) = (0, 0);
    let mut load = |text: &[u8], what: &str| {
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .unwrap()
            .write_all(text)
            .unwrap();
        let text = message(store.load(&key()));
        match file.exists() {
            false => removed += 1,
            // With another number in its first line it may be another version's.
            true => left += u32::from(text.contains("another version")),
        }
        assert!(text.contains("is not used"), "{what}: {text}");
    };
    for length in 0..whole.len() {
        load(&whole[..length], &format!("cut to {length} bytes"));
    }
    for bit in 0..8 * whole.len() {
        let mut text = whole.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        load(&text, &format!("bit {bit} flipped"));
    }
    let cases = whole.len() + 8 * whole.len();
    println!(
        "corruption: {} truncations, {} flipped bits: 0 served, {removed} removed, {left} left",
        whole.len(),
        8 * whole.len()
    );
    assert_eq!(removed + left as usize, cases);
    assert!(left < 8);
    store.save(&entry(2)).unwrap();
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));
}

#[test]
fn a_file_moved_from_another_name_is_rejected_and_left() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    let other = EntryKey { name: "other.example.com".into(), client: ClientKind::Ecdsa };
    store.save(&StoredEntry { key: other, ..entry(2) }).unwrap();
    let other_file = files_below(&directory).into_iter().find(|path| *path != file).unwrap();
    fs::rename(other_file, &file).unwrap();
    assert!(message(store.load(&key())).contains("another server name"));
    assert!(file.exists());
}

#[test]
fn what_is_not_ours_is_left_and_never_used_followed_or_waited_for() {
    let (parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    let good = parent.path().join("good.pem");
    fs::copy(&file, &good).unwrap();

    type Plant<'a> = (&'static str, Box<dyn Fn() + 'a>);
    let copy_with = |mode| {
        fs::copy(&good, &file).unwrap();
        set_mode(&file, mode);
    };
    let mut plants: Vec<Plant> = vec![
        ("not a regular file", Box::new(|| symlink(&good, &file).unwrap())),
        ("not a regular file", Box::new(|| symlink("/dangling", &file).unwrap())),
        ("not a regular file", Box::new(|| make_fifo(&file))),
        (
            "not a regular file",
            Box::new(|| {
                // The name of a socket must be shorter than that of an entry.
                let socket = parent.path().join("socket");
                drop(UnixListener::bind(&socket).unwrap());
                fs::rename(socket, &file).unwrap();
            }),
        ),
        ("wanted is mode 0600", Box::new(|| copy_with(0o640))),
    ];
    if is_root() {
        let give_away = || {
            copy_with(0o600);
            chown(&file, Some(1), None).unwrap();
        };
        plants.push(("another user", Box::new(give_away)));
    } else {
        skipped("only root can give a file away");
    }
    for (reason, plant) in plants {
        fs::remove_file(&file).ok();
        plant();
        let planted = fs::symlink_metadata(&file).unwrap().ino();
        for _ in 0..2 {
            let text = message(in_time(&store, |store| store.load(&key())));
            assert!(text.contains("left") && text.contains(reason), "{text}");
            assert_eq!(fs::symlink_metadata(&file).unwrap().ino(), planted, "{reason}");
        }
        store.save(&entry(2)).unwrap();
        assert_eq!(store.load(&key()).unwrap(), Some(entry(2)), "{reason}");
        assert!(good.exists(), "followed instead of replaced");
    }
}

#[test]
fn a_planted_link_is_replaced_by_a_write_not_followed() {
    let (parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let file = entry_file(&directory);
    fs::remove_file(&file).unwrap();
    let victim = parent.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, &file).unwrap();
    store.save(&entry(2)).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(store.load(&key()).unwrap(), Some(entry(2)));
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap().success());
}

fn cut(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    File::options().write(true).open(file).unwrap().set_len(length - 1).unwrap();
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn grow(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes.push(b'\n');
    fs::write(file, bytes).unwrap();
}

fn empty(file: &Path) {
    File::create(file).unwrap();
}

fn make_huge(file: &Path) {
    // Sparse: reading it all would take a terabyte of memory.
    File::options().write(true).open(file).unwrap().set_len(1 << 40).unwrap();
}

/// Runs something that must not hang.
fn in_time<T: Send>(store: &DiskStore, run: impl FnOnce(&DiskStore) -> T + Send) -> T {
    let (done, result) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || done.send(run(store)));
        result.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| {
            // A thread in an endless system call can't be joined.
            println!("it hangs");
            std::process::exit(1);
        })
    })
}
