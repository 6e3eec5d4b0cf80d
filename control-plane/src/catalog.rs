//! The policy as this control plane sees it: an immutable snapshot of the newest version, kept current by following the
//! store's head. It must not know who reads it or what a resource means.
//!
//! Reasons for the shape:
//! - Only bodies that the snapshot before lacks are read; everything is addressed by its digest, so nothing can be stale.
//! - A watch is trusted for speed alone. Any doubt (resync, a failed load, the end of the watch) leads to a consistent
//!   reading, and a linearizable look at the head every [`CHECK_EVERY`] bounds what an unknown fault can cost.
//! - What cannot be loaded never replaces what was: the last good snapshot stays, and the reason is logged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::watch;

use lifecycle::{Clock, TaskKind, Tasks};
use policy::{Change, Resource, ResourceId};

use crate::history::{self, Head, HistoryError, Manifest, ManifestEntry};
use crate::store::{Event, Revision, Store, StoreError, Watch, WatchEvent, keys, list_all};

/// How often the head is read from the store, whatever the watch says.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Rest after a failed reading.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How many bodies are read at the same time.
const READ_AT_ONCE: usize = 32;
/// How many older versions are kept for readers of the past.
const KEEP_OLDER: usize = 4;

/// One version of the policy. Invariant: `catalog` holds exactly what `manifest` lists.
#[derive(Debug)]
pub struct Snapshot {
    /// Our own counter, strictly increasing.
    pub version: u64,
    /// The commit that made the version.
    pub commit_id: String,
    /// SHA-256 of the manifest, hex.
    pub manifest_digest: String,
    /// All resources.
    pub catalog: policy::Catalog,
    /// What the next commit is compared with.
    pub head: Head,
    /// All resources' digests, sorted by kind and name.
    pub manifest: Manifest,
}

impl Snapshot {
    /// The digest of a resource's canonical JSON, hex; `None` when there is no such resource.
    #[must_use]
    pub fn digest_of(&self, id: &ResourceId) -> Option<&str> {
        entry_of(&self.manifest, &id.kind.to_string(), id.name.as_str()).map(|entry| entry.sha256.as_str())
    }

    /// A version whose content is known.
    pub(crate) fn new(head: Head, catalog: policy::Catalog, manifest: Manifest) -> Self {
        Self {
            version: head.version,
            commit_id: head.commit_id.clone(),
            manifest_digest: head.manifest_digest.clone(),
            catalog,
            head,
            manifest,
        }
    }
}

/// Why a version could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store or the history in it failed.
    #[error("cannot read the policy from the store")]
    History(#[from] HistoryError),
    /// A stored body is not a resource this release understands.
    #[error(
        "stored {resource} is not understood by this release, which may be older than the one that wrote it: {reason}"
    )]
    NotUnderstood {
        /// Kind and name.
        resource: String,
        /// The first diagnostic.
        reason: String,
    },
    /// There is no such version.
    #[error("version {0} does not exist")]
    NoSuchVersion(u64),
    /// The thread that parses was lost.
    #[error("reading stored resources was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        Self::History(HistoryError::Store(error))
    }
}

/// The local snapshot has not reached a version within the time given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this control plane has not read version {wanted} yet; it has version {newest}")]
pub struct Behind {
    /// What was waited for.
    pub wanted: u64,
    /// What there is.
    pub newest: u64,
}

/// The snapshot, followed. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Follower {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    newest: watch::Sender<Arc<Snapshot>>,
    /// Held while a head is read and its version loaded, so that versions are published in the order they were read.
    loading: tokio::sync::Mutex<()>,
    older: Mutex<VecDeque<Arc<Snapshot>>>,
}

/// Reads the newest version and follows the head from then on.
pub async fn start(store: Arc<dyn Store>, tasks: &Tasks, _clock: Clock) -> Result<Follower, CatalogError> {
    let none = Head {
        version: 0,
        commit_id: String::new(),
        manifest_digest: String::new(),
        history_tip: String::new(),
    };
    let inner = Arc::new(Inner {
        store,
        newest: watch::Sender::new(Arc::new(Snapshot::new(
            none,
            policy::Catalog::new(),
            Manifest::default(),
        ))),
        loading: tokio::sync::Mutex::default(),
        older: Mutex::default(),
    });
    let revision = inner.catch_up().await?;
    let (follower, stopping) = (Arc::clone(&inner), tasks.stopping());
    tasks.spawn("catalog", TaskKind::Critical, async move {
        tokio::select! {
            () = stopping => {}
            () = follower.follow(revision) => {}
        }
    });
    Ok(Follower { inner })
}

