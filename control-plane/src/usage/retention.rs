//! How long single records are kept. The sums stay; what retention removed still counts as counted.

use std::time::Duration;

use lifecycle::{TaskKind, Tasks};

use super::error::LedgerError;
use super::ledger::{Ledger, Writer};

/// Records removed in one transaction, so that reports never wait long for the pen.
const CHUNK: i64 = 2_000;
const PERIOD: Duration = Duration::from_mins(10);

/// The bounds of the single records; whichever is reached first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Since they were received.
    pub max_age: Duration,
    /// Of the ledger's file in use, sums included.
    pub max_bytes: u64,
}

impl Default for Retention {
    /// Thirty days, two gigabytes (about two million calls).
    fn default() -> Self {
        Self { max_age: Duration::from_hours(30 * 24), max_bytes: 2 << 30 }
    }
}

/// Keeps the ledger within its bounds for as long as the process runs.
pub fn keep_bounded(ledger: Ledger, retention: Retention, tasks: &Tasks) {
    tasks.spawn("usage retention", TaskKind::Disposable, sweep_for_ever(ledger, retention));
}

async fn sweep_for_ever(ledger: Ledger, retention: Retention) {
    loop {
        match ledger.sweep(retention).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed old call records; their sums stay"),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not remove old call records"
                );
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

impl Ledger {
    /// Removes the oldest records until both bounds hold; returns how many went.
    pub async fn sweep(&self, retention: Retention) -> Result<u64, LedgerError> {
        let max_age_ms = u64::try_from(retention.max_age.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = i64::try_from(self.clock().unix_ms().saturating_sub(max_age_ms)).unwrap_or(i64::MAX);
        let mut removed = 0;
        loop {
            let mut writer = self.pen().await;
            let chunk = remove_chunk(&mut writer, oldest_ms, retention.max_bytes).await;
            // Reports may have the pen between two chunks.
            drop(writer);
            match chunk.map_err(|source| self.failed(source))? {
                0 => return Ok(removed),
                count => removed += count,
            }
        }
    }
}

/// The oldest records that are too old, or any when the file is too large.
async fn remove_chunk(writer: &mut Writer, oldest_ms: i64, max_bytes: u64) -> Result<u64, sqlx::Error> {
    writer.begin().await?;
    match try_remove(writer, oldest_ms, max_bytes).await {
        Ok(removed) => {
            writer.commit().await?;
            Ok(removed)
        }
        Err(error) => {
            writer.undo().await;
            Err(error)
        }
    }
}

async fn try_remove(writer: &mut Writer, oldest_ms: i64, max_bytes: u64) -> Result<u64, sqlx::Error> {
    let used: i64 = sqlx::query_scalar(
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(&mut writer.connection)
    .await?;
    let before_ms = if u64::try_from(used).unwrap_or(0) > max_bytes { i64::MAX } else { oldest_ms };
    // A floor makes sure that a record which is sent again after its removal is not counted again.
    sqlx::query(
        "INSERT INTO floors (boot, lane, sequence) \
         SELECT boot, lane, MAX(sequence) FROM (SELECT * FROM records ORDER BY id LIMIT ?) WHERE received_ms < ? \
         GROUP BY boot, lane \
         ON CONFLICT DO UPDATE SET sequence = MAX(sequence, excluded.sequence)",
    )
    .bind(CHUNK)
    .bind(before_ms)
    .execute(&mut writer.connection)
    .await?;
    let done = sqlx::query(
        "DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?) AND received_ms < ?",
    )
    .bind(CHUNK)
    .bind(before_ms)
    .execute(&mut writer.connection)
    .await?;
    Ok(done.rows_affected())
}
