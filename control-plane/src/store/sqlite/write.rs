//! The one writer. Every method is one SQLite transaction, rolled back when it is dropped before its end.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use super::file::{Failed, explain};
use super::read::{from_column, newest, position, to_column};
use crate::store::{LeaseId, Put, Revision, StoreError, Txn, TxnOutcome};

const BEGIN: &str = "BEGIN IMMEDIATE";

/// The connection that writes, and the claim on the file.
#[derive(Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    connection: SqliteConnection,
    /// How many revisions of history to keep.
    kept: u64,
    _claim: File,
}

impl Writer {
    pub(super) fn new(path: Arc<Path>, connection: SqliteConnection, claim: File, kept: u64) -> Self {
        Self { path, connection, kept, _claim: claim }
    }

    /// Closes the connection, which writes the log back to the file.
    #[cfg(test)]
    pub(super) async fn close(self) {
        self.connection.close().await.expect("closed");
    }

    pub(super) async fn txn(&mut self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let outcome = apply(&mut self.connection, txn).await.map_err(|error| error.at(&self.path))?;
        if let TxnOutcome::Committed { revision } = outcome {
            self.compact_when_due(revision).await;
        }
        Ok(outcome)
    }

    /// History is deleted a tenth at a time: small bites keep the writer free. A failed compaction costs disk and nothing else; the next commit tries again.
    async fn compact_when_due(&mut self, revision: Revision) {
        let due = async {
            let compacted = position(&mut self.connection).await?.compacted;
            Ok::<_, sqlx::Error>(revision.saturating_sub(compacted) >= self.kept + self.kept / 10)
        };
        let compacted = match due.await {
            Ok(false) => Ok(()),
            Ok(true) => self.compact(revision.saturating_sub(self.kept)).await,
            Err(error) => Err(explain(&self.path, error)),
        };
        if let Err(error) = compacted {
            tracing::warn!(error = &error as &dyn std::error::Error, "old revisions could not be deleted");
        }
    }

    pub(super) async fn compact(&mut self, up_to: Revision) -> Result<(), StoreError> {
        compact(&mut self.connection, up_to).await.map_err(|error| explain(&self.path, error))
    }

    pub(super) async fn grant_lease(&mut self, ttl: Duration, now_ms: u64) -> Result<LeaseId, StoreError> {
        grant(&mut self.connection, ttl, now_ms).await.map_err(|error| explain(&self.path, error))
    }

    pub(super) async fn keep_alive(&mut self, lease: LeaseId, now_ms: u64) -> Result<(), StoreError> {
        let kept = sqlx::query("UPDATE lease SET ends_ms = ?2 + ttl_ms WHERE id = ?1 AND ends_ms > ?2")
            .bind(lease.0)
            .bind(to_column(now_ms))
            .execute(&mut self.connection)
            .await
            .map_err(|error| explain(&self.path, error))?;
        if kept.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseNotFound(lease)) }
    }

    pub(super) async fn revoke_lease(&mut self, lease: LeaseId) -> Result<(), StoreError> {
        match end_leases(&mut self.connection, &[lease.0]).await {
            Ok(1) => Ok(()),
            Ok(_) => Err(StoreError::LeaseNotFound(lease)),
            Err(error) => Err(explain(&self.path, error)),
        }
    }

    pub(super) async fn expire_leases(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let expire = async {
            let ended: Vec<i64> =
                sqlx::query_scalar("SELECT id FROM lease WHERE ends_ms <= ?1 ORDER BY ends_ms, id")
                    .bind(to_column(now_ms))
                    .fetch_all(&mut self.connection)
                    .await?;
            end_leases(&mut self.connection, &ended).await
        };
        expire.await.map(|_count| ()).map_err(|error| explain(&self.path, error))
    }
}

async fn apply(connection: &mut SqliteConnection, txn: Txn) -> Result<TxnOutcome, Failed> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let before = position(&mut transaction).await?.revision;
    for compare in &txn.compares {
        if !compare.holds(newest(&mut transaction, compare.key(), before).await?.as_ref()) {
            transaction.rollback().await?;
            return Ok(TxnOutcome::Conflict);
        }
    }
    let revision = before + 1;
    let mut changed = 0;
    for put in &txn.puts {
        check_lease(&mut transaction, put.lease).await?;
        changed += insert(&mut transaction, put, revision).await?;
    }
    for key in &txn.deletes {
        changed += delete(&mut transaction, key, revision).await?;
    }
    if changed == 0 {
        transaction.rollback().await?;
        return Ok(TxnOutcome::Committed { revision: before });
    }
    advance(&mut transaction, revision).await?;
    match transaction.commit().await {
        Ok(()) => Ok(TxnOutcome::Committed { revision }),
        Err(error) => {
            // The log may or may not have reached the disk.
            tracing::warn!(error = &error as &dyn std::error::Error, "a commit's outcome is unknown");
            Ok(TxnOutcome::Unknown { commit_id: txn.commit_id })
        }
    }
}