impl Follower {
    /// The newest snapshot read so far.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.newest.borrow())
    }

    /// Tells of every new snapshot; a slow reader skips versions.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.newest.subscribe()
    }

    /// Waits until this version or a later one is the newest.
    pub async fn reach(&self, version: u64, within: Duration) -> Result<Arc<Snapshot>, Behind> {
        let mut newest = self.subscribe();
        let reached =
            tokio::time::timeout(within, newest.wait_for(|snapshot| snapshot.version >= version)).await;
        match reached {
            Ok(Ok(snapshot)) => Ok(Arc::clone(&snapshot)),
            Ok(Err(_)) | Err(_) => Err(Behind { wanted: version, newest: self.newest().version }),
        }
    }

    /// Looks at the store's head now instead of waiting for the watch, and returns what is the newest then.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, CatalogError> {
        self.inner.look().await?;
        Ok(self.newest())
    }

    /// Takes over a version that was just committed here; the caller knows its content, so it is not read back.
    pub(crate) async fn take_over(&self, committed: Snapshot) {
        let _loading = self.inner.loading.lock().await;
        if committed.version > self.inner.newest.borrow().version {
            self.inner.newest.send_replace(Arc::new(committed));
        }
    }

    /// Any version, also an older one.
    pub async fn at(&self, version: u64) -> Result<Arc<Snapshot>, CatalogError> {
        let newest = self.newest();
        if version == newest.version {
            return Ok(newest);
        }
        let kept = self.inner.older.lock().iter().find(|snapshot| snapshot.version == version).cloned();
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let head = self.inner.head_at(version).await?;
        let snapshot = Arc::new(self.inner.load(head, &newest).await?);
        let mut older = self.inner.older.lock();
        older.push_front(Arc::clone(&snapshot));
        older.truncate(KEEP_OLDER);
        Ok(snapshot)
    }
}

impl Inner {
    /// Keeps the snapshot current for ever. `revision` is the last one that was read.
    async fn follow(&self, mut revision: Revision) {
        loop {
            let mut watch = self.store.watch(keys::HEAD, revision.saturating_add(1));
            self.until_doubt(&mut watch).await;
            revision = loop {
                match self.catch_up().await {
                    Ok(revision) => break revision,
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            policy.version = self.newest.borrow().version,
                            "cannot read the policy; going on with the last good version"
                        );
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
            };
        }
    }

