//! `generateContent`, `streamGenerateContent` and `countTokens`: what was asked, and the whole answer. The chunks are next door.

use serde_json::{Value, json};

use crate::answer::{Arrived, Content as Body, Facts, JSON, Made, Parsed, Question, Refusal, SSE};
use crate::behaviour::Behaviour;
use crate::gemini::request::{self, CountRequest, GenerateRequest};
use crate::gemini::{chunks, history, is_vertex};
use crate::ledger::Billed;
use crate::reply::{self, Ask, Choice, Finish, Reply, SOURCE, Tool, alternatives, logprob};

/// A call of `generateContent`.
struct Generate {
    request: GenerateRequest,
    model: String,
    framing: Framing,
}

/// How the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Whole,
    /// With `?alt=sse`.
    Sse,
    /// Without: one JSON array, written bit by bit.
    Array,
}

/// Reads `generateContent`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    read_as(arrived, Framing::Whole)
}

/// Reads `streamGenerateContent`.
pub(crate) fn read_stream(arrived: &Arrived<'_>) -> Parsed {
    let is_sse = arrived.query("alt").as_deref() == Some("sse");
    read_as(arrived, if is_sse { Framing::Sse } else { Framing::Array })
}

fn read_as(arrived: &Arrived<'_>, framing: Framing) -> Parsed {
    let request: GenerateRequest = request::read(arrived)?;
    history::check(&request, arrived.name, is_vertex(arrived))?;
    Ok(Box::new(Generate { request, model: arrived.name.to_owned(), framing }))
}

/// A call of `countTokens`, which is free.
struct Count {
    tokens: u64,
    model: String,
}

/// Reads `countTokens`.
pub(crate) fn read_count(arrived: &Arrived<'_>) -> Parsed {
    let request: CountRequest = request::read(arrived)?;
    let inner = match request.generate_content_request {
        Some(_) if !request.contents.is_empty() => {
            return Err(Refusal::new(400, "Only one of contents and generateContentRequest may be set."));
        }
        Some(inner) => inner,
        None => GenerateRequest {
            contents: request.contents,
            system_instruction: request.system_instruction,
            tools: request.tools,
            ..GenerateRequest::default()
        },
    };
    if inner.contents.is_empty() {
        return Err(Refusal::new(400, "* CountTokensRequest.contents: contents is not specified"));
    }
    Ok(Box::new(Count { tokens: inner.input_tokens(), model: arrived.name.to_owned() }))
}

impl Question for Count {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let total = reply::input(self.tokens, facts.behaviour).input;
        let details = json!([{"modality": "TEXT", "tokenCount": total}]);
        Ok(Made::json(&json!({"totalTokens": total, "promptTokensDetails": details}), Billed::default()))
    }
}

impl Question for Generate {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let reply = reply::reply(&self.ask(), facts.behaviour);
        let candidates = self.request.generation_config.candidate_count.unwrap_or(1);
        if reply.finish == Finish::Refused && facts.behaviour.stop_reason.is_none() {
            let billed = Billed { output: 0, reasoning: 0, ..reply.billed };
            let answer = Answer { facts, billed: &billed, candidates };
            let blocked = answer
                .around(&json!({"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": ratings()}}));
            return Ok(self.sent(blocked, billed, facts));
        }
        let times = u64::from(candidates);
        let billed = Billed {
            output: reply.billed.output * times,
            reasoning: reply.billed.reasoning * times,
            ..reply.billed
        };
        let answer = Answer { facts, billed: &billed, candidates };
        if self.framing != Framing::Whole {
            let (events, odd) = chunks::events(&answer, &reply, self.framing);
            let content_type = if self.framing == Framing::Sse { SSE } else { JSON };
            return Ok(Made { content: Body::Stream(events, odd, content_type), billed });
        }
        Ok(Made::json(&answer.whole(&reply), billed))
    }
}

impl Generate {
    /// One object, as the whole answer or as the only chunk.
    fn sent(&self, object: Value, billed: Billed, facts: &Facts<'_>) -> Made {
        if self.framing == Framing::Whole {
            return Made::json(&object, billed);
        }
        let (events, odd) = chunks::framed(vec![(object, 0)], self.framing, facts);
        let content_type = if self.framing == Framing::Sse { SSE } else { JSON };
        Made { content: Body::Stream(events, odd, content_type), billed }
    }

