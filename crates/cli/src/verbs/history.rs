//! `history` and `show`: what was changed, by whom, when and why.

use policy::Kind;
use serde_json::Value;

use super::change::differences;
use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table, time},
};

pub(super) async fn list(
    client: &AdminClient,
    out: &mut Out,
    kind: Option<Kind>,
    name: Option<&str>,
    limit: u32,
) -> Result<(), CliError> {
    let kind = kind.map(|kind| format!("&kind={kind}")).unwrap_or_default();
    let name = name.map(|name| format!("&name={}", escape(name))).unwrap_or_default();
    let answer = client.get(&format!("/v1/history?limit={limit}{kind}{name}")).await?;
    out.show(&answer, |_, answer| {
        let rows = items(answer, "/items").iter().map(|commit| {
            vec![
                cell(commit, "/version"),
                time(commit, "/time_ms"),
                cell(commit, "/author"),
                items(commit, "/changes").len().to_string(),
                cell(commit, "/message"),
            ]
        });
        table(&["version", "time", "author", "changes", "message"], rows.collect())
    })
}

pub(super) async fn show(client: &AdminClient, out: &mut Out, version: u64) -> Result<(), CliError> {
    let answer = client.get(&format!("/v1/history/{version}")).await?;
    out.show(&answer, |out, answer| {
        // The commit stands beside its diff.
        let commit = answer.pointer("/commit").unwrap_or(answer);
        let head = [
            ("version", out.strong(&cell(commit, "/version"))),
            ("author", cell(commit, "/author")),
            ("time", time(commit, "/time_ms")),
            ("message", cell(commit, "/message")),
            ("parent", cell(commit, "/parent")),
            ("policy", cell(commit, "/manifest_digest")),
            ("hash", cell(commit, "/hash")),
            ("covers", cell(commit, "/previous_hash")),
        ];
        let mut text: String = head.iter().map(|(name, value)| format!("{name:<9}{value}\n")).collect();
        text.push('\n');
        text.push_str(&differences(out, &diff_of(answer)));
        text
    })
}

/// The diff of the answer, under the key `differences` reads.
fn diff_of(answer: &Value) -> Value {
    match answer.get("diff") {
        Some(diff) => serde_json::json!({"changes": diff}),
        None => answer.clone(),
    }
}
