//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: what is read, what is refused, and the whole answer.
//! The stream is next door.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Content, Facts, Made, Refusal};
use crate::anthropic::stream;
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::reply::{self, Ask, Choice, Finish, Reply, Tool, tokens_of};

/// What the answer depends on; everything else in the request is accepted and ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct MessagesRequest {
    pub(crate) model: String,
    messages: Vec<Message>,
    max_tokens: Option<u64>,
    system: Option<Words>,
    stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    #[serde(default)]
    tools: Vec<ToolOffer>,
    tool_choice: Option<ToolChoice>,
    thinking: Option<Thinking>,
    temperature: Option<f64>,
    output_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: Role,
    content: Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    System,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Debug, Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
    id: Option<String>,
    tool_use_id: Option<String>,
    input: Option<Value>,
    content: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ToolOffer {
    name: String,
    #[serde(default)]
    input_schema: Value,
}

#[derive(Debug, Deserialize)]
struct ToolChoice {
    r#type: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Thinking {
    r#type: String,
    budget_tokens: Option<u64>,
    display: Option<String>,
}

/// What an image or a document costs, whatever its size.
const IMAGE_TOKENS: u64 = 85;

/// What every message costs beside its text.
const MESSAGE_TOKENS: u64 = 4;

/// What is thought when thinking was asked for.
pub(crate) const THOUGHT: &str = "Let me see what was asked and then answer it.";

/// Stands for the signature that has to come back untouched.
pub(crate) const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

