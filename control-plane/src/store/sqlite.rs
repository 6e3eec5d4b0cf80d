//! The store in one SQLite file: the embedded default. One writer, several readers, write-ahead log, every commit
//! synced to disk before it is acknowledged. Only one process may have the file; a lock file beside it sees to that.
//!
//! All versions of all keys live in one table, so reads in the past, lists at one revision and watches are queries;
//! what is older than [`KEPT_REVISIONS`] is deleted along the way.

mod file;
mod read;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Clock, TaskKind, Tasks};
use sqlx::SqlitePool;
use tokio::sync::{oneshot, watch as signal};

use super::{
    Entry, LeaseId, Listing, Page, Pending, Revision, Store, StoreError, Txn, TxnOutcome, Watch, check_key,
    check_ttl,
};
use write::Writer;

/// How many revisions of history are kept for reads in the past and for watches that resume.
const KEPT_REVISIONS: u64 = 10_000;

/// The store in one file.
#[derive(Debug)]
pub struct SqliteStore {
    path: Arc<Path>,
    readers: SqlitePool,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// Ticks when there may be something new. Its end, with the store's, closes the watches.
    written: Arc<signal::Sender<()>>,
    clock: Clock,
    tasks: Tasks,
}

impl SqliteStore {
    /// Opens the file, making it and its directory when they are not there, and refuses what is not a store.
    pub async fn open(path: PathBuf, clock: Clock, tasks: &Tasks) -> Result<Self, StoreError> {
        Self::open_keeping(KEPT_REVISIONS, path, clock, tasks).await
    }

    async fn open_keeping(kept: u64, path: PathBuf, clock: Clock, tasks: &Tasks) -> Result<Self, StoreError> {
        let path: Arc<Path> = path.into();
        let lock = file::claim(&path)?;
        let connection = file::open_writer(&path).await?;
        let readers = file::open_readers(&path).await?;
        Ok(Self {
            writer: Arc::new(tokio::sync::Mutex::new(Writer::new(Arc::clone(&path), connection, lock, kept))),
            path,
            readers,
            written: Arc::new(signal::Sender::new(())),
            clock,
            tasks: tasks.clone(),
        })
    }

    /// Ends the leases whose time has passed and deletes their keys.
    pub async fn expire_leases(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.unix_ms();
        self.write(move |writer| Box::pin(writer.expire_leases(now_ms))).await
    }

    /// Forgets history up to `revision`: older reads and watches are refused from now on.
    pub async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.write(move |writer| Box::pin(writer.compact(revision))).await
    }

    /// Runs one write to its end even if the caller goes away in the middle: a commit that nobody tells the watches of
    /// would be seen late.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'w> FnOnce(&'w mut Writer) -> Pending<'w, Result<T, StoreError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (writer, written) = (Arc::clone(&self.writer), Arc::clone(&self.written));
        self.tasks.spawn("sqlite-write", TaskKind::Background, async move {
            let outcome = work(&mut *writer.lock().await).await;
            written.send_replace(());
            // The caller may have gone away; what was written counts all the same.
            let _ = answer.send(outcome);
        });
        answered.await.unwrap_or_else(|_stopped| Err(self.closing()))
    }

    fn closing(&self) -> StoreError {
        StoreError::Unavailable { message: format!("`{}` is closing", self.path.display()), source: None }
    }
}

impl Store for SqliteStore {
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            read::get(&self.readers, key, at).await.map_err(|error| error.at(&self.path))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            read::list(&self.readers, prefix, &page, at).await.map_err(|error| error.at(&self.path))
        })
    }

    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            txn.check()?;
            self.write(move |writer| Box::pin(writer.txn(txn))).await
        })
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        let source = watch::SqliteWatch::new(
            Arc::clone(&self.path),
            self.readers.clone(),
            self.written.subscribe(),
            prefix,
            from,
        );
        Watch::new(Box::new(source))
    }

    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>> {
        Box::pin(async move {
            check_ttl(ttl)?;
            let now_ms = self.clock.unix_ms();
            self.write(move |writer| Box::pin(writer.grant_lease(ttl, now_ms))).await
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        let now_ms = self.clock.unix_ms();
        Box::pin(self.write(move |writer| Box::pin(writer.keep_alive(lease, now_ms))))
    }

    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |writer| Box::pin(writer.revoke_lease(lease))))
    }
}