    fn ask(&self) -> Ask<'_> {
        let request = &self.request;
        let config = &request.generation_config;
        let last = request.contents.last();
        let results = last.map(|content| {
            let responses = content.parts.iter().filter_map(|part| part.function_response.as_ref());
            responses
                .map(|response| response.response.as_ref().map_or_else(String::new, said))
                .collect::<Vec<_>>()
        });
        let thinking = config.thinking_config.as_ref();
        let is_json = config.response_mime_type.as_deref() == Some("application/json");
        Ask {
            last_text: request
                .contents
                .iter()
                .rfind(|content| !content.is_model() && !content.text().is_empty())
                .map(|content| content.text())
                .unwrap_or_default(),
            tool_result: results.filter(|results| !results.is_empty()).map(|results| results.join(" ")),
            tools: self.tools(),
            choice: self.choice(),
            max_calls: usize::MAX,
            input_tokens: request.input_tokens(),
            max_tokens: config.max_output_tokens,
            stops: &config.stop_sequences,
            schema: config
                .response_schema
                .as_ref()
                .or(config.response_json_schema.as_ref())
                .or(is_json.then_some(&*reply::ANY_OBJECT)),
            reasoning_tokens: 0,
            thinks: thinking.is_some_and(|thinking| thinking.include_thoughts == Some(true)),
            logprobs: config.response_logprobs.filter(|asked| *asked).map(|_| config.logprobs.unwrap_or(1)),
            cites: false,
        }
    }

    /// The tools that may be called.
    fn tools(&self) -> Vec<Tool<'_>> {
        let allowed = self
            .request
            .calling()
            .map(|calling| calling.allowed_function_names.as_slice())
            .unwrap_or_default();
        self.request
            .declarations()
            .filter(|offer| allowed.is_empty() || allowed.contains(&offer.name))
            .map(|offer| Tool { name: &offer.name, schema: offer.schema().unwrap_or(&Value::Null) })
            .collect()
    }

    fn choice(&self) -> Choice {
        let mode = self.request.calling().and_then(|calling| calling.mode.as_deref()).unwrap_or("AUTO");
        match mode.to_uppercase().as_str() {
            "ANY" => Choice::Any,
            "NONE" => Choice::Never,
            _ => Choice::Auto,
        }
    }
}

fn said(response: &Value) -> String {
    let known = ["output", "result", "content"].iter().find_map(|key| response.get(key));
    match known {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => response.to_string(),
    }
}

/// Everything that surrounds candidates.
pub(crate) struct Answer<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) billed: &'a Billed,
    pub(crate) candidates: u32,
}

impl Answer<'_> {
    fn whole(&self, reply: &Reply) -> Value {
        let parts = parts(reply, self.facts);
        let candidate = |index: u32| {
            let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": index});
            self.finish(&mut candidate, reply);
            candidate
        };
        let count = if reply.is_empty { 0 } else { self.candidates };
        self.around(&json!({"candidates": (0..count).map(candidate).collect::<Vec<_>>()}))
    }

    /// What the last word about a candidate says.
    pub(crate) fn finish(&self, candidate: &mut Value, reply: &Reply) {
        let Some(members) = candidate.as_object_mut() else { return };
        members.insert(
            "finishReason".to_owned(),
            Value::from(finish_reason(&reply.finish, self.facts.behaviour)),
        );
        members.insert("safetyRatings".to_owned(), ratings());
        if let Some(count) = reply.logprobs.filter(|_| !reply.text.is_empty()) {
            members.insert("avgLogprobs".to_owned(), json!(logprob(0)));
            members.insert("logprobsResult".to_owned(), logprobs(&reply.text, count));
        }
        if reply.cites {
            let length = reply.text.len();
            let source =
                json!({"startIndex": 0, "endIndex": length, "uri": SOURCE.url, "title": SOURCE.title});
            members.insert("citationMetadata".to_owned(), json!({"citations": [source]}));
            let chunk = json!({"web": {"uri": SOURCE.url, "title": SOURCE.title}});
            let support = json!({"segment": {"startIndex": 0, "endIndex": length, "text": reply.text}, "groundingChunkIndices": [0]});
            members.insert(
                "groundingMetadata".to_owned(),
                json!({"groundingChunks": [chunk], "groundingSupports": [support]}),
            );
        }
    }

    /// An object with what every one of them has, and with usage as it stands at the end.
    fn around(&self, object: &Value) -> Value {
        self.with_usage(object, self.billed.output, self.billed.reasoning)
    }

    /// An object with what every one of them has, and with usage so far.
    pub(crate) fn with_usage(&self, object: &Value, output: u64, reasoning: u64) -> Value {
        let mut object = object.clone();
        let Some(members) = object.as_object_mut() else { return object };
        if self.facts.reports_usage() {
            members.insert("usageMetadata".to_owned(), usage(self.billed, output, reasoning));
        }
        members.insert("modelVersion".to_owned(), Value::from(self.facts.model));
        members.insert("responseId".to_owned(), Value::from(self.facts.id("")));
        object
    }
}