impl MessagesRequest {
    /// Reads a body for `POST /v1/messages`, refusing what Anthropic refuses.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let request = Self::parse_for_count(body)?;
        let Some(max_tokens) = request.max_tokens else {
            return Err(Refusal::invalid("max_tokens", "Field required"));
        };
        if max_tokens == 0 {
            return Err(Refusal::invalid("max_tokens", "Input should be greater than or equal to 1"));
        }
        request.check_thinking(max_tokens)?;
        Ok(request)
    }

    /// Reads a body for `POST /v1/messages/count_tokens`, which needs no limit.
    pub(crate) fn parse_for_count(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            Refusal::new(400, format!("The request body is not valid JSON for this endpoint: {error}"))
        })?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() {
            return Err(Refusal::invalid("messages", "at least one message is required"));
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
            return Err(Refusal::invalid("temperature", "range: 0..1"));
        }
        if self.messages.iter().any(|message| message.role == Role::System) {
            let message = "use the top-level 'system' parameter for the system prompt";
            return Err(Refusal::invalid("messages", message));
        }
        if self.messages.first().is_some_and(|message| message.role != Role::User) {
            return Err(Refusal::invalid("messages", "first message must use the \"user\" role"));
        }
        if self.tool_choice.is_some() && self.tools.is_empty() {
            return Err(Refusal::invalid("tool_choice", "may only be specified while providing tools"));
        }
        self.check_tool_results()
    }

    /// The results of a message's tool calls stand in the very next message, all of them and nothing else.
    fn check_tool_results(&self) -> Result<(), Refusal> {
        let mut open: Vec<&str> = Vec::new();
        for (position, message) in self.messages.iter().enumerate() {
            let at = format!("messages.{position}");
            for id in message
                .blocks()
                .filter(|block| block.r#type == "tool_result")
                .filter_map(|block| block.tool_use_id.as_deref())
            {
                let Some(found) = open.iter().position(|call| *call == id) else {
                    let message = format!(
                        "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                    );
                    return Err(Refusal::invalid(&at, message));
                };
                open.remove(found);
            }
            refuse_unanswered(&at, &open)?;
            open = message
                .blocks()
                .filter(|block| block.r#type == "tool_use")
                .filter_map(|block| block.id.as_deref())
                .collect();
        }
        refuse_unanswered("messages", &open)
    }

    fn check_thinking(&self, max_tokens: u64) -> Result<(), Refusal> {
        let Some(thinking) = self.thinking.as_ref().filter(|thinking| thinking.r#type != "disabled") else {
            return Ok(());
        };
        match thinking.budget_tokens {
            Some(budget) if budget < 1024 => {
                return Err(Refusal::invalid(
                    "thinking.budget_tokens",
                    "Input should be greater than or equal to 1024",
                ));
            }
            Some(budget) if budget >= max_tokens => {
                return Err(Refusal::invalid("max_tokens", "must be greater than `thinking.budget_tokens`"));
            }
            None if thinking.r#type == "enabled" => {
                return Err(Refusal::invalid("thinking.budget_tokens", "Field required"));
            }
            _ => {}
        }
        if self.tool_choice.as_ref().is_some_and(|choice| matches!(choice.r#type.as_str(), "any" | "tool")) {
            return Err(Refusal::invalid("thinking", "may not be enabled when tool_choice forces tool use"));
        }
        if self.temperature.is_some_and(|temperature| temperature < 1.0) {
            return Err(Refusal::invalid("temperature", "may only be set to 1 when thinking is enabled"));
        }
        Ok(())
    }

    /// Whether thinking was asked for, and then whether it is shown.
    pub(crate) fn thinks(&self) -> Option<Shown> {
        let thinking = self.thinking.as_ref().filter(|thinking| thinking.r#type != "disabled")?;
        Some(if thinking.display.as_deref() == Some("omitted") { Shown::Omitted } else { Shown::Summarized })
    }

    /// The answer to `POST /v1/messages`.
    pub(crate) fn answer(&self, facts: &Facts<'_>) -> Made {
        let reply = reply::reply(&self.ask(), facts.behaviour);
        let billed = reply.billed;
        let content = if self.stream == Some(true) {
            let (events, odd) = stream::events(self.thinks(), &reply, facts);
            Content::Stream(events, odd)
        } else {
            Content::Whole(whole(self.thinks(), &reply, facts).to_string().into())
        };
        Made { content, billed }
    }

    /// The answer to `POST /v1/messages/count_tokens`, which costs nothing.
    pub(crate) fn count(&self, facts: &Facts<'_>) -> Made {
        let counted = reply::input(self.input_tokens(), facts.behaviour).input;
        let content = Content::Whole(json!({"input_tokens": counted}).to_string().into());
        Made { content, billed: Billed::default() }
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
            reasoning_tokens: self.thinks().map_or(0, |_| reply::pieces(THOUGHT)),
        }
    }

    fn input_tokens(&self) -> u64 {
        let messages: u64 =
            self.messages.iter().map(|message| MESSAGE_TOKENS + message.content.tokens()).sum();
        let system = self.system.as_ref().map_or(0, Words::tokens);
        let tools: u64 = self
            .tools
            .iter()
            .map(|offer| tokens_of(&offer.name) + tokens_of(&offer.input_schema.to_string()))
            .sum();
        messages + system + tools
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
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        match &self.content {
            Words::Text(_) => [].iter(),
            Words::Blocks(blocks) => blocks.iter(),
        }
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
    fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of(text),
            Self::Blocks(blocks) => blocks.iter().map(Block::tokens).sum(),
        }
    }
}

impl Block {
    fn tokens(&self) -> u64 {
        let image = if matches!(self.r#type.as_str(), "image" | "document") { IMAGE_TOKENS } else { 0 };
        let text = self.text.as_deref().map_or(0, tokens_of);
        let input = self.input.as_ref().map_or(0, |input| tokens_of(&input.to_string()));
        let result = self.content.as_ref().map_or(0, |content| tokens_of(&result_text(content)));
        image + text + input + result
    }
}

fn refuse_unanswered(at: &str, open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    );
    Err(Refusal::invalid(at, message))
}

fn choice(choice: Option<&ToolChoice>) -> Choice {
    match choice.map(|choice| (choice.r#type.as_str(), &choice.name)) {
        Some(("none", _)) => Choice::Never,
        Some(("any", _)) => Choice::Any,
        Some(("tool", Some(name))) => Choice::Named(name.clone()),
        _ => Choice::Auto,
    }
}

/// The stop reason, unless one is scripted, and the sequence that stopped it.
pub(crate) fn stop(finish: &Finish, behaviour: &Behaviour) -> (String, Value) {
    let reason = match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
    };
    let sequence = match finish {
        Finish::StopSequence(sequence) => Value::from(sequence.as_str()),
        Finish::Stop | Finish::Length | Finish::ToolCalls => Value::Null,
    };
    (behaviour.stop_reason.clone().unwrap_or_else(|| reason.to_owned()), sequence)
}

/// The usage object. Anthropic's input tokens leave out what the cache counts name.
pub(crate) fn usage(billed: &Billed, output: u64) -> Value {
    json!({
        "input_tokens": billed.input - billed.cached - billed.cache_write,
        "cache_creation_input_tokens": billed.cache_write,
        "cache_read_input_tokens": billed.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": billed.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn whole(thinks: Option<Shown>, reply: &Reply, facts: &Facts<'_>) -> Value {
    let mut content = Vec::new();
    if let Some(shown) = thinks {
        content.push(json!({"type": "thinking", "thinking": shown.thought(), "signature": SIGNATURE}));
    }
    if !reply.text.is_empty() {
        content.push(json!({"type": "text", "text": reply.text}));
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let id = facts.part_id("toolu_", position);
        content.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    let (reason, sequence) = stop(&reply.finish, facts.behaviour);
    let mut answer = json!({
        "id": facts.id("msg_"), "type": "message", "role": "assistant", "model": facts.model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence,
    });
    if let (false, Some(members)) = (Behaviour::is_on(facts.behaviour.no_usage), answer.as_object_mut()) {
        members.insert("usage".to_owned(), usage(&reply.billed, reply.billed.output));
    }
    answer
}
