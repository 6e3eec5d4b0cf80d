//! `POST /v1/chat/completions`: what is read and what is refused. The whole answer and the stream are next door.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::ledger::Billed;
use crate::openai::{azure, chat_answer, chat_stream};
use crate::reply::{self, Ask, Choice, Finish, Tool, tokens_of};

/// What the answer depends on; everything else in the request is accepted and ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    #[serde(default)]
    model: String,
    /// Azure's answers say more.
    #[serde(skip)]
    pub(crate) is_azure: bool,
    messages: Vec<Message>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u32>,
    stop: Option<Stop>,
    tools: Option<Vec<ToolOffer>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Value>,
    reasoning_effort: Option<String>,
    temperature: Option<f64>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct ToolOffer {
    function: Option<FunctionOffer>,
}

#[derive(Debug, Deserialize)]
struct FunctionOffer {
    name: String,
    #[serde(default)]
    parameters: Value,
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Words>,
    tool_calls: Option<Vec<EarlierCall>>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct EarlierCall {
    id: String,
    function: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

/// What an image costs, whatever its size.
const IMAGE_TOKENS: u64 = 85;

/// What a reasoning request spends on thinking.
const REASONING_TOKENS: u64 = 16;

/// What every message costs beside its text.
const MESSAGE_TOKENS: u64 = 4;

impl ChatRequest {
    /// Reads `POST /v1/chat/completions`, refusing what OpenAI refuses.
    pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
        let mut request: Self = super::body(arrived)?;
        request.is_azure = arrived.parts.uri.path().starts_with("/openai/deployments/");
        request.model = super::model_of(arrived, std::mem::take(&mut request.model))?;
        request.check()?;
        Ok(Box::new(request))
    }

    fn check(&self) -> Result<(), Refusal> {
        super::check_model(&self.model)?;
        if self.top_logprobs.is_some() && self.logprobs != Some(true) {
            let message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
            return Err(Refusal::invalid("top_logprobs", message));
        }
        if self.top_logprobs.is_some_and(|count| count > 20) {
            let message = "Invalid value for 'top_logprobs': must be less than or equal to 20.";
            return Err(Refusal::invalid("top_logprobs", message));
        }
        if self.messages.is_empty() {
            return Err(Refusal::invalid(
                "messages",
                "Invalid 'messages': empty array. Expected at least 1 message.",
            ));
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(Refusal::invalid(
                "temperature",
                "Invalid 'temperature': expected a value between 0 and 2.",
            ));
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(Refusal::invalid("stream_options", message));
        }
        if self.tools.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::invalid("tools", "Invalid 'tools': empty array. Expected at least 1 tool."));
        }
        if self.n.is_some_and(|n| !(1..=128).contains(&n)) {
            return Err(Refusal::invalid("n", "Invalid 'n': expected a value between 1 and 128."));
        }
        self.check_tools()?;
        self.check_order()
    }

    /// Names and ids are short and of few letters; what is strict closes its objects.
    fn check_tools(&self) -> Result<(), Refusal> {
        for (position, offer) in self.offers().enumerate() {
            let at = format!("tools[{position}].function");
            super::check_name(&offer.name, &format!("{at}.name"))?;
            if offer.strict == Some(true) {
                super::check_strict(&offer.parameters, &offer.name, &format!("{at}.parameters"))?;
            }
        }
        let format = self.response_format.as_ref().and_then(|format| format.get("json_schema"));
        if let Some(format) = format.filter(|format| format.get("strict") == Some(&Value::Bool(true))) {
            let name = format.get("name").and_then(Value::as_str).unwrap_or_default();
            super::check_strict(format.get("schema").unwrap_or(&Value::Null), name, "response_format")?;
        }
        let calls = self.messages.iter().enumerate().flat_map(|(position, message)| {
            message.tool_calls.iter().flatten().enumerate().map(move |(index, call)| (position, index, call))
        });
        for (position, index, call) in calls {
            if call.id.chars().count() > 40 {
                let at = format!("messages[{position}].tool_calls[{index}].id");
                let message =
                    format!("Invalid '{at}': string too long. Expected a string with maximum length 40.");
                let code = Some("string_above_max_length".to_owned());
                return Err(Refusal { code, ..Refusal::invalid(&at, message) });
            }
        }
        Ok(())
    }

    /// Tool results answer the calls right before them, all of them and nothing else.
    fn check_order(&self) -> Result<(), Refusal> {
        let mut open: Vec<&str> = Vec::new();
        for (position, message) in self.messages.iter().enumerate() {
            let at = format!("messages.[{position}].role");
            match message.role.as_str() {
                "tool" => {
                    let id = message.tool_call_id.as_deref().unwrap_or_default();
                    let Some(found) = open.iter().position(|call| *call == id) else {
                        let message = "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.";
                        return Err(Refusal::invalid(&at, message));
                    };
                    open.remove(found);
                }
                "system" | "developer" | "user" | "assistant" | "function" => {
                    refuse_unanswered(&at, &open)?;
                    open = message.tool_calls.iter().flatten().map(|call| call.id.as_str()).collect();
                }
                other => return Err(Refusal::invalid(&at, format!("Invalid value: '{other}'."))),
            }
        }
        refuse_unanswered("messages", &open)
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }

    fn stops(&self) -> &[String] {
        match &self.stop {
            Some(Stop::One(stop)) => std::slice::from_ref(stop),
            Some(Stop::Many(stops)) => stops,
            None => &[],
        }
    }

    fn ask<'a>(&'a self, stops: &'a [String]) -> Ask<'a> {
        let last = self.messages.last();
        let is_reasoning = self.reasoning_effort.as_deref().is_some_and(|effort| effort != "none");
        Ask {
            last_text: self
                .messages
                .iter()
                .rfind(|message| message.role == "user")
                .map(Message::text)
                .unwrap_or_default(),
            tool_result: last.filter(|message| message.role == "tool").map(Message::text),
            tools: self.offers().map(|offer| Tool { name: &offer.name, schema: &offer.parameters }).collect(),
            choice: choice(self.tool_choice.as_ref()),
            max_calls: if self.parallel_tool_calls == Some(false) { 1 } else { usize::MAX },
            input_tokens: self.input_tokens(),
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            stops,
            schema: self.schema(),
            reasoning_tokens: if is_reasoning { REASONING_TOKENS } else { 0 },
            thinks: false,
            logprobs: self.logprobs.filter(|asked| *asked).map(|_| self.top_logprobs.unwrap_or(0)),
            cites: false,
        }
    }

    fn offers(&self) -> impl Iterator<Item = &FunctionOffer> {
        self.tools.iter().flatten().filter_map(|offer| offer.function.as_ref())
    }

    fn schema(&self) -> Option<&Value> {
        let format = self.response_format.as_ref()?;
        match format.get("type").and_then(Value::as_str) {
            Some("json_schema") => format.pointer("/json_schema/schema"),
            Some("json_object") => Some(&reply::ANY_OBJECT),
            _ => None,
        }
    }

    fn input_tokens(&self) -> u64 {
        let messages: u64 = self.messages.iter().map(Message::tokens).sum();
        let tools: u64 = self
            .offers()
            .map(|offer| tokens_of(&offer.name) + tokens_of(&offer.parameters.to_string()))
            .sum();
        messages + tools
    }
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            Some(Words::Text(text)) => text.clone(),
            Some(Words::Parts(parts)) => parts.iter().filter_map(|part| part.text.as_deref()).collect(),
            None => String::new(),
        }
    }

    fn tokens(&self) -> u64 {
        let content = match &self.content {
            Some(Words::Text(text)) => tokens_of(text),
            Some(Words::Parts(parts)) => parts.iter().map(Part::tokens).sum(),
            None => 0,
        };
        let calls = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        MESSAGE_TOKENS + content + calls.map(|function| tokens_of(&function.to_string())).sum::<u64>()
    }
}

