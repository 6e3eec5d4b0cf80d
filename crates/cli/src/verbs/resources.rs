//! `get`: resources as they are now.

use policy::Kind;
use serde_json::{Value, json};

use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Format, Out, cell, items, table},
};

pub(super) async fn get(
    client: &AdminClient,
    out: &mut Out,
    kind: Kind,
    name: Option<&str>,
) -> Result<(), CliError> {
    let Some(name) = name else {
        return list(client, out, kind).await;
    };
    let document = client.get(&format!("/v1/resources/{kind}/{}", escape(name))).await?;
    match out.format() {
        // A single resource reads best as what one would apply.
        Format::Table => out.line(yaml(&document)?.trim_end()),
        Format::Json | Format::Yaml => out.show(&document, |_, _| String::new()),
    }
}

async fn list(client: &AdminClient, out: &mut Out, kind: Kind) -> Result<(), CliError> {
    let all = all(client, &format!("kind={kind}")).await?;
    out.show(&json!({"items": all}), |_, answer| {
        let rows = items(answer, "/items").iter().map(|resource| {
            let labels = resource.pointer("/labels").and_then(Value::as_object);
            let labels = labels.map(|labels| {
                let pairs = labels.iter().map(|(key, value)| format!("{key}={}", cell(value, "")));
                pairs.collect::<Vec<_>>().join(",")
            });
            vec![cell(resource, "/kind"), cell(resource, "/name"), labels.unwrap_or_else(|| "-".to_owned())]
        });
        table(&["kind", "name", "labels"], rows.collect())
    })
}

fn yaml(document: &Value) -> Result<String, CliError> {
    serde_saphyr::to_string(document)
        .map_err(|error| CliError::refused(format!("the answer cannot be written as YAML: {error}")))
}

/// Every resource the query selects: all pages, all of the version of the first.
pub(crate) async fn all(client: &AdminClient, query: &str) -> Result<Vec<Value>, CliError> {
    client.pages(&format!("/v1/resources?{query}"), "cursor", usize::MAX).await
}
