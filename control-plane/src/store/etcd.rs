//! The store on an etcd cluster: several control planes share it. The only module that names `etcd_client`.
//!
//! What etcd and its client would do to the unwary, and where it is met:
//! - One client per member, and reads tried again on the next one: a client with several endpoints goes on sending
//!   calls to the dead one (`cluster`).
//! - Connecting proves nothing: a store is open once a linearizable read was answered (`cluster`).
//! - A transaction without an answer may have been applied: `Unknown` (`failure`).
//! - Watches do not reconnect, and a header's revision is not where they are: a loop of our own resumes behind the last
//!   event it delivered (`watch`).
//! - Some releases lose data, and are refused (`version`).
//!
//! Time limits lie around our own awaits. The client's own `with_timeout` would cut streams as well.

mod cluster;
mod failure;
mod version;
mod watch;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::proto::PbKeyValue;
use etcd_client::{CompareOp, GetOptions, LeaseGrantOptions, PutOptions, TxnOp};

use super::{
    Compare, Entry, LeaseId, Listing, Page, Pending, Put, Revision, Store, StoreError, Txn, TxnOutcome,
    Watch, check_key, check_ttl,
};
use cluster::Cluster;
use failure::Failure;

/// How to reach a cluster, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// The members, as `http://HOST:PORT`.
    pub endpoints: Vec<String>,
    /// Use a release that is known to lose data.
    pub allow_unsafe_version: bool,
    /// How long the first read may take before the start is given up.
    pub start: Duration,
    /// How long one member may take to answer a read before the next one is asked.
    pub read_attempt: Duration,
    /// How long a read may take over all members.
    pub read: Duration,
    /// How long a transaction may take before its outcome counts as unknown. Above etcd's own limit of five seconds.
    pub transaction: Duration,
}

impl EtcdSettings {
    /// The usual patience.
    #[must_use]
    pub fn new(endpoints: Vec<String>, allow_unsafe_version: bool) -> Self {
        Self {
            endpoints,
            allow_unsafe_version,
            start: Duration::from_secs(10),
            read_attempt: Duration::from_secs(3),
            read: Duration::from_secs(10),
            transaction: Duration::from_secs(7),
        }
    }
}

/// The store on an etcd cluster.
#[derive(Debug)]
pub struct EtcdStore {
    cluster: Arc<Cluster>,
}

impl EtcdStore {
    /// Opens the store: returns once a member answered a linearizable read and its release was found fit.
    pub async fn open(settings: EtcdSettings) -> Result<Self, StoreError> {
        let cluster = Cluster::connect(settings).await?;
        Ok(Self { cluster: Arc::new(cluster) })
    }

    async fn read_page(
        &self,
        prefix: &str,
        page: &Page,
        at: Option<Revision>,
        limit: usize,
    ) -> Result<Listing, Failure> {
        let start = match &page.after {
            // The first key behind another is that one with a zero byte appended.
            Some(after) if after.as_str() >= prefix => format!("{after}\0").into_bytes(),
            _ if prefix.is_empty() => vec![0],
            _ => prefix.as_bytes().to_vec(),
        };
        let options =
            get_options(at).with_range(behind(prefix)).with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let answer = self.cluster.read(|member| {
            let (mut kv, start, options) = (member.kv(), start.clone(), options.clone());
            async move { kv.get(start, Some(options)).await }
        });
        let answer = answer.await?;
        let revision = at.unwrap_or_else(|| answer.header().map_or(0, |header| number(header.revision())));
        let entries = answer.0.kvs.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let next = if answer.0.more { entries.last().map(|last| last.key.clone()) } else { None };
        Ok(Listing { entries, revision, next })
    }
}

