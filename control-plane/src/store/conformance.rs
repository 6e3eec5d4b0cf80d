//! One suite that every store passes. A test here is written once, against the contract, and runs once for each store.

mod elections;
mod leases;
mod lists;
mod rigs;
mod transactions;
mod watches;

use std::time::Duration;

use bytes::Bytes;

use super::*;
pub(super) use rigs::{Rig, quick_directory};

/// Nothing that a test waits for takes this long on a working store.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes one test per store out of every named function.
macro_rules! on_every_store {
    ($($(#[$attribute:meta])* async fn $name:ident($rig:ident: &Rig) $body:block)*) => {
        $($(#[$attribute])* async fn $name($rig: &$crate::store::conformance::Rig) $body)*

        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::store::conformance::Rig::memory()).await })*
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::store::conformance::Rig::sqlite().await).await })*
        }

        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::store::conformance::Rig::etcd().await).await })*
        }
    };
}
use on_every_store;

fn put(key: &str, value: impl Into<Bytes>) -> Txn {
    Txn { puts: vec![Put::new(key, value)], ..Txn::named("test") }
}

fn delete(key: &str) -> Txn {
    Txn { deletes: vec![key.to_owned()], ..Txn::named("test") }
}

async fn committed(store: &dyn Store, txn: Txn) -> Revision {
    match store.txn(txn).await.expect("a working store") {
        TxnOutcome::Committed { revision } => revision,
        outcome => panic!("not committed: {outcome:?}"),
    }
}

async fn value(store: &dyn Store, key: &str, at: Option<Revision>) -> Option<Bytes> {
    store.get(key, at).await.expect("a working store").map(|entry| entry.value)
}

async fn next(watch: &mut Watch) -> WatchEvent {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event in time")
}

async fn next_batch(watch: &mut Watch) -> (Revision, Vec<Event>) {
    match next(watch).await {
        WatchEvent::Batch { revision, events } => (revision, events),
        event => panic!("no batch: {event:?}"),
    }
}
