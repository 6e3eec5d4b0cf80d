//! What can be asked about a stored response: the response itself, its input, that it be cancelled or forgotten.

use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::responses::items::text_of;
use crate::shelf::Thing;

/// The shelf's word for a response.
pub(crate) const RESPONSE: &str = "response";

#[derive(Debug, Clone, Copy)]
enum Wish {
    Get,
    Delete,
    Cancel,
    InputItems,
}

struct Stored {
    id: String,
    wish: Wish,
}

/// Reads `GET /v1/responses/{id}`.
pub(crate) fn read_get(arrived: &Arrived<'_>) -> Parsed {
    if arrived.query("stream").as_deref() == Some("true") {
        return Err(Refusal::invalid("stream", "Stored responses are not simulated as streams."));
    }
    read(arrived, Wish::Get)
}

/// Reads `DELETE /v1/responses/{id}`.
pub(crate) fn read_delete(arrived: &Arrived<'_>) -> Parsed {
    read(arrived, Wish::Delete)
}

/// Reads `POST /v1/responses/{id}/cancel`.
pub(crate) fn read_cancel(arrived: &Arrived<'_>) -> Parsed {
    read(arrived, Wish::Cancel)
}

/// Reads `GET /v1/responses/{id}/input_items`.
pub(crate) fn read_input_items(arrived: &Arrived<'_>) -> Parsed {
    read(arrived, Wish::InputItems)
}

fn read(arrived: &Arrived<'_>, wish: Wish) -> Parsed {
    Ok(Box::new(Stored { id: arrived.name.to_owned(), wish }))
}

impl Question for Stored {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let id = &self.id;
        let Some(thing) = facts.shelf.get(RESPONSE, id) else {
            let message = format!("Response with id '{id}' not found.");
            // No code: nothing but the message says that it is the response that is missing.
            return Err(Refusal { code: Some(String::new()), ..Refusal::new(404, message) });
        };
        match self.wish {
            Wish::Get => Ok(Made::page(&thing.page)),
            Wish::Delete => {
                facts.shelf.remove(RESPONSE, id);
                Ok(Made::page(&json!({"id": id, "object": "response", "deleted": true})))
            }
            Wish::Cancel => cancelled(thing, facts),
            Wish::InputItems => Ok(Made::page(&input_items(&thing))),
        }
    }
}

/// What runs in the background can be cancelled, as long as nobody has asked how it came out.
fn cancelled(thing: Thing, facts: &Facts<'_>) -> Result<Made, Refusal> {
    let mut page = thing.page.clone();
    if page.get("background") != Some(&Value::Bool(true)) {
        return Err(Refusal::new(400, "Cannot cancel a synchronous response."));
    }
    if let Some(members) = page.as_object_mut() {
        members.insert("status".to_owned(), json!("cancelled"));
        members.insert("completed_at".to_owned(), Value::Null);
        members.insert("output".to_owned(), json!([]));
    }
    facts.shelf.put(Thing { page: page.clone(), ..thing });
    Ok(Made::page(&page))
}

fn input_items(thing: &Thing) -> Value {
    let kept: Value = serde_json::from_slice(&thing.content).unwrap_or_default();
    let mut items = kept.get("input").and_then(Value::as_array).cloned().unwrap_or_default();
    // The latest first, as is the default.
    items.reverse();
    let id = |item: Option<&Value>| item.map(|item| text_of(item, "id").to_owned());
    json!({
        "object": "list", "first_id": id(items.first()), "last_id": id(items.last()), "has_more": false, "data": items,
    })
}
