//! `Converse` and `ConverseStream`: what is read and what is asked. What is refused and what is answered are next door.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Arrived, Content as Body, Facts, Made, Parsed, Question, Refusal};
use crate::bedrock::{answer, eventstream, rules, stream};
use crate::reply::{self, Ask, Choice, Reply, Tool, tokens_of};

/// What the answer depends on; everything else in the request is accepted and ignored, as AWS does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConverseRequest {
    pub(crate) messages: Vec<Message>,
    pub(crate) system: Vec<Block>,
    pub(crate) inference_config: InferenceConfig,
    pub(crate) tool_config: Option<ToolConfig>,
    pub(crate) additional_model_request_fields: Option<Value>,
    pub(crate) additional_model_response_field_paths: Vec<String>,
    pub(crate) request_metadata: Option<Value>,
    pub(crate) output_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) content: Vec<Block>,
}

/// One of these, or a kind that is not looked into.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Block {
    pub(crate) text: Option<String>,
    pub(crate) image: Option<Value>,
    pub(crate) document: Option<Value>,
    pub(crate) video: Option<Value>,
    pub(crate) audio: Option<Value>,
    pub(crate) tool_use: Option<ToolUse>,
    pub(crate) tool_result: Option<ToolResult>,
    pub(crate) guard_content: Option<Value>,
    pub(crate) cache_point: Option<Value>,
    pub(crate) reasoning_content: Option<Value>,
    pub(crate) citations_content: Option<Value>,
    pub(crate) search_result: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolUse {
    pub(crate) tool_use_id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) input: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolResult {
    pub(crate) tool_use_id: String,
    #[serde(default)]
    pub(crate) content: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InferenceConfig {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) stop_sequences: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolConfig {
    pub(crate) tools: Vec<ToolOffer>,
    pub(crate) tool_choice: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolOffer {
    pub(crate) tool_spec: Option<ToolSpec>,
    pub(crate) cache_point: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolSpec {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) input_schema: Value,
}

/// What an image or a document costs, whatever its size.
const IMAGE_TOKENS: u64 = 85;

/// What every message costs beside its text.
const MESSAGE_TOKENS: u64 = 4;

struct Converse {
    request: ConverseRequest,
    model: String,
    streams: bool,
    /// The schema that the text has to satisfy, which comes as a text.
    schema: Option<Value>,
}

/// Reads `Converse`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    read_as(arrived, false)
}

/// Reads `ConverseStream`.
pub(crate) fn read_stream(arrived: &Arrived<'_>) -> Parsed {
    read_as(arrived, true)
}

fn read_as(arrived: &Arrived<'_>, streams: bool) -> Parsed {
    let request: ConverseRequest = serde_json::from_slice(arrived.body).map_err(|error| Refusal {
        kind: Some("SerializationException".to_owned()),
        ..Refusal::new(400, error.to_string())
    })?;
    let schema = rules::check(&request)?;
    Ok(Box::new(Converse { request, model: arrived.name.to_owned(), streams, schema }))
}

impl Question for Converse {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let mut reply = reply::reply(&self.ask(), facts.behaviour);
        let behaviour = facts.behaviour;
        if behaviour.cache_write_tokens.is_none() && behaviour.cached_tokens.is_none() {
            reply.billed.cache_write = self.request.marked_tokens().min(reply.billed.input);
        }
        let billed = reply.billed;
        let wants_sequence =
            self.request.additional_model_response_field_paths.iter().any(|path| path == "/stop_sequence");
        if self.streams {
            let (events, odd) = stream::events(&reply, wants_sequence, facts);
            return Ok(Made { content: Body::Stream(events, odd, eventstream::CONTENT_TYPE), billed });
        }
        Ok(Made::json(&answer::whole(&reply, wants_sequence, facts), billed))
    }
}

impl Converse {
    fn ask(&self) -> Ask<'_> {
        let request = &self.request;
        let last = request.messages.last();
        let tools = request.specs().map(|spec| Tool { name: &spec.name, schema: spec.schema() });
        Ask {
            last_text: request
                .messages
                .iter()
                .rfind(|message| message.role == "user" && !message.text().is_empty())
                .map(Message::text)
                .unwrap_or_default(),
            tool_result: last.and_then(Message::tool_result),
            tools: tools.collect(),
            choice: request.choice(),
            max_calls: usize::MAX,
            input_tokens: request.input_tokens(),
            max_tokens: request.inference_config.max_tokens,
            stops: &request.inference_config.stop_sequences,
            schema: self.schema.as_ref(),
            reasoning_tokens: 0,
            thinks: request.thinks(),
            logprobs: None,
            cites: request.blocks().any(|block| {
                block.document.as_ref().and_then(|document| document.pointer("/citations/enabled"))
                    == Some(&Value::Bool(true))
            }),
        }
    }
}

