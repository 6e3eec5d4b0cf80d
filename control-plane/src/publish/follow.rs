//! Following the catalog: a burst of changes is published once, as its last state.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Clock, TaskKind, Tasks};
use tokio::sync::watch;

use super::Publisher;
use crate::catalog::Snapshot;

/// A burst of commits is over when this long nothing came.
const QUIET: Duration = Duration::from_millis(5);
/// However long a burst lasts, this often its newest version goes out.
const AT_MOST: Duration = Duration::from_millis(100);

/// Starts publishing what the catalog shows, from the version it shows now.
pub fn start(catalog: watch::Receiver<Arc<Snapshot>>, tasks: &Tasks, clock: Clock) -> Publisher {
    let publisher = Publisher::new();
    tasks.spawn("publish", TaskKind::Disposable, follow(catalog, publisher.clone(), clock));
    publisher
}

/// Publishes the newest snapshot after each burst of changes.
async fn follow(mut catalog: watch::Receiver<Arc<Snapshot>>, publisher: Publisher, clock: Clock) {
    loop {
        let snapshot = Arc::clone(&catalog.borrow_and_update());
        let worker = publisher.clone();
        let now_ms = clock.unix_ms();
        // Compiling 20,000 resources takes longer than a task may hold its thread.
        let publishing =
            tokio::task::spawn_blocking(move || worker.publish(snapshot.version, &snapshot.catalog, now_ms));
        if let Err(error) = publishing.await {
            tracing::error!(%error, "publishing a version failed; every group keeps what it has");
        }
        if !burst(&mut catalog).await {
            return;
        }
    }
}

/// Waits for a change and then for the end of its burst; false when the catalog is gone.
async fn burst(catalog: &mut watch::Receiver<Arc<Snapshot>>) -> bool {
    if catalog.changed().await.is_err() {
        return false;
    }
    let latest = tokio::time::sleep(AT_MOST);
    tokio::pin!(latest);
    loop {
        catalog.mark_unchanged();
        tokio::select! {
            biased;
            () = &mut latest => return true,
            changed = catalog.changed() => if changed.is_err() { return true },
            () = tokio::time::sleep(QUIET) => return true,
        }
    }
}
