//! Writing and reading commits. The head is the only compare-and-swap point: whoever moves it has committed.

use std::time::Duration;

use bytes::Bytes;

use super::blobs::{Body, blob, upload_blobs};
use super::records::{ChangedResource, Commit, Head, Manifest, canonical_json, parse};
use super::{HistoryError, read_head};
use crate::store::{Compare, Page, Put, Store, Txn, TxnOutcome, keys};

/// How often a transaction without an answer is sent again.
pub(super) const ATTEMPTS: u32 = 6;
/// Most compares, puts and deletes a commit may carry along, together.
const MAX_ALONGSIDE: usize = 8;

/// A change to be committed. The bodies that `manifest` and `changes` name must have been uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// Unique to this attempt: it is how a commit recognises itself when the store gave no answer.
    pub commit_id: String,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Every resource of the new version.
    pub manifest: Manifest,
    /// What differs from the version before.
    pub changes: Vec<ChangedResource>,
    /// Written in the same transaction.
    pub alongside: Alongside,
}

/// What else happens if, and only if, the commit does: an idempotency record, a group's new target, a leader's fence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alongside {
    /// Must hold as well.
    pub compares: Vec<Compare>,
    /// Written as well.
    pub puts: Vec<Put>,
    /// Deleted as well.
    pub deletes: Vec<String>,
}

/// How an attempt to commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The head is this commit's now.
    Committed {
        /// What was written.
        commit: Box<Commit>,
        /// The new head.
        head: Head,
    },
    /// The head had moved, or something alongside did not hold; nothing was written. Decide again from the new head.
    Conflict,
}

/// Makes the version after `expected`, in one transaction that compares and moves the head.
pub async fn commit(
    store: &dyn Store,
    expected: &Head,
    new: NewCommit,
) -> Result<CommitOutcome, HistoryError> {
    let manifest = Body::of(canonical_json(&new.manifest));
    let changes = Body::of(canonical_json(&new.changes));
    upload_blobs(store, &[manifest.clone(), changes.clone()]).await?;

    let mut commit = Commit {
        version: expected.version + 1,
        commit_id: new.commit_id,
        parent: expected.version,
        author: new.author,
        message: new.message,
        time_ms: new.time_ms,
        change_digest: changes.sha256,
        manifest_digest: manifest.sha256,
        previous_hash: expected.history_tip.clone(),
        hash: String::new(),
        changes: new.changes,
    };
    commit.hash = commit.computed_hash();
    let head = Head {
        version: commit.version,
        commit_id: commit.commit_id.clone(),
        manifest_digest: commit.manifest_digest.clone(),
        history_tip: commit.hash.clone(),
    };
    let txn = transaction(expected, &head, &commit, new.alongside)?;
    if apply(store, txn, &commit).await? {
        Ok(CommitOutcome::Committed { commit: Box::new(commit), head })
    } else {
        Ok(CommitOutcome::Conflict)
    }
}

fn transaction(
    expected: &Head,
    head: &Head,
    commit: &Commit,
    alongside: Alongside,
) -> Result<Txn, HistoryError> {
    let carried = alongside.compares.len() + alongside.puts.len() + alongside.deletes.len();
    if carried > MAX_ALONGSIDE {
        let message = format!(
            "a commit carries {carried} other writes and conditions, and at most {MAX_ALONGSIDE} are allowed"
        );
        return Err(HistoryError::Store(crate::store::StoreError::Refused { message, source: None }));
    }
    let mut txn = Txn {
        compares: vec![Compare::Holds {
            key: keys::HEAD.to_owned(),
            value: Bytes::from(canonical_json(expected)),
        }],
        puts: vec![
            Put::new(keys::HEAD, canonical_json(head)),
            Put::new(keys::commit(commit.version), commit.record()),
        ],
        deletes: alongside.deletes,
        commit_id: commit.commit_id.clone(),
    };
    txn.compares.push(Compare::Absent { key: keys::commit(commit.version) });
    txn.compares.extend(alongside.compares);
    txn.puts.extend(alongside.puts);
    Ok(txn)
}

