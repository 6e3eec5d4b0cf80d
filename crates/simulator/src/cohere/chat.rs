//! `POST /v2/chat`: what is read, what is refused, and the whole answer. The stream is next door.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::behaviour::Behaviour;
use crate::cohere::{body, chat_stream};
use crate::ledger::Billed;
use crate::reply::{self, Ask, Choice, Finish, Reply, SOURCE, Tool, logprob, tokens_of};

/// All that a request may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    #[serde(default)]
    tools: Vec<Value>,
    tool_choice: Option<String>,
    documents: Option<Vec<Value>>,
    citation_options: Option<Value>,
    response_format: Option<Value>,
    max_tokens: Option<u64>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    temperature: Option<f64>,
    p: Option<f64>,
    k: Option<f64>,
    logprobs: Option<bool>,
    thinking: Option<Value>,
    #[serde(rename = "strict_tools")]
    _strict_tools: Option<bool>,
    #[serde(rename = "safety_mode")]
    _safety_mode: Option<String>,
    #[serde(rename = "seed")]
    _seed: Option<u64>,
    #[serde(rename = "frequency_penalty")]
    _frequency_penalty: Option<f64>,
    #[serde(rename = "presence_penalty")]
    _presence_penalty: Option<f64>,
    #[serde(rename = "priority")]
    _priority: Option<u64>,
    #[serde(rename = "raw_prompting")]
    _raw_prompting: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Value>,
    #[serde(default)]
    tool_calls: Vec<Value>,
    tool_call_id: Option<String>,
}

/// What every message costs beside its text.
const MESSAGE_TOKENS: u64 = 4;

/// Reads `POST /v2/chat`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request: ChatRequest = body(arrived)?;
    request.check()?;
    Ok(Box::new(request))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, format!("invalid request: {}", message.into()))
}

impl ChatRequest {
    fn check(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() {
            return Err(invalid("at least one message is required"));
        }
        let ranges = [
            (self.temperature, 0.0, 1.0, "temperature"),
            (self.p, 0.01, 0.99, "p"),
            (self.k, 0.0, 500.0, "k"),
        ];
        for (value, low, high, name) in ranges {
            if value.is_some_and(|value| value < low || value > high) {
                return Err(invalid(format!("{name} must be between {low} and {high} inclusive")));
            }
        }
        if self.stop_sequences.len() > 5 {
            return Err(invalid("at most 5 stop sequences are allowed"));
        }
        if self.max_tokens == Some(0) {
            return Err(invalid("max_tokens must be at least 1"));
        }
        match self.tool_choice.as_deref() {
            None | Some("REQUIRED" | "NONE") => {}
            Some(_) => return Err(invalid("tool_choice must be one of REQUIRED, NONE")),
        }
        if self.tool_choice.is_some() && self.tools.is_empty() {
            return Err(invalid("tool_choice can only be specified when tools are"));
        }
        if self.tools.iter().any(|tool| tool.pointer("/function/name").and_then(Value::as_str).is_none()) {
            return Err(invalid("tools must have a function with a name"));
        }
        let is_json = self
            .response_format
            .as_ref()
            .is_some_and(|format| format.get("type") == Some(&json!("json_object")));
        if is_json && (!self.tools.is_empty() || self.documents.is_some()) {
            return Err(invalid("response_format json_object is not supported with tools or documents"));
        }
        self.check_order()
    }

    /// Tool results answer the calls right before them.
    fn check_order(&self) -> Result<(), Refusal> {
        let mut open: Vec<&str> = Vec::new();
        for (position, message) in self.messages.iter().enumerate() {
            match message.role.as_str() {
                "tool" => {
                    let id = message.tool_call_id.as_deref().unwrap_or_default();
                    let Some(found) = open.iter().position(|call| *call == id) else {
                        return Err(invalid(format!(
                            "message at index {position}: tool_call_id {id} does not match any tool call"
                        )));
                    };
                    open.remove(found);
                }
                "user" | "assistant" | "system" | "developer" if open.is_empty() => {
                    open = message.tool_calls.iter().filter_map(|call| call.get("id")?.as_str()).collect();
                }
                "user" | "assistant" | "system" | "developer" => {
                    return Err(invalid(format!(
                        "message at index {position}: all tool calls must be followed by their results"
                    )));
                }
                role => return Err(invalid(format!("message at index {position}: unknown role {role}"))),
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            Err(invalid("all tool calls must be followed by their results"))
        }
    }

    fn ask(&self) -> Ask<'_> {
        let results: Vec<String> = self
            .messages
            .iter()
            .rev()
            .take_while(|message| message.role == "tool")
            .map(Message::text)
            .collect();
        let schema =
            |tool| -> &Value { Value::pointer(tool, "/function/parameters").unwrap_or(&Value::Null) };
        let name = |tool| Value::pointer(tool, "/function/name").and_then(Value::as_str).unwrap_or_default();
        let format = self.response_format.as_ref();
        let is_json = format.is_some_and(|format| format.get("type") == Some(&json!("json_object")));
        let given = format.and_then(|format| format.get("schema").or_else(|| format.get("json_schema")));
        Ask {
            last_text: self
                .messages
                .iter()
                .rfind(|message| message.role == "user")
                .map(Message::text)
                .unwrap_or_default(),
            tool_result: (!results.is_empty())
                .then(|| results.into_iter().rev().collect::<Vec<_>>().join(" ")),
            tools: self.tools.iter().map(|tool| Tool { name: name(tool), schema: schema(tool) }).collect(),
            choice: match self.tool_choice.as_deref() {
                Some("REQUIRED") => Choice::Any,
                Some("NONE") => Choice::Never,
                _ => Choice::Auto,
            },
            max_calls: usize::MAX,
            input_tokens: self.input_tokens(),
            max_tokens: self.max_tokens,
            stops: &self.stop_sequences,
            schema: is_json.then(|| given.unwrap_or(&*reply::ANY_OBJECT)),
            reasoning_tokens: 0,
            thinks: self
                .thinking
                .as_ref()
                .is_some_and(|thinking| thinking.get("type") == Some(&json!("enabled"))),
            logprobs: self.logprobs.filter(|asked| *asked).map(|_| 1),
            cites: self.documents.as_ref().is_some_and(|documents| !documents.is_empty())
                && self.citation_options.as_ref().and_then(|options| options.get("mode"))
                    != Some(&json!("OFF")),
        }
    }