impl Store for EtcdStore {
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let answer = self.cluster.read(|member| {
                let mut kv = member.kv();
                async move { kv.get(key, Some(get_options(at))).await }
            });
            let answer = answer.await.map_err(|failure| failure.of_read(at))?;
            answer.0.kvs.into_iter().next().map(entry).transpose().map_err(StoreError::from)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            let mut limit = page.capped_limit();
            loop {
                match self.read_page(prefix, &page, at, limit).await {
                    // Larger than we are ready to hold at once: ask for less.
                    Err(Failure::TooLarge { .. }) if limit > 1 => limit = (limit / 4).max(1),
                    Err(failure) => return Err(failure.of_read(at)),
                    Ok(listing) => return Ok(listing),
                }
            }
        })
    }

    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            txn.check()?;
            if txn.compares.iter().any(never_holds) {
                return Ok(TxnOutcome::Conflict);
            }
            let lease = txn.puts.iter().find_map(|put| put.lease);
            let compares: Vec<_> = txn.compares.into_iter().map(compare).collect();
            let operations: Vec<_> =
                txn.puts.into_iter().map(put).chain(txn.deletes.into_iter().map(delete)).collect();
            let request = etcd_client::Txn::new().when(compares).and_then(operations);
            match self.cluster.write(request).await {
                Ok(answer) if answer.succeeded() => Ok(TxnOutcome::Committed {
                    revision: answer.header().map_or(0, |header| number(header.revision())),
                }),
                Ok(_) => Ok(TxnOutcome::Conflict),
                Err(Failure::Doubtful { source, .. }) => {
                    tracing::warn!(
                        error = source.as_ref().map(|error| &**error as &dyn std::error::Error),
                        "a transaction got no answer"
                    );
                    Ok(TxnOutcome::Unknown { commit_id: txn.commit_id })
                }
                Err(failure) => Err(failure.of_lease(lease)),
            }
        })
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        Watch::new(Box::new(watch::EtcdWatch::new(Arc::clone(&self.cluster), prefix, from)))
    }

    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>> {
        Box::pin(async move {
            check_ttl(ttl)?;
            let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
            // A grant whose answer was lost leaves a lease without keys, which ends by itself.
            let answer = self.cluster.read(|member| {
                let mut leases = member.client().lease_client();
                async move { leases.grant(seconds, Some(LeaseGrantOptions::new())).await }
            });
            Ok(LeaseId(answer.await?.id()))
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = self.cluster.read(|member| {
                let mut leases = member.client().lease_client();
                // The stream is given up after its first answer: one call, nothing to reconnect.
                async move { leases.keep_alive(lease.0).await.map(|_stream| ()) }
            });
            answer.await.map_err(|failure| failure.of_lease(Some(lease)))
        })
    }

    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = self.cluster.read(|member| {
                let mut leases = member.client().lease_client();
                async move { leases.revoke(lease.0).await.map(|_answer| ()) }
            });
            answer.await.map_err(|failure| failure.of_lease(Some(lease)))
        })
    }
}

fn get_options(at: Option<Revision>) -> GetOptions {
    at.map_or_else(GetOptions::new, |at| GetOptions::new().with_revision(count(at)))
}

/// No key has revision 0, but etcd takes it for "absent".
fn never_holds(compare: &Compare) -> bool {
    matches!(compare, Compare::ModifiedAt { revision: 0, .. } | Compare::CreatedAt { revision: 0, .. })
}

fn compare(compare: Compare) -> etcd_client::Compare {
    match compare {
        Compare::Absent { key } => etcd_client::Compare::create_revision(key, CompareOp::Equal, 0),
        Compare::ModifiedAt { key, revision } => {
            etcd_client::Compare::mod_revision(key, CompareOp::Equal, count(revision))
        }
        Compare::CreatedAt { key, revision } => {
            etcd_client::Compare::create_revision(key, CompareOp::Equal, count(revision))
        }
        Compare::Holds { key, value } => etcd_client::Compare::value(key, CompareOp::Equal, value),
    }
}

fn put(put: Put) -> TxnOp {
    let options = put.lease.map(|lease| PutOptions::new().with_lease(lease.0));
    TxnOp::put(put.key, put.value, options)
}

fn delete(key: String) -> TxnOp {
    TxnOp::delete(key, None)
}

/// A key with its value, as etcd holds it. A key that is not text is not ours.
fn entry(found: PbKeyValue) -> Result<Entry, Failure> {
    let key = String::from_utf8(found.key)
        .map_err(|error| Failure::refused("etcd holds a key that is not text", error))?;
    Ok(Entry {
        key,
        value: Bytes::from(found.value),
        created: number(found.create_revision),
        modified: number(found.mod_revision),
        puts: number(found.version),
        lease: (found.lease != 0).then_some(LeaseId(found.lease)),
    })
}

/// The first key behind all that begin with `prefix`; one zero byte stands for "no end".
fn behind(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0]
}

/// etcd counts in signed numbers that are never negative.
fn number(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}

fn count(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(i64::MAX)
}
