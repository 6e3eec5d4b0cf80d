//! A response as an object: whole, and as it stands while it is being made.

use serde_json::{Value, json};

use crate::answer::Facts;
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::reply::{Finish, Reply, SOURCE, alternatives, logprob};
use crate::responses::request::ResponsesRequest;

/// Stands for thoughts that nobody but the provider can read.
pub(crate) const ENCRYPTED: &str = "gAAAAABzaW11bGF0ZWQtcmVhc29uaW5n";

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End<'a> {
    Completed,
    Incomplete(&'a str),
    Failed(&'a str),
}

impl End<'_> {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }
}

/// One response.
pub(crate) struct Answer<'a> {
    pub(crate) request: &'a ResponsesRequest,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) end: End<'a>,
    items: Vec<Value>,
    billed: Billed,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(request: &'a ResponsesRequest, reply: &Reply, facts: &'a Facts<'a>) -> Self {
        let end = end(&reply.finish, facts.behaviour);
        let items = items(request, reply, facts, end);
        Self { request, facts, end, items, billed: reply.billed }
    }

    /// The finished items.
    pub(crate) fn items(&self) -> &[Value] {
        &self.items
    }

    /// The response at its end.
    pub(crate) fn whole(&self) -> Value {
        let mut response = self.object(self.end.status());
        let Some(members) = response.as_object_mut() else { return response };
        members.insert("output".to_owned(), Value::from(self.items.clone()));
        if self.facts.reports_usage() {
            members.insert("usage".to_owned(), usage(&self.billed));
        }
        match self.end {
            End::Completed => {
                members.insert("completed_at".to_owned(), Value::from(self.facts.unix_seconds));
            }
            End::Incomplete(reason) => {
                members.insert("incomplete_details".to_owned(), json!({"reason": reason}));
            }
            End::Failed(code) => {
                let error = json!({"code": code, "message": "simulated failure"});
                members.insert("error".to_owned(), error);
            }
        }
        response
    }

    /// The response of a call that is done in the background.
    pub(crate) fn queued(&self) -> Value {
        self.object("queued")
    }

    /// The response as it stands before anything was said.
    pub(crate) fn object(&self, status: &str) -> Value {
        let request = self.request;
        let reasoning = request.reasoning.as_ref();
        let of_reasoning =
            |key: &str| reasoning.and_then(|reasoning| reasoning.get(key)).unwrap_or(&Value::Null);
        let format = request.text.as_ref().and_then(|text| text.get("format")).cloned();
        json!({
            "id": self.facts.id("resp_"),
            "object": "response",
            "created_at": self.facts.unix_seconds,
            "status": status,
            "background": request.background.unwrap_or(false),
            "completed_at": null,
            "error": null,
            "incomplete_details": null,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": request.max_tool_calls,
            "model": self.facts.model,
            "output": [],
            "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
            "previous_response_id": request.previous_response_id,
            "prompt_cache_key": request.prompt_cache_key,
            "reasoning": {"effort": of_reasoning("effort"), "summary": of_reasoning("summary")},
            "safety_identifier": request.safety_identifier,
            "service_tier": request.service_tier.as_deref().filter(|tier| *tier != "auto").unwrap_or("default"),
            "store": request.store.unwrap_or(true),
            "temperature": request.temperature.unwrap_or(1.0),
            "text": {"format": format.unwrap_or_else(|| json!({"type": "text"})), "verbosity": "medium"},
            "tool_choice": request.tool_choice.clone().unwrap_or_else(|| json!("auto")),
            "tools": request.tools.clone().unwrap_or_default(),
            "top_logprobs": request.top_logprobs.unwrap_or(0),
            "top_p": request.top_p.unwrap_or(1.0),
            "truncation": request.truncation.as_deref().unwrap_or("disabled"),
            "usage": null,
            "user": request.user,
            "metadata": request.metadata.clone().unwrap_or_else(|| json!({})),
        })
    }
}

