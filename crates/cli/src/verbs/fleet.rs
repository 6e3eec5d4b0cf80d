//! `fleet`: which proxy runs which version, acked or refused and why.

use policy::Diagnostic;
use serde_json::Value;

use crate::{
    client::AdminClient,
    error::{CliError, line},
    output::{Out, cell, items, table, time},
};

pub(super) async fn show(client: &AdminClient, out: &mut Out) -> Result<(), CliError> {
    let answer = client.get("/v1/fleet").await?;
    out.show(&answer, |out, answer| {
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
        for proxy in proxies {
            text.push_str(&refusal(out, proxy));
        }
        text
    })
}

fn refusal(out: &Out, proxy: &Value) -> String {
    let Some(refusal) = proxy.pointer("/last_refusal").filter(|refusal| !refusal.is_null()) else {
        return String::new();
    };
    let heading = format!("{} refused version {}", cell(proxy, "/proxy_id"), cell(refusal, "/version"));
    let mut text = format!("\n{}\n", out.bad(&heading));
    for diagnostic in items(refusal, "/diagnostics") {
        if let Ok(diagnostic) = serde_json::from_value::<Diagnostic>(diagnostic.clone()) {
            text.push_str(&format!("  {}\n", line(&diagnostic)));
        }
    }
    text
}
