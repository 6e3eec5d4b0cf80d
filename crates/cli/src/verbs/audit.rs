//! `audit verify` and `audit export`: the history's hash chain, checked here and not by whom it accuses.

use std::path::Path;

use control_plane::history::{Commit, canonical_json, sha256_hex};
use serde_json::{Value, json};

use super::history::PAGE;
use crate::{
    client::AdminClient,
    error::CliError,
    output::{Out, cell},
    settings::Audit,
};

pub(super) async fn perform(client: &AdminClient, out: &mut Out, audit: Audit) -> Result<(), CliError> {
    match audit {
        Audit::Verify { file: None } => report(out, &verify(&commits(client).await?)?),
        Audit::Verify { file: Some(file) } => verify_file(out, &file),
        Audit::Export => {
            for commit in commits(client).await? {
                out.line(&commit.to_string())?;
            }
            Ok(())
        }
    }
}

/// Needs no control plane: an auditor checks what was exported, where they like.
pub(super) fn verify_file(out: &mut Out, file: &Path) -> Result<(), CliError> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Usage(format!("{name} cannot be read: {error}")))?;
    let mut commits = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let commit = serde_json::from_str::<Value>(line)
            .map_err(|error| CliError::refused(format!("{name}:{}: not a commit: {error}", number + 1)))?;
        commits.push(commit);
    }
    report(out, &verify(&commits)?)
}

fn report(out: &mut Out, verified: &Value) -> Result<(), CliError> {
    out.show(verified, |out, verified| {
        let (from, to) = (cell(verified, "/from"), cell(verified, "/to"));
        out.good(&format!("intact: versions {from} to {to}, tip {}", cell(verified, "/tip")))
    })
}

/// Every version, oldest first.
async fn commits(client: &AdminClient) -> Result<Vec<Value>, CliError> {
    let mut all = client.pages(&format!("/v1/history?limit={PAGE}"), "before", usize::MAX).await?;
    all.reverse();
    Ok(all)
}

/// Walks the chain. The first version that is not as it was written is named.
fn verify(commits: &[Value]) -> Result<Value, CliError> {
    let mut previous: Option<Commit> = None;
    for value in commits {
        let commit: Commit = serde_json::from_value(value.clone()).map_err(|error| {
            CliError::refused(format!("version {} is not a commit: {error}", cell(value, "/version")))
        })?;
        if let Some(reason) = damage(previous.as_ref(), &commit) {
            return Err(CliError::refused(format!("broken at version {}: {reason}", commit.version)));
        }
        previous = Some(commit);
    }
    let last = previous.ok_or_else(|| CliError::refused("there is no history to verify"))?;
    Ok(json!({"intact": true, "from": 1, "to": last.version, "tip": last.hash}))
}

/// How `commit` shows that it or its place was changed after it was written.
fn damage(previous: Option<&Commit>, commit: &Commit) -> Option<String> {
    if commit.computed_hash() != commit.hash {
        return Some("its content does not have its hash".to_owned());
    }
    if sha256_hex(&canonical_json(&commit.changes)) != commit.change_digest {
        return Some("its list of changes is not the one it was written with".to_owned());
    }
    let Some(previous) = previous else {
        return (commit.version != 1).then(|| "the versions before it are missing".to_owned());
    };
    if commit.version != previous.version + 1 || commit.parent != previous.version {
        return Some(format!("version {} stands before it", previous.version));
    }
    if commit.previous_hash != previous.hash {
        return Some("it does not cover the version before it".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u64) -> Vec<Value> {
        let mut previous = "0".repeat(64);
        let mut commits = Vec::new();
        for version in 1..=length {
            let mut commit: Commit = serde_json::from_value(json!({
                "version": version, "commit_id": format!("c{version}"), "parent": version - 1, "author": "ann",
                "message": "why", "time_ms": 1_700_000_000_000_u64 + version, "manifest_digest": "0".repeat(64),
                "change_digest": sha256_hex(b"[]"), "previous_hash": previous, "hash": "", "changes": [],
            }))
            .unwrap();
            commit.hash = commit.computed_hash();
            previous.clone_from(&commit.hash);
            commits.push(serde_json::to_value(commit).unwrap());
        }
        commits
    }

    #[test]
    fn an_untouched_chain_is_intact() {
        let verified = verify(&chain(5)).unwrap();
        assert_eq!((cell(&verified, "/from"), cell(&verified, "/to")), ("1".to_owned(), "5".to_owned()));
    }

    #[test]
    fn any_changed_field_is_found_and_its_version_named() {
        for (field, value) in [("author", json!("eve")), ("message", json!("x")), ("time_ms", json!(1))] {
            let mut commits = chain(5);
            commits[2][field] = value;
            let error = verify(&commits).unwrap_err().to_string();
            assert!(error.contains("broken at version 3"), "{field}: {error}");
        }
    }

    #[test]
    fn a_removed_version_is_found() {
        let mut commits = chain(5);
        commits.remove(2);
        assert!(verify(&commits).unwrap_err().to_string().contains("broken at version 4"));
    }

    #[test]
    fn a_history_without_its_beginning_is_not_intact() {
        let commits = chain(5).split_off(2);
        assert!(verify(&commits).unwrap_err().to_string().contains("broken at version 3"));
    }

    #[test]
    fn a_changed_list_of_changes_is_found() {
        let mut commits = chain(3);
        commits[1]["changes"] = json!([{"kind": "Model", "name": "a", "op": "created", "after": "00"}]);
        assert!(verify(&commits).unwrap_err().to_string().contains("broken at version 2"));
    }
}
