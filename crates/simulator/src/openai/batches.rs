//! Batches: `POST` and `GET /v1/batches`, `GET /v1/batches/{id}`, `POST /v1/batches/{id}/cancel`. One is run at once, but says so only
//! to whoever asks again.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::batch;
use crate::ledger::Billed;
use crate::openai::{self, body, files};
use crate::shelf::Thing;

const BATCH: &str = "openai batch";

/// What can be done in one.
const ENDPOINTS: [&str; 5] =
    ["/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/images/generations"];

#[derive(Debug, Deserialize)]
struct Create {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    metadata: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Line {
    custom_id: String,
    url: String,
    body: Value,
}

enum Wish {
    List,
    Get(String),
    Cancel(String),
}

pub(crate) fn read_create(arrived: &Arrived<'_>) -> Parsed {
    let create: Create = body(arrived)?;
    if create.completion_window != "24h" {
        let message = format!("Invalid value: '{}'. Value must be '24h'.", create.completion_window);
        return Err(Refusal::invalid("completion_window", message));
    }
    if !ENDPOINTS.contains(&create.endpoint.as_str()) {
        let message = format!("Invalid value: '{}'. Supported values are: {ENDPOINTS:?}.", create.endpoint);
        return Err(Refusal::invalid("endpoint", message));
    }
    Ok(Box::new(create))
}

pub(crate) fn read_list(_: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::List))
}

pub(crate) fn read_get(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Get(arrived.name.to_owned())))
}

pub(crate) fn read_cancel(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Cancel(arrived.name.to_owned())))
}

/// What running a batch came to.
#[derive(Default)]
struct Ran {
    output: String,
    total: u64,
    failed: u64,
    billed: Billed,
}

impl Create {
    fn run(&self, content: &Bytes, facts: &Facts<'_>) -> Ran {
        let mut ran = Ran::default();
        for (position, line) in
            content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate()
        {
            ran.total += 1;
            let number = facts.number + u64::try_from(position).unwrap_or(0);
            let (custom_id, result) = self.one(line, &Facts { number, ..*facts });
            let (status, answer) = match result {
                Ok((answer, billed)) => {
                    ran.billed = batch::sum(ran.billed, billed);
                    (200, answer)
                }
                Err(refusal) => {
                    ran.failed += 1;
                    (refusal.status, openai::error(&refusal))
                }
            };
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let id = facts.part_id("batch_req_", position);
            let response = json!({"status_code": status, "request_id": id, "body": answer});
            let line = json!({"id": id, "custom_id": custom_id, "response": response, "error": null});
            ran.output.push_str(&format!("{line}\n"));
        }
        ran
    }

    fn one(&self, line: &[u8], facts: &Facts<'_>) -> (Value, Result<(Bytes, Billed), Refusal>) {
        let line: Line = match serde_json::from_slice(line) {
            Ok(line) => line,
            Err(error) => return (Value::Null, Err(Refusal::new(400, format!("Invalid line: {error}")))),
        };
        let id = Value::from(line.custom_id);
        if line.url != self.endpoint {
            let message = format!(
                "The URL provided for this request does not match the batch endpoint {}.",
                self.endpoint
            );
            return (id, Err(Refusal::invalid("url", message)));
        }
        (id, batch::run(&line.url, &[], &Bytes::from(line.body.to_string()), facts))
    }
}

impl Question for Create {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let Some(file) = facts.shelf.get(files::FILE, &self.input_file_id) else {
            let message = format!("Invalid file object: {}", self.input_file_id);
            return Err(Refusal::invalid("input_file_id", message));
        };
        let ran = self.run(&file.content, facts);
        let id = facts.id("batch_");
        let output_id = facts.id("file-out");
        files::store(
            &output_id,
            &format!("{id}_output.jsonl"),
            "batch_output",
            Bytes::from(ran.output),
            facts,
        );
        let page = |status: &str, output: Value, completed: u64, failed: u64| {
            json!({
                "id": id, "object": "batch", "endpoint": self.endpoint, "errors": null, "status": status,
                "input_file_id": self.input_file_id, "completion_window": "24h", "output_file_id": output,
                "error_file_id": null, "created_at": facts.unix_seconds, "metadata": self.metadata,
                "request_counts": {"total": ran.total, "completed": completed, "failed": failed},
            })
        };
        let done = page("completed", Value::from(output_id), ran.total - ran.failed, ran.failed);
        facts.shelf.put(Thing { kind: BATCH, id: id.clone(), page: done, content: Bytes::new() });
        Ok(Made::json(&page("validating", Value::Null, 0, 0), ran.billed))
    }
}

impl Question for Wish {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let id = match self {
            Self::List => return Ok(Made::page(&files::list(&facts.shelf.list(BATCH)))),
            Self::Get(id) | Self::Cancel(id) => id,
        };
        let Some(thing) = facts.shelf.get(BATCH, id) else {
            let message = format!("No batch found with id '{id}'.");
            return Err(Refusal { code: Some(String::new()), ..Refusal::new(404, message) });
        };
        if let Self::Get(_) = self {
            return Ok(Made::page(&thing.page));
        }
        let mut page = thing.page.clone();
        let mut become_ = |status: &str| {
            if let Some(members) = page.as_object_mut() {
                members.insert("status".to_owned(), Value::from(status));
                members.insert("output_file_id".to_owned(), Value::Null);
                members.insert("cancelling_at".to_owned(), Value::from(facts.unix_seconds));
            }
            page.clone()
        };
        let shown = become_("cancelling");
        facts.shelf.put(Thing { page: become_("cancelled"), ..thing });
        Ok(Made::page(&shown))
    }
}
