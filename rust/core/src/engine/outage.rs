//! What an operator has to know of an outage in time: that it begins and ends, until when certificates bridge it, and
//! that one no longer does.

use std::sync::Arc;

use crate::backoff::BackOff;
use crate::clock::Timestamp;
use crate::engine::LookupConfig;
use crate::engine::shared::Shared;
use crate::entry::{Entry, EntryKey, EntryKeyRef};
use crate::log_sampler::LogKind;

impl Shared {
    /// Remembers how a request ended. When an outage began and ended is worth a line each.
    pub(super) fn note_outcome(&self, key: &EntryKey, outcome: impl FnOnce(&BackOff)) {
        let was_open = self.back_off.breaker_is_open();
        outcome(&self.back_off);
        match (was_open, self.back_off.breaker_is_open()) {
            (false, true) => {
                let last = self.back_off.last_failure(key.borrowed());
                let reason = last.map(|last| last.reason).unwrap_or_default();
                self.log(LogKind::Outage, key.borrowed(), || {
                    format!(
                        "the backend {} fails for one name after the other; until it answers it is asked by \
                         single requests; the last failure: {reason}",
                        self.backend_name
                    )
                });
            }
            (true, false) => {
                self.log(LogKind::OutageEnd, key.borrowed(), || {
                    format!("the backend {} answers again", self.backend_name)
                });
            }
            _ => {}
        }
    }

    /// An entry is in demand, and no newer one can be had.
    pub(super) fn note_bridge(&self, config: &LookupConfig, entry: &Entry, now: Timestamp) {
        if let Some(end) = config.served_until(entry) {
            self.first_bridge_end.note(end, now);
        }
    }

    /// The reason why a name can't be fetched now, and what would serve the certificate that is past the bridge.
    pub(super) fn explained(&self, config: &LookupConfig, key: EntryKeyRef<'_>, reason: &str) -> String {
        let now = self.clock.now();
        let is_in_date = |entry: &Arc<Entry>| {
            let may_be_stale = config.may_be_stale(entry) && key.client.can_use(entry.algorithm());
            may_be_stale && now < entry.not_after()
        };
        let stored = key.client.usable().iter().filter_map(|kind| self.memory.entry_for(key.of(*kind)));
        if !stored.into_iter().any(|entry| is_in_date(&entry)) {
            return reason.to_owned();
        }
        let explained = format!("{reason}; {PAST_THE_BRIDGE}");
        self.log(LogKind::BridgeEnded, key, || explained.clone());
        explained
    }
}

const PAST_THE_BRIDGE: &str = "the stored certificate is in date, but past its lifetime and stale_if_error; \
     raising stale_if_error and reloading serves it again";