    /// Takes over what the watch brings, until it ends or something does not fit.
    async fn until_doubt(&self, watch: &mut Watch) {
        loop {
            let looked = tokio::select! {
                event = watch.next() => match event {
                    WatchEvent::Batch { events, .. } => self.take(events).await,
                    WatchEvent::Resync { reason } => {
                        tracing::warn!(%reason, "the watch of the head ended; reading everything again");
                        return;
                    }
                    WatchEvent::Closed => {
                        tokio::time::sleep(RETRY_AFTER).await;
                        return;
                    }
                },
                () = tokio::time::sleep(CHECK_EVERY) => self.look().await.map(|found| if found {
                    tracing::warn!("the watch of the head had missed a version");
                }),
            };
            if let Err(error) = looked {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot follow the head; reading again"
                );
                return;
            }
        }
    }

    async fn take(&self, events: Vec<Event>) -> Result<(), CatalogError> {
        for event in events {
            match event {
                Event::Put(entry) if entry.key == keys::HEAD => {
                    let head = history::parse_head(&entry.value)?;
                    let _loading = self.loading.lock().await;
                    // A look at the head may have been faster than the watch; only a look may lead back.
                    if head.version > self.newest.borrow().version {
                        self.adopt(head).await?;
                    }
                }
                Event::Deleted { key } if key == keys::HEAD => {
                    return Err(HistoryError::NotInitialised.into());
                }
                Event::Put(_) | Event::Deleted { .. } => {}
            }
        }
        Ok(())
    }

    /// Reads the head from the store. True when it was not the one we had.
    async fn look(&self) -> Result<bool, CatalogError> {
        let _loading = self.loading.lock().await;
        let head = history::read_head(self.store.as_ref()).await?;
        let is_news = head != self.newest.borrow().head;
        self.adopt(head).await?;
        Ok(is_news)
    }

    /// Reads the head with the revision a watch can go on from.
    async fn catch_up(&self) -> Result<Revision, CatalogError> {
        let _loading = self.loading.lock().await;
        let listing = list_all(self.store.as_ref(), keys::HEAD).await?;
        let entry = listing.entries.iter().find(|entry| entry.key == keys::HEAD);
        let entry = entry.ok_or(HistoryError::NotInitialised)?;
        self.adopt(history::parse_head(&entry.value)?).await?;
        Ok(listing.revision)
    }

    /// Makes the version of this head the newest. The caller holds `loading`.
    async fn adopt(&self, head: Head) -> Result<(), CatalogError> {
        let current = Arc::clone(&self.newest.borrow());
        if current.head == head {
            return Ok(());
        }
        if head.version < current.version {
            // The store is the truth, so it is followed; proxies refuse to go back on their own.
            tracing::error!(
                from = current.version,
                to = head.version,
                "the store went back to an older version: was a backup restored?"
            );
        }
        let snapshot = self.load(head, &current).await?;
        tracing::debug!(policy.version = snapshot.version, "read a new version");
        self.newest.send_replace(Arc::new(snapshot));
        Ok(())
    }

    /// The head as it was when `version` was the newest.
    async fn head_at(&self, version: u64) -> Result<Head, CatalogError> {
        if version == 0 {
            let manifest_digest = Manifest::default().digest();
            return Ok(Head {
                version,
                commit_id: String::new(),
                manifest_digest,
                history_tip: String::new(),
            });
        }
        let commit = history::read_commit(self.store.as_ref(), version).await?;
        let commit = commit.ok_or(CatalogError::NoSuchVersion(version))?;
        Ok(Head {
            version,
            commit_id: commit.commit_id,
            manifest_digest: commit.manifest_digest,
            history_tip: commit.hash,
        })
    }

    /// Loads a version, reading only what `known` does not have.
    async fn load(&self, head: Head, known: &Snapshot) -> Result<Snapshot, CatalogError> {
        let manifest = if head.manifest_digest == known.manifest_digest {
            known.manifest.clone()
        } else {
            history::manifest(self.store.as_ref(), &head.manifest_digest).await?
        };
        let mut changes = Vec::new();
        for entry in &known.manifest.entries {
            if entry_of(&manifest, &entry.kind, &entry.name).is_none() {
                changes.push(Change::Delete(id_of(entry)?));
            }
        }
        let mut missing = Vec::new();
        for entry in &manifest.entries {
            let before = entry_of(&known.manifest, &entry.kind, &entry.name);
            if before.is_none_or(|before| before.sha256 != entry.sha256) {
                missing.push(entry.clone());
            }
        }
        changes.extend(self.read(missing).await?.into_iter().map(Change::Put));
        let catalog = known.catalog.with(&changes);
        Ok(Snapshot::new(head, catalog, manifest))
    }

    /// Reads and parses bodies. The digests are checked on reading, the names here.
    async fn read(&self, entries: Vec<ManifestEntry>) -> Result<Vec<Arc<Resource>>, CatalogError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let reads = entries.into_iter().map(|entry| async move {
            let body = history::blob(self.store.as_ref(), &entry.sha256).await?;
            Ok::<_, HistoryError>((entry, body))
        });
        let bodies: Vec<_> = stream::iter(reads).buffer_unordered(READ_AT_ONCE).try_collect().await?;
        let parse = move || bodies.iter().map(|(entry, body)| understand(entry, body)).collect();
        tokio::task::spawn_blocking(parse).await.map_err(CatalogError::Interrupted)?
    }
}

fn understand(entry: &ManifestEntry, body: &[u8]) -> Result<Arc<Resource>, CatalogError> {
    let not_understood = |reason: String| CatalogError::NotUnderstood {
        resource: format!("{}/{}", entry.kind, entry.name),
        reason,
    };
    let resource = policy::parse_resource(body).map_err(|diagnostics| {
        not_understood(diagnostics.into_iter().next().map_or_else(String::new, |first| first.message))
    })?;
    if resource.kind().to_string() == entry.kind && resource.name.as_str() == entry.name {
        Ok(Arc::new(resource))
    } else {
        Err(not_understood(format!("its body is that of {}", resource.id())))
    }
}

fn id_of(entry: &ManifestEntry) -> Result<ResourceId, CatalogError> {
    let damaged = |reason: String| {
        let what = format!("manifest entry {}/{}", entry.kind, entry.name);
        CatalogError::History(HistoryError::Damaged { what, reason })
    };
    let kind = entry.kind.parse().map_err(&damaged)?;
    let name = entry.name.parse().map_err(damaged)?;
    Ok(ResourceId { kind, name })
}

/// Finds a resource in a sorted manifest.
fn entry_of<'a>(manifest: &'a Manifest, kind: &str, name: &str) -> Option<&'a ManifestEntry> {
    let found = manifest
        .entries
        .binary_search_by(|entry| (entry.kind.as_str(), entry.name.as_str()).cmp(&(kind, name)));
    found.ok().and_then(|index| manifest.entries.get(index))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
