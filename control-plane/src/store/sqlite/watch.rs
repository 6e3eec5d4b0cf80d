//! Watches: each reads the table window by window, in revision order, and sleeps until something was written.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::watch as signal;

use super::file::Failed;
use super::read::{Row, entry_of, from_column, last_below, position, to_column};
use crate::store::{Event, Pending, ResyncReason, Revision, WatchEvent, WatchSource};

/// How many revisions are read at once: at most this many transactions' bytes are held.
const WINDOW: u64 = 32;
/// How long to wait after a failed read.
const RETRY: Duration = Duration::from_millis(250);

/// One watch. Invariant: `ready` holds revisions below `next` only, in order.
#[derive(Debug)]
pub(super) struct SqliteWatch {
    path: Arc<Path>,
    readers: SqlitePool,
    written: signal::Receiver<()>,
    prefix: String,
    next: Revision,
    ready: VecDeque<(Revision, Vec<Event>)>,
}

/// What one window held.
enum Window {
    Read(VecDeque<(Revision, Vec<Event>)>, Revision),
    UpToDate,
    Resync(ResyncReason),
}

impl SqliteWatch {
    pub(super) fn new(
        path: Arc<Path>,
        readers: SqlitePool,
        written: signal::Receiver<()>,
        prefix: &str,
        from: Revision,
    ) -> Self {
        Self { path, readers, written, prefix: prefix.to_owned(), next: from.max(1), ready: VecDeque::new() }
    }

    async fn read_window(&self) -> Result<Window, Failed> {
        let mut snapshot = self.readers.begin().await?;
        let position = position(&mut snapshot).await?;
        if self.next <= position.compacted {
            return Ok(Window::Resync(ResyncReason::Compacted {
                asked: self.next,
                compacted: position.compacted,
            }));
        }
        if self.next > position.revision {
            return Ok(Window::UpToDate);
        }
        let last = position.revision.min(self.next + WINDOW - 1);
        let rows = sqlx::query_as::<_, Row>(
            "SELECT key, revision, created, puts, lease, value FROM entry
             WHERE revision BETWEEN ?1 AND ?2 AND key >= ?3 AND key <= ?4 ORDER BY revision, key",
        )
        .bind(to_column(self.next))
        .bind(to_column(last))
        .bind(&self.prefix)
        .bind(last_below(&self.prefix))
        .fetch_all(&mut *snapshot)
        .await?;
        Ok(Window::Read(by_revision(rows), last + 1))
    }
}

fn by_revision(rows: Vec<Row>) -> VecDeque<(Revision, Vec<Event>)> {
    let mut batches: VecDeque<(Revision, Vec<Event>)> = VecDeque::new();
    for row in rows {
        let (key, revision) = (row.0.clone(), from_column(row.1));
        let event = entry_of(row).map_or(Event::Deleted { key }, Event::Put);
        match batches.back_mut() {
            Some((last, events)) if *last == revision => events.push(event),
            _ => batches.push_back((revision, vec![event])),
        }
    }
    batches
}

impl WatchSource for SqliteWatch {
    fn next(&mut self) -> Pending<'_, WatchEvent> {
        Box::pin(async move {
            loop {
                if let Some((revision, events)) = self.ready.pop_front() {
                    return WatchEvent::Batch { revision, events };
                }
                self.written.mark_unchanged();
                match self.read_window().await {
                    Ok(Window::Read(batches, next)) => (self.ready, self.next) = (batches, next),
                    Ok(Window::Resync(reason)) => return WatchEvent::Resync { reason },
                    Ok(Window::UpToDate) if self.written.changed().await.is_ok() => {}
                    Ok(Window::UpToDate) => return WatchEvent::Closed,
                    Err(error) => {
                        let error = error.at(&self.path);
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a watch could not read and tries again"
                        );
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        })
    }
}
