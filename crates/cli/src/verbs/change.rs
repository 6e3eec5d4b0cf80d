//! `apply`, `delete`, `diff` and `rollback`: everything that makes or previews a version.

use std::{io::IsTerminal, time::Duration};

use policy::{Diagnostic, Kind, Parsed, Resource};
use serde_json::{Value, json};

use crate::{
    client::{AdminClient, escape},
    documents,
    error::{CliError, line},
    output::{Out, cell, items},
    settings::{Apply, Diff},
};

pub(super) async fn apply(client: &AdminClient, out: &mut Out, apply: &Apply) -> Result<(), CliError> {
    let documents = documents::read(&apply.files)?;
    let message = apply.message.clone().unwrap_or_else(|| format!("apply {}", names(&apply.files)));
    let answer =
        change(client, Proposal { dry_run: apply.dry_run, ..Proposal::of(&documents, &message) }).await?;
    out.show(&answer, changed)
}

pub(super) async fn diff(client: &AdminClient, out: &mut Out, diff: &Diff) -> Result<(), CliError> {
    let answer = match (diff.from, diff.to) {
        (Some(from), Some(to)) => client.get(&format!("/v1/history/{from}/diff/{to}")).await?,
        _ => {
            let documents = documents::read(&diff.files)?;
            change(client, Proposal { dry_run: true, ..Proposal::of(&documents, "diff") }).await?
        }
    };
    out.show(&answer, |out, answer| {
        let text = differences(out, answer);
        if text.is_empty() { "no differences".to_owned() } else { text }
    })
}

pub(super) async fn delete(
    client: &AdminClient,
    out: &mut Out,
    kind: Kind,
    name: &str,
    message: Option<String>,
) -> Result<(), CliError> {
    let message = message.unwrap_or_else(|| format!("delete {kind}/{name}"));
    let path = format!("/v1/resources/{kind}/{}?message={}", escape(name), escape(&message));
    let answer = client.delete(&path).await?;
    out.show(&answer, changed)
}

pub(super) async fn rollback(
    client: &AdminClient,
    out: &mut Out,
    version: u64,
    message: &str,
) -> Result<(), CliError> {
    let answer = client.post("/v1/rollback", &json!({"version": version, "message": message})).await?;
    out.show(&answer, changed)
}

/// What is asked of the control plane as one change.
pub(crate) struct Proposal<'a> {
    pub(crate) documents: &'a [Parsed],
    /// Each as `{kind, name}`.
    pub(crate) delete: Vec<Value>,
    pub(crate) message: &'a str,
    pub(crate) dry_run: bool,
}

impl<'a> Proposal<'a> {
    /// These documents, nothing deleted, to be committed.
    pub(crate) fn of(documents: &'a [Parsed], message: &'a str) -> Self {
        Self { documents, delete: Vec::new(), message, dry_run: false }
    }
}

/// One atomic change. Shows that it is at work once it takes over a second.
pub(crate) async fn change(client: &AdminClient, proposal: Proposal<'_>) -> Result<Value, CliError> {
    let Proposal { documents, delete, message, dry_run } = proposal;
    let resources: Vec<&Resource> = documents.iter().map(|parsed| &parsed.resource).collect();
    let body = json!({"message": message, "documents": resources, "delete": delete});
    let path = format!("/v1/changes?dry_run={dry_run}");
    let asked = client.post(&path, &body);
    tokio::pin!(asked);
    tokio::select! {
        answer = &mut asked => return located(answer, documents),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let spinner = spinner(documents.len());
    let answer = asked.await;
    spinner.finish_and_clear();
    located(answer, documents)
}

/// What the server found is told with the file and line it was read from.
fn located(answer: Result<Value, CliError>, documents: &[Parsed]) -> Result<Value, CliError> {
    answer.map_err(|error| match error {
        CliError::Refused { message, mut diagnostics } => {
            policy::attach_locations(&mut diagnostics, documents);
            CliError::Refused { message, diagnostics }
        }
        other => other,
    })
}

fn spinner(documents: usize) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let spinner = indicatif::ProgressBar::new_spinner();
    spinner.set_message(format!("checking and committing {documents} documents"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn names(files: &[std::path::PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The answer to a change: what differs, what to look at, and which version it became.
fn changed(out: &Out, answer: &Value) -> String {
    let mut text = differences(out, answer);
    for warning in items(answer, "/warnings") {
        if let Ok(warning) = serde_json::from_value::<Diagnostic>(warning.clone()) {
            text.push_str(&format!("warning: {}\n", line(&warning)));
        }
    }
    let version = cell(answer, "/version");
    let nothing = items(answer, "/changes").is_empty();
    let dry_run = answer.pointer("/dry_run").and_then(Value::as_bool).unwrap_or(false);
    text.push_str(&match (nothing, dry_run) {
        (true, _) => format!("nothing to change: version {version} already says this"),
        (false, true) => "dry run: nothing was changed".to_owned(),
        (false, false) => out.good(&format!("version {version}")),
    });
    text
}

/// A line per changed resource and one per changed field.
pub(super) fn differences(out: &Out, answer: &Value) -> String {
    let mut text = String::new();
    for change in items(answer, "/changes") {
        let operation = cell(change, "/op");
        let name = format!("{}/{}", cell(change, "/resource/kind"), cell(change, "/resource/name"));
        let heading = match operation.as_str() {
            "created" => out.good(&format!("+ {name}")),
            "deleted" => out.bad(&format!("- {name}")),
            _ => out.strong(&format!("~ {name}")),
        };
        text.push_str(&heading);
        text.push('\n');
        if operation != "updated" {
            continue;
        }
        for field in items(change, "/fields") {
            let (before, after) = (cell(field, "/before"), cell(field, "/after"));
            text.push_str(&format!("    {}: {} → {}\n", cell(field, "/path"), before, after));
        }
    }
    text
}
