//! `key create`, `key list`, `key revoke`.

use serde_json::{Map, Value, json};

use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table},
    settings::Key,
};

pub(super) async fn perform(client: &AdminClient, out: &mut Out, key: Key) -> Result<(), CliError> {
    match key {
        Key::Create { consumer, expires, models, note } => {
            let answer = create(client, &consumer, expires, models, note).await?;
            out.show(&answer, |_, answer| {
                let (id, key) = (cell(answer, "/id"), cell(answer, "/key"));
                format!("{key}\n\nid {id}, for {consumer}. The key is shown this once: keep it where secrets are kept.")
            })
        }
        Key::List => {
            let answer = client.get("/v1/keys").await?;
            out.show(&answer, |_, answer| table(&HEADER, items(answer, "/items").iter().map(row).collect()))
        }
        Key::Revoke { id } => {
            let answer = client.delete(&format!("/v1/keys/{}", escape(&id))).await?;
            out.show(&answer, |out, answer| {
                out.good(&format!("revoked {id} in version {}", cell(answer, "/version")))
            })
        }
    }
}

/// Makes a key. What was not asked for is left out, so that the server's own defaults hold.
pub(super) async fn create(
    client: &AdminClient,
    consumer: &str,
    expires: Option<String>,
    models: Vec<String>,
    note: Option<String>,
) -> Result<Value, CliError> {
    let mut body = Map::from_iter([("consumer".to_owned(), json!(consumer))]);
    if let Some(expires) = expires {
        body.insert("expires".to_owned(), json!(expires));
    }
    if !models.is_empty() {
        body.insert("models".to_owned(), json!(models));
    }
    if let Some(note) = note {
        body.insert("note".to_owned(), json!(note));
    }
    client.post("/v1/keys", &Value::Object(body)).await
}

const HEADER: [&str; 6] = ["id", "consumer", "created", "expires", "state", "note"];

fn row(key: &Value) -> Vec<String> {
    let revoked = key.pointer("/revoked") == Some(&Value::Bool(true));
    vec![
        cell(key, "/id"),
        cell(key, "/consumer"),
        cell(key, "/created"),
        cell(key, "/expires"),
        if revoked { "revoked" } else { "active" }.to_owned(),
        cell(key, "/note"),
    ]
}
