//! A kill and an error at every system call of what the store does, found in a trace of it. Figures are printed:
//! `cargo test -p cached-http-core --test disk faults -- --nocapture`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::StoredEntry;
use cached_http_core::disk_store::{DiskError, DiskStore};
use parking_lot::Mutex;

use crate::help::{entry, entry_of, files_below, fresh, key, numbered, open, skipped, times};
use crate::strace::{self, Call};

/// What the store does, one role of [`crate::processes`] each.
const SAVE: &str = "fault: save";
const FIRST_SAVE: &str = "fault: first save";
const LOAD: &str = "fault: load";
const REMOVE: &str = "fault: remove";
const REMOVE_ALL: &str = "fault: remove all";
const SWEEP: &str = "fault: sweep";

const ERRORS: [&str; 5] = ["ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE"];

/// Calls that have to do with no file.
const NOT_OF_FILES: [&str; 14] = [
    "brk",
    "clock_gettime",
    "clone3",
    "exit",
    "futex",
    "geteuid",
    "getrandom",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "rt_sigprocmask",
    "sched_yield",
    "sigaltstack",
];

#[test]
fn killed_at_every_call_it_leaves_nothing_torn_and_no_key_behind() {
    if !strace::is_there() {
        return skipped("strace is missing or may not trace; install it and run this again");
    }
    for role in [SAVE, FIRST_SAVE, REMOVE, REMOVE_ALL, SWEEP] {
        let calls = traced(role);
        let (old, new, none, left) = (count(), count(), count(), count());
        for_each(&calls, |call| {
            let (_parent, directory) = fresh();
            prepare(role, &directory);
            let output = strace::inject(role, &directory, call, "signal=KILL");
            assert!(!output.status.success(), "{role}: {call:?} was not reached");
            // A file in tmp holds a key from its first write on.
            left.fetch_add(usize::from(!files_below(&directory.join("tmp")).is_empty()), Ordering::Relaxed);
            let store = open(&directory);
            let found = match store.load(&key()).unwrap_or_else(|error| panic!("{role}: {call:?}: {error}")) {
                Some(found) if found == entry(1) => &old,
                Some(found) if found == entry(2) => &new,
                Some(_) => panic!("{role}: {call:?}: torn"),
                None => &none,
            };
            found.fetch_add(1, Ordering::Relaxed);
            let may_be_gone = matches!(role, FIRST_SAVE | REMOVE | REMOVE_ALL);
            assert!(may_be_gone || !std::ptr::eq(found, &none), "{role}: {call:?}: lost");
            store.sweep_step(Timestamp(0), &[]).unwrap();
            assert_eq!(files_below(&directory.join("tmp")).len(), 0, "{role}: {call:?}");
            store.save(&entry(3)).unwrap();
            assert_eq!(store.load(&key()).unwrap(), Some(entry(3)));
        });
        let [old, new, none, left] = [old, new, none, left].map(|count| count.load(Ordering::Relaxed));
        println!(
            "{role}: killed at each of {} calls: {old} old, {new} new, {none} none, 0 torn, \
             {left} left a temporary file, 0 after the next sweep",
            calls.len()
        );
    }
}

#[test]
fn an_error_at_any_call_is_reported_and_costs_nothing_that_was_there() {
    if !strace::is_there() {
        return skipped("strace is missing or may not trace; install it and run this again");
    }
    for role in [SAVE, LOAD, REMOVE, SWEEP] {
        let mut calls = traced(role);
        calls.retain(|call| !NOT_OF_FILES.contains(&call.name.as_str()));
        let outcomes = Mutex::new(BTreeMap::<&str, usize>::new());
        let errors = if times(0, 1) == 1 { &ERRORS[..] } else { &ERRORS[..2] };
        let trials: Vec<_> =
            errors.iter().flat_map(|error| calls.iter().map(move |call| (*error, call))).collect();
        for_each(&trials, |(error, call)| {
            let (_parent, directory) = fresh();
            prepare(role, &directory);
            let output = strace::inject(role, &directory, call, &format!("error={error}"));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{role}: {error} at {call:?}: {output:?}");
            let reported = text.lines().find_map(|line| line.split_once("fault result: ")).unwrap().1;
            let outcome = if reported == "ok" { "ok" } else { "error" };
            assert!(outcome == "ok" || reported.contains("/certs"), "names no path: {reported}");
            *outcomes.lock().entry(outcome).or_default() += 1;
            check_after_error(role, outcome, &directory).unwrap_or_else(|wrong| {
                panic!("{role}: {error} at {call:?} ({reported}): {wrong}");
            });
        });
        println!(
            "{role}: {} at each of {} calls: {:?}, 0 panics",
            errors.join(", "),
            calls.len(),
            outcomes.lock()
        );
    }
}

