//! Reads: one key, one page, one window of revisions. Each is one snapshot of the file.

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::file::Failed;
use crate::store::{Entry, LeaseId, Listing, MAX_KEY_BYTES, MAX_PAGE_BYTES, Page, Revision, StoreError};

/// A row of `entry`: key, revision, created, puts, lease, value.
pub(super) type Row = (String, i64, i64, i64, Option<i64>, Option<Vec<u8>>);

/// Where the store is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
}

pub(super) async fn position(connection: &mut SqliteConnection) -> Result<Position, sqlx::Error> {
    let (revision, compacted) = sqlx::query_as::<_, (i64, i64)>("SELECT revision, compacted FROM store")
        .fetch_one(connection)
        .await?;
    Ok(Position { revision: from_column(revision), compacted: from_column(compacted) })
}

/// The newest version of a key, which may be its deletion.
pub(super) async fn newest(
    connection: &mut SqliteConnection,
    key: &str,
    at: Revision,
) -> Result<Option<Entry>, sqlx::Error> {
    let row = sqlx::query_as::<_, Row>(
        "SELECT key, revision, created, puts, lease, value FROM entry WHERE key = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1",
    );
    Ok(row.bind(key).bind(to_column(at)).fetch_optional(connection).await?.and_then(entry_of))
}

pub(super) async fn get(
    readers: &SqlitePool,
    key: &str,
    at: Option<Revision>,
) -> Result<Option<Entry>, Failed> {
    let mut snapshot = readers.begin().await?;
    let at = readable(&mut snapshot, at).await?;
    Ok(newest(&mut snapshot, key, at).await?)
}

pub(super) async fn list(
    readers: &SqlitePool,
    prefix: &str,
    page: &Page,
    at: Option<Revision>,
) -> Result<Listing, Failed> {
    let mut snapshot = readers.begin().await?;
    let revision = readable(&mut snapshot, at).await?;
    let start = match &page.after {
        // The first text behind a key is that key with a zero byte appended.
        Some(after) if after.as_str() >= prefix => format!("{after}\0"),
        _ => prefix.to_owned(),
    };
    let limit = page.capped_limit();
    let mut rows = sqlx::query_as::<_, Row>(
        "SELECT key, revision, created, puts, lease, value FROM entry AS found
         WHERE key >= ?1 AND key <= ?2 AND revision <= ?3 AND value IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM entry AS newer
                           WHERE newer.key = found.key AND newer.revision > found.revision AND newer.revision <= ?3)
         ORDER BY key LIMIT ?4",
    )
    .bind(start)
    .bind(last_below(prefix))
    .bind(to_column(revision))
    .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
    .fetch(&mut *snapshot);
    let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
    while let Some(entry) = rows.try_next().await?.and_then(entry_of) {
        if entries.len() == limit || bytes >= MAX_PAGE_BYTES {
            next = entries.last().map(|last: &Entry| last.key.clone());
            break;
        }
        bytes += entry.value.len();
        entries.push(entry);
    }
    Ok(Listing { entries, revision, next })
}

/// The revision to read at, if it can still, or already, be read.
async fn readable(
    snapshot: &mut Transaction<'static, Sqlite>,
    at: Option<Revision>,
) -> Result<Revision, Failed> {
    let position = position(snapshot).await?;
    match at {
        None => Ok(position.revision),
        Some(requested) if requested < position.compacted => Err(StoreError::Compacted { requested }.into()),
        Some(requested) if requested > position.revision => {
            Err(StoreError::FutureRevision { requested }.into())
        }
        Some(requested) => Ok(requested),
    }
}

/// The entry of a row; `None` for a deletion.
pub(super) fn entry_of((key, revision, created, puts, lease, value): Row) -> Option<Entry> {
    Some(Entry {
        key,
        value: Bytes::from(value?),
        created: from_column(created),
        modified: from_column(revision),
        puts: from_column(puts),
        lease: lease.map(LeaseId),
    })
}

/// The greatest text below a prefix that a key may be: SQLite compares bytes, as we do.
pub(super) fn last_below(prefix: &str) -> String {
    let mut last = prefix.to_owned();
    while last.len() <= MAX_KEY_BYTES {
        last.push(char::MAX);
    }
    last
}

/// Columns hold what we put there: numbers that fit both ways.
pub(super) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
