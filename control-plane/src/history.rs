//! The history of the policy on top of the store: immutable bodies by their digest, one commit per version, each
//! commit's hash covering the one before it, and one head that moves by compare-and-swap.
//!
//! It knows digests, names and bytes. It must not know what a resource means: kinds and names are text here.
//!
//! A change of any size is atomic: bodies go up first, in batches that fit the store, and one small transaction then
//! writes the commit and moves the head. What was uploaded for a commit that lost is an orphan that nobody can see.

mod blobs;
mod chain;
mod commits;
mod records;

pub use blobs::{Body, blob, upload_blobs};
pub use chain::{ChainReport, verify_chain};
pub use commits::{Alongside, CommitOutcome, NewCommit, commit, list_commits, manifest, read_commit};
pub use records::{
    ChangedResource, Commit, Head, Manifest, ManifestEntry, Meta, Operation, canonical_json, sha256_hex,
};

use crate::store::{Compare, Put, Store, StoreError, Txn, TxnOutcome, keys};

/// The layout of what is stored; another number needs a migration.
pub const SCHEMA: u32 = 1;

/// Why the history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The store holds no history yet.
    #[error("the store holds no history: it was never initialised")]
    NotInitialised,
    /// The history was written by another release.
    #[error("the store holds schema {found}, and this release reads schema {SCHEMA}")]
    Schema {
        /// What is there.
        found: u32,
    },
    /// Something the history refers to is not there.
    #[error("{what} is missing from the store")]
    Missing {
        /// The thing.
        what: String,
    },
    /// Something is there and is not what its name says.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The thing.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// The store did not say whether it applied a transaction, and would not say when asked again.
    #[error("the store did not say whether commit `{commit_id}` was applied")]
    Unknown {
        /// The commit.
        commit_id: String,
    },
}

/// Writes the store's identity and the empty version 0, unless they are there. Of several control planes that start at
/// once one writes, and all return what it wrote.
pub async fn initialise(store: &dyn Store, store_id: &str, now_ms: u64) -> Result<Meta, HistoryError> {
    if let Some(meta) = read_meta(store).await? {
        return Ok(meta);
    }
    let meta = Meta { store_id: store_id.to_owned(), schema: SCHEMA, created_ms: now_ms };
    let empty = Body::of(canonical_json(&Manifest::default()));
    let head = Head {
        version: 0,
        commit_id: store_id.to_owned(),
        manifest_digest: empty.sha256.clone(),
        history_tip: meta.genesis_hash(),
    };
    let txn = Txn {
        compares: vec![
            Compare::Absent { key: keys::META.to_owned() },
            Compare::Absent { key: keys::HEAD.to_owned() },
        ],
        puts: vec![
            Put::new(keys::META, canonical_json(&meta)),
            Put::new(keys::HEAD, canonical_json(&head)),
            Put::new(keys::blob(&empty.sha256), empty.bytes),
        ],
        deletes: vec![],
        commit_id: store_id.to_owned(),
    };
    for attempt in 0..commits::ATTEMPTS {
        match store.txn(txn.clone()).await? {
            TxnOutcome::Committed { .. } => return Ok(meta),
            TxnOutcome::Conflict => return read_meta(store).await?.ok_or(HistoryError::NotInitialised),
            TxnOutcome::Unknown { .. } => commits::pause(attempt).await,
        }
    }
    Err(HistoryError::Unknown { commit_id: store_id.to_owned() })
}

/// Reads the store's identity, if it has one.
pub async fn read_meta(store: &dyn Store) -> Result<Option<Meta>, HistoryError> {
    let Some(entry) = store.get(keys::META, None).await? else { return Ok(None) };
    let meta: Meta = records::parse("the store's identity", &entry.value)?;
    if meta.schema == SCHEMA { Ok(Some(meta)) } else { Err(HistoryError::Schema { found: meta.schema }) }
}

/// Reads the newest version's head.
pub async fn read_head(store: &dyn Store) -> Result<Head, HistoryError> {
    let entry = store.get(keys::HEAD, None).await?.ok_or(HistoryError::NotInitialised)?;
    parse_head(&entry.value)
}

/// Reads a head from a value of [`keys::HEAD`], as a watch delivers it.
pub fn parse_head(value: &[u8]) -> Result<Head, HistoryError> {
    records::parse("the head", value)
}

#[cfg(test)]
mod doubt;
#[cfg(test)]
mod tests;
