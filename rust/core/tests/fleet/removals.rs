//! What another node has purged is carried out once its files are gone from this node's disk, not before.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use cached_http_core::events::Outcome;

use crate::node::{READ_INTERVAL, Says, World, until};
use crate::storage::Mood;

/// The folders with the files of entries.
fn shards_of(cache_dir: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|found| found.unwrap().path());
    below(cache_dir.join("entries")).flat_map(below).collect()
}

#[test]
fn one_that_the_disk_refuses_is_carried_out_again_after_a_restart() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let one = world.node_with_disk(&disk);
    let two = world.node();
    for name in ["a.example", "b.example"] {
        one.gets(name);
    }
    one.operate(r#"{"sync":{}}"#).unwrap();
    let shards = shards_of(&disk);
    let set_mode = |mode| {
        shards.iter().for_each(|shard| fs::set_permissions(shard, Permissions::from_mode(mode)).unwrap())
    };
    set_mode(0o755); // which the disk's reader and writer refuse
    two.purge("a.example").unwrap();
    until(|| one.counters().fleet_purges == 1);
    thread::sleep(READ_INTERVAL * 8); // turns in which it might be noted
    drop(one);
    set_mode(0o700);
    // As another process finds it: under a name of which this one knows nothing.
    let restarted = disk.with_extension("restarted");
    fs::rename(&disk, &restarted).unwrap();
    let disk = restarted;

    world.backend_says(Says::Nothing);
    let again = world.node_with_disk(&disk);
    until(|| again.counters().fleet_purges == 1);
    assert!(!matches!(again.ask("a.example"), Outcome::Found(_)), "what was purged is back");
    assert!(matches!(again.ask("b.example"), Outcome::Found(_)));
    // Now it is carried out.
    until(|| shards_of(&disk).iter().map(|shard| fs::read_dir(shard).unwrap().count()).sum::<usize>() == 1);
    let is_noted = |note: PathBuf| fs::read_to_string(note).unwrap().contains("a.example");
    until(|| fs::read_dir(disk.join("notes")).unwrap().any(|note| is_noted(note.unwrap().path())));
    drop(again);
    let third = world.node_with_disk(&disk);
    until(|| third.engine.sizes().fleet_purges_read_at.is_some());
    assert_eq!(third.counters().fleet_purges, 0, "it was noted");
}

#[test]
fn a_purge_that_disk_and_storage_refuse_says_both() {
    let world = World::new();
    let disk = world.folder.path().join("cache");
    let one = world.node_with_disk(&disk);
    one.gets("a.example");
    one.operate(r#"{"sync":{}}"#).unwrap();
    fs::rename(&disk, disk.with_extension("not-mounted")).unwrap();
    world.storage.becomes(Mood::Fails);
    let answer = one.purge("a.example").unwrap_err().to_string();
    assert!(
        answer.contains("the disk refuses") && answer.contains("the other nodes go on serving"),
        "{answer}"
    );
}