impl Part {
    fn tokens(&self) -> u64 {
        let image = if self.r#type == "image_url" { IMAGE_TOKENS } else { 0 };
        image + self.text.as_deref().map_or(0, tokens_of)
    }
}

impl Question for ChatRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let reply = reply::reply(&self.ask(self.stops()), facts.behaviour);
        if self.is_azure && reply.finish == Finish::Refused {
            return Err(azure::filtered());
        }
        let choices = if reply.is_empty { 0 } else { self.n.unwrap_or(1) };
        let billed = for_choices(&reply.billed, choices.max(1));
        if self.stream == Some(true) {
            let (events, odd) = chat_stream::events(self, &reply, choices, facts, &billed);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        Ok(Made::json(&chat_answer::whole(self, &reply, choices, facts, &billed), billed))
    }
}

fn refuse_unanswered(at: &str, open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal::invalid(at, message))
}

fn choice(choice: Option<&Value>) -> Choice {
    match choice {
        Some(Value::String(word)) if word == "none" => Choice::Never,
        Some(Value::String(word)) if word == "required" => Choice::Any,
        Some(object) => {
            let name = object.pointer("/function/name").and_then(Value::as_str);
            name.map_or(Choice::Auto, |name| Choice::Named(name.to_owned()))
        }
        None => Choice::Auto,
    }
}

/// Every choice is written; the input is read once.
fn for_choices(billed: &Billed, choices: u32) -> Billed {
    let times = u64::from(choices);
    Billed { output: billed.output * times, reasoning: billed.reasoning * times, ..*billed }
}
