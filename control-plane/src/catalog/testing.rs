//! For tests of what lies on top of the store: a control plane's core without its doors, stores that misbehave, documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use lifecycle::{Clock, Tasks};
use policy::{Change, Resource, ResourceId};

use super::Follower;
use crate::admission::{Admission, Admitted, Refusal, Request, Wanted};
use crate::history;
use crate::store::memory::MemoryStore;
use crate::store::{
    Entry, LeaseId, Listing, Page, Pending, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchEvent,
    WatchSource,
};

/// The core of one control plane.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Follower,
    pub(crate) admission: Admission,
}

impl Core {
    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        let (clock, tasks) = (Clock::manual(1_800_000_000_000), Tasks::new());
        history::initialise(store.as_ref(), "store-1", 1).await.unwrap();
        let catalog = super::start(Arc::clone(&store), &tasks, clock.clone()).await.unwrap();
        let admission = Admission::new(Arc::clone(&store), catalog.clone(), clock);
        Self { store, catalog, admission }
    }

    pub(crate) async fn alone() -> Self {
        Self::on(memory()).await
    }

    pub(crate) async fn apply(&self, changes: Vec<Change>) -> Result<Admitted, Refusal> {
        self.admission.admit(request(changes)).await
    }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Clock::system()))
}

pub(crate) fn request(changes: Vec<Change>) -> Request {
    Request {
        change: Wanted::Apply(changes),
        preconditions: Vec::new(),
        author: "tester".to_owned(),
        message: None,
        is_dry_run: false,
        idempotency: None,
    }
}

pub(crate) fn put(document: &Value) -> Change {
    Change::Put(Arc::new(resource(document)))
}

pub(crate) fn delete(id: &str) -> Change {
    Change::Delete(id.parse::<ResourceId>().unwrap())
}

pub(crate) fn resource(document: &Value) -> Resource {
    policy::parse_resource(document.to_string().as_bytes()).unwrap()
}

pub(crate) fn provider(name: &str) -> Value {
    json!({"kind": "Provider", "name": name, "spec": {"dialect": "openai", "base_url": "http://127.0.0.1:9100/v1"}})
}

pub(crate) fn model(name: &str, provider: &str) -> Value {
    json!({"kind": "Model", "name": name, "spec": {"targets": [{"provider": provider}]}})
}

/// A store whose watches never tell anything, and which can be made to fail.
#[derive(Debug)]
pub(crate) struct Deaf {
    inner: Arc<dyn Store>,
    is_down: AtomicBool,
}

impl Deaf {
    pub(crate) fn over(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), is_down: AtomicBool::new(false) })
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    fn up(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { message: "unplugged".to_owned(), source: None });
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Silence;

impl WatchSource for Silence {
    fn next(&mut self) -> Pending<'_, WatchEvent> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(365 * 24 * 60 * 60)).await;
            WatchEvent::Closed
        })
    }
}

impl Store for Deaf {
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            self.up()?;
            self.inner.get(key, at).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            self.up()?;
            self.inner.list(prefix, page, at).await
        })
    }

    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            self.up()?;
            self.inner.txn(txn).await
        })
    }

    fn watch(&self, _prefix: &str, _from: Revision) -> Watch {
        Watch::new(Box::new(Silence))
    }

    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>> {
        self.inner.grant_lease(ttl)
    }

    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        self.inner.keep_alive(lease)
    }

    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        self.inner.revoke_lease(lease)
    }
}
