//! Several threads and processes at once, kills, and writes that fail half-way. Roles that need a process of
//! their own run this binary again (see [`child`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::DiskStore;

use crate::help::{BACKEND, entry, files_below, fresh, key, message, open, times};

const NOW: Timestamp = Timestamp(1_000_000);

const ROLE: &str = "DISK_TEST_ROLE";
const DIRECTORY: &str = "DISK_TEST_DIRECTORY";

#[test]
fn threads_on_one_key_never_see_a_torn_entry() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let store = &store;
            scope.spawn(move || hammer(store, writer, 1_000));
        }
    });
    assert_eq!(files_below(&directory.join("tmp")), [] as [PathBuf; 0]);
}

#[test]
fn processes_on_one_key_never_see_a_torn_entry() {
    let (_parent, directory) = fresh();
    let children: Vec<Child> =
        (0..2).map(|_| spawn(role(Command::new("env"), "hammer", &directory))).collect();
    for child in children {
        succeeds(child.wait_with_output().unwrap());
    }
    println!("two processes: {} writes and reads each, 0 torn, 0 failed", times(1_000, 10_000));
    assert_eq!(files_below(&directory.join("tmp")), [] as [PathBuf; 0]);
}

#[test]
fn a_kill_leaves_no_torn_entry_and_the_rest_is_swept() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    for round in 0..20 {
        store.remove(&key()).unwrap();
        let mut child = spawn(role(Command::new("env"), "save for ever", &directory));
        let deadline = Instant::now() + Duration::from_secs(20);
        while store.load(&key()).unwrap().is_none() {
            assert!(
                Instant::now() < deadline && child.try_wait().unwrap().is_none(),
                "the child doesn't write"
            );
        }
        std::thread::sleep(Duration::from_micros(300 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let entry = store.load(&key()).unwrap().expect("an entry was there before the kill");
        assert_whole(&entry);
    }

    let abandoned = directory.join("tmp/entry-abcdef.tmp");
    fs::write(&abandoned, "half a key").unwrap();
    let not_ours = directory.join("tmp/notes.tmp");
    fs::write(&not_ours, "").unwrap();
    // However young they are, and whoever else is alive.
    store.sweep_step(NOW, &[]).unwrap();
    assert_eq!(files_below(&directory.join("tmp")), [not_ours]);
    assert_whole(&store.load(&key()).unwrap().unwrap());
}

#[test]
fn a_sweep_leaves_alone_what_another_process_is_writing() {
    let (_parent, directory) = fresh();
    let mut child = spawn(role(Command::new("env"), "save for ever", &directory));
    let mut met = 0;
    while met < times(20, 1_000) {
        met += files_below(&directory.join("tmp")).len() as u32;
        if directory.exists() {
            // The first step of a store sweeps the folder.
            open(&directory).sweep_step(NOW, &[]).unwrap();
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "a save of the other process failed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_write_that_fails_half_way_leaves_what_was_there() {
    let (_parent, directory) = fresh();
    let store = open(&directory);
    store.save(&entry(1)).unwrap();
    // A file size limit fails a write in the middle, as a full disk does; one block is 512 or 1024 bytes.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"]);
    let text = succeeds(role(command, "print the failed save", &directory).output().unwrap());
    assert!(text.contains("can't write") && text.contains("File too large"), "{text}");
    assert_eq!(files_below(&directory.join("tmp")), [] as [PathBuf; 0]);
    assert_eq!(store.load(&key()).unwrap(), Some(entry(1)));
}

/// The roles of other processes; nothing when run as a test.
#[test]
fn child() {
    let (Ok(role), Some(directory)) = (std::env::var(ROLE), std::env::var_os(DIRECTORY)) else { return };
    let directory = PathBuf::from(directory);
    match role.as_str() {
        "save" => open(&directory).save(&entry(1)).unwrap(),
        "hammer" => hammer(&open(&directory), std::process::id(), times(1_000, 10_000)),
        "save for ever" => {
            let store = open(&directory);
            // Until it is killed, but never for ever.
            (0..200_000).for_each(|number| store.save(&entry(number)).unwrap());
        }
        "print the rejection" => println!("{}", message(DiskStore::open(&directory, BACKEND))),
        "print the failed save" => println!("{}", message(open(&directory).save(&entry(2)))),
        fault => crate::faults::run(fault, &directory),
    }
}

/// Saves, reads and now and then removes one key; whatever is found was written by somebody in one piece.
fn hammer(store: &DiskStore, writer: u32, times: u32) {
    for time in 0..times {
        store.save(&entry(writer % 1_000 * 10_000 + time)).unwrap();
        if let Some(found) = store.load(&key()).unwrap() {
            assert_whole(&found);
        }
        if time % 16 == 0 {
            store.remove(&key()).unwrap();
        }
    }
}

fn assert_whole(found: &StoredEntry) {
    let number = u32::try_from(found.metadata.fetched_at.0).unwrap();
    assert!(*found == entry(number), "entry {number} is torn");
}

/// This binary in a role, started through `command`.
pub(crate) fn role(mut command: Command, role: &str, directory: &Path) -> Command {
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
        .env(ROLE, role)
        .env(DIRECTORY, directory);
    command
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn succeeds(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the role did not run: {text}");
    text
}
