//! What earlier calls left behind and later ones ask for: stored responses, files, batches. Bounded: the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

/// More than any test stores; each kind shares it.
const MAX_THINGS: usize = 2_000;

/// All stored bytes together.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// One stored thing.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    /// What it is: `response`, `file` …
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    /// What is answered when it is asked for.
    pub(crate) page: Value,
    /// A file's content, or whatever else belongs to it.
    pub(crate) content: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<VecDeque<Thing>>);

impl Shelf {
    /// Stores a thing, in the place of the one that has its id.
    pub(crate) fn put(&self, thing: Thing) {
        let mut things = self.lock();
        things.retain(|other| other.id != thing.id);
        things.push_back(thing);
        let mut bytes: usize = things.iter().map(|thing| thing.content.len()).sum();
        while things.len() > MAX_THINGS || bytes > MAX_BYTES {
            let Some(oldest) = things.pop_front() else { return };
            bytes -= oldest.content.len();
        }
    }

    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<Thing> {
        self.lock().iter().find(|thing| thing.kind == kind && thing.id == id).cloned()
    }

    /// Whether there was one.
    pub(crate) fn remove(&self, kind: &str, id: &str) -> bool {
        let mut things = self.lock();
        let before = things.len();
        things.retain(|thing| thing.kind != kind || thing.id != id);
        things.len() < before
    }

    /// The pages of a kind, newest first.
    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        self.lock().iter().rev().filter(|thing| thing.kind == kind).map(|thing| thing.page.clone()).collect()
    }

    pub(crate) fn reset(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Thing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
