//! How [`crate::operations`] are carried out: list names ([`names`]), all that is known of one ([`facts`]), purge
//! ([`purge`]), and ask the backend for a name now ([`asking`]). Looking counts as no use and changes nothing.
//!
//! What may take long runs on threads of its own, and is answered by an event.

mod asking;
mod facts;
mod names;
mod purge;

use std::sync::Arc;

use compact_str::CompactString;

pub use asking::{AskMode, Asked};

use crate::engine::shared::Shared;
use crate::engine::{Engine, LookupConfig};
use crate::events::Event;
use crate::operations::{Answer, Operation, OperationError};
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

/// Threads for operations: one that hangs on the disk stops no other.
pub(super) const OPERATORS: usize = 4;
/// Operations that may wait.
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
        let job = move || order.carry_out(&config, operation);
        self.shared.operators.submit(Priority::Foreground, Box::new(job)).map_err(|error| match error {
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
        self.answer = Some(self.shared.operate(config, operation));
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.shared.events.push(Event::Answered { token: self.token, answer: Box::new(answer) });
        }
    }
}

impl Shared {
    fn operate(
        self: &Arc<Self>,
        config: &LookupConfig,
        operation: Operation,
    ) -> Result<Answer, OperationError> {
        match operation {
            Operation::Names { prefix, state, limit, cursor } => {
                self.names(config, &prefix, state, limit, cursor.as_deref()).map(Answer::Names)
            }
            Operation::Inspect { name } => self.facts(config, &name).map(Answer::Facts),
            Operation::Purge { names } => self.purge_names(&names).map(|purged| Answer::Purged { purged }),
            Operation::Sync {} => self.sync().map(|()| Answer::Done {}),
            Operation::PurgeAll {} => self.purge_all().map(|purged| Answer::Purged { purged }),
        }
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
