//! A fleet: engines with clocks of their own, one backend, and one storage that obeys the test.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod hazards;
mod node;
mod purges;
mod reading;
mod records;
mod refresh;
mod removals;
mod storage;