async fn check_lease(connection: &mut SqliteConnection, lease: Option<LeaseId>) -> Result<(), Failed> {
    let Some(lease) = lease else { return Ok(()) };
    let found: Option<i64> = sqlx::query_scalar("SELECT id FROM lease WHERE id = ?1")
        .bind(lease.0)
        .fetch_optional(connection)
        .await?;
    if found.is_some() { Ok(()) } else { Err(StoreError::LeaseNotFound(lease).into()) }
}

async fn insert(
    connection: &mut SqliteConnection,
    put: &Put,
    revision: Revision,
) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query(
        "WITH newest AS (SELECT created, puts, value FROM entry WHERE key = ?1 ORDER BY revision DESC LIMIT 1),
              living AS (SELECT created, puts FROM newest WHERE value IS NOT NULL)
         INSERT INTO entry (key, revision, created, puts, lease, value)
         VALUES (?1, ?2, coalesce((SELECT created FROM living), ?2), coalesce((SELECT puts FROM living), 0) + 1, ?3, ?4)",
    );
    let lease = put.lease.map(|lease| lease.0);
    inserted
        .bind(&put.key)
        .bind(to_column(revision))
        .bind(lease)
        .bind(&*put.value)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

async fn delete(
    connection: &mut SqliteConnection,
    key: &str,
    revision: Revision,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "INSERT INTO entry (key, revision, created, puts, lease, value)
         SELECT key, ?2, created, 0, NULL, NULL
         FROM (SELECT key, created, value FROM entry WHERE key = ?1 ORDER BY revision DESC LIMIT 1)
         WHERE value IS NOT NULL",
    );
    deleted.bind(key).bind(to_column(revision)).execute(connection).await.map(|done| done.rows_affected())
}

async fn advance(connection: &mut SqliteConnection, revision: Revision) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE store SET revision = ?1")
        .bind(to_column(revision))
        .execute(connection)
        .await
        .map(|_done| ())
}

async fn compact(connection: &mut SqliteConnection, up_to: Revision) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let up_to = to_column(up_to.min(position(&mut transaction).await?.revision));
    sqlx::query(
        "DELETE FROM entry AS old
         WHERE revision <= ?1
           AND (value IS NULL
                OR EXISTS (SELECT 1 FROM entry AS newer
                           WHERE newer.key = old.key AND newer.revision > old.revision AND newer.revision <= ?1))",
    )
    .bind(up_to)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE store SET compacted = max(compacted, ?1)")
        .bind(up_to)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn grant(
    connection: &mut SqliteConnection,
    ttl: Duration,
    now_ms: u64,
) -> Result<LeaseId, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let id: i64 = sqlx::query_scalar("UPDATE store SET last_lease = last_lease + 1 RETURNING last_lease")
        .fetch_one(&mut *transaction)
        .await?;
    let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("INSERT INTO lease (id, ttl_ms, ends_ms) VALUES (?1, ?2, ?3 + ?2)")
        .bind(id)
        .bind(ttl_ms)
        .bind(to_column(now_ms))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(LeaseId(id))
}

/// Ends those of the leases that are there, each at a revision of its own if it had keys; says how many there were.
async fn end_leases(connection: &mut SqliteConnection, leases: &[i64]) -> Result<u64, sqlx::Error> {
    if leases.is_empty() {
        return Ok(0);
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    let before = position(&mut transaction).await?.revision;
    let (mut revision, mut ended) = (before, 0);
    for lease in leases {
        let keys: Vec<String> = sqlx::query_scalar(
            "SELECT key FROM entry AS found
             WHERE lease = ?1 AND value IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM entry AS newer WHERE newer.key = found.key AND newer.revision > found.revision)",
        )
        .bind(lease)
        .fetch_all(&mut *transaction)
        .await?;
        for key in &keys {
            delete(&mut transaction, key, revision + 1).await?;
        }
        revision += u64::from(!keys.is_empty());
        ended += sqlx::query("DELETE FROM lease WHERE id = ?1")
            .bind(lease)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
    }
    advance(&mut transaction, revision).await?;
    transaction.commit().await?;
    Ok(from_column(i64::try_from(ended).unwrap_or(i64::MAX)))
}
