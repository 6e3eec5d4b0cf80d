//! Anthropic's models at somebody else's place: the model stands in the path, the version in the body.

use serde_json::Value;

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::anthropic::messages::{Count, MessagesRequest};
use crate::anthropic::{answer, stream};

/// The version that Vertex AI wants in the body.
const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// The version without a place in its name, which newer official clients send to both.
const PLAIN_VERSION: &str = "2026-10-21";

/// A call of a hosted model.
pub(crate) struct Hosted {
    request: MessagesRequest,
    streams: bool,
}

impl Hosted {
    /// Reads a body, which must name the version and may not name the model.
    pub(crate) fn read(arrived: &Arrived<'_>, version: &str, streams: bool) -> Result<Self, Refusal> {
        let body = check_version(arrived, version)?;
        if body.get("model").is_some() {
            return Err(Refusal::invalid("model", "Extra inputs are not permitted"));
        }
        let mut request = MessagesRequest::parse(arrived)?;
        arrived.name.clone_into(&mut request.model);
        request.check_limits()?;
        Ok(Self { request, streams })
    }

    pub(crate) fn input_tokens(&self) -> u64 {
        self.request.input_tokens()
    }
}

fn check_version(arrived: &Arrived<'_>, version: &str) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(arrived.body)
        .map_err(|error| Refusal::new(400, format!("The request body is not valid JSON: {error}")))?;
    match body.get("anthropic_version").and_then(Value::as_str) {
        Some(found) if found == version || found == PLAIN_VERSION => Ok(body),
        Some(_) => Err(Refusal::invalid("anthropic_version", format!("Input should be '{version}'"))),
        None => Err(Refusal::invalid("anthropic_version", "Field required")),
    }
}

impl Question for Hosted {
    fn model(&self) -> &str {
        &self.request.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let reply = self.request.reply(facts);
        let billed = reply.billed;
        if self.streams {
            let (events, odd) = stream::events(self.request.shown(), &reply, facts);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        Ok(Made::json(&answer::whole(self.request.shown(), &reply, facts), billed))
    }
}

/// Reads Vertex AI's `rawPredict`. Token counts come by the same verb, of a model of their own.
pub(crate) fn read_vertex(arrived: &Arrived<'_>) -> Parsed {
    if arrived.name == "count-tokens" {
        check_version(arrived, VERTEX_VERSION)?;
        return Ok(Box::new(Count(MessagesRequest::parse(arrived)?)));
    }
    Ok(Box::new(Hosted::read(arrived, VERTEX_VERSION, false)?))
}

/// Reads Vertex AI's `streamRawPredict`.
pub(crate) fn read_vertex_stream(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Hosted::read(arrived, VERTEX_VERSION, true)?))
}
