//! Directories: made for nobody else, and rejected if somebody else could get in.

use std::error::Error as _;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_store::DiskStore;
use cached_http_core::entry::{ClientKind, EntryKey};
use tempfile::TempDir;

use crate::help::{BACKEND, entry, entry_file, fresh, is_root, key, message, open, set_mode, skipped};
use crate::processes::{role, succeeds};

const NOBODY: u32 = 65_534;

#[test]
fn missing_parents_are_made_for_nobody_else() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("lib/caddy/certs");
    open(&directory).save(&entry(1)).unwrap();
    assert_modes(&parent.path().join("lib"));
}

#[test]
fn modes_are_the_same_at_any_umask() {
    for umask in ["000", "022", "777"] {
        let (_parent, directory) = fresh();
        let script = format!("umask {umask}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]);
        succeeds(role(command, "save", &directory).output().unwrap());
        assert_modes(&directory);
    }
}

#[test]
fn an_unsafe_directory_is_rejected_with_what_is_wanted() {
    let (parent, directory) = fresh();
    let elsewhere = parent.path().join("elsewhere");
    open(&elsewhere).save(&entry(1)).unwrap();

    for mode in [0o755, 0o777, 0o710, 0o701] {
        for part in ["", "entries", "tmp"] {
            open(&directory).save(&entry(1)).unwrap();
            let part = if part.is_empty() { directory.clone() } else { directory.join(part) };
            set_mode(&part, mode);
            let text = message(DiskStore::open(&directory, BACKEND));
            let command = format!("chmod 700 {}", part.display());
            assert!(text.contains(&command) && text.contains(&format!("{mode:04o}")), "{text}");
            assert_eq!(fs::metadata(&part).unwrap().mode() & 0o777, mode, "repaired by itself");
            set_mode(&part, 0o700);
        }
    }

    // One that is shared is nobody's to be closed: /tmp, /var/lib.
    set_mode(&directory, 0o755);
    fs::create_dir(directory.join("another-service")).unwrap();
    let text = message(DiskStore::open(&directory, BACKEND));
    let own_folder = directory.join("cached_http");
    assert!(text.contains("another-service") && text.contains(&own_folder.display().to_string()), "{text}");
    assert!(!text.contains("chmod") && !text.contains("chown"), "{text}");
    DiskStore::open(&own_folder, BACKEND).unwrap().save(&entry(1)).unwrap();
    fs::remove_dir(directory.join("another-service")).unwrap();
    set_mode(&directory, 0o700);

    let link = parent.path().join("link");
    symlink(&elsewhere, &link).unwrap();
    for path in [link.clone(), link.join(""), link.join("."), parent.path().join("dangling")] {
        symlink("/dangling/directory", parent.path().join("dangling")).ok();
        let text = message(DiskStore::open(&path, BACKEND));
        assert!(text.contains("symbolic link") && text.contains("0700"), "{text}");
    }

    let error = DiskStore::open(&parent.path().join("x\0y"), BACKEND).unwrap_err();
    assert!(error.source().is_some_and(|cause| cause.is::<io::Error>()), "{error:?}");

    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(message(DiskStore::open(&file, BACKEND)).contains("not a directory"));
    assert!(message(DiskStore::open(&file.join("below"), BACKEND)).contains("Not a directory"));
    assert!(message(DiskStore::open(Path::new("certs"), BACKEND)).contains("absolute"));
}

#[test]
fn a_directory_that_becomes_unsafe_is_rejected_when_used() {
    let (parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    let shard = entry_file(&directory).parent().unwrap().to_owned();
    for (unsafe_directory, used_by_load) in
        [(&directory, true), (&shard, true), (&directory.join("tmp"), false)]
    {
        set_mode(unsafe_directory, 0o777);
        assert!(message(store.save(&entry(2))).contains("chmod 700"));
        assert_eq!(store.load(&key()).is_err(), used_by_load);
        assert_eq!(
            store.remove(&EntryKey { client: ClientKind::RsaOnly, ..key() }).is_err(),
            unsafe_directory == &directory
        );
        set_mode(unsafe_directory, 0o700);
    }
    let moved = parent.path().join("moved");
    fs::rename(&shard, &moved).unwrap();
    symlink(&moved, &shard).unwrap();
    for text in [message(store.load(&key())), message(store.save(&entry(2))), message(store.remove(&key()))] {
        assert!(text.contains("symbolic link"), "{text}");
    }
    fs::remove_file(&shard).unwrap();
    fs::rename(&moved, &shard).unwrap();
    assert_eq!(store.load(&key()).unwrap(), Some(entry(1)), "a rejected directory must not cost its entries");
}

#[test]
fn checking_and_opening_change_nothing() {
    let (parent, directory) = fresh();
    DiskStore::check(&directory.join("deep")).unwrap();
    let store = open(&directory.join("deep"));
    assert_eq!(store.load(&key()).unwrap(), None);
    store.remove(&key()).unwrap();
    store.remove_all().unwrap();
    store.sweep_step(Timestamp(0), &[]).unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

    store.save(&entry(1)).unwrap();
    let before = modified(&directory);
    drop(open(&directory.join("deep")));
    assert_eq!(modified(&directory), before);
}

/// Root validates a configuration for the user that will run the server.
#[test]
fn another_users_directory_is_right_for_a_check_by_root_and_not_for_use() {
    if !is_root() {
        return skipped("only root can give a directory away");
    }
    let (_parent, directory) = fresh();
    open(&directory).save(&entry(1)).unwrap();
    let parts = [directory.clone(), directory.join("entries"), directory.join("tmp")];
    for part in &parts[1..] {
        chown(part, Some(1), None).unwrap();
        let text = message(DiskStore::check(&directory));
        assert!(
            text.contains("uid 1,") && text.contains(&format!("chown -R 0 {}", part.display())),
            "{text}"
        );
        chown(part, Some(0), None).unwrap();
    }
    for part in &parts {
        chown(part, Some(1), None).unwrap();
    }
    DiskStore::check(&directory).unwrap();
    let store = open(&directory);
    for text in [message(store.load(&key())), message(store.save(&entry(2)))] {
        assert!(text.contains("uid 1,") && text.contains("run it as that user"), "{text}");
    }
    chown(&parts[2], Some(0), None).unwrap();
    let text = message(DiskStore::check(&directory));
    assert!(text.contains("uid 0,") && text.contains("chown -R 1"), "{text}");
}

#[test]
fn a_directory_that_cannot_be_written_is_rejected() {
    let (parent, directory) = fresh();
    open(&directory).save(&entry(1)).unwrap();
    set_mode(parent.path(), 0o711);
    let part = directory.join("tmp");
    set_mode(&part, 0o500);
    if !is_root() {
        let text = message(DiskStore::open(&directory, BACKEND));
        assert!(text.contains("can't write") && text.contains("Permission denied"), "{text}");
        return;
    }
    // Root may write anywhere, so somebody else has to try.
    for path in [&directory, &directory.join("entries"), &part] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command
    };
    let may_run = as_nobody().args(["test", "-x"]).arg(std::env::current_exe().unwrap()).status();
    if !may_run.is_ok_and(|status| status.success()) {
        return skipped("setpriv is missing, or another user can't run this binary");
    }
    let text = succeeds(role(as_nobody(), "print the rejection", &directory).output().unwrap());
    assert!(text.contains("can't write") && text.contains("Permission denied"), "{text}");
    let not_ours = parent.path().join("not-ours");
    let text = succeeds(role(as_nobody(), "print the rejection", &not_ours).output().unwrap());
    assert!(text.contains("can't make the directory") && text.contains("Permission denied"), "{text}");
}

fn modified(directory: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut all = vec![(directory.to_owned(), fs::metadata(directory).unwrap().modified().unwrap())];
    for found in fs::read_dir(directory).into_iter().flatten() {
        all.extend(modified(&found.unwrap().path()));
    }
    all
}

fn assert_modes(path: &Path) {
    let found = fs::symlink_metadata(path).unwrap();
    let mode = found.mode() & 0o7777;
    if found.is_dir() {
        assert_eq!(mode & !0o2000, 0o700, "{path:?}");
        fs::read_dir(path).unwrap().for_each(|below| assert_modes(&below.unwrap().path()));
    } else {
        assert_eq!(mode, 0o600, "{path:?}");
    }
}
