//! `explain`: the whole decision about one call, in the order it was made.

use serde_json::Value;

use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table},
};

pub(super) async fn show(client: &AdminClient, out: &mut Out, request_id: &str) -> Result<(), CliError> {
    let answer = client.get(&format!("/v1/requests/{}", escape(request_id))).await?;
    out.show(&answer, story)
}

fn story(out: &Out, record: &Value) -> String {
    let code = cell(record, "/code");
    let outcome = format!("{} {code}", cell(record, "/status"));
    let outcome = if code == "ok" { out.good(&outcome) } else { out.bad(&outcome) };
    let caller = ["/caller/organisation", "/caller/team", "/caller/application", "/caller/key"];
    let caller = caller.map(|pointer| cell(record, pointer)).join(" / ");
    let head = [
        ("request", cell(record, "/request_id")),
        ("time", cell(record, "/started")),
        ("caller", caller),
        ("policy", format!("version {} (group {})", cell(record, "/policy_version"), cell(record, "/group"))),
        ("asked", format!("{} {}", cell(record, "/operation"), cell(record, "/asked_model"))),
        ("outcome", outcome),
        (
            "served by",
            format!(
                "{} as {} at {}",
                cell(record, "/served/model"),
                cell(record, "/served/upstream_model"),
                cell(record, "/served/provider")
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
    ("model", "/served/model"),
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

/// Nano-USD as USD, to the last digit; no cost is not zero but unknown.
fn cost(record: &Value) -> String {
    match record.pointer("/cost_nano_usd").and_then(Value::as_i64) {
        Some(nano) => {
            let text = format!("{}.{:09}", nano / 1_000_000_000, nano.abs() % 1_000_000_000);
            format!("{} USD", text.trim_end_matches('0').trim_end_matches('.'))
        }
        None => "unpriced".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_to_the_last_digit_and_a_missing_one_is_not_zero() {
        assert_eq!(cost(&serde_json::json!({"cost_nano_usd": 7500})), "0.0000075 USD");
        assert_eq!(cost(&serde_json::json!({"cost_nano_usd": 2_000_000_000})), "2 USD");
        assert_eq!(cost(&serde_json::json!({})), "unpriced");
    }
}
