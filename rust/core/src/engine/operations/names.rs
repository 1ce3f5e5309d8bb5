//! Names, page by page. Those with a certificate in memory come in their order; what is remembered of others lies in none, so
//! that a page of these is picked from all of them: they are few.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use crate::backoff::LastFailure;
use crate::clock::Timestamp;
use crate::disk_store::DiskStore;
use crate::engine::LookupConfig;
use crate::engine::operations::facts::DISK_HANGS;
use crate::engine::operations::looks::Hangs;
use crate::engine::shared::Shared;
use crate::entry::{ClientKind, Entry, EntryKeyRef};
use crate::operations::{NameState, NameSummary, NamesPage, OperationError};

/// Entries that are taken from the index at once, under its lock.
const CHUNK: usize = 256;
/// Entries that one page looks at: a filter that finds little must not keep its caller waiting.
const MAX_LOOKED_AT: usize = 50_000;

impl Shared {
    pub(super) fn names(
        self: &Arc<Self>,
        config: &LookupConfig,
        prefix: &str,
        state: Option<NameState>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<NamesPage, OperationError> {
        let prefix = prefix.to_ascii_lowercase();
        let (limit, after) = (limit.max(1), cursor.unwrap_or_default());
        match state {
            Some(NameState::Negative) => Ok(self.negative_names(config, &prefix, after, limit)),
            Some(NameState::Failing) => Ok(self.failing_names(&prefix, after, limit)),
            Some(NameState::Disk) => self.names_on_disk(config, &prefix, cursor, limit),
            Some(NameState::Ending) => Ok(self.names_by_end(config, limit)),
            state => Ok(self.names_in_memory(config, &prefix, state, after, limit)),
        }
    }

    fn names_in_memory(
        &self,
        config: &LookupConfig,
        prefix: &str,
        state: Option<NameState>,
        after: &str,
        limit: usize,
    ) -> NamesPage {
        let now = self.clock.now();
        let (mut page, mut looked_at, mut after) = (NamesPage::default(), 0, CompactString::from(after));
        loop {
            let chunk = self.memory.page(prefix, &after, CHUNK);
            looked_at += CHUNK;
            for of_one_name in chunk.entries.chunk_by(|one, other| one.key().name == other.key().name) {
                let Some(summary) = self.summary(config, of_one_name, now) else { continue };
                if state.is_some_and(|state| state != summary.state) {
                    continue;
                }
                page.names.push(summary);
                if page.names.len() == limit {
                    page.cursor = page.names.last().map(|last| last.name.to_string());
                    return page;
                }
            }
            match chunk.next {
                None => return page,
                Some(next) if looked_at >= MAX_LOOKED_AT => {
                    page.cursor = Some(next.to_string());
                    return page;
                }
                Some(next) => after = next,
            }
        }
    }

    /// The best that is known of a name with entries in memory.
    fn summary(&self, config: &LookupConfig, entries: &[Arc<Entry>], now: Timestamp) -> Option<NameSummary> {
        let states = entries.iter().map(|entry| (entry, NameState::from(config.evaluate(entry, now))));
        let (entry, state) = states.min_by_key(|(entry, state)| (*state as u8, entry.not_after()))?;
        let failure = self.last_failure(entries.iter().map(|entry| entry.key()));
        let summary = NameSummary {
            not_after: Some(entry.not_after()),
            fresh_until: config.fresh_until(&entry.metadata, entry.not_after()),
            ..NameSummary::new(entry.key().name, state)
        };
        Some(summary.with_failure(failure))
    }

    fn names_by_end(&self, config: &LookupConfig, limit: usize) -> NamesPage {
        let now = self.clock.now();
        let (mut first, mut after) = (Smallest::new(limit), CompactString::default());
        loop {
            let chunk = self.memory.page("", &after, CHUNK);
            for entry in chunk.entries.iter().filter(|entry| entry.not_after() > now) {
                let key = (entry.not_after(), CompactString::from(entry.key().name));
                first.offer(key, || self.summary(config, std::slice::from_ref(entry), now));
            }
            match chunk.next {
                Some(next) => after = next,
                None => return NamesPage { names: first.values(), cursor: None },
            }
        }
    }

    fn negative_names(&self, config: &LookupConfig, prefix: &str, after: &str, limit: usize) -> NamesPage {
        let now = self.clock.now();
        let mut first = Smallest::new(limit);
        for (key, negative) in self.negatives.iter() {
            if let Some(until) = negative.fresh_until(config.negative_ttl, now)
                && is_wanted(&key.name, prefix, after)
            {
                let summary = NameSummary::new(&key.name, NameState::Negative);
                first.offer(key.name, || Some(NameSummary { fresh_until: Some(until), ..summary }));
            }
        }
        first.page()
    }

    fn failing_names(&self, prefix: &str, after: &str, limit: usize) -> NamesPage {
        let mut first = Smallest::new(limit);
        for (key, failure) in self.back_off.failures() {
            if is_wanted(&key.name, prefix, after) {
                let stored = key.borrowed().all_kinds().filter_map(|key| self.memory.peek(key)).next();
                let summary = NameSummary {
                    not_after: stored.map(|entry| entry.not_after()),
                    ..NameSummary::new(&key.name, NameState::Failing)
                };
                first.offer(key.name, || Some(summary.with_failure(Some(failure))));
            }
        }
        first.page()
    }

    fn names_on_disk(
        self: &Arc<Self>,
        config: &LookupConfig,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<NamesPage, OperationError> {
        if cursor.is_some_and(|cursor| !DiskStore::is_cursor(cursor)) {
            return Err(OperationError::InvalidCursor);
        }
        let from = cursor.map(str::to_owned);
        let page = self.look(move |_, disk| disk.list(from.as_deref(), limit));
        let page = page.map_err(|Hangs| OperationError::Disk(DISK_HANGS.into()))?;
        let page = page.transpose().map_err(|error| OperationError::Disk(error.to_string()))?;
        let page = page.unwrap_or_default();
        let mut names = Vec::new();
        for entry in page.entries.iter().filter(|entry| entry.server_name.starts_with(prefix)) {
            let key = EntryKeyRef { name: &entry.server_name, client: ClientKind::Ecdsa };
            if key.all_kinds().all(|key| self.disk_writes.is_removed(key)) {
                continue;
            }
            names.push(NameSummary {
                not_after: Some(entry.not_after),
                fresh_until: config.fresh_until(&entry.metadata, entry.not_after),
                ..NameSummary::new(&entry.server_name, NameState::Disk)
            });
        }
        Ok(NamesPage { names, cursor: page.next })
    }
}

impl NameSummary {
    fn new(name: &str, state: NameState) -> Self {
        NameSummary {
            name: name.into(),
            state,
            not_after: None,
            fresh_until: None,
            failing_since: None,
            retry_at: None,
            last_error: None,
        }
    }

    fn with_failure(self, failure: Option<LastFailure>) -> Self {
        let Some(LastFailure { reason, since, retry_at }) = failure else { return self };
        NameSummary {
            failing_since: Some(since),
            retry_at: Some(retry_at),
            last_error: Some(reason.to_string()),
            ..self
        }
    }
}

fn is_wanted(name: &str, prefix: &str, after: &str) -> bool {
    name > after && name.starts_with(prefix)
}

/// Of all that is offered, what has the smallest keys.
struct Smallest<K> {
    most: usize,
    found: BTreeMap<K, NameSummary>,
}

impl<K: Ord> Smallest<K> {
    fn new(most: usize) -> Self {
        Smallest { most, found: BTreeMap::new() }
    }

    fn offer(&mut self, key: K, summary: impl FnOnce() -> Option<NameSummary>) {
        let is_full = self.found.len() >= self.most;
        if is_full && self.found.last_key_value().is_some_and(|(largest, _)| *largest <= key) {
            return;
        }
        let Some(summary) = summary() else { return };
        self.found.insert(key, summary);
        if self.found.len() > self.most {
            self.found.pop_last();
        }
    }

    fn values(self) -> Vec<NameSummary> {
        self.found.into_values().collect()
    }

    /// A page that goes on behind its last name.
    fn page(self) -> NamesPage {
        let is_full = self.found.len() == self.most;
        let names = self.values();
        let cursor = names.last().filter(|_| is_full).map(|last| last.name.to_string());
        NamesPage { names, cursor }
    }
}
