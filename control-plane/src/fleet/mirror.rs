//! The fleet in the store: this control plane's proxies are written there, everyone's are read from there.
//!
//! Entries of connected proxies hang on one lease of this process and vanish with it; entries of disconnected ones hang
//! on a long lease. An entry of a proxy that meanwhile connected elsewhere is never overwritten: leaving compares with
//! what this process wrote last.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior};

use super::GONE_AFTER;
use super::entry::FleetEntry;
use super::registry::Registry;
use crate::store::{
    Compare, Event, LeaseId, Put, Revision, Store, StoreError, Txn, TxnOutcome, WatchEvent, keys, list_all,
};

/// Entries of connected proxies outlive their control plane by at most this.
const LEASE: Duration = Duration::from_mins(1);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Changes are gathered this long: a new version changes every proxy three times within milliseconds.
const GATHER: Duration = Duration::from_millis(200);
/// One lease for everyone who leaves within this time.
const GONE_LEASE_AGE: Duration = Duration::from_hours(1);
/// Entries of one transaction; an entry is at most about 14 KiB.
const BATCH: usize = 48;
const RETRY: Duration = Duration::from_secs(2);
/// How long stopping waits for the sessions to leave.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The key of a proxy's entry.
fn key(proxy_id: &str) -> String {
    keys::instance(&format!("proxy/{proxy_id}"))
}

/// Keeps this control plane's part of the fleet in the store until told to stop.
pub(super) async fn write(
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    stopping: impl Future<Output = ()> + Send,
) {
    let mut writer =
        Writer { store, registry, lease: None, gone_lease: None, written: HashMap::new(), is_failing: false };
    let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stopping);
    loop {
        let registry = Arc::clone(&writer.registry);
        tokio::select! {
            () = &mut stopping => break,
            _instant = keep_alive.tick() => writer.keep_alive().await,
            () = registry.dirty.notified() => {
                tokio::time::sleep(GATHER).await;
                if !writer.flush().await {
                    tokio::time::sleep(RETRY).await;
                    registry.dirty.notify_one();
                }
            }
        }
    }
    writer.finish().await;
}

struct Writer {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    lease: Option<LeaseId>,
    gone_lease: Option<(LeaseId, Instant)>,
    /// The revision at which this process last wrote each entry.
    written: HashMap<String, Revision>,
    is_failing: bool,
}

impl Writer {
    /// Lists what is left as disconnected and ends the lease.
    async fn finish(mut self) {
        let registry = Arc::clone(&self.registry);
        let everyone_left = async {
            while registry.connected_here() > 0 {
                registry.dirty.notified().await;
            }
        };
        // Whoever has not left by then vanishes with the lease.
        let _in_time = tokio::time::timeout(LAST_WORDS, everyone_left).await.is_ok();
        let _flushed = self.flush().await;
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.store.revoke_lease(lease).await
        {
            tracing::debug!(%error, "the fleet's lease will end by itself");
        }
    }

    async fn keep_alive(&mut self) {
        let Some(lease) = self.lease else { return };
        match self.store.keep_alive(lease).await {
            Ok(()) => {}
            Err(StoreError::LeaseNotFound(_)) => {
                tracing::warn!("the fleet's lease had ended; writing this control plane's proxies again");
                self.lease = None;
                self.registry.touch_connected();
                self.registry.dirty.notify_one();
            }
            Err(error) => tracing::warn!(%error, "could not keep the fleet's lease alive"),
        }
    }

    /// Writes what changed; false when some of it has to be written again.
    async fn flush(&mut self) -> bool {
        let (connected, gone): (Vec<_>, Vec<_>) =
            self.registry.take_changed().into_iter().partition(|entry| entry.connected);
        let mut is_done = true;
        for batch in connected.chunks(BATCH) {
            let written = self.write_connected(batch).await;
            is_done &= self.settle(batch, written);
        }
        for batch in gone.chunks(BATCH) {
            let written = self.write_gone(batch).await;
            is_done &= self.settle(batch, written);
        }
        self.is_failing = !is_done;
        is_done
    }

    /// Puts a batch that could not be written back; false then.
    fn settle(&mut self, batch: &[FleetEntry], written: Result<(), StoreError>) -> bool {
        let Err(error) = written else { return true };
        if !self.is_failing {
            tracing::warn!(%error, "could not write the fleet to the store; other control planes see an older one");
        }
        if matches!(error, StoreError::LeaseNotFound(_)) {
            self.lease = None;
            self.gone_lease = None;
            self.registry.touch_connected();
        }
        self.registry.put_back(batch.iter().map(|entry| entry.proxy_id.clone()));
        false
    }

