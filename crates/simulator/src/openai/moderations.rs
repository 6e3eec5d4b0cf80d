//! `POST /v1/moderations`: a text is flagged when it speaks of killing, or when the script says `refusal`. Nothing is billed.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::openai::body;

#[derive(Debug, Deserialize)]
struct Moderation {
    model: Option<String>,
    input: Value,
}

const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// Reads `POST /v1/moderations`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request: Moderation = body(arrived)?;
    if request.texts().is_empty() {
        return Err(Refusal::invalid("input", "Invalid 'input': expected at least one text."));
    }
    Ok(Box::new(request))
}

impl Moderation {
    /// A text, several, or the parts of one.
    fn texts(&self) -> Vec<String> {
        match &self.input {
            Value::String(text) => vec![text.clone()],
            Value::Array(many) if many.iter().all(Value::is_string) => {
                many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Value::Array(parts) if parts.iter().all(Value::is_object) => {
                vec![parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()]
            }
            _ => Vec::new(),
        }
    }
}

impl Question for Moderation {
    fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("omni-moderation-latest")
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let result = |text: String| {
            let is_flagged =
                text.to_lowercase().contains("kill") || Behaviour::is_on(facts.behaviour.refusal);
            let hit = |category: &str| is_flagged && category == "violence";
            let map = |value: &dyn Fn(&str) -> Value| -> Map<String, Value> {
                CATEGORIES.iter().map(|category| ((*category).to_owned(), value(category))).collect()
            };
            json!({
                "flagged": is_flagged,
                "categories": map(&|category| json!(hit(category))),
                "category_scores": map(&|category| json!(if hit(category) { 0.97 } else { 0.001 })),
                "category_applied_input_types": map(&|category| if hit(category) { json!(["text"]) } else { json!([]) }),
            })
        };
        let results: Vec<Value> = self.texts().into_iter().map(result).collect();
        Ok(Made::json(
            &json!({"id": facts.id("modr-"), "model": facts.model, "results": results}),
            Billed::default(),
        ))
    }
}
