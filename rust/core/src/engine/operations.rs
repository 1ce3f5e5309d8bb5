//! How [`crate::operations`] are carried out: list names (`names.rs`), all that is known of one (`facts.rs`), purge
//! (`purge.rs`), share a text with the fleet (`shared_text.rs`), and ask the backend for a name now (`asking.rs`). Looking
//! counts as no use and changes nothing.
//!
//! What may take long runs on threads of its own, and is answered by an event.

mod asking;
mod facts;
mod in_fleet;
pub(super) mod looks;
mod names;
mod purge;
mod shared_text;

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

pub use asking::{AskMode, Asked};

use crate::engine::operations::purge::Purge;
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::engine::{Engine, LookupConfig};
use crate::events::Event;
use crate::operations::{Answer, NameState, Operation, OperationError};
use crate::server_name::{InvalidServerName, NameBuffer, ServerName};
use crate::single_flight::Token;
use crate::worker_pool::{Priority, SubmitError};

/// Why an operation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Too many are under way.
    #[error("too many operations are under way")]
    Busy,
    /// The cache is closed.
    #[error("the cache is closed")]
    Closed,
}

/// Threads for what memory can answer.
pub(super) const OPERATORS: usize = 4;
/// Threads for what waits for the disk, be it a long time.
pub(super) const WAITERS: usize = 64;
/// Operations that may wait for a thread.
pub(super) const MAX_QUEUED_OPERATIONS: usize = 256;

impl Engine {
    /// Takes an operation; [`Event::Answered`] with the token says what became of it. Returns at once.
    pub fn operate(
        &self,
        config: &Arc<LookupConfig>,
        operation: Operation,
        token: Token,
    ) -> Result<(), NotTaken> {
        let order =
            Order { shared: Arc::clone(&self.shared), token, answer: Some(Err(OperationError::Closed)) };
        let config = Arc::clone(config);
        // What needs only memory must not wait behind a disk that hangs.
        let pool = match self.shared.needs_disk(&operation) {
            true => &self.shared.waiters,
            false => &self.shared.operators,
        };
        let job = move || order.carry_out(&config, operation);
        pool.submit(Priority::Foreground, Box::new(job)).map_err(|error| match error {
            SubmitError::Full => NotTaken::Busy,
            SubmitError::Closed => NotTaken::Closed,
        })
    }
}

/// An operation under way; it is answered exactly once, dropped or panicking included.
struct Order {
    shared: Arc<Shared>,
    token: Token,
    answer: Option<Result<Answer, OperationError>>,
}

impl Order {
    fn carry_out(mut self, config: &LookupConfig, operation: Operation) {
        let shared = Arc::clone(&self.shared);
        let answer = match operation {
            Operation::Names { prefix, state, limit, cursor } => {
                shared.names(config, &prefix, state, limit, cursor.as_deref()).map(Answer::Names)
            }
            Operation::Inspect { name } => shared.facts(config, &name).map(Answer::Facts),
            Operation::Sync { of_last_ms } => {
                shared.sync(Duration::from_millis(of_last_ms)).map(|()| Answer::Done {})
            }
            Operation::ShareText { about, text } => return self.share_text(&about, text.as_deref()),
            Operation::SharedText { about } => return self.shared_text(&about),
            Operation::Purge { names } => match shared.purge_names(&names) {
                Ok(purge) => return self.wait_for(purge),
                Err(error) => Err(error),
            },
            Operation::PurgeAll {} => {
                let purge = shared.purge_all_by(&PurgedBy::ThisNode);
                self.wait_for(purge);
                return shared.give_back(); // nobody waits for it
            }
        };
        self.answer = Some(answer);
    }

    /// Memory is purged; the disk may take its time.
    fn wait_for(mut self, mut purge: Purge) {
        let fleet = self.shared.fleet();
        // What is purged meanwhile is for others to wait for.
        let ours = fleet.as_ref().map(|fleet| fleet.journal.lock().unwritten().clone()).unwrap_or_default();
        if let Some(fleet) = &fleet {
            self.shared.read_purges(fleet); // and write ours
        }
        if self.shared.disk.is_none() && fleet.is_none() {
            self.answer = Some(Ok(Answer::Purged { purged: purge.count(&self.shared) }));
            return;
        }
        self.answer = Some(Err(OperationError::Disk(PURGED_IN_MEMORY.into())));
        let shared = Arc::clone(&self.shared);
        let job = move || {
            let (disk, fleet) =
                (self.shared.wait_for_removals(&mut purge), self.shared.wait_for_fleet(&ours));
            let answer = match (disk, fleet) {
                (Err(disk), Err(fleet)) => {
                    Err(OperationError::Disk(format!("{disk}. As for the other nodes: {fleet}")))
                }
                (disk, fleet) => {
                    disk.and(fleet).map(|()| Answer::Purged { purged: purge.count(&self.shared) })
                }
            };
            self.settle(answer);
        };
        // If there is no thread left, the answer is that of the disk.
        let _ = shared.waiters.submit(Priority::Foreground, Box::new(job));
    }

    fn settle(mut self, answer: Result<Answer, OperationError>) {
        self.answer = Some(answer);
    }
}

const PURGED_IN_MEMORY: &str = "purged from memory, but too much waits for the disk to know of it; ask again";

impl Drop for Order {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.shared.events.push(Event::Answered { token: self.token, answer: Box::new(answer) });
        }
    }
}

impl Shared {
    fn needs_disk(&self, operation: &Operation) -> bool {
        let needs_disk = match operation {
            Operation::Names { state, .. } => *state == Some(NameState::Disk),
            Operation::Inspect { .. } | Operation::Sync { .. } => true,
            Operation::Purge { .. } | Operation::PurgeAll {} => false,
            Operation::ShareText { .. } | Operation::SharedText { .. } => false,
        };
        needs_disk && (self.disk.is_some() || self.fleet().is_some())
    }
}

/// A name as an operator writes it, in its normal form. A dot at its end is the operator's right.
pub fn normal_form(name: &[u8]) -> Result<CompactString, InvalidServerName> {
    let mut buffer = NameBuffer::default();
    let parsed = ServerName::parse(name.strip_suffix(b".").unwrap_or(name), &mut buffer);
    parsed.map(|parsed| parsed.as_str().into())
}

fn normalised(name: &str) -> Result<CompactString, OperationError> {
    normal_form(name.as_bytes()).map_err(|error| OperationError::InvalidName {
        name: name.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect(),
        error,
    })
}

/// Of a name that is none, so many characters are shown.
const MAX_SHOWN: usize = 100;
