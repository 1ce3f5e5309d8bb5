//! Small texts that the nodes of a fleet share, of the host's choice: sealed, so that the storage can neither read nor make
//! them up. It can put back an old one; what it is worth is for the host to tell.

use std::sync::Arc;

use crate::engine::fleet::{Ended, Fleet, LEFT_ALONE, Lane};
use crate::engine::operations::Order;
use crate::engine::shared::Shared;
use crate::operations::{Answer, OperationError};
use crate::storage::StorageOperation;

impl Order {
    /// Two that meet may end in any order.
    pub(super) fn share_text(self, about: &str, text: Option<&str>) {
        let Some(fleet) = self.shared.fleet() else { return self.settle(Ok(Answer::Done {})) };
        let key = fleet.text_key(about);
        let operation = match text {
            None => StorageOperation::Delete,
            Some(text) => match fleet.seal(&key, &[text.as_bytes()]) {
                Ok(record) => StorageOperation::Store(record),
                Err(error) => return self.settle(Err(OperationError::Storage(error.to_string()))),
            },
        };
        self.ask_storage(&fleet, Lane::Write, key, operation, |_, _| Answer::Done {});
    }

    pub(super) fn shared_text(self, about: &str) {
        let Some(fleet) = self.shared.fleet() else {
            return self.settle(Ok(Answer::Shared { text: None }));
        };
        let key = fleet.text_key(about);
        let (of, at) = (Arc::clone(&fleet), key.clone());
        self.ask_storage(&fleet, Lane::Read, key, StorageOperation::Load, move |shared, found| {
            let text = found.and_then(|record| shared.opened(&of, &at, &record));
            Answer::Shared { text: text.and_then(|text| String::from_utf8(text.to_vec()).ok()) }
        });
    }

    fn ask_storage(
        mut self,
        fleet: &Arc<Fleet>,
        lane: Lane,
        key: String,
        operation: StorageOperation,
        answer: impl FnOnce(&Shared, Option<Vec<u8>>) -> Answer + Send + 'static,
    ) {
        // Dropped, it says so.
        self.answer = Some(Err(OperationError::Storage(LEFT_ALONE.into())));
        let shared = Arc::clone(&self.shared);
        let then = move |ended: Ended| {
            let found = ended.into_result().map_err(OperationError::Storage);
            let answer = found.map(|found| answer(&self.shared, found));
            self.settle(answer);
        };
        let _ = shared.use_storage(fleet, lane, key, operation, then);
    }
}
