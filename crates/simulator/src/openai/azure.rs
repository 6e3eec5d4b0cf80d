//! What Azure does differently: it wants an API version, names deployments in the path, and reports what its filters found.

use serde_json::{Value, json};

use crate::answer::{Arrived, Refusal};

/// Azure serves nothing without `api-version`.
pub(crate) fn check(arrived: &Arrived<'_>) -> Result<(), Refusal> {
    if arrived.query("api-version").is_some_and(|version| !version.is_empty()) {
        return Ok(());
    }
    Err(Refusal { code: Some("404".to_owned()), ..Refusal::new(404, "Resource not found") })
}

/// The refusal of a prompt that a filter caught.
pub(crate) fn filtered() -> Refusal {
    Refusal {
        code: Some("content_filter".to_owned()),
        ..Refusal::invalid(
            "prompt",
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.",
        )
    }
}

/// What the filters found in the prompt: nothing.
pub(crate) fn prompt_filter_results() -> Value {
    json!([{"prompt_index": 0, "content_filter_results": findings()}])
}

/// Says of a choice that the filters found nothing in it.
pub(crate) fn add_filter(choice: &mut Value) {
    if let Some(members) = choice.as_object_mut() {
        members.insert("content_filter_results".to_owned(), findings());
    }
}

fn findings() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe})
}
