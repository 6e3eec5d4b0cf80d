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
            let answer = json!({"items": all(client).await?});
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

/// Every key, without its text.
pub(super) async fn all(client: &AdminClient) -> Result<Vec<Value>, CliError> {
    client.pages("/v1/keys?limit=1000", "cursor", usize::MAX).await
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
    vec![
        cell(key, "/id"),
        cell(key, "/consumer"),
        cell(key, "/created"),
        cell(key, "/expires"),
        state(key, jiff::Timestamp::now()).to_owned(),
        cell(key, "/note"),
    ]
}

fn state(key: &Value, now: jiff::Timestamp) -> &'static str {
    if key.pointer("/revoked") == Some(&Value::Bool(true)) {
        return "revoked";
    }
    match cell(key, "/expires").parse::<jiff::Timestamp>() {
        Ok(expires) if expires <= now => "expired",
        Ok(_) | Err(_) => "active",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_longer_works_is_not_shown_as_active() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        for (key, expected) in [
            (json!({"revoked": false}), "active"),
            (json!({"revoked": false, "expires": "2026-06-01T00:00:01Z"}), "active"),
            (json!({"revoked": false, "expires": "2026-06-01T00:00:00Z"}), "expired"),
            (json!({"revoked": true, "expires": "2026-01-01T00:00:00Z"}), "revoked"),
        ] {
            assert_eq!(state(&key, now), expected, "{key}");
        }
    }
}
