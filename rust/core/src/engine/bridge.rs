//! What an operator has to know of an outage in time: until when certificates bridge it, and that one no longer does.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::engine::LookupConfig;
use crate::engine::shared::Shared;
use crate::entry::{Entry, EntryKeyRef};
use crate::log_sampler::LogKind;

impl Shared {
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
