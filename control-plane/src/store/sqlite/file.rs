//! The file itself: claiming it, opening it, knowing it for a store, and saying in plain words why it cannot be used.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use crate::store::StoreError;

/// Marks the file as ours ("FrDr"), so that another program's database is refused instead of written into.
const APPLICATION_ID: i64 = 0x4672_4472;
/// The layout of the tables; another number needs a migration.
const LAYOUT: i64 = 1;
const READERS: u32 = 4;
/// How long to wait for another program that has the file locked, such as a backup.
const BUSY: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(5) };

const TABLES: &str = "
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    last_lease INTEGER NOT NULL
) STRICT;
INSERT INTO store (id, revision, compacted, last_lease) VALUES (1, 0, 0, 0);
-- Every kept version of every key; a deletion is a version without a value.
CREATE TABLE entry (
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    puts INTEGER NOT NULL,
    lease INTEGER,
    value BLOB,
    PRIMARY KEY (key, revision)
) STRICT;
CREATE INDEX entry_by_revision ON entry (revision, key);
CREATE INDEX entry_by_lease ON entry (lease) WHERE lease IS NOT NULL;
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL) STRICT;
CREATE INDEX lease_by_end ON lease (ends_ms);
";

/// A failed query or an answer already in the store's own words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Query(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failed {
    /// The store's error, naming the file and the way out.
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Query(error) => explain(path, error),
            Self::Store(error) => error,
        }
    }
}

/// Claims the file for this process, for as long as the returned lock lives. The kernel frees it when the process dies.
pub(super) fn claim(path: &Path) -> Result<File, StoreError> {
    let shown = path.display();
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| {
            let message = format!(
                "cannot make directory `{}` for the store; make it writable or choose another place",
                directory.display()
            );
            StoreError::refused(message, error)
        })?;
    }
    if path.is_dir() {
        let message = format!(
            "`{shown}` is a directory; name a file in it, such as `{}`",
            path.join("store.db").display()
        );
        return Err(StoreError::Refused { message, source: None });
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&name).map_err(|error| {
        let message =
            format!("cannot write beside `{shown}`; make its directory writable or choose another place");
        StoreError::refused(message, error)
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let message =
                format!("`{shown}` is in use by another control plane; stop that one or name another file");
            Err(StoreError::Refused { message, source: None })
        }
        Err(TryLockError::Error(error)) => {
            let message = format!("cannot lock `{shown}`; its file system must support locks");
            Err(StoreError::refused(message, error))
        }
    }
}

/// Opens the one connection that writes, makes the tables in a new file, and checks an old one.
pub(super) async fn open_writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let open = async {
        let mut connection = options(path).create_if_missing(true).connect().await?;
        prepare(path, &mut connection).await?;
        Ok(connection)
    };
    open.await.map_err(|error: Failed| error.at(path))
}

/// Opens the connections that only read.
pub(super) async fn open_readers(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path).create_if_missing(false).pragma("query_only", "ON");
    let pool = SqlitePoolOptions::new().max_connections(READERS).idle_timeout(None).max_lifetime(None);
    pool.connect_with(options).await.map_err(|error| explain(path, error))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

async fn prepare(path: &Path, connection: &mut SqliteConnection) -> Result<(), Failed> {
    let refused = |message: String| Failed::Store(StoreError::Refused { message, source: None });
    let shown = path.display();
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let layout: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    if tables == 0 {
        return make_tables(connection).await;
    }
    if application != APPLICATION_ID {
        return Err(refused(format!("`{shown}` is the database of another program; name another file")));
    }
    if layout != LAYOUT {
        return Err(refused(format!(
            "`{shown}` has layout {layout}, and this release reads layout {LAYOUT}; use the release that wrote it"
        )));
    }
    let check: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if check == "ok" { Ok(()) } else { Err(refused(damaged(path, &check))) }
}

async fn make_tables(connection: &mut SqliteConnection) -> Result<(), Failed> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT}"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

fn damaged(path: &Path, how: &str) -> String {
    format!(
        "`{}` is damaged ({how}); restore it from a backup, or move it away to begin with an empty store",
        path.display()
    )
}

/// SQLite's primary result codes that an operator can do something about.
pub(super) fn explain(path: &Path, error: sqlx::Error) -> StoreError {
    let shown = path.display();
    let code =
        error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok()).map(|code| code & 0xff);
    match code {
        Some(5 | 6) => StoreError::unavailable(
            format!("`{shown}` is locked by another program; close whatever has it open"),
            error,
        ),
        Some(13) => StoreError::unavailable(format!("the disk of `{shown}` is full; free some space"), error),
        Some(8) => {
            StoreError::refused(format!("`{shown}` is read-only; make it and its directory writable"), error)
        }
        Some(14) => StoreError::refused(
            format!("cannot open `{shown}`; make it and its directory readable and writable"),
            error,
        ),
        Some(11) => StoreError::refused(damaged(path, "its pages contradict each other"), error),
        Some(26) => StoreError::refused(
            format!(
                "`{shown}` is not a SQLite database, or a damaged one; name another file, or restore it from a backup"
            ),
            error,
        ),
        Some(_) | None => StoreError::unavailable(format!("`{shown}` cannot be used just now"), error),
    }
}
