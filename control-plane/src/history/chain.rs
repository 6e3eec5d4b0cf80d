//! Proving that the history is the one that was written: every commit's hash covers its own fields and the hash before.

use super::blobs::blob;
use super::commits::read_record;
use super::records::{Commit, Head};
use super::{HistoryError, read_head, read_meta};
use crate::store::Store;

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainReport {
    /// Every commit is as it was written.
    Intact {
        /// How many commits were checked.
        commits: u64,
        /// The hash of the last one.
        tip: String,
    },
    /// The first version that is not as it was written.
    Broken {
        /// The version.
        version: u64,
        /// How that shows.
        reason: String,
    },
}

/// Checks the commits `from..=to` and everything their hashes cover; `to` is capped at the head, which is checked too when reached.
/// An error means that it could not be checked, not that it is broken.
pub async fn verify_chain(store: &dyn Store, from: u64, to: u64) -> Result<ChainReport, HistoryError> {
    let head = read_head(store).await?;
    let (from, to) = (from.max(1), to.min(head.version));
    let mut previous = match from {
        1 => read_meta(store).await?.ok_or(HistoryError::NotInitialised)?.genesis_hash(),
        _ => match read_intact(store, from - 1).await? {
            Ok(before) => before.hash,
            Err(reason) => return Ok(ChainReport::Broken { version: from - 1, reason }),
        },
    };
    let mut commits = 0;
    for version in from..=to {
        match check(store, version, &previous, &head).await? {
            Ok(hash) => previous = hash,
            Err(reason) => return Ok(ChainReport::Broken { version, reason }),
        }
        commits += 1;
    }
    Ok(ChainReport::Intact { commits, tip: previous })
}

/// The commit's hash when it is intact, else how it is not.
async fn check(
    store: &dyn Store,
    version: u64,
    previous: &str,
    head: &Head,
) -> Result<Result<String, String>, HistoryError> {
    let commit = match read_intact(store, version).await? {
        Ok(commit) => commit,
        Err(reason) => return Ok(Err(reason)),
    };
    if commit.previous_hash != previous {
        return Ok(Err("it does not follow the commit before it".to_owned()));
    }
    if version == head.version && (head.history_tip != commit.hash || head.commit_id != commit.commit_id) {
        return Ok(Err("the head names another commit".to_owned()));
    }
    if version == head.version && head.manifest_digest != commit.manifest_digest {
        return Ok(Err("the head names another manifest".to_owned()));
    }
    for (what, digest) in [("changes", &commit.change_digest), ("manifest", &commit.manifest_digest)] {
        if let Err(reason) = read_broken(blob(store, digest).await)? {
            return Ok(Err(format!("its {what} cannot be read: {reason}")));
        }
    }
    Ok(Ok(commit.hash))
}

/// The commit when its hash covers what it says, else how it does not.
async fn read_intact(store: &dyn Store, version: u64) -> Result<Result<Commit, String>, HistoryError> {
    let commit = match read_broken(read_record(store, version).await)? {
        Ok(Some(commit)) => commit,
        Ok(None) => return Ok(Err("it is missing".to_owned())),
        Err(reason) => return Ok(Err(reason)),
    };
    if commit.version != version || commit.parent != version - 1 {
        return Ok(Err(format!("it says it is version {} after {}", commit.version, commit.parent)));
    }
    if commit.computed_hash() != commit.hash {
        return Ok(Err("its content does not have its hash".to_owned()));
    }
    Ok(Ok(commit))
}

/// Tells damage, which is a finding, from a store that failed, which is not.
fn read_broken<T>(read: Result<T, HistoryError>) -> Result<Result<T, String>, HistoryError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error @ (HistoryError::Missing { .. } | HistoryError::Damaged { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(
            error @ (HistoryError::Store(_)
            | HistoryError::NotInitialised
            | HistoryError::Schema { .. }
            | HistoryError::Unknown { .. }),
        ) => Err(error),
    }
}
