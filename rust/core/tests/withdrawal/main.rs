//! What the backend or an operator has withdrawn never comes back: not from memory, from disk or after a restart, and
//! not by anything that began before. The races take `--features failpoints`.

mod disk;
mod help;
mod kinds;
mod late;
mod purge;
#[cfg(feature = "failpoints")]
mod races;
mod replaced;
#[path = "../support/mod.rs"]
mod support;
