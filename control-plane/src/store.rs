//! Where the control plane keeps everything: a small, ordered key-value contract with transactions, watches and leases.
//!
//! Three implementations pass one conformance suite: `sqlite` (one machine, the default), `etcd` (many machines) and
//! `memory` (tests and trials). This module knows keys and bytes. It must not know what a resource, a commit or a
//! group is: `history` builds those on top.
//!
//! What every implementation promises:
//! - A transaction is applied whole or not at all, and everything it writes carries one revision.
//! - Revisions only grow. Every read can be repeated at its revision until that is compacted.
//! - A watch yields each revision at most once, in order, with all its events together, and says `Resync` rather than
//!   leave anything out.
//! - What was acknowledged survives a kill (except in `memory`, which lives as long as its process).
//! - The limits below hold everywhere, with the same error.

pub mod election;
pub mod etcd;
pub mod keys;
mod limits;
pub mod memory;
pub mod sqlite;
mod url;

#[cfg(test)]
mod conformance;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

pub use limits::{
    LEASE_TTL, LimitExceeded, MAX_COMPARES, MAX_KEY_BYTES, MAX_PAGE, MAX_PAGE_BYTES, MAX_TXN_BYTES,
    MAX_VALUE_BYTES, MAX_WRITES, check_key, check_ttl,
};
pub use url::{StoreUrl, StoreUrlError, open};

/// A point in the store's life. Only the store counts it; the policy's own version is another number.
pub type Revision = u64;

/// What a store method returns: a boxed future, so that the trait stays object safe.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A key-value store with one history. See the module for what it promises.
pub trait Store: Send + Sync + Debug {
    /// Reads one key, now (linearizable) or as it was at a revision.
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>>;

    /// Reads one page of the keys that begin with `prefix`, in key order. Further pages are read at the first one's revision.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>>;

    /// Applies all of a transaction if all of its compares hold.
    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>>;

    /// Follows the keys that begin with `prefix` from revision `from` on, inclusive.
    fn watch(&self, prefix: &str, from: Revision) -> Watch;

    /// Makes a lease: keys put under it are deleted when it is neither kept alive nor revoked for `ttl`.
    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>>;

    /// Restarts a lease's life from now. `LeaseNotFound` when it has ended.
    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>>;

    /// Ends a lease and deletes its keys.
    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>>;
}

/// Names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key with its value and its life so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// What was put.
    pub value: Bytes,
    /// The revision that brought the key into being.
    pub created: Revision,
    /// The revision that put this value.
    pub modified: Revision,
    /// How many times the key was put since it was created, counting from one.
    pub puts: u64,
    /// The lease whose end deletes the key.
    pub lease: Option<LeaseId>,
}

/// Which part of a list to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most this many keys, capped at [`MAX_PAGE`]. A page may be shorter and still not be the last.
    pub limit: usize,
    /// Continue behind this key: the `next` of the page before.
    pub after: Option<String>,
}

impl Page {
    /// The first page, as long as a page may be.
    #[must_use]
    pub fn first() -> Self {
        Self { limit: MAX_PAGE, after: None }
    }

    /// The page behind `key`, as long as a page may be.
    #[must_use]
    pub fn after(key: String) -> Self {
        Self { limit: MAX_PAGE, after: Some(key) }
    }

    /// The limit as every implementation applies it.
    #[must_use]
    pub fn capped_limit(&self) -> usize {
        self.limit.clamp(1, MAX_PAGE)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In key order.
    pub entries: Vec<Entry>,
    /// The revision the page was read at. A watch that continues this list starts at `revision + 1`.
    pub revision: Revision,
    /// Set when there is more: pass it as `after`, and `revision` as `at`.
    pub next: Option<String>,
}

/// A condition on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent {
        /// The key.
        key: String,
    },
    /// The key exists and was last put at this revision.
    ModifiedAt {
        /// The key.
        key: String,
        /// Its `modified`.
        revision: Revision,
    },
    /// The key exists and was created at this revision. Fences the acts of a leader: the key is its election key.
    CreatedAt {
        /// The key.
        key: String,
        /// Its `created`.
        revision: Revision,
    },
    /// The key exists and holds exactly these bytes.
    Holds {
        /// The key.
        key: String,
        /// Its value.
        value: Bytes,
    },
}

impl Compare {
    /// The key the condition is on.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Absent { key }
            | Self::ModifiedAt { key, .. }
            | Self::CreatedAt { key, .. }
            | Self::Holds { key, .. } => key,
        }
    }

    /// Whether the condition holds for what the key holds now.
    #[must_use]
    pub fn holds(&self, current: Option<&Entry>) -> bool {
        match (self, current) {
            (Self::Absent { .. }, current) => current.is_none(),
            (Self::ModifiedAt { revision, .. }, Some(entry)) => entry.modified == *revision,
            (Self::CreatedAt { revision, .. }, Some(entry)) => entry.created == *revision,
            (Self::Holds { value, .. }, Some(entry)) => entry.value == *value,
            (Self::ModifiedAt { .. } | Self::CreatedAt { .. } | Self::Holds { .. }, None) => false,
        }
    }
}

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: String,
    /// Its new value.
    pub value: Bytes,
    /// Delete the key when this lease ends. A put without a lease frees the key from the one it had.
    pub lease: Option<LeaseId>,
}

