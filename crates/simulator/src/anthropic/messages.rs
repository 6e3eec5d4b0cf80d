//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: what is read and what is asked. What is refused, the whole answer and
//! the stream are next door.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::anthropic::{answer, stream};
use crate::reply::{self, Ask, Choice, THOUGHT, Tool, tokens_of};

/// What the answer depends on; everything else in the request is accepted and ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct MessagesRequest {
    #[serde(default)]
    pub(crate) model: String,
    pub(super) messages: Vec<Message>,
    pub(super) max_tokens: Option<u64>,
    pub(super) system: Option<Words>,
    stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    #[serde(default)]
    pub(super) tools: Vec<ToolOffer>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) thinking: Option<Thinking>,
    pub(super) temperature: Option<f64>,
    pub(super) output_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
    System,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Block {
    pub(super) r#type: String,
    pub(super) text: Option<String>,
    pub(super) id: Option<String>,
    pub(super) tool_use_id: Option<String>,
    pub(super) input: Option<Value>,
    pub(super) content: Option<Value>,
    pub(super) signature: Option<String>,
    citations: Option<Value>,
    pub(super) cache_control: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolOffer {
    pub(super) name: String,
    #[serde(default)]
    pub(super) input_schema: Value,
    pub(super) cache_control: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolChoice {
    pub(super) r#type: String,
    pub(super) name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Thinking {
    pub(super) r#type: String,
    pub(super) budget_tokens: Option<u64>,
    display: Option<String>,
}

/// What an image or a document costs, whatever its size.
const IMAGE_TOKENS: u64 = 85;

/// What every message costs beside its text.
const MESSAGE_TOKENS: u64 = 4;

/// Stands for the signature that has to come back untouched.
pub(crate) const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

impl MessagesRequest {
    /// Reads a call of `POST /v1/messages`, refusing what Anthropic refuses.
    pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
        if arrived.header("anthropic-version").is_empty() {
            return Err(Refusal::invalid("anthropic-version", "header is required"));
        }
        let request = Self::parse(arrived)?;
        if request.model.is_empty() {
            return Err(Refusal::invalid("model", "Field required"));
        }
        request.check_limits()?;
        Ok(Box::new(request))
    }

    /// Reads a call of `POST /v1/messages/count_tokens`, which needs no limit.
    pub(crate) fn read_for_count(arrived: &Arrived<'_>) -> Parsed {
        Ok(Box::new(Count(Self::parse(arrived)?)))
    }

    /// The request, checked but for its model and its limits.
    pub(crate) fn parse(arrived: &Arrived<'_>) -> Result<Self, Refusal> {
        let request: Self = serde_json::from_slice(arrived.body).map_err(|error| {
            Refusal::new(400, format!("The request body is not valid JSON for this endpoint: {error}"))
        })?;
        request.check()?;
        Ok(request)
    }

    /// The tokens up to the last mark: what is written to the cache.
    pub(crate) fn marked_tokens(&self) -> u64 {
        let mut marked = 0;
        let mut total = 0;
        for tool in &self.tools {
            total += tool.tokens();
            if tool.cache_control.is_some() {
                marked = total;
            }
        }
        for words in self.system.iter().chain(self.messages.iter().map(|message| &message.content)) {
            if let Words::Text(text) = words {
                total += tokens_of(text);
            }
            for block in words.blocks() {
                total += block.tokens();
                if block.cache_control.is_some() {
                    marked = total;
                }
            }
        }
        marked
    }

    /// What is answered.
    pub(crate) fn reply(&self, facts: &Facts<'_>) -> reply::Reply {
        let mut reply = reply::reply(&self.ask(), facts.behaviour);
        if facts.behaviour.cache_write_tokens.is_none() && facts.behaviour.cached_tokens.is_none() {
            reply.billed.cache_write = self.marked_tokens().min(reply.billed.input);
        }
        reply
    }

    /// How a thought is shown, if there is one.
    pub(crate) fn shown(&self) -> Shown {
        self.thinks().unwrap_or(Shown::Summarized)
    }

    /// Whether thinking was asked for, and then whether it is shown.
    pub(crate) fn thinks(&self) -> Option<Shown> {
        let thinking = self.thinking.as_ref().filter(|thinking| thinking.r#type != "disabled")?;
        Some(if thinking.display.as_deref() == Some("omitted") { Shown::Omitted } else { Shown::Summarized })
    }

    fn ask(&self) -> Ask<'_> {
        let last = self.messages.last();
        let one_at_most =
            self.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use) == Some(true);
        Ask {
            last_text: self
                .messages
                .iter()
                .rfind(|message| message.role == Role::User)
                .map(Message::text)
                .unwrap_or_default(),
            tool_result: last.and_then(Message::tool_result),
            tools: self
                .tools
                .iter()
                .map(|offer| Tool { name: &offer.name, schema: &offer.input_schema })
                .collect(),
            choice: choice(self.tool_choice.as_ref()),
            max_calls: if one_at_most { 1 } else { usize::MAX },
            input_tokens: self.input_tokens(),
            max_tokens: self.max_tokens,
            stops: &self.stop_sequences,
            schema: self.output_config.as_ref().and_then(|output| output.pointer("/format/schema")),
            reasoning_tokens: 0,
            thinks: self.thinks().is_some(),
            logprobs: None,
            cites: self.messages.iter().flat_map(Message::blocks).any(Block::is_to_be_cited),
        }
    }

    pub(crate) fn input_tokens(&self) -> u64 {
        let messages: u64 =
            self.messages.iter().map(|message| MESSAGE_TOKENS + message.content.tokens()).sum();
        let system = self.system.as_ref().map_or(0, Words::tokens);
        let tools: u64 = self.tools.iter().map(ToolOffer::tokens).sum();
        messages + system + tools
    }
}

impl Question for MessagesRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let reply = self.reply(facts);
        let billed = reply.billed;
        if self.stream == Some(true) {
            let (events, odd) = stream::events(self.shown(), &reply, facts);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        Ok(Made::json(&answer::whole(self.shown(), &reply, facts), billed))
    }
}

