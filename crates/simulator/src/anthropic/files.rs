//! Files: `POST` (a form) and `GET /v1/files`, `GET` and `DELETE /v1/files/{id}`, `GET /v1/files/{id}/content`.

use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::anthropic::timestamp;
use crate::multipart::{Field, Form};
use crate::shelf::Thing;

const FILE: &str = "anthropic file";

enum Wish {
    Upload(Field),
    List,
    Get(String),
    Content(String),
    Delete(String),
}

pub(crate) fn read_upload(arrived: &Arrived<'_>) -> Parsed {
    let file = Form::read(arrived)?.file("file")?.clone();
    if file.content.is_empty() {
        return Err(Refusal::invalid("file", "File is empty"));
    }
    Ok(Box::new(Wish::Upload(file)))
}

pub(crate) fn read_list(_: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::List))
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

fn found(id: &str, facts: &Facts<'_>) -> Result<Thing, Refusal> {
    facts.shelf.get(FILE, id).ok_or_else(|| Refusal::new(404, format!("File not found: {id}")))
}

impl Question for Wish {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        match self {
            Self::Upload(file) => {
                let id = facts.id("file_");
                let page = json!({
                    "id": id, "type": "file", "filename": file.filename, "size_bytes": file.content.len(),
                    "mime_type": file.content_type.as_deref().unwrap_or("application/octet-stream"),
                    "created_at": timestamp(facts.unix_seconds), "downloadable": false,
                });
                let content = file.content.clone();
                facts.shelf.put(Thing { kind: FILE, id, page: page.clone(), content });
                Ok(Made::page(&page))
            }
            Self::List => Ok(Made::page(&list(&facts.shelf.list(FILE)))),
            Self::Get(id) => Ok(Made::page(&found(id, facts)?.page)),
            // Only what a model made can be had back.
            Self::Content(id) => {
                found(id, facts)?;
                Err(Refusal::new(400, format!("File {id} is not downloadable")))
            }
            Self::Delete(id) => {
                found(id, facts)?;
                facts.shelf.remove(FILE, id);
                Ok(Made::page(&json!({"id": id, "type": "file_deleted"})))
            }
        }
    }
}

/// All on one page.
pub(crate) fn list(data: &[Value]) -> Value {
    let id = |page: Option<&Value>| page.and_then(|page| page.get("id")).cloned();
    json!({"first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data})
}
