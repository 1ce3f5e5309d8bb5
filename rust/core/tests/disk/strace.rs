//! Another process under `strace`: its system calls between two marks, and what becomes of it when one of them
//! kills it or fails.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::processes::role;

/// What a process looks at before and after what is watched.
pub(crate) const BEGIN: &str = "/mark/begin";
pub(crate) const END: &str = "/mark/end";

/// One system call of a run: its name, and the how manieth of that name in its thread it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) number: usize,
}

/// Whether other processes can be traced here.
pub(crate) fn is_there() -> bool {
    Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|run| run.status.success())
}

/// The system calls of a role between its marks.
pub(crate) fn calls(name: &str, directory: &Path) -> Vec<Call> {
    let file = directory.with_extension("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&file);
    let output = role(command, name, directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(&file).unwrap();
    let thread =
        trace.lines().find(|line| line.contains(BEGIN)).expect("the role makes its mark").split(' ').next();
    let (watched, others): (Vec<_>, Vec<_>) =
        trace.lines().filter_map(call_of).partition(|(id, ..)| Some(*id) == thread);
    let mut calls = Vec::new();
    let mut numbers = HashMap::new();
    let mut is_between = false;
    for (_, name, line) in watched {
        let number = numbers.entry(name).or_insert(0);
        *number += 1;
        is_between &= !line.contains(END);
        if is_between {
            // strace counts in each thread, and would do the same to another one that comes as far.
            let elsewhere = others.iter().filter(|(_, other, _)| *other == name).count();
            assert!(
                *number > elsewhere,
                "warm up for longer: {name} is call {number} of {elsewhere} elsewhere"
            );
            calls.push(Call { name: name.to_owned(), number: *number });
        }
        is_between |= line.contains(BEGIN);
    }
    assert!(!calls.is_empty(), "nothing was traced between the marks");
    calls
}

/// Thread, name and line of a call; `None` for the rest of a call, a signal, an exit.
fn call_of(line: &str) -> Option<(&str, &str, &str)> {
    let (thread, text) = line.split_once(' ')?;
    let (name, _) = text.trim_start().split_once('(')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((thread, name, line))
}

/// The role with something done to one of its calls: `signal=KILL` or `error=EIO`.
pub(crate) fn inject(name: &str, directory: &Path, call: &Call, what: &str) -> Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    command.args(["-e", &format!("trace={}", call.name)]);
    command.args(["-e", &format!("inject={}:{what}:when={}", call.name, call.number)]);
    role(command, name, directory).output().unwrap()
}
