//! Message batches: `POST` and `GET /v1/messages/batches`, `GET` and `DELETE /v1/messages/batches/{id}`, `/cancel` and `/results`.
//! One is run at once, but says so only to whoever asks again.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal};
use crate::anthropic::{self, files, timestamp};
use crate::batch;
use crate::ledger::Billed;
use crate::shelf::Thing;

const BATCH: &str = "anthropic batch";

/// A day, after which a batch that is not done expires.
const EXPIRES_SECONDS: u64 = 86_400;

#[derive(Debug, Deserialize)]
struct Create {
    requests: Vec<One>,
    /// Where the caller sees this provider.
    #[serde(skip)]
    host: String,
}

#[derive(Debug, Deserialize)]
struct One {
    custom_id: String,
    params: Value,
}

enum Wish {
    List,
    Get(String),
    Cancel(String),
    Results(String),
    Delete(String),
}

pub(crate) fn read_create(arrived: &Arrived<'_>) -> Parsed {
    let mut create: Create = serde_json::from_slice(arrived.body).map_err(|error| {
        Refusal::new(400, format!("The request body is not valid JSON for this endpoint: {error}"))
    })?;
    arrived.header("host").clone_into(&mut create.host);
    if create.requests.is_empty() {
        return Err(Refusal::invalid("requests", "List should have at least 1 item after validation, not 0"));
    }
    let mut ids = BTreeSet::new();
    for (position, one) in create.requests.iter().enumerate() {
        let at = format!("requests.{position}.custom_id");
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if one.custom_id.is_empty() || one.custom_id.len() > 64 || !one.custom_id.chars().all(is_known) {
            return Err(Refusal::invalid(&at, "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"));
        }
        if !ids.insert(one.custom_id.as_str()) {
            return Err(Refusal::invalid(&at, "custom_id must be unique within a batch"));
        }
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

pub(crate) fn read_results(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Results(arrived.name.to_owned())))
}

pub(crate) fn read_delete(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Wish::Delete(arrived.name.to_owned())))
}

impl Question for Create {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let id = facts.id("msgbatch_");
        let mut results = String::new();
        let (mut billed, mut errored) = (Billed::default(), 0_usize);
        for (position, one) in self.requests.iter().enumerate() {
            let number = facts.number + u64::try_from(position).unwrap_or(0);
            let body = Bytes::from(one.params.to_string());
            let headers = [("anthropic-version", "2023-06-01")];
            let result = match batch::run("/v1/messages", &headers, &body, &Facts { number, ..*facts }) {
                Ok((answer, more)) => {
                    billed = batch::sum(billed, more);
                    json!({"type": "succeeded", "message": serde_json::from_slice::<Value>(&answer).unwrap_or_default()})
                }
                Err(refusal) => {
                    errored += 1;
                    let error = anthropic::error(&refusal, &facts.part_id("req_", position));
                    json!({"type": "errored", "error": serde_json::from_slice::<Value>(&error).unwrap_or_default()})
                }
            };
            results.push_str(&format!("{}\n", json!({"custom_id": one.custom_id, "result": result})));
        }
        let page = |status: &str, processing: usize, succeeded: usize, errored: usize| {
            let is_ended = status == "ended";
            let url = format!("http://{}/v1/messages/batches/{id}/results", self.host);
            json!({
                "id": id, "type": "message_batch", "processing_status": status,
                "request_counts": {"processing": processing, "succeeded": succeeded, "errored": errored, "canceled": 0, "expired": 0},
                "created_at": timestamp(facts.unix_seconds),
                "expires_at": timestamp(facts.unix_seconds + EXPIRES_SECONDS),
                "ended_at": is_ended.then(|| timestamp(facts.unix_seconds)),
                "archived_at": null, "cancel_initiated_at": null, "results_url": is_ended.then_some(url),
            })
        };
        let count = self.requests.len();
        let done = page("ended", 0, count - errored, errored);
        facts.shelf.put(Thing { kind: BATCH, id: id.clone(), page: done, content: Bytes::from(results) });
        Ok(Made::json(&page("in_progress", count, 0, 0), billed))
    }
}

impl Question for Wish {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let id = match self {
            Self::List => return Ok(Made::page(&files::list(&facts.shelf.list(BATCH)))),
            Self::Get(id) | Self::Cancel(id) | Self::Results(id) | Self::Delete(id) => id,
        };
        let missing = || Refusal::new(404, format!("Message batch not found: {id}"));
        let thing = facts.shelf.get(BATCH, id).ok_or_else(missing)?;
        match self {
            Self::List | Self::Get(_) => Ok(Made::page(&thing.page)),
            Self::Results(_) => Ok(Made {
                content: Content::Page(thing.content, "application/x-jsonl"),
                billed: Billed::default(),
            }),
            Self::Delete(_) => {
                facts.shelf.remove(BATCH, id);
                Ok(Made::page(&json!({"id": id, "type": "message_batch_deleted"})))
            }
            Self::Cancel(_) => {
                let mut page = thing.page.clone();
                if let Some(members) = page.as_object_mut() {
                    members.insert("processing_status".to_owned(), json!("canceling"));
                    members.insert("cancel_initiated_at".to_owned(), json!(timestamp(facts.unix_seconds)));
                }
                Ok(Made::page(&page))
            }
        }
    }
}