    fn input_tokens(&self) -> u64 {
        let messages: u64 =
            self.messages.iter().map(|message| MESSAGE_TOKENS + tokens_of(&message.text())).sum();
        let others = self.tools.iter().chain(self.documents.iter().flatten());
        messages + others.map(|other| tokens_of(&other.to_string())).sum::<u64>()
    }
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts.iter().map(said).collect(),
            _ => String::new(),
        }
    }
}

fn said(part: &Value) -> &str {
    let text = part.get("text").or_else(|| part.pointer("/document/data")).and_then(Value::as_str);
    text.unwrap_or_default()
}

impl Question for ChatRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let reply = reply::reply(&self.ask(), facts.behaviour);
        let billed = reply.billed;
        if self.stream == Some(true) {
            let (events, odd) = chat_stream::events(&reply, facts);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        Ok(Made::json(&whole(&reply, facts), billed))
    }
}

fn whole(reply: &Reply, facts: &Facts<'_>) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = reply.thought {
        content.push(json!({"type": "thinking", "thinking": thought}));
    }
    if reply.has_unknown {
        content.push(json!({"type": "simulated_unknown", "payload": {"a": 1}}));
    }
    if !reply.text.is_empty() {
        content.push(json!({"type": "text", "text": reply.text}));
    }
    let mut message = json!({"role": "assistant"});
    if let Some(members) = message.as_object_mut() {
        if reply.calls.is_empty() || !content.is_empty() {
            members.insert("content".to_owned(), Value::from(content));
        }
        if reply.cites {
            members.insert("citations".to_owned(), json!([citation(reply)]));
        }
        if !reply.calls.is_empty() {
            members.insert("tool_plan".to_owned(), Value::from(TOOL_PLAN));
            let calls = reply.calls.iter().enumerate().map(|(position, call)| {
                let function = json!({"name": call.name, "arguments": call.written()});
                json!({"id": call_id(&call.name, position, facts), "type": "function", "function": function})
            });
            members.insert("tool_calls".to_owned(), Value::from(calls.collect::<Vec<_>>()));
        }
    }
    let finish = finish_reason(&reply.finish, facts.behaviour);
    let mut answer = json!({"id": facts.id(""), "finish_reason": finish, "message": message});
    if let Some(members) = answer.as_object_mut() {
        if facts.reports_usage() {
            members.insert("usage".to_owned(), usage(&reply.billed));
        }
        if reply.logprobs.is_some() {
            let tokens = reply.text.split_inclusive(' ').map(token_logprob);
            members.insert("logprobs".to_owned(), Value::from(tokens.collect::<Vec<_>>()));
        }
    }
    answer
}

/// What is said of the calls that follow.
pub(crate) const TOOL_PLAN: &str = "I will call a tool.";

pub(crate) fn call_id(name: &str, position: usize, facts: &Facts<'_>) -> String {
    facts.part_id(&format!("{name}_"), position)
}

pub(crate) fn token_logprob(token: &str) -> Value {
    json!({"text": token, "token_ids": [1], "logprobs": [logprob(0)]})
}

/// The citation of a text.
pub(crate) fn citation(reply: &Reply) -> Value {
    let document = json!({"id": "doc:0", "title": SOURCE.title, "url": SOURCE.url, "text": SOURCE.text});
    json!({
        "start": 0, "end": reply.text.chars().count(), "text": reply.text, "type": "TEXT_CONTENT",
        "sources": [{"type": "document", "id": "doc:0", "document": document}],
    })
}

/// The finish reason, unless one is scripted. There is no word for a refusal.
pub(crate) fn finish_reason<'a>(finish: &Finish, behaviour: &'a Behaviour) -> &'a str {
    match (&behaviour.stop_reason, finish) {
        (Some(reason), _) => reason,
        (None, Finish::Stop | Finish::Refused) => "COMPLETE",
        (None, Finish::StopSequence(_)) => "STOP_SEQUENCE",
        (None, Finish::Length) => "MAX_TOKENS",
        (None, Finish::ToolCalls) => "TOOL_CALL",
    }
}

/// The usage object; cached tokens are part of the input.
pub(crate) fn usage(billed: &Billed) -> Value {
    json!({
        "billed_units": {"input_tokens": billed.input, "output_tokens": billed.output},
        "tokens": {"input_tokens": billed.input, "output_tokens": billed.output},
        "cached_tokens": billed.cached,
    })
}
