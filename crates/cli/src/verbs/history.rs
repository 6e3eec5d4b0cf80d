//! `history` and `show`: what was changed, by whom, when and why.

use policy::Kind;
use serde_json::{Value, json};

use super::change::differences;
use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table, time},
};

/// The longest page that the server gives.
pub(super) const PAGE: u32 = 500;

pub(super) async fn list(
    client: &AdminClient,
    out: &mut Out,
    kind: Option<Kind>,
    name: Option<&str>,
    limit: u32,
) -> Result<(), CliError> {
    let kind = kind.map(|kind| format!("&kind={kind}")).unwrap_or_default();
    let name = name.map(|name| format!("&name={}", escape(name))).unwrap_or_default();
    let path = format!("/v1/history?limit={}{kind}{name}", limit.min(PAGE));
    let commits = client.pages(&path, "before", usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    out.show(&json!({"items": commits}), |_, answer| {
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
        let commit = answer.pointer("/commit").unwrap_or(&Value::Null);
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
        text.push_str(&differences(out, answer));
        text
    })
}
