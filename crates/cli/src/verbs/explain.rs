//! `explain`: the whole decision about one call, in the order it was made.

use serde_json::Value;

use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table, time},
};

pub(super) async fn show(client: &AdminClient, out: &mut Out, request_id: &str) -> Result<(), CliError> {
    let answer = client.get(&format!("/v1/requests/{}", escape(request_id))).await?;
    out.show(&answer, story)
}

fn story(out: &Out, record: &Value) -> String {
    let code = cell(record, "/code");
    let outcome = format!("{} {code}", cell(record, "/status"));
    let outcome = if code == "ok" { out.good(&outcome) } else { out.bad(&outcome) };
    let caller = ["/organisation", "/team", "/application", "/key_id"]
        .map(|pointer| cell(record, pointer))
        .join(" / ");
    let head = [
        ("request", cell(record, "/request_id")),
        ("time", time(record, "/started_ms")),
        ("caller", caller),
        ("policy", format!("version {} (group {})", cell(record, "/policy_version"), cell(record, "/group"))),
        ("asked", format!("{} {}", cell(record, "/operation"), cell(record, "/asked_model"))),
        ("outcome", outcome),
        (
            "served by",
            format!(
                "{} as {} at {}",
                cell(record, "/model"),
                cell(record, "/upstream_model"),
                cell(record, "/provider")
            ),
        ),
        ("tokens", tokens(record)),
        ("cost", cost(record)),
        (
            "took",
            format!(
                "{} µs, first byte after {} µs",
                cell(record, "/duration_us"),
                cell(record, "/first_byte_us")
            ),
        ),
    ];
    let mut text: String = head.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect();
    let decision = record.pointer("/decision").unwrap_or(&Value::Null);
    text.push_str(&format!(
        "\nroute {} · rule {} · strategy {}\n",
        cell(decision, "/route"),
        cell(decision, "/rule"),
        cell(decision, "/strategy")
    ));
    if decision
        .pointer("/refusal")
        .is_some_and(|refusal| refusal.as_str().is_some_and(|text| !text.is_empty()))
    {
        text.push_str(&format!("refused: {}\n", cell(decision, "/refusal")));
    }
    section(&mut text, "candidates", items(decision, "/candidates"), CANDIDATE);
    section(&mut text, "attempts", items(decision, "/attempts"), ATTEMPT);
    section(&mut text, "limits", items(decision, "/limits"), LIMIT);
    text
}

type Columns = &'static [(&'static str, &'static str)];

const CANDIDATE: Columns = &[
    ("rank", "/rank"),
    ("model", "/model"),
    ("provider", "/provider"),
    ("upstream model", "/upstream_model"),
    ("reason", "/reason"),
];
const ATTEMPT: Columns = &[
    ("provider", "/provider"),
    ("upstream model", "/upstream_model"),
    ("status", "/status"),
    ("outcome", "/outcome"),
    ("took µs", "/took_us"),
    ("detail", "/detail"),
];
const LIMIT: Columns = &[
    ("quota", "/quota"),
    ("limit", "/limit"),
    ("bucket", "/bucket"),
    ("ceiling", "/ceiling"),
    ("remaining", "/remaining"),
    ("admitted", "/admitted"),
];

fn section(text: &mut String, title: &str, rows: &[Value], columns: Columns) {
    if rows.is_empty() {
        return;
    }
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let cells =
        rows.iter().map(|row| columns.iter().map(|(_, pointer)| cell(row, pointer)).collect()).collect();
    text.push_str(&format!("\n{title}\n{}\n", table(&header, cells)));
}

fn tokens(record: &Value) -> String {
    let tokens = record.pointer("/tokens").unwrap_or(&Value::Null);
    let estimated = record.pointer("/estimated") == Some(&Value::Bool(true));
    format!(
        "{} in, {} cached, {} out{}",
        cell(tokens, "/input"),
        cell(tokens, "/cache_read"),
        cell(tokens, "/output"),
        if estimated { " (estimated: the provider gave no usage)" } else { "" }
    )
}

fn cost(record: &Value) -> String {
    match record.pointer("/priced") {
        Some(Value::Bool(true)) => format!("{} USD", cell(record, "/cost_usd")),
        _ => "unpriced".to_owned(),
    }
}