/// The end, unless one is scripted: `max_output_tokens` and `content_filter` leave a response incomplete, any other word fails it.
fn end<'a>(finish: &Finish, behaviour: &'a Behaviour) -> End<'a> {
    match (behaviour.stop_reason.as_deref(), finish) {
        (Some("completed"), _) => End::Completed,
        (Some(reason @ ("max_output_tokens" | "content_filter")), _) => End::Incomplete(reason),
        (Some("failed"), _) => End::Failed("server_error"),
        (Some(code), _) => End::Failed(code),
        (None, Finish::Length) => End::Incomplete("max_output_tokens"),
        (None, Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls | Finish::Refused) => {
            End::Completed
        }
    }
}

fn items(request: &ResponsesRequest, reply: &Reply, facts: &Facts<'_>, end: End<'_>) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    if let Some(thought) = reply.thought {
        let wants_summary = request.reasoning.as_ref().is_some_and(|reasoning| {
            reasoning.get("summary").is_some_and(Value::is_string)
                || reasoning.get("generate_summary").is_some_and(Value::is_string)
        });
        let is_shown = wants_summary || Behaviour::is_on(facts.behaviour.thinking);
        let summary = if is_shown { json!([{"type": "summary_text", "text": thought}]) } else { json!([]) };
        let mut item = json!({"id": facts.part_id("rs_", 0), "type": "reasoning", "summary": summary});
        let is_wanted = request.includes("reasoning.encrypted_content");
        if let (true, Some(members)) = (is_wanted, item.as_object_mut()) {
            members.insert("encrypted_content".to_owned(), Value::from(ENCRYPTED));
        }
        items.push(item);
    }
    if reply.has_unknown {
        let id = facts.part_id("su_", items.len());
        items
            .push(json!({"id": id, "type": "simulated_unknown", "status": "completed", "payload": {"a": 1}}));
    }
    if !reply.text.is_empty() {
        let status = if end == End::Completed { "completed" } else { "incomplete" };
        items.push(json!({
            "id": facts.part_id("msg_", items.len()), "type": "message", "status": status, "role": "assistant",
            "content": [part(reply)],
        }));
    }
    for (position, call) in reply.calls.iter().enumerate() {
        items.push(json!({
            "id": facts.part_id("fc_", items.len()), "type": "function_call", "status": "completed",
            "arguments": call.written(), "call_id": facts.part_id("call_", position), "name": call.name,
        }));
    }
    items
}

/// The content of a message.
fn part(reply: &Reply) -> Value {
    if reply.finish == Finish::Refused {
        return json!({"type": "refusal", "refusal": reply.text});
    }
    let annotations = if reply.cites { json!([annotation(&reply.text)]) } else { json!([]) };
    let logprobs = logprobs(&reply.text, reply.logprobs);
    json!({"type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": reply.text})
}

/// The citation of a text.
pub(crate) fn annotation(text: &str) -> Value {
    json!({
        "type": "url_citation", "start_index": 0, "end_index": text.chars().count(), "title": SOURCE.title,
        "url": SOURCE.url,
    })
}

/// The log probabilities of a text, none when nobody asked.
pub(crate) fn logprobs(text: &str, count: Option<usize>) -> Value {
    let Some(count) = count else { return json!([]) };
    let entry =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let tokens = alternatives(text, count).into_iter().map(|(token, top)| {
        let top: Vec<Value> = top.iter().map(|(token, logprob)| entry(token, *logprob)).collect();
        json!({"token": token, "logprob": logprob(0), "bytes": token.as_bytes(), "top_logprobs": top})
    });
    Value::from(tokens.collect::<Vec<_>>())
}

/// The usage object.
fn usage(billed: &Billed) -> Value {
    json!({
        "input_tokens": billed.input,
        "input_tokens_details": {"cached_tokens": billed.cached, "cache_write_tokens": billed.cache_write},
        "output_tokens": billed.output,
        "output_tokens_details": {"reasoning_tokens": billed.reasoning},
        "total_tokens": billed.input + billed.output,
    })
}
