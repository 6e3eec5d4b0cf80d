//! A store to test, and the two things a test does to it from outside: compacting it and letting time pass.

use std::any::Any;
use std::sync::Arc;

use lifecycle::{Clock, Tasks};

use super::*;
use crate::store::etcd::testing::EtcdChild;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;

type Act<T> = Box<dyn Fn(T) -> Pending<'static, ()> + Send + Sync>;

pub(in crate::store) struct Rig {
    pub(super) store: Arc<dyn Store>,
    compact: Act<Revision>,
    outlive: Act<Duration>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Rig {
    pub(super) fn memory() -> Self {
        let clock = Clock::manual(1_000_000);
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let (compacted, expired) = (Arc::clone(&store), Arc::clone(&store));
        Self {
            store,
            compact: Box::new(move |revision| {
                compacted.compact(revision);
                Box::pin(async {})
            }),
            outlive: Box::new(move |ttl| {
                clock.advance(ttl);
                expired.expire_leases();
                Box::pin(async {})
            }),
            _keep: Box::new(()),
        }
    }

    pub(super) async fn sqlite() -> Self {
        let clock = Clock::manual(1_000_000);
        let directory = quick_directory();
        let store = SqliteStore::open(directory.path().join("store.db"), clock.clone(), &Tasks::new())
            .await
            .expect("a new file");
        let store = Arc::new(store);
        let (compacted, expired) = (Arc::clone(&store), Arc::clone(&store));
        Self {
            store,
            compact: Box::new(move |revision| {
                let store = Arc::clone(&compacted);
                Box::pin(async move { store.compact(revision).await.expect("compacted") })
            }),
            outlive: Box::new(move |ttl| {
                clock.advance(ttl);
                let store = Arc::clone(&expired);
                Box::pin(async move { store.expire_leases().await.expect("expired") })
            }),
            _keep: Box::new(directory),
        }
    }

    pub(super) async fn etcd() -> Self {
        let child = EtcdChild::start().await;
        let store = Arc::new(child.open().await);
        let compacted = Arc::clone(&store);
        Self {
            store,
            compact: Box::new(move |revision| {
                let store = Arc::clone(&compacted);
                Box::pin(async move { store.compact(revision).await })
            }),
            outlive: Box::new(|ttl| Box::pin(tokio::time::sleep(ttl))),
            _keep: Box::new(child),
        }
    }

    /// Makes the store forget its history up to a revision.
    pub(super) async fn compact(&self, revision: Revision) {
        (self.compact)(revision).await;
    }

    /// Lets a lease of `ttl` that nobody keeps alive end.
    pub(super) async fn outlive(&self, ttl: Duration) {
        (self.outlive)(ttl).await;
    }
}

/// A directory in memory where there is one: these tests are about order and atomicity, not about a disk's speed.
pub(in crate::store) fn quick_directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}
