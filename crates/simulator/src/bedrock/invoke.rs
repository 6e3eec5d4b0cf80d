//! Anthropic's models by `InvokeModel` and `InvokeModelWithResponseStream`, and `CountTokens` for both ways to call a model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal};
use crate::anthropic::hosted::Hosted;
use crate::bedrock::converse::ConverseRequest;
use crate::bedrock::eventstream;
use crate::bedrock::stream::odd_events;
use crate::body::Event;
use crate::ledger::Billed;
use crate::reply;

/// The only version there is.
const VERSION: &str = "bedrock-2023-05-31";

/// Reads `InvokeModel`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Invoke(Hosted::read(arrived, VERSION, false)?)))
}

/// Reads `InvokeModelWithResponseStream`.
pub(crate) fn read_stream(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Invoke(Hosted::read(arrived, VERSION, true)?)))
}

struct Invoke(Hosted);

impl Question for Invoke {
    fn model(&self) -> &str {
        self.0.model()
    }

    /// Each of Anthropic's events travels as bytes, in base64, within one of AWS's.
    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let made = self.0.answer(facts)?;
        let Content::Stream(events, ..) = made.content else { return Ok(made) };
        let wrapped =
            events.into_iter().map(|event| Event { bytes: chunk(&event.bytes), tokens: event.tokens });
        let content =
            Content::Stream(wrapped.collect(), odd_events("chunk", facts), eventstream::CONTENT_TYPE);
        Ok(Made { content, ..made })
    }
}

fn chunk(event: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(event);
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    eventstream::event("chunk", &json!({"bytes": STANDARD.encode(data), "p": "abcdefgh"}).to_string())
}

#[derive(Debug, Deserialize)]
struct CountRequest {
    input: Input,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Input {
    Converse(Box<ConverseRequest>),
    InvokeModel { body: String },
}

struct Count {
    tokens: u64,
    model: String,
}

/// Reads `CountTokens`.
pub(crate) fn read_count(arrived: &Arrived<'_>) -> Parsed {
    let request: CountRequest =
        serde_json::from_slice(arrived.body).map_err(|error| Refusal::new(400, error.to_string()))?;
    let tokens = match request.input {
        Input::Converse(converse) => {
            if converse.messages.is_empty() {
                return Err(Refusal::new(400, "The messages field is empty. Add a message and try again."));
            }
            converse.input_tokens()
        }
        Input::InvokeModel { body } => {
            let refused =
                || Refusal::new(400, "The value at input.invokeModel.body is not a request in base64.");
            let body = Bytes::from(STANDARD.decode(body).map_err(|_invalid| refused())?);
            let _is_json: Value = serde_json::from_slice(&body).map_err(|_invalid| refused())?;
            Hosted::read(&Arrived { body: &body, ..*arrived }, VERSION, false)?.input_tokens()
        }
    };
    Ok(Box::new(Count { tokens, model: arrived.name.to_owned() }))
}

impl Question for Count {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let counted = reply::input(self.tokens, facts.behaviour).input;
        Ok(Made::json(&json!({"inputTokens": counted}), Billed::default()))
    }
}