impl Put {
    /// A value that stays until it is deleted.
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), lease: None }
    }

    /// A value that lives as long as a lease.
    pub fn leased(key: impl Into<String>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self { key: key.into(), value: value.into(), lease: Some(lease) }
    }
}

/// Several writes under several conditions, applied whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// Written when they do.
    pub puts: Vec<Put>,
    /// Keys deleted when they do. Deleting an absent key is not an error.
    pub deletes: Vec<String>,
    /// The caller's own name for this transaction, handed back when its outcome is unknown.
    pub commit_id: String,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Applied. Everything it wrote carries this revision.
    Committed {
        /// The store's revision after the transaction.
        revision: Revision,
    },
    /// A compare did not hold; nothing was written.
    Conflict,
    /// Sent, and no answer came: it may have been applied, or may still be. Read what it writes and look for `commit_id`.
    Unknown {
        /// From the transaction.
        commit_id: String,
    },
}

/// One key's change within a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was put.
    Put(Entry),
    /// The key was deleted, by a transaction or by the end of its lease.
    Deleted {
        /// The key.
        key: String,
    },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key } => key,
        }
    }
}

/// What a watch yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// Everything that one revision changed below the prefix, in key order.
    Batch {
        /// The revision. Resume at `revision + 1`.
        revision: Revision,
        /// Never empty.
        events: Vec<Event>,
    },
    /// The watch cannot tell what happened since its last batch: list again and watch from there. It has ended.
    Resync {
        /// Why.
        reason: ResyncReason,
    },
    /// The store is closing; the watch has ended.
    Closed,
}

/// Why a watch gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResyncReason {
    /// History before this revision is gone.
    #[error("revision {asked} is no longer kept (compacted up to {compacted})")]
    Compacted {
        /// Where the watch wanted to go on.
        asked: Revision,
        /// The newest revision whose history is gone.
        compacted: Revision,
    },
    /// The store ended the watch on its own.
    #[error("the store cancelled the watch: {0}")]
    Cancelled(String),
    /// Revisions went backwards: another store, or a restored backup.
    #[error("the store went back from revision {seen} to {found}")]
    WentBack {
        /// The newest revision this watch had seen.
        seen: Revision,
        /// What the store says now.
        found: Revision,
    },
    /// An event is missing.
    #[error("an event of key `{key}` is missing at revision {revision}")]
    Gap {
        /// The key whose puts do not follow each other.
        key: String,
        /// Where it was noticed.
        revision: Revision,
    },
    /// The store sent something that cannot be understood.
    #[error("the store sent an event that cannot be understood: {0}")]
    Unreadable(String),
}

/// The producing side of a watch. `next` must be safe to cancel: an event is either returned or kept.
pub trait WatchSource: Send + Debug {
    /// The next event. After `Resync` or `Closed` it is not asked again.
    fn next(&mut self) -> Pending<'_, WatchEvent>;
}

/// Follows a prefix. It pulls: a slow reader costs the store nothing but the history it keeps anyway.
#[derive(Debug)]
pub struct Watch {
    source: Option<Box<dyn WatchSource>>,
}

impl Watch {
    /// Wraps an implementation's source.
    #[must_use]
    pub fn new(source: Box<dyn WatchSource>) -> Self {
        Self { source: Some(source) }
    }

    /// Waits for the next event; safe to cancel. After `Resync` or `Closed` it yields `Closed` for ever.
    pub async fn next(&mut self) -> WatchEvent {
        let Some(source) = &mut self.source else { return WatchEvent::Closed };
        let event = source.next().await;
        if matches!(event, WatchEvent::Resync { .. } | WatchEvent::Closed) {
            self.source = None;
        }
        event
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request breaks a limit; asking again is of no use.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The revision's history is gone.
    #[error("revision {requested} is no longer kept")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
    },
    /// The revision has not happened yet: another store, or a restored backup.
    #[error("revision {requested} has not happened yet")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
    },
    /// The lease has ended or never was.
    #[error("lease {} has ended", .0.0)]
    LeaseNotFound(LeaseId),
    /// The store cannot be reached or used just now; the same request may work later.
    #[error("the store is unavailable: {message}")]
    Unavailable {
        /// What happened, and the way out where there is one.
        message: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
    /// The store said no, or holds something it should not; asking again is of no use.
    #[error("{message}")]
    Refused {
        /// What happened, and the way out where there is one.
        message: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
}

/// A cause of any type.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    /// Whether the same request may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// `Unavailable` with a cause.
    pub(crate) fn unavailable(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unavailable { message: message.into(), source: Some(source.into()) }
    }

    /// `Refused` with a cause.
    pub(crate) fn refused(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Refused { message: message.into(), source: Some(source.into()) }
    }
}

impl Txn {
    /// A transaction named by the caller.
    pub fn named(commit_id: impl Into<String>) -> Self {
        Self { commit_id: commit_id.into(), ..Self::default() }
    }
}

/// Reads every key below a prefix, page after page at one revision. For prefixes whose size is bounded elsewhere.
pub async fn list_all(store: &dyn Store, prefix: &str) -> Result<Listing, StoreError> {
    let mut all = store.list(prefix, Page::first(), None).await?;
    while let Some(next) = all.next.take() {
        let page = store.list(prefix, Page::after(next), Some(all.revision)).await?;
        all.entries.extend(page.entries);
        all.next = page.next;
    }
    Ok(all)
}
