//! `POST /v1/images/generations` and `POST /v1/images/edits`: always the same picture, whole or with partial ones before it.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::body::{Event, OddEvents};
use crate::ledger::Billed;
use crate::multipart::Form;
use crate::openai::{self, body, model_of};
use crate::reply::{input, tokens_of};

/// A picture of one transparent point.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// What a picture costs to draw.
const IMAGE_TOKENS: u64 = 272;

/// What a picture costs to look at.
const LOOK_TOKENS: u64 = 85;

struct Images {
    model: String,
    prompt: String,
    count: u64,
    looked_at: u64,
    partials: u64,
    streams: bool,
    wants_url: bool,
    size: String,
    /// `image_generation` or `image_edit`
    kind: &'static str,
}

/// Reads `POST /v1/images/generations`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request: Value = body(arrived)?;
    let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| request.get(key).and_then(Value::as_u64);
    let images = Images {
        model: model_of(arrived, text("model").unwrap_or_else(|| "dall-e-2".to_owned()))?,
        prompt: text("prompt").unwrap_or_default(),
        count: number("n").unwrap_or(1),
        looked_at: 0,
        partials: number("partial_images").unwrap_or(0),
        streams: request.get("stream") == Some(&Value::Bool(true)),
        wants_url: false,
        size: text("size").filter(|size| size != "auto").unwrap_or_else(|| "1024x1024".to_owned()),
        kind: "image_generation",
    };
    images.checked(text("response_format").as_deref())
}

/// Reads `POST /v1/images/edits`, which is a form.
pub(crate) fn read_edit(arrived: &Arrived<'_>) -> Parsed {
    let form = Form::read(arrived)?;
    let number = |key: &str| form.text(key).and_then(|text| text.parse().ok());
    let looked_at = form.files("image").count() + form.files("mask").count();
    if form.files("image").next().is_none() {
        return Err(Refusal::invalid("image", "Missing required parameter: 'image'."));
    }
    let images = Images {
        model: model_of(arrived, form.text("model").unwrap_or_else(|| "dall-e-2".to_owned()))?,
        prompt: form.text("prompt").unwrap_or_default(),
        count: number("n").unwrap_or(1),
        looked_at: u64::try_from(looked_at).unwrap_or(u64::MAX),
        partials: number("partial_images").unwrap_or(0),
        streams: form.text("stream").as_deref() == Some("true"),
        wants_url: false,
        size: form.text("size").filter(|size| size != "auto").unwrap_or_else(|| "1024x1024".to_owned()),
        kind: "image_edit",
    };
    images.checked(form.text("response_format").as_deref())
}

impl Images {
    fn checked(self, response_format: Option<&str>) -> Parsed {
        if self.prompt.is_empty() {
            return Err(Refusal::invalid("prompt", "Missing required parameter: 'prompt'."));
        }
        if !(1..=10).contains(&self.count) {
            return Err(Refusal::invalid("n", "Invalid 'n': expected a value between 1 and 10."));
        }
        if self.partials > 3 {
            return Err(Refusal::invalid(
                "partial_images",
                "Invalid 'partial_images': expected a value between 0 and 3.",
            ));
        }
        let is_old = self.model.starts_with("dall-e");
        if !is_old && response_format.is_some() {
            let message = "Unknown parameter: 'response_format'.";
            let code = Some("unknown_parameter".to_owned());
            return Err(Refusal { code, ..Refusal::invalid("response_format", message) });
        }
        let wants_url = is_old && response_format != Some("b64_json");
        Ok(Box::new(Self { wants_url, ..self }))
    }

    fn usage(&self, billed: &Billed) -> Value {
        let image = self.looked_at * LOOK_TOKENS;
        json!({
            "input_tokens": billed.input,
            "input_tokens_details": {"image_tokens": image, "text_tokens": billed.input.saturating_sub(image)},
            "output_tokens": billed.output,
            "output_tokens_details": {"image_tokens": billed.output, "text_tokens": 0},
            "total_tokens": billed.input + billed.output,
        })
    }

    /// Partial pictures, then the whole one.
    fn events(&self, facts: &Facts<'_>, billed: &Billed) -> (Vec<Event>, OddEvents) {
        let base = |kind: &str| {
            json!({
                "type": format!("{}.{kind}", self.kind), "b64_json": PNG, "background": "opaque",
                "created_at": facts.unix_seconds, "output_format": "png", "quality": "low", "size": self.size,
            })
        };
        let with = |mut event: Value, key: &str, value: Value| {
            if let Some(members) = event.as_object_mut() {
                members.insert(key.to_owned(), value);
            }
            event
        };
        let record = |event: &Value, tokens: u64| {
            let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
            Event::new(format!("event: {kind}\ndata: {event}\n\n"), tokens)
        };
        let mut events: Vec<Event> = (0..self.partials)
            .map(|index| record(&with(base("partial_image"), "partial_image_index", json!(index)), 0))
            .collect();
        let last = base("completed");
        let last = if facts.reports_usage() { with(last, "usage", self.usage(billed)) } else { last };
        events.push(record(&last, billed.output));
        (events, openai::odd_events("image_generation.partial_image", facts))
    }
}

impl Question for Images {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let read = input(tokens_of(&self.prompt) + self.looked_at * LOOK_TOKENS, facts.behaviour);
        let billed = Billed { output: IMAGE_TOKENS * self.count, ..read };
        if self.streams {
            let (events, odd) = self.events(facts, &billed);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        let image = if self.wants_url {
            json!({"url": "https://example.com/simulated.png", "revised_prompt": self.prompt})
        } else {
            json!({"b64_json": PNG})
        };
        let count = usize::try_from(self.count).unwrap_or(1);
        let mut answer = json!({"created": facts.unix_seconds, "data": vec![image; count]});
        if let (false, Some(members)) = (self.model.starts_with("dall-e"), answer.as_object_mut()) {
            for (key, value) in [
                ("size", self.size.as_str()),
                ("quality", "low"),
                ("output_format", "png"),
                ("background", "opaque"),
            ] {
                members.insert(key.to_owned(), Value::from(value));
            }
            if facts.reports_usage() {
                members.insert("usage".to_owned(), self.usage(&billed));
            }
        }
        Ok(Made { content: Content::Whole(Bytes::from(answer.to_string()), crate::answer::JSON), billed })
    }
}
