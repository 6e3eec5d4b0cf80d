//! Files: `POST` (a form) and `GET /v1/files`, `GET` and `DELETE /v1/files/{id}`, `GET /v1/files/{id}/content`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal};
use crate::ledger::Billed;
use crate::multipart::{Field, Form};
use crate::shelf::Thing;

/// The shelf's word for a file of OpenAI's.
pub(crate) const FILE: &str = "openai file";

const PURPOSES: [&str; 6] = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];

enum Wish {
    Upload { file: Field, purpose: String },
    List { purpose: Option<String> },
    Get(String),
    Content(String),
    Delete(String),
}

pub(crate) fn read_upload(arrived: &Arrived<'_>) -> Parsed {
    let form = Form::read(arrived)?;
    let purpose = form.text("purpose").unwrap_or_default();
    if !PURPOSES.contains(&purpose.as_str()) {
        let message = format!("'{purpose}' is not one of {PURPOSES:?} - 'purpose'");
        return Err(Refusal::invalid("purpose", message));
    }
    let file = form.file("file")?.clone();
    if file.content.is_empty() {
        return Err(Refusal::invalid("file", "File is empty."));
    }
    Ok(Box::new(Wish::Upload { file, purpose }))
}

pub(crate) fn read_list(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::List { purpose: arrived.query("purpose") }))
}

pub(crate) fn read_get(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Get(arrived.name.to_owned())))
}

pub(crate) fn read_content(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Content(arrived.name.to_owned())))
}

pub(crate) fn read_delete(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Delete(arrived.name.to_owned())))
}

/// Stores a file, and says what it is.
pub(crate) fn store(id: &str, name: &str, purpose: &str, content: Bytes, facts: &Facts<'_>) -> Value {
    let page = json!({
        "id": id, "object": "file", "bytes": content.len(), "created_at": facts.unix_seconds, "filename": name,
        "purpose": purpose, "status": "processed", "expires_at": null, "status_details": null,
    });
    facts.shelf.put(Thing { kind: FILE, id: id.to_owned(), page: page.clone(), content });
    page
}

fn found(id: &str, facts: &Facts<'_>) -> Result<Thing, Refusal> {
    let missing =
        || Refusal { code: Some(String::new()), ..Refusal::new(404, format!("No such File object: {id}")) };
    facts.shelf.get(FILE, id).ok_or_else(|| Refusal { param: Some("id".to_owned()), ..missing() })
}

impl Question for Wish {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        match self {
            Self::Upload { file, purpose } => {
                let name = file.filename.as_deref().unwrap_or("file");
                Ok(Made::page(&store(&facts.id("file-"), name, purpose, file.content.clone(), facts)))
            }
            Self::List { purpose } => {
                let mut files = facts.shelf.list(FILE);
                files.retain(|file| {
                    purpose
                        .as_deref()
                        .is_none_or(|wanted| file.get("purpose").and_then(Value::as_str) == Some(wanted))
                });
                Ok(Made::page(&list(&files)))
            }
            Self::Get(id) => Ok(Made::page(&found(id, facts)?.page)),
            Self::Content(id) => {
                let content = Content::Page(found(id, facts)?.content, "application/octet-stream");
                Ok(Made { content, billed: Billed::default() })
            }
            Self::Delete(id) => {
                found(id, facts)?;
                facts.shelf.remove(FILE, id);
                Ok(Made::page(&json!({"id": id, "object": "file", "deleted": true})))
            }
        }
    }
}

/// All on one page.
pub(crate) fn list(data: &[Value]) -> Value {
    let id = |page: Option<&Value>| page.and_then(|page| page.get("id")).cloned();
    json!({"object": "list", "first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data})
}
