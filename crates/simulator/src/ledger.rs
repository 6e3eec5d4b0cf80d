//! What the provider billed, by path and model: the other side of the proxy's own accounting, for tests to compare with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What was billed for one path and model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The endpoint, with its `/v1`.
    pub path: String,
    /// The model without its `@…`.
    pub model: String,
    /// Calls that reached the endpoint, whatever came of them.
    pub calls: u64,
    /// Of those, the ones answered with an error status or closed unanswered. They cost nothing.
    pub refused: u64,
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of the input tokens, those read from the cache.
    pub cached_tokens: u64,
    /// Of the input tokens, those written to the cache.
    pub cache_write_tokens: u64,
    /// Output tokens that were put on the wire, reasoning included.
    pub output_tokens: u64,
}

/// The tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Billed {
    /// All input tokens, cached ones included.
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) cache_write: u64,
    /// Reasoning included.
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

type Rows = BTreeMap<&'static str, BTreeMap<String, LedgerRow>>;

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Rows>);

impl Ledger {
    pub(crate) fn refuse(&self, path: &'static str, model: &str) {
        self.change(path, model, |row| {
            row.calls += 1;
            row.refused += 1;
        });
    }

    pub(crate) fn bill(&self, path: &'static str, model: &str, billed: &Billed) {
        self.change(path, model, |row| {
            row.calls += 1;
            row.input_tokens += billed.input;
            row.cached_tokens += billed.cached;
            row.cache_write_tokens += billed.cache_write;
            row.output_tokens += billed.output;
        });
    }

    pub(crate) fn rows(&self) -> Vec<LedgerRow> {
        self.lock().values().flat_map(BTreeMap::values).cloned().collect()
    }

    pub(crate) fn reset(&self) {
        self.lock().clear();
    }

    fn change(&self, path: &'static str, model: &str, change: impl FnOnce(&mut LedgerRow)) {
        let mut rows = self.lock();
        let models = rows.entry(path).or_default();
        if let Some(row) = models.get_mut(model) {
            return change(row);
        }
        let mut row = LedgerRow { path: path.to_owned(), model: model.to_owned(), ..LedgerRow::default() };
        change(&mut row);
        models.insert(model.to_owned(), row);
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open bill of one answer. It is settled with the last byte handed to the connection, or when the caller is gone:
/// what was produced is billed, also when nobody waited for the rest.
#[derive(Debug)]
pub(crate) struct Tab {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) path: &'static str,
    pub(crate) model: String,
    pub(crate) billed: Billed,
    pub(crate) is_settled: bool,
}

impl Tab {
    pub(crate) fn add_output(&mut self, tokens: u64) {
        self.billed.output += tokens;
    }

    pub(crate) fn settle(&mut self) {
        if !self.is_settled {
            self.is_settled = true;
            self.ledger.bill(self.path, &self.model, &self.billed);
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.settle();
    }
}