fn check_after_error(role: &str, outcome: &str, directory: &Path) -> Result<(), String> {
    let store = open(directory);
    let found = store.load(&key()).map_err(|error| error.to_string())?;
    let right = match (role, outcome) {
        (SAVE, "ok") => found == Some(entry(2)),
        (SAVE, _) => found == Some(entry(1)) || found == Some(entry(2)),
        (REMOVE, "ok") => found.is_none(),
        (REMOVE, _) => found.is_none() || found == Some(entry(1)),
        _ => found == Some(entry(1)),
    };
    store.sweep_step(Timestamp(0), &[]).map_err(|error| error.to_string())?;
    match files_below(&directory.join("tmp")).len() {
        0 if right => Ok(()),
        0 => Err(format!("found {found:?}")),
        left => Err(format!("{left} temporary files")),
    }
}

/// What a role does between its marks.
pub(crate) fn run(role: &str, directory: &Path) {
    // Elsewhere first, so that no other thread makes as many calls of any kind as there are before the mark.
    let (rounds, loads) = if role == SWEEP { (1, 30) } else { (30, 0) };
    for round in 0..rounds {
        let elsewhere = directory.with_extension(round.to_string());
        prepare(role, &elsewhere);
        (0..loads).for_each(|_| assert!(open(&elsewhere).load(&key()).unwrap().is_some()));
        act(role, &open(&elsewhere)).unwrap();
    }
    let store = open(directory);
    let _ = std::fs::metadata(strace::BEGIN);
    let result = act(role, &store);
    let _ = std::fs::metadata(strace::END);
    println!("fault result: {}", result.map_or_else(|error| error.to_string(), |()| "ok".to_owned()));
}

fn act(role: &str, store: &DiskStore) -> Result<(), DiskError> {
    match role {
        SAVE | FIRST_SAVE => store.save(&entry(2)),
        LOAD => store.load(&key()).map(|found| assert_eq!(found, Some(entry(1)))),
        REMOVE => store.remove(&key()),
        REMOVE_ALL => store.remove_all().map(drop),
        // A whole round; an error ends a step, not the round.
        SWEEP => {
            let steps = (0..256).map(|_| store.sweep_step(Timestamp(10), &[]).map(drop));
            let failed: Vec<_> = steps.filter_map(Result::err).collect();
            failed.into_iter().next().map_or(Ok(()), Err)
        }
        _ => panic!("no role {role}"),
    }
}

fn prepare(role: &str, directory: &Path) {
    if role == FIRST_SAVE {
        return;
    }
    let store = open(directory);
    store.save(&entry(1)).unwrap();
    if role == SWEEP {
        let ended = StoredEntry { not_after: Timestamp(5), ..entry_of(1) };
        assert_eq!(ended.key, numbered(1));
        store.save(&ended).unwrap();
    }
}

fn traced(role: &str) -> Vec<Call> {
    let (_parent, directory) = fresh();
    prepare(role, &directory);
    let mut calls = strace::calls(role, &directory);
    if role == SWEEP {
        // A look at a shard that isn't there is as the next one.
        let (all, wanted) = (calls.len(), times(40, 200) as usize);
        let step = (all / wanted).max(1);
        calls = calls.into_iter().step_by(step).collect();
    }
    calls
}

/// Several at once: most of the time goes into starting processes.
fn for_each<T: Sync>(all: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(one);
                }
            });
        }
    });
}

fn count() -> AtomicUsize {
    AtomicUsize::new(0)
}