/// The parts of a candidate.
fn parts(reply: &Reply, facts: &Facts<'_>) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(thought) = reply.thought {
        parts.push(json!({"text": thought, "thought": true}));
    }
    if reply.has_unknown {
        parts.push(json!({"simulatedUnknown": {"a": 1}}));
    }
    if !reply.text.is_empty() {
        let mut part = json!({"text": reply.text});
        if reply.thought.is_some() {
            sign(&mut part);
        }
        parts.push(part);
    }
    parts.extend(call_parts(reply, facts));
    parts
}

/// The parts that call functions. Of several, only the first is signed.
pub(crate) fn call_parts(reply: &Reply, facts: &Facts<'_>) -> Vec<Value> {
    let signs = facts.model.contains("gemini-3") || reply.thought.is_some();
    let part = |(position, call): (usize, &reply::ToolCall)| {
        let id = facts.part_id("", position);
        let mut part = json!({"functionCall": {"id": id, "name": call.name, "args": call.arguments}});
        if signs && position == 0 {
            sign(&mut part);
        }
        part
    };
    reply.calls.iter().enumerate().map(part).collect()
}

fn sign(part: &mut Value) {
    if let Some(members) = part.as_object_mut() {
        members.insert("thoughtSignature".to_owned(), Value::from(history::SIGNATURE));
    }
}

/// The finish reason, unless one is scripted. A function call stops like anything else.
fn finish_reason<'a>(finish: &Finish, behaviour: &'a Behaviour) -> &'a str {
    match (&behaviour.stop_reason, finish) {
        (Some(reason), _) => reason,
        (None, Finish::Length) => "MAX_TOKENS",
        (None, Finish::Refused) => "SAFETY",
        (None, Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls) => "STOP",
    }
}

fn ratings() -> Value {
    json!([
        {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "NEGLIGIBLE"},
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
    ])
}

/// Thoughts are counted beside candidates, cached tokens among the prompt's.
fn usage(billed: &Billed, output: u64, reasoning: u64) -> Value {
    let mut usage = json!({
        "promptTokenCount": billed.input,
        "candidatesTokenCount": output - reasoning,
        "totalTokenCount": billed.input + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": billed.input}],
    });
    if let Some(members) = usage.as_object_mut() {
        for (key, count) in [("thoughtsTokenCount", reasoning), ("cachedContentTokenCount", billed.cached)] {
            if count > 0 {
                members.insert(key.to_owned(), Value::from(count));
            }
        }
    }
    usage
}

fn logprobs(text: &str, count: usize) -> Value {
    let tokens = alternatives(text, count);
    let chosen: Vec<Value> = tokens
        .iter()
        .map(|(token, _)| json!({"token": token, "tokenId": 1, "logProbability": logprob(0)}))
        .collect();
    let top = tokens.iter().map(|(_, top)| {
        let top: Vec<Value> = top
            .iter()
            .map(|(token, logprob)| json!({"token": token, "tokenId": 1, "logProbability": logprob}))
            .collect();
        json!({"candidates": top})
    });
    json!({"chosenCandidates": chosen, "topCandidates": top.collect::<Vec<_>>()})
}
