//! What an operator asks of a cache, and has done: names, facts, purges, refreshes, prefetches.

mod asking;
mod facts;
#[path = "../withdrawal/help.rs"]
#[allow(dead_code, reason = "shared with the tests of withdrawals")]
mod help;
mod names;
mod purge;
mod scale;
#[path = "../support/mod.rs"]
mod support;