impl ConverseRequest {
    pub(crate) fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tool_config.iter().flat_map(|config| &config.tools).filter_map(|tool| tool.tool_spec.as_ref())
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.messages.iter().flat_map(|message| &message.content)
    }

    /// Whether thinking was asked for, in Anthropic's words.
    pub(crate) fn thinks(&self) -> bool {
        let fields = self.additional_model_request_fields.as_ref();
        let kind = fields.and_then(|fields| fields.pointer("/thinking/type")).and_then(Value::as_str);
        matches!(kind, Some("enabled" | "adaptive"))
    }

    fn choice(&self) -> Choice {
        let Some(choice) = self.tool_config.as_ref().and_then(|config| config.tool_choice.as_ref()) else {
            return Choice::Auto;
        };
        match choice.pointer("/tool/name").and_then(Value::as_str) {
            Some(name) => Choice::Named(name.to_owned()),
            None if choice.get("any").is_some() => Choice::Any,
            None => Choice::Auto,
        }
    }

    pub(crate) fn input_tokens(&self) -> u64 {
        let messages: u64 = self.messages.iter().map(|message| MESSAGE_TOKENS + message.tokens()).sum();
        let system: u64 = self.system.iter().map(Block::tokens).sum();
        messages + system + self.specs().map(ToolSpec::tokens).sum::<u64>()
    }

    /// The tokens up to the last cache point: what is written to the cache.
    fn marked_tokens(&self) -> u64 {
        let mut marked = 0;
        let mut total = 0;
        for tool in self.tool_config.iter().flat_map(|config| &config.tools) {
            total += tool.tool_spec.as_ref().map_or(0, ToolSpec::tokens);
            if tool.cache_point.is_some() {
                marked = total;
            }
        }
        for block in self.system.iter().chain(self.blocks()) {
            total += block.tokens();
            if block.cache_point.is_some() {
                marked = total;
            }
        }
        marked
    }
}

impl ToolSpec {
    pub(crate) fn schema(&self) -> &Value {
        self.input_schema.get("json").unwrap_or(&Value::Null)
    }

    fn tokens(&self) -> u64 {
        tokens_of(&self.name) + tokens_of(&self.schema().to_string())
    }
}

impl Message {
    fn text(&self) -> String {
        self.content.iter().filter_map(|block| block.text.as_deref()).collect()
    }

    fn tokens(&self) -> u64 {
        self.content.iter().map(Block::tokens).sum()
    }

    /// The texts of the tool results in this message, if there are any.
    fn tool_result(&self) -> Option<String> {
        let results = self.content.iter().filter_map(|block| block.tool_result.as_ref());
        let texts: Vec<String> = results.map(ToolResult::text).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

impl ToolResult {
    fn text(&self) -> String {
        let said = |part: &Value| match (part.get("text").and_then(Value::as_str), part.get("json")) {
            (Some(text), _) => text.to_owned(),
            (None, Some(json)) => json.to_string(),
            (None, None) => String::new(),
        };
        self.content.iter().map(said).collect()
    }
}

impl Block {
    fn tokens(&self) -> u64 {
        let media = self.image.iter().chain(&self.document).chain(&self.video).count();
        let text = self.text.as_deref().map_or(0, tokens_of);
        let input = self.tool_use.as_ref().map_or(0, |call| tokens_of(&call.input.to_string()));
        let result = self.tool_result.as_ref().map_or(0, |result| tokens_of(&result.text()));
        IMAGE_TOKENS * u64::try_from(media).unwrap_or(0) + text + input + result
    }
}

/// What a reply ends with, for whoever writes it.
pub(crate) fn stop_sequence(reply: &Reply) -> Option<&str> {
    match &reply.finish {
        reply::Finish::StopSequence(sequence) => Some(sequence),
        reply::Finish::Stop | reply::Finish::Length | reply::Finish::ToolCalls | reply::Finish::Refused => {
            None
        }
    }
}
