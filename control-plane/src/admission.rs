//! Decides whether a change may become the next version, and makes it so. It must not know HTTP.
//!
//! A change is decided against one snapshot ([`propose()`], pure) and then committed by comparing and moving the one head.
//! When the head has moved, it is decided again from the newer snapshot, so two changes that are valid alone and invalid
//! together can never both commit.

mod idempotency;
mod propose;
mod rollback;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use lifecycle::Clock;
use policy::{Change, Diagnostic, ResourceDiff, ResourceId, Severity};

use crate::catalog::{CatalogError, Follower, Snapshot};
use crate::history::{self, Alongside, CommitOutcome, HistoryError, NewCommit};
use crate::store::{LeaseId, Store};

pub use idempotency::IdempotencyKey;
pub use propose::{Proposed, propose};

/// How often a change is decided again when others keep committing first.
const ATTEMPTS: u32 = 10;

/// What somebody wants.
#[derive(Debug, Clone)]
pub struct Request {
    /// The change itself.
    pub change: Wanted,
    /// What must be true of the version it is applied to.
    pub preconditions: Vec<Precondition>,
    /// Written into the history.
    pub author: String,
    /// Written into the history; made up from the change when absent.
    pub message: Option<String>,
    /// Decide only.
    pub is_dry_run: bool,
    /// Makes repeating the request harmless.
    pub idempotency: Option<IdempotencyKey>,
}

/// The change itself.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Puts and deletes, all or none.
    Apply(Vec<Change>),
    /// The content of an older version.
    Rollback(Arc<Snapshot>),
}

/// A condition on one resource, as `If-Match` and `If-None-Match` state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// It exists.
    Exists(ResourceId),
    /// It does not exist.
    Absent(ResourceId),
    /// It exists with one of these digests (hex).
    Matches(ResourceId, Vec<String>),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The version that has the change; after a dry run the one it was decided against.
    pub version: u64,
    /// The commit that made `version`.
    pub commit_id: String,
    /// Nothing was written, because that was asked for.
    pub dry_run: bool,
    /// A new version was made. False after a dry run, and when the change has no effect.
    pub committed: bool,
    /// The difference to the version before.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub changes: Vec<ResourceDiff>,
    /// What is allowed and yet looks like a mistake.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub warnings: Vec<Diagnostic>,
    /// The groups of proxies whose policy changes.
    pub groups: Vec<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The policy would not hold.
    #[error("the change was refused")]
    Invalid(Vec<Diagnostic>),
    /// A precondition does not hold.
    #[error("{0}")]
    Precondition(String),
    /// The idempotency key was used for something else.
    #[error("this Idempotency-Key was used for another request: use a new key for a new request")]
    KeyReused,
    /// Others kept committing first.
    #[error("the policy kept changing while this change was decided: try again")]
    Contended,
    /// The policy could not be read.
    #[error("the policy could not be read")]
    Catalog(#[from] CatalogError),
    /// The store failed.
    #[error("the change could not be written")]
    History(#[from] HistoryError),
    /// The thread that decides was lost.
    #[error("deciding the change was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// An outcome and whether it is that of an earlier, equal request.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// What became of the change.
    pub outcome: Outcome,
    /// It was answered from the record of an earlier request with the same idempotency key.
    pub is_replay: bool,
}

/// Decides and commits. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Admission {
    store: Arc<dyn Store>,
    catalog: Follower,
    clock: Clock,
    /// One change at a time here; between control planes the head decides.
    turn: Arc<Mutex<()>>,
}

/// How one attempt ended.
enum Attempt {
    Done(Outcome),
    HeadMoved,
}

