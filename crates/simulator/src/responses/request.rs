//! `POST /v1/responses` and `POST /v1/responses/input_tokens`: what is read and what is asked. What is refused, the answer and
//! the stream are next door.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::ledger::Billed;
use crate::openai::{azure, body};
use crate::reply::{self, Ask, Choice, Tool, tokens_of};
use crate::responses::items::{ITEM_TOKENS, kind, listed, said, text_of, tokens};
use crate::responses::stored::RESPONSE;
use crate::responses::{answer, rules, stream};
use crate::shelf::Thing;

/// What the answer depends on or repeats.
#[derive(Debug, Deserialize)]
pub(crate) struct ResponsesRequest {
    #[serde(default)]
    pub(crate) model: String,
    #[serde(default)]
    input: Option<Input>,
    pub(crate) instructions: Option<Value>,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) stream: Option<bool>,
    pub(crate) background: Option<bool>,
    pub(crate) store: Option<bool>,
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_logprobs: Option<usize>,
    pub(crate) tools: Option<Vec<Value>>,
    pub(crate) tool_choice: Option<Value>,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) reasoning: Option<Value>,
    pub(crate) text: Option<Value>,
    pub(crate) include: Option<Vec<String>>,
    pub(crate) metadata: Option<Value>,
    pub(crate) stream_options: Option<Value>,
    pub(crate) service_tier: Option<String>,
    pub(crate) truncation: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) prompt_cache_key: Option<String>,
    pub(crate) max_tool_calls: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Value>),
}

/// Reads `POST /v1/responses`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request = parse(arrived)?;
    rules::check(&request)?;
    Ok(Box::new(request))
}

/// Reads `POST /v1/responses/input_tokens`.
pub(crate) fn read_count(arrived: &Arrived<'_>) -> Parsed {
    Ok(Box::new(Count(parse(arrived)?)))
}

fn parse(arrived: &Arrived<'_>) -> Result<ResponsesRequest, Refusal> {
    if arrived.parts.uri.path().starts_with("/openai/responses") {
        azure::check(arrived)?;
    }
    let members: serde_json::Map<String, Value> = body(arrived)?;
    rules::check_members(&members)?;
    body(arrived)
}

/// How many tokens a request would cost to read. The question is free.
struct Count(ResponsesRequest);

impl Question for Count {
    fn model(&self) -> &str {
        &self.0.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let history = self.0.history(facts)?;
        let counted = reply::input(self.0.input_tokens(&history), facts.behaviour).input;
        let answer = json!({"object": "response.input_tokens", "input_tokens": counted});
        Ok(Made::json(&answer, Billed::default()))
    }
}

impl Question for ResponsesRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let mut history = self.history(facts)?;
        history.extend(self.items());
        rules::check_items(&history)?;
        let reply = reply::reply(&self.ask(&history), facts.behaviour);
        let billed = reply.billed;
        let made = answer::Answer::new(self, &reply, facts);
        let whole = made.whole();
        if self.store != Some(false) {
            self.keep(&history, &whole, facts);
        }
        if self.stream == Some(true) {
            let (events, odd) = stream::events(&made, &reply);
            return Ok(Made { content: Content::Stream(events, odd, SSE), billed });
        }
        let shown = if self.background == Some(true) { made.queued() } else { whole };
        Ok(Made::json(&shown, billed))
    }
}

impl ResponsesRequest {
    /// The items of this request.
    pub(crate) fn items(&self) -> Vec<Value> {
        match &self.input {
            None => Vec::new(),
            Some(Input::Text(text)) => vec![json!({"type": "message", "role": "user", "content": text})],
            Some(Input::Items(items)) => items.clone(),
        }
    }

    /// The items of the responses before.
    fn history(&self, facts: &Facts<'_>) -> Result<Vec<Value>, Refusal> {
        let Some(id) = &self.previous_response_id else { return Ok(Vec::new()) };
        let Some(thing) = facts.shelf.get(RESPONSE, id) else {
            return Err(Refusal {
                code: Some("previous_response_not_found".to_owned()),
                ..Refusal::invalid(
                    "previous_response_id",
                    format!("Previous response with id '{id}' not found."),
                )
            });
        };
        let kept: Value = serde_json::from_slice(&thing.content).unwrap_or_default();
        let before = kept.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        let output = thing.page.get("output").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(before.into_iter().chain(output).collect())
    }