/// Whether the transaction was applied, however many answers got lost. Sending it again is safe: it compares the head.
async fn apply(store: &dyn Store, txn: Txn, commit: &Commit) -> Result<bool, HistoryError> {
    let mut in_doubt = false;
    for attempt in 0..ATTEMPTS {
        match store.txn(txn.clone()).await {
            Ok(TxnOutcome::Committed { .. }) => return Ok(true),
            Ok(TxnOutcome::Conflict) if in_doubt => return was_committed(store, commit).await,
            Ok(TxnOutcome::Conflict) => return Ok(false),
            Ok(TxnOutcome::Unknown { .. }) => {
                in_doubt = true;
                pause(attempt).await;
            }
            // While in doubt a failure says nothing about the first attempt.
            Err(error) if in_doubt && error.is_temporary() => pause(attempt).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(HistoryError::Unknown { commit_id: commit.commit_id.clone() })
}

/// Whether the version this commit wanted to make is the one it made. The head may be further on already.
async fn was_committed(store: &dyn Store, commit: &Commit) -> Result<bool, HistoryError> {
    let head = read_head(store).await?;
    if head.version <= commit.version {
        return Ok(head.version == commit.version && head.commit_id == commit.commit_id);
    }
    Ok(read_record(store, commit.version).await?.is_some_and(|record| record.commit_id == commit.commit_id))
}

/// Reads the commit that made a version, with its changes. Version 0, the empty beginning, has none.
pub async fn read_commit(store: &dyn Store, version: u64) -> Result<Option<Commit>, HistoryError> {
    match read_record(store, version).await? {
        None => Ok(None),
        Some(record) => with_changes(store, record).await.map(Some),
    }
}

/// Reads up to `limit` commits older than version `before`, newest first; `None` begins at the head.
pub async fn list_commits(
    store: &dyn Store,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Commit>, HistoryError> {
    let newest = match before {
        Some(before) => before.saturating_sub(1).min(read_head(store).await?.version),
        None => read_head(store).await?.version,
    };
    let limit = u64::try_from(limit.min(crate::store::MAX_PAGE)).unwrap_or(u64::MAX);
    let oldest = newest.saturating_sub(limit);
    if newest == oldest {
        return Ok(vec![]);
    }
    // Versions have no gaps, so the page that starts behind `oldest` holds exactly the wanted ones, in key order.
    let mut records = Vec::new();
    let mut page = Page::after(keys::commit(oldest));
    while count_of(&records) < newest - oldest {
        page.limit = usize::try_from(newest - oldest - count_of(&records)).unwrap_or(usize::MAX);
        let listing = store.list(keys::COMMITS, page, None).await?;
        for entry in listing
            .entries
            .iter()
            .filter(|entry| keys::commit_version(&entry.key).is_some_and(|found| found <= newest))
        {
            records.push(parse::<Commit>(&entry.key, &entry.value)?);
        }
        let Some(next) = listing.next else { break };
        page = Page::after(next);
    }
    let mut commits = Vec::with_capacity(records.len());
    for record in records.into_iter().rev() {
        commits.push(with_changes(store, record).await?);
    }
    Ok(commits)
}

/// Reads the list of all resources of a version: by the head's digest or by a commit's.
pub async fn manifest(store: &dyn Store, manifest_digest: &str) -> Result<Manifest, HistoryError> {
    let what = || format!("manifest {manifest_digest}");
    let manifest: Manifest = parse(&what(), &blob(store, manifest_digest).await?)?;
    let sorted = manifest.entries.is_sorted_by(|a, b| (&a.kind, &a.name) < (&b.kind, &b.name));
    if sorted {
        Ok(manifest)
    } else {
        Err(HistoryError::Damaged {
            what: what(),
            reason: "its entries are not sorted, or one is there twice".to_owned(),
        })
    }
}

/// Reads a commit as it is stored, without its changes.
pub(super) async fn read_record(store: &dyn Store, version: u64) -> Result<Option<Commit>, HistoryError> {
    match store.get(&keys::commit(version), None).await? {
        None => Ok(None),
        Some(entry) => parse(&format!("commit {version}"), &entry.value).map(Some),
    }
}

async fn with_changes(store: &dyn Store, mut record: Commit) -> Result<Commit, HistoryError> {
    let what = format!("the changes of commit {}", record.version);
    record.changes = parse(&what, &blob(store, &record.change_digest).await?)?;
    Ok(record)
}

fn count_of<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// Waits before sending again: 20 ms, then twice as long each time.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(20) * 2_u32.saturating_pow(attempt)).await;
}