impl Admission {
    /// Changes are decided against `catalog` and written to `store`, which must be the one it follows.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, catalog: Follower, clock: Clock) -> Self {
        Self { store, catalog, clock, turn: Arc::default() }
    }

    /// Makes the change, or says why not.
    pub async fn admit(&self, request: Request) -> Result<Admitted, Refusal> {
        let _turn = self.turn.lock().await;
        let request = Arc::new(request);
        for _ in 0..ATTEMPTS {
            if let Some(outcome) = self.replay(&request).await? {
                return Ok(Admitted { outcome, is_replay: true });
            }
            // A refusal must hold against what everyone has committed, so the head is read before deciding, not only after.
            let base = self.catalog.refresh().await?;
            match self.attempt(&request, Arc::clone(&base)).await? {
                Attempt::Done(outcome) => return Ok(Admitted { outcome, is_replay: false }),
                Attempt::HeadMoved => {
                    tracing::debug!(policy.version = base.version, "the head moved first; deciding again");
                }
            }
        }
        Err(Refusal::Contended)
    }

    async fn replay(&self, request: &Request) -> Result<Option<Outcome>, Refusal> {
        match &request.idempotency {
            Some(key) if !request.is_dry_run => key.recorded(self.store.as_ref()).await,
            Some(_) | None => Ok(None),
        }
    }

    async fn attempt(&self, request: &Arc<Request>, base: Arc<Snapshot>) -> Result<Attempt, Refusal> {
        let (decided, against) = (Arc::clone(request), Arc::clone(&base));
        let proposed = tokio::task::spawn_blocking(move || propose(&against, &decided))
            .await
            .map_err(Refusal::Interrupted)??;
        if request.is_dry_run {
            return Ok(Attempt::Done(outcome(&base, proposed, true)));
        }
        if proposed.diff.is_empty() {
            return self.keep(request, outcome(&base, proposed, false)).await;
        }
        self.commit(request, &base, proposed).await
    }

    /// Ends a change without effect. Its idempotency record has no commit to ride on.
    async fn keep(&self, request: &Request, outcome: Outcome) -> Result<Attempt, Refusal> {
        let Some(key) = &request.idempotency else { return Ok(Attempt::Done(outcome)) };
        let is_recorded = key.record(self.store.as_ref(), &outcome).await?;
        Ok(if is_recorded { Attempt::Done(outcome) } else { Attempt::HeadMoved })
    }

    async fn commit(
        &self,
        request: &Request,
        base: &Snapshot,
        proposed: Proposed,
    ) -> Result<Attempt, Refusal> {
        let store = self.store.as_ref();
        history::upload_blobs(store, &proposed.bodies).await?;

        let commit_id = uuid::Uuid::now_v7().to_string();
        let new = NewCommit {
            commit_id: commit_id.clone(),
            author: request.author.clone(),
            message: request.message.clone().unwrap_or_else(|| proposed.summary()),
            time_ms: self.clock.unix_ms(),
            manifest: proposed.manifest.clone(),
            changes: proposed.changed.clone(),
            alongside: Alongside::default(),
        };
        let (catalog, manifest) = (proposed.catalog.clone(), proposed.manifest.clone());
        let mut outcome = outcome(base, proposed, false);
        outcome.version = base.version.saturating_add(1);
        outcome.commit_id = commit_id;
        outcome.committed = true;

        let (alongside, lease) = match &request.idempotency {
            Some(key) => {
                key.alongside(store, &outcome).await.map(|(alongside, lease)| (alongside, Some(lease)))?
            }
            None => (Alongside::default(), None),
        };
        match history::commit(store, &base.head, NewCommit { alongside, ..new }).await {
            Ok(CommitOutcome::Committed { head, .. }) => {
                // What was committed is what was decided, so it need not be read back for the next reader to see it.
                self.catalog.take_over(Snapshot::new(head, catalog, manifest)).await;
                tracing::info!(
                    policy.version = outcome.version,
                    author = request.author,
                    "committed a change"
                );
                Ok(Attempt::Done(outcome))
            }
            Ok(CommitOutcome::Conflict) => {
                self.abandon(lease).await;
                Ok(Attempt::HeadMoved)
            }
            Err(error) => {
                // While it is unknown whether the commit was applied, its idempotency record must stay.
                if !matches!(error, HistoryError::Unknown { .. }) {
                    self.abandon(lease).await;
                }
                Err(error.into())
            }
        }
    }

    /// Ends the lease of an idempotency record that was not written. Should that fail, the lease ends by itself.
    async fn abandon(&self, lease: Option<LeaseId>) {
        let Some(lease) = lease else { return };
        if let Err(error) = self.store.revoke_lease(lease).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "an unused lease is left to end by itself"
            );
        }
    }
}

fn outcome(base: &Snapshot, proposed: Proposed, dry_run: bool) -> Outcome {
    let mut warnings = proposed.warnings;
    if proposed.diff.is_empty() {
        let message = format!("the change has no effect: version {} already says so", base.version);
        warnings.push(warning("", "no_effect", message));
    }
    Outcome {
        version: base.version,
        commit_id: base.commit_id.clone(),
        dry_run,
        committed: false,
        changes: proposed.diff,
        warnings,
        groups: proposed.groups,
    }
}

fn error(resource: impl fmt::Display, code: &'static str, message: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error, ..warning(resource, code, message) }
}

fn warning(resource: impl fmt::Display, code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        resource: resource.to_string(),
        path: String::new(),
        location: None,
        code: code.into(),
        message,
    }
}

#[cfg(test)]
mod tests;