    fn keep(&self, history: &[Value], whole: &Value, facts: &Facts<'_>) {
        let input = listed(&self.items(), &|prefix, position| facts.part_id(prefix, 100 + position));
        let kept = json!({"history": history, "input": input});
        facts.shelf.put(Thing {
            kind: RESPONSE,
            id: text_of(whole, "id").to_owned(),
            page: whole.clone(),
            content: Bytes::from(kept.to_string()),
        });
    }

    pub(crate) fn functions(&self) -> impl Iterator<Item = &Value> {
        self.tools.iter().flatten().filter(|tool| text_of(tool, "type") == "function")
    }

    pub(crate) fn effort(&self) -> Option<&str> {
        self.reasoning.as_ref().and_then(|reasoning| reasoning.get("effort")).and_then(Value::as_str)
    }

    pub(crate) fn includes(&self, what: &str) -> bool {
        self.include.iter().flatten().any(|included| included == what)
    }

    fn input_tokens(&self, history: &[Value]) -> u64 {
        let items: u64 = history.iter().chain(&self.items()).map(tokens).sum();
        self.fixed_tokens() + items
    }

    /// Instructions and tools.
    fn fixed_tokens(&self) -> u64 {
        let instructions = self.instructions.as_ref().map_or(0, |text| ITEM_TOKENS + tokens_of(&said(text)));
        let tools = self.functions().map(|tool| {
            let parameters = tool.get("parameters").unwrap_or(&Value::Null);
            tokens_of(text_of(tool, "name")) + tokens_of(&parameters.to_string())
        });
        instructions + tools.sum::<u64>()
    }

    fn ask(&self, history: &[Value]) -> Ask<'_> {
        let is_user = |item: &&Value| kind(item) == "message" && text_of(item, "role") == "user";
        let content = |item: &Value| said(item.get("content").unwrap_or(&Value::Null));
        let results = history.iter().rev().take_while(|item| kind(item) == "function_call_output");
        let mut results: Vec<String> =
            results.map(|item| said(item.get("output").unwrap_or(&Value::Null))).collect();
        results.reverse();
        let is_reasoning = self.effort().map_or(self.reasoning.is_some(), |effort| effort != "none");
        let wants_logprobs = self.includes("message.output_text.logprobs") || self.top_logprobs.is_some();
        let schema = |tool| -> &Value { Value::get(tool, "parameters").unwrap_or(&Value::Null) };
        Ask {
            last_text: history.iter().rfind(is_user).map(content).unwrap_or_default(),
            tool_result: (!results.is_empty()).then(|| results.join(" ")),
            tools: self
                .functions()
                .map(|tool| Tool { name: text_of(tool, "name"), schema: schema(tool) })
                .collect(),
            choice: self.choice(),
            max_calls: if self.parallel_tool_calls == Some(false) { 1 } else { usize::MAX },
            input_tokens: self.fixed_tokens() + history.iter().map(tokens).sum::<u64>(),
            max_tokens: self.max_output_tokens,
            stops: &[],
            schema: self.schema(),
            reasoning_tokens: 0,
            thinks: is_reasoning,
            logprobs: wants_logprobs.then(|| self.top_logprobs.unwrap_or(0)),
            cites: false,
        }
    }

    fn schema(&self) -> Option<&Value> {
        let format = self.text.as_ref()?.get("format")?;
        match text_of(format, "type") {
            "json_schema" => format.get("schema"),
            "json_object" => Some(&reply::ANY_OBJECT),
            _ => None,
        }
    }

    fn choice(&self) -> Choice {
        match &self.tool_choice {
            Some(Value::String(word)) if word == "none" => Choice::Never,
            Some(Value::String(word)) if word == "required" => Choice::Any,
            Some(object) if text_of(object, "type") == "function" => {
                Choice::Named(text_of(object, "name").to_owned())
            }
            _ => Choice::Auto,
        }
    }
}
