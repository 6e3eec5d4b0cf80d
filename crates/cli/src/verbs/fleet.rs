//! `fleet`: which proxy runs which version, acked or refused and why.

use serde_json::Value;

use crate::{
    client::AdminClient,
    error::CliError,
    output::{Out, cell, items, table, time},
};

pub(super) async fn show(client: &AdminClient, out: &mut Out) -> Result<(), CliError> {
    let answer = client.get("/v1/fleet").await?;
    out.show(&answer, shown)
}

fn shown(out: &Out, answer: &Value) -> String {
    let head = cell(answer, "/head");
    let proxies = items(answer, "/items");
    let rows = proxies.iter().map(|proxy| {
        vec![
            cell(proxy, "/proxy_id"),
            cell(proxy, "/group"),
            cell(proxy, "/address"),
            if proxy.pointer("/connected") == Some(&Value::Bool(true)) { "yes" } else { "no" }.to_owned(),
            cell(proxy, "/version"),
            cell(proxy, "/phase"),
            time(proxy, "/since_ms"),
        ]
    });
    let header = ["proxy", "group", "address", "connected", "version", "phase", "since"];
    let mut text = format!("head: version {head}\n{}\n", table(&header, rows.collect()));
    for problem in items(answer, "/problems") {
        text.push_str(&withheld(out, problem));
    }
    for proxy in proxies {
        text.push_str(&trouble(out, proxy));
        text.push_str(&refusal(out, proxy));
    }
    text
}

/// A group that does not get a version.
fn withheld(out: &Out, problem: &Value) -> String {
    let (group, version) = (cell(problem, "/group"), cell(problem, "/version"));
    let heading = format!("group {group} does not get version {version}, keeps {}", cell(problem, "/keeps"));
    format!("\n{}\n{}", out.bad(&heading), reasons(problem))
}

/// What a person should look at.
fn trouble(out: &Out, proxy: &Value) -> String {
    let mut text = String::new();
    let id = cell(proxy, "/proxy_id");
    if let Some(problem) = proxy.pointer("/problem").and_then(Value::as_str) {
        text.push_str(&format!("\n{}\n", out.bad(&format!("{id}: {problem}"))));
    }
    let dropped = proxy.pointer("/dropped_records").and_then(Value::as_u64).unwrap_or(0);
    if dropped > 0 {
        text.push_str(&format!("\n{}\n", out.bad(&format!("{id} had to drop {dropped} call records"))));
    }
    text
}

fn refusal(out: &Out, proxy: &Value) -> String {
    let Some(refusal) = proxy.pointer("/last_refusal").filter(|refusal| !refusal.is_null()) else {
        return String::new();
    };
    let heading = format!("{} refused version {}", cell(proxy, "/proxy_id"), cell(refusal, "/version"));
    format!("\n{}\n{}", out.bad(&heading), reasons(refusal))
}

/// A line for each diagnostic.
fn reasons(of: &Value) -> String {
    let mut text = String::new();
    for diagnostic in items(of, "/diagnostics") {
        let place: Vec<String> = ["/resource", "/path"]
            .iter()
            .map(|field| cell(diagnostic, field))
            .filter(|part| part != "-")
            .collect();
        let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(" ")) };
        let (message, code) = (cell(diagnostic, "/message"), cell(diagnostic, "/code"));
        text.push_str(&format!("  {place}{message} [{code}]\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::Format;

    #[test]
    fn everything_a_person_should_look_at_stands_below_the_table() {
        let diagnostics = json!([{"resource": "Route/a", "path": "spec", "code": "c", "message": "why"}]);
        let text = shown(
            &Out::stdout(Format::Table),
            &json!({
                "head": 9,
                "items": [{
                    "proxy_id": "p1", "version": 7, "dropped_records": 3, "problem": "store_regression: older",
                    "last_refusal": {"version": 8, "diagnostics": diagnostics},
                }],
                "problems": [{"group": "eu", "version": 9, "keeps": 8, "diagnostics": diagnostics}],
            }),
        );
        for expected in [
            "group eu does not get version 9, keeps 8",
            "p1: store_regression: older",
            "p1 had to drop 3 call records",
            "p1 refused version 8",
            "  Route/a spec: why [c]",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
