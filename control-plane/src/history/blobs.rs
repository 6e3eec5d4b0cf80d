//! Immutable bodies, each under the SHA-256 of its bytes, written only where absent. A body larger than one value of
//! the store is kept in parts, with an index in the body's own place; the digest tells which of the two is there.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::records::{canonical_json, parse, sha256_hex};
use super::{HistoryError, commits};
use crate::store::{Compare, MAX_VALUE_BYTES, MAX_WRITES, Put, Store, Txn, TxnOutcome, keys};

const PART_BYTES: usize = MAX_VALUE_BYTES / 2;
/// Most parts an index may name: a bound on what a damaged index can make a reader fetch (1 GiB).
const MAX_PARTS: u64 = 2_048;

/// A body and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// SHA-256 of `bytes`, as hexadecimal digits.
    pub sha256: String,
    /// The body.
    pub bytes: Bytes,
}

impl Body {
    /// A body under the digest it has.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { sha256: sha256_hex(&bytes), bytes }
    }
}

/// What is kept in the place of a body that is kept in parts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    parts: u64,
    size: u64,
}

/// Writes the bodies that are not there yet. Safe to repeat and to run from several control planes at once.
pub async fn upload_blobs(store: &dyn Store, bodies: &[Body]) -> Result<(), HistoryError> {
    let distinct: BTreeMap<_, _> = bodies.iter().map(|body| (&body.sha256, &body.bytes)).collect();
    let puts = distinct.into_iter().flat_map(|(sha256, bytes)| puts_of(sha256, bytes));
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for put in puts {
        let full = batch.len() == MAX_WRITES || batch_bytes + put.value.len() > MAX_VALUE_BYTES;
        if full && !batch.is_empty() {
            upload_batch(store, std::mem::take(&mut batch)).await?;
            batch_bytes = 0;
        }
        batch_bytes += put.value.len();
        batch.push(put);
    }
    upload_batch(store, batch).await
}

/// A body's puts; the index comes last, so that a reader who sees it finds the parts.
fn puts_of(sha256: &str, bytes: &Bytes) -> Vec<Put> {
    if bytes.len() <= MAX_VALUE_BYTES {
        return vec![Put::new(keys::blob(sha256), bytes.clone())];
    }
    let mut puts: Vec<_> = (0_u64..)
        .zip(bytes.chunks(PART_BYTES))
        .map(|(part, chunk)| Put::new(keys::blob_part(sha256, part), bytes.slice_ref(chunk)))
        .collect();
    let index = Index { parts: count(puts.len()), size: count(bytes.len()) };
    puts.push(Put::new(keys::blob(sha256), canonical_json(&index)));
    puts
}

async fn upload_batch(store: &dyn Store, mut puts: Vec<Put>) -> Result<(), HistoryError> {
    for attempt in 0..commits::ATTEMPTS {
        let Some(first) = puts.first() else { return Ok(()) };
        let txn = Txn {
            compares: puts.iter().map(|put| Compare::Absent { key: put.key.clone() }).collect(),
            commit_id: first.key.clone(),
            puts: puts.clone(),
            deletes: vec![],
        };
        match store.txn(txn).await? {
            TxnOutcome::Committed { .. } => return Ok(()),
            TxnOutcome::Conflict => puts = absent(store, puts).await?,
            TxnOutcome::Unknown { .. } => commits::pause(attempt).await,
        }
    }
    match puts.into_iter().next() {
        None => Ok(()),
        Some(put) => Err(HistoryError::Unknown { commit_id: put.key }),
    }
}

async fn absent(store: &dyn Store, puts: Vec<Put>) -> Result<Vec<Put>, HistoryError> {
    let mut missing = Vec::with_capacity(puts.len());
    for put in puts {
        if store.get(&put.key, None).await?.is_none() {
            missing.push(put);
        }
    }
    Ok(missing)
}

/// Reads a body and proves that it is what its digest names.
pub async fn blob(store: &dyn Store, sha256: &str) -> Result<Bytes, HistoryError> {
    let what = || format!("blob {sha256}");
    let entry =
        store.get(&keys::blob(sha256), None).await?.ok_or_else(|| HistoryError::Missing { what: what() })?;
    if sha256_hex(&entry.value) == sha256 {
        return Ok(entry.value);
    }
    let damaged = |reason: &str| HistoryError::Damaged { what: what(), reason: reason.to_owned() };
    let other = || damaged("its content does not have the digest it is kept under");
    let index: Index = parse(&what(), &entry.value).map_err(|_not_an_index| other())?;
    if index.parts > MAX_PARTS {
        return Err(damaged("its index names too many parts"));
    }
    let mut bytes = BytesMut::new();
    for part in 0..index.parts {
        let missing = || HistoryError::Missing { what: format!("part {part} of blob {sha256}") };
        let entry = store.get(&keys::blob_part(sha256, part), None).await?.ok_or_else(missing)?;
        bytes.extend_from_slice(&entry.value);
    }
    if count(bytes.len()) == index.size && sha256_hex(&bytes) == sha256 {
        Ok(bytes.freeze())
    } else {
        Err(other())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