/// How many tokens a message would cost. The question is free.
pub(crate) struct Count(pub(crate) MessagesRequest);

impl Question for Count {
    fn model(&self) -> &str {
        &self.0.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let counted = reply::input(self.0.input_tokens(), facts.behaviour).input;
        Ok(Made::json(&json!({"input_tokens": counted}), crate::ledger::Billed::default()))
    }
}

impl ToolOffer {
    fn tokens(&self) -> u64 {
        tokens_of(&self.name) + tokens_of(&self.input_schema.to_string())
    }
}

/// How thinking appears in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Summarized,
    Omitted,
}

impl Shown {
    pub(crate) fn thought(self) -> &'static str {
        match self {
            Self::Summarized => THOUGHT,
            Self::Omitted => "",
        }
    }
}

impl Message {
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.content.blocks()
    }

    fn text(&self) -> String {
        match &self.content {
            Words::Text(text) => text.clone(),
            Words::Blocks(blocks) => blocks.iter().filter_map(|block| block.text.as_deref()).collect(),
        }
    }

    /// The texts of the tool results in this message, if there are any.
    fn tool_result(&self) -> Option<String> {
        let results: Vec<&Block> = self.blocks().filter(|block| block.r#type == "tool_result").collect();
        if results.is_empty() {
            return None;
        }
        let texts =
            results.into_iter().map(|block| block.content.as_ref().map_or_else(String::new, result_text));
        Some(texts.collect::<Vec<_>>().join(" "))
    }
}

fn result_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect()
        }
        other => other.to_string(),
    }
}

impl Words {
    pub(super) fn blocks(&self) -> std::slice::Iter<'_, Block> {
        match self {
            Self::Text(_) => [].iter(),
            Self::Blocks(blocks) => blocks.iter(),
        }
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of(text),
            Self::Blocks(blocks) => blocks.iter().map(Block::tokens).sum(),
        }
    }
}

impl Block {
    fn is_to_be_cited(&self) -> bool {
        let enabled = self.citations.as_ref().and_then(|citations| citations.get("enabled"));
        self.r#type == "document" && enabled == Some(&Value::Bool(true))
    }

    fn tokens(&self) -> u64 {
        let image = if matches!(self.r#type.as_str(), "image" | "document") { IMAGE_TOKENS } else { 0 };
        let text = self.text.as_deref().map_or(0, tokens_of);
        let input = self.input.as_ref().map_or(0, |input| tokens_of(&input.to_string()));
        let result = self.content.as_ref().map_or(0, |content| tokens_of(&result_text(content)));
        image + text + input + result
    }
}

fn choice(choice: Option<&ToolChoice>) -> Choice {
    match choice.map(|choice| (choice.r#type.as_str(), &choice.name)) {
        Some(("none", _)) => Choice::Never,
        Some(("any", _)) => Choice::Any,
        Some(("tool", Some(name))) => Choice::Named(name.clone()),
        _ => Choice::Auto,
    }
}