    async fn write_connected(&mut self, batch: &[FleetEntry]) -> Result<(), StoreError> {
        let lease = match self.lease {
            Some(lease) => lease,
            None => *self.lease.insert(self.store.grant_lease(LEASE).await?),
        };
        let puts = batch.iter().map(|entry| put(entry, lease)).collect();
        let txn = Txn { puts, ..Txn::default() };
        if let Some(revision) = committed(&self.store.txn(txn).await?)? {
            self.written.extend(batch.iter().map(|entry| (entry.proxy_id.clone(), revision)));
        }
        Ok(())
    }

    /// In one transaction if nobody connected elsewhere, else one by one.
    async fn write_gone(&mut self, batch: &[FleetEntry]) -> Result<(), StoreError> {
        let now = Instant::now();
        let lease = match self.gone_lease {
            Some((lease, granted)) if now - granted < GONE_LEASE_AGE => lease,
            Some(_) | None => self.gone_lease.insert((self.store.grant_lease(GONE_AFTER).await?, now)).0,
        };
        if !self.try_write_gone(batch, lease).await? {
            for entry in batch {
                // A conflict now says that the proxy is connected elsewhere, where it is known better.
                let _is_ours = self.try_write_gone(std::slice::from_ref(entry), lease).await?;
            }
        }
        for entry in batch {
            self.written.remove(&entry.proxy_id);
        }
        Ok(())
    }

    async fn try_write_gone(&self, batch: &[FleetEntry], lease: LeaseId) -> Result<bool, StoreError> {
        let ours: Vec<(&FleetEntry, Revision)> =
            batch.iter().filter_map(|entry| Some((entry, *self.written.get(&entry.proxy_id)?))).collect();
        if ours.is_empty() {
            return Ok(true);
        }
        let compares = ours
            .iter()
            .map(|(entry, revision)| Compare::ModifiedAt { key: key(&entry.proxy_id), revision: *revision })
            .collect();
        let puts = ours.iter().map(|(entry, _revision)| put(entry, lease)).collect();
        let txn = Txn { compares, puts, ..Txn::default() };
        Ok(committed(&self.store.txn(txn).await?)?.is_some())
    }
}

fn put(entry: &FleetEntry, lease: LeaseId) -> Put {
    // An entry is plain data: it always serializes. An empty value would be skipped by every reader.
    Put::leased(key(&entry.proxy_id), Bytes::from(serde_json::to_vec(entry).unwrap_or_default()), lease)
}

/// The revision, or none on a conflict. An unknown outcome is an error: writing an entry twice does no harm.
fn committed(outcome: &TxnOutcome) -> Result<Option<Revision>, StoreError> {
    match outcome {
        TxnOutcome::Committed { revision } => Ok(Some(*revision)),
        TxnOutcome::Conflict => Ok(None),
        TxnOutcome::Unknown { .. } => Err(StoreError::Unavailable {
            message: "no answer to a write of the fleet".to_owned(),
            source: None,
        }),
    }
}

/// Follows the whole fleet in the store.
pub(super) async fn read(store: Arc<dyn Store>, registry: Arc<Registry>) {
    let prefix = key("");
    loop {
        match list_all(store.as_ref(), &prefix).await {
            Ok(listing) => {
                registry
                    .reset_others(listing.entries.iter().filter_map(|entry| parse(&entry.value)).collect());
                follow(store.as_ref(), &prefix, listing.revision + 1, &registry).await;
            }
            Err(error) => tracing::warn!(%error, "could not read the fleet from the store"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Until the watch ends, for whatever reason: then everything is read again.
async fn follow(store: &dyn Store, prefix: &str, from: Revision, registry: &Registry) {
    let mut watch = store.watch(prefix, from);
    loop {
        let events = match watch.next().await {
            WatchEvent::Batch { events, .. } => events,
            WatchEvent::Resync { reason } => {
                tracing::debug!(%reason, "reading the fleet again");
                return;
            }
            WatchEvent::Closed => return,
        };
        for event in events {
            match event {
                Event::Put(entry) => {
                    if let Some(entry) = parse(&entry.value) {
                        registry.hear(entry);
                    }
                }
                Event::Deleted { key } => {
                    if let Some(proxy_id) = key.strip_prefix(prefix) {
                        registry.lose(proxy_id);
                    }
                }
            }
        }
    }
}

/// An entry that this build cannot read is written by a newer one; its proxy is listed there.
fn parse(value: &[u8]) -> Option<FleetEntry> {
    match serde_json::from_slice(value) {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::debug!(%error, "skipped a fleet entry");
            None
        }
    }
}
