//! Who does what only one control plane may do: a leased key per role, put only where absent.
//!
//! Winning is a transaction of our own, so a campaign that is given up leaves nobody queued behind it. Every act of a
//! leader carries [`Leadership::fence`] in its own transaction: whoever was deposed without noticing changes nothing.

use std::time::Duration;

use super::{Compare, LeaseId, Put, Revision, Store, StoreError, Txn, TxnOutcome, keys};

/// A won election. It ends with its lease: call [`Leadership::keep`] well within its `ttl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    key: String,
    created: Revision,
    lease: LeaseId,
}

/// Tries once to take a role for `holder`; `None` when somebody has it. To wait, watch [`keys::leader`] and try again.
pub async fn campaign(
    store: &dyn Store,
    role: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Option<Leadership>, StoreError> {
    let lease = store.grant_lease(ttl).await?;
    let won = take(store, role, holder, lease).await;
    if !matches!(won, Ok(Some(_))) {
        // With its lease gone, a put that is still under way cannot make a ghost of us. If this fails, the lease ends by itself.
        let _ = store.revoke_lease(lease).await;
    }
    won
}

async fn take(
    store: &dyn Store,
    role: &str,
    holder: &str,
    lease: LeaseId,
) -> Result<Option<Leadership>, StoreError> {
    let key = keys::leader(role);
    let txn = Txn {
        compares: vec![Compare::Absent { key: key.clone() }],
        puts: vec![Put::leased(&key, holder.to_owned(), lease)],
        ..Txn::named(format!("{role}/{}", lease.0))
    };
    match store.txn(txn).await? {
        TxnOutcome::Committed { revision } => Ok(Some(Leadership { key, created: revision, lease })),
        TxnOutcome::Conflict => Ok(None),
        TxnOutcome::Unknown { .. } => {
            let found = store.get(&key, None).await?.filter(|entry| entry.lease == Some(lease));
            Ok(found.map(|entry| Leadership { key, created: entry.created, lease }))
        }
    }
}

impl Leadership {
    /// Holds exactly as long as this leadership does. Put it into the transaction of everything a leader does.
    #[must_use]
    pub fn fence(&self) -> Compare {
        Compare::CreatedAt { key: self.key.clone(), revision: self.created }
    }

    /// Prolongs the leadership; `false` when it has ended.
    pub async fn keep(&self, store: &dyn Store) -> Result<bool, StoreError> {
        match store.keep_alive(self.lease).await {
            Ok(()) => Ok(true),
            Err(StoreError::LeaseNotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the role up, so that another need not wait for the lease to end.
    pub async fn resign(self, store: &dyn Store) -> Result<(), StoreError> {
        match store.revoke_lease(self.lease).await {
            Ok(()) | Err(StoreError::LeaseNotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
