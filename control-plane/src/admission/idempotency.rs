//! Makes repeating a request harmless: its outcome is kept for 24 hours under the caller's key, written in the same
//! transaction as the commit. It must not know what was decided.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Outcome, Refusal};
use crate::history::{self, Alongside, Body, HistoryError, canonical_json};
use crate::store::{Compare, LeaseId, Put, Store, StoreError, Txn, TxnOutcome, keys};

/// How long an outcome is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A caller's key with the fingerprint of the request it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key_sha256: String,
    fingerprint: String,
}

/// What is kept. The outcome may be large, so it is a blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    fingerprint: String,
    outcome: String,
}

impl IdempotencyKey {
    /// The key a caller gave. Keys of different callers are different; `request` is everything that decides the outcome.
    #[must_use]
    pub fn new(caller: &str, key: &str, request: &[&[u8]]) -> Self {
        let mut fingerprint = Sha256::new();
        for part in request {
            fingerprint.update(Sha256::digest(part));
        }
        let key_sha256 = hex::encode(Sha256::digest(format!("{caller}\n{key}").as_bytes()));
        Self { key_sha256, fingerprint: hex::encode(fingerprint.finalize()) }
    }

    /// The outcome of an earlier request with this key, if there was one.
    pub(super) async fn recorded(&self, store: &dyn Store) -> Result<Option<Outcome>, Refusal> {
        let entry = store.get(&self.store_key(), None).await.map_err(HistoryError::from)?;
        let Some(entry) = entry else { return Ok(None) };
        let record: Record = parse(&entry.value)?;
        if record.fingerprint != self.fingerprint {
            return Err(Refusal::KeyReused);
        }
        let outcome = history::blob(store, &record.outcome).await?;
        parse(&outcome).map(Some)
    }

    /// What a commit must carry so that its outcome is recorded if, and only if, it is committed.
    pub(super) async fn alongside(
        &self,
        store: &dyn Store,
        outcome: &Outcome,
    ) -> Result<(Alongside, LeaseId), Refusal> {
        let body = Body::of(canonical_json(outcome));
        history::upload_blobs(store, std::slice::from_ref(&body)).await?;
        let lease = store.grant_lease(KEPT_FOR).await.map_err(HistoryError::from)?;
        let record = Record { fingerprint: self.fingerprint.clone(), outcome: body.sha256 };
        let alongside = Alongside {
            compares: vec![Compare::Absent { key: self.store_key() }],
            puts: vec![Put::leased(self.store_key(), canonical_json(&record), lease)],
            deletes: Vec::new(),
        };
        Ok((alongside, lease))
    }

    /// Records an outcome that has no commit. False when another request with this key was faster.
    pub(super) async fn record(&self, store: &dyn Store, outcome: &Outcome) -> Result<bool, Refusal> {
        let (alongside, _lease) = self.alongside(store, outcome).await?;
        let mut txn = Txn::named(uuid::Uuid::now_v7().to_string());
        txn.compares = alongside.compares;
        txn.puts = alongside.puts;
        match store.txn(txn).await.map_err(HistoryError::from)? {
            TxnOutcome::Committed { .. } => Ok(true),
            // Whatever was written, the next look at the record tells.
            TxnOutcome::Conflict | TxnOutcome::Unknown { .. } => Ok(false),
        }
    }

    fn store_key(&self) -> String {
        keys::idempotency(&self.key_sha256)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = "an idempotency record is damaged: use a new Idempotency-Key".to_owned();
        Refusal::History(HistoryError::Store(StoreError::Refused { message, source: Some(error.into()) }))
    })
}
