//! Recorded exchanges, and what they say when read without the crate under test.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use frontdoor_dialect::{
    Call, Dialect, Operation, Part, PartBody, Request, Role, Source, TargetShape, ToolBody, Usage,
    encode_request,
};
use serde_json::Value;

/// One call and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    pub(crate) request: Value,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What an answer says: its text, its reasoning, and its calls of tools.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    text: String,
    reasoning: String,
    calls: Vec<(String, String, Value)>,
}

impl Exchange {
    pub(crate) fn is_stream(&self) -> bool {
        !self.body.trim_ascii().starts_with(b"{")
    }

    pub(crate) fn call(&self) -> Call {
        let body = Bytes::from(self.request.to_string());
        Call::decode((self.dialect, self.operation), body)
            .unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
    }

    /// The usage as the provider meant it.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let mut usage = None;
        for record in records(&self.body, self.is_stream()) {
            let report = record.pointer("/message/usage").or_else(|| record.get("usage"));
            let Some(report) = report.filter(|report| report.is_object()) else { continue };
            let count = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            usage = Some(match self.dialect {
                Dialect::OpenAi => {
                    let cache_read =
                        count("/prompt_tokens_details/cached_tokens").max(count("/num_cached_tokens"));
                    let cache_write = count("/prompt_tokens_details/cache_write_tokens");
                    Usage {
                        input: count("/prompt_tokens") - cache_read - cache_write,
                        cache_read,
                        cache_write,
                        output: count("/completion_tokens"),
                        reasoning: count("/completion_tokens_details/reasoning_tokens")
                            .min(count("/completion_tokens")),
                    }
                }
                Dialect::Anthropic => Usage {
                    input: count("/input_tokens"),
                    cache_read: count("/cache_read_input_tokens"),
                    cache_write: count("/cache_creation_input_tokens"),
                    output: count("/output_tokens"),
                    reasoning: count("/output_tokens_details/thinking_tokens"),
                },
                other => panic!("{other} is not read here"),
            });
        }
        usage
    }
}

/// The recordings of this repository, and those of a directory named by `FRONTDOOR_RECORDINGS`.
pub(crate) fn exchanges() -> Vec<Exchange> {
    let mut directories = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings"))];
    directories.extend(std::env::var_os("FRONTDOOR_RECORDINGS").map(PathBuf::from));
    let files = directories.iter().flat_map(|directory| std::fs::read_dir(directory).unwrap());
    let exchanges: Vec<_> = files.flat_map(|file| read(&file.unwrap().path())).collect();
    assert!(exchanges.len() > 20, "the recordings are missing");
    exchanges
}

fn read(path: &Path) -> Vec<Exchange> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let (dialect, operation) = match name {
        ref name if name.ends_with(".openai.chat.jsonl") => (Dialect::OpenAi, Operation::Chat),
        ref name if name.ends_with(".openai.embeddings.jsonl") => (Dialect::OpenAi, Operation::Embeddings),
        ref name if name.ends_with(".anthropic.messages.jsonl") => (Dialect::Anthropic, Operation::Chat),
        _ => return Vec::new(),
    };
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exchange = |line: Value| Exchange {
        name: line["name"].as_str().unwrap().to_owned(),
        dialect,
        operation,
        request: line["request"]["json"].clone(),
        status: u16::try_from(line["response"]["status"].as_u64().unwrap()).unwrap(),
        body: line["response"]["body"]["text"].as_str().unwrap().as_bytes().to_vec(),
    };
    lines.map(exchange).collect()
}

/// The JSON of a whole body or of each record of a stream.
fn records(body: &[u8], is_stream: bool) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    if !is_stream {
        return vec![serde_json::from_str(text).unwrap()];
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

/// Reads what an answer says.
pub(crate) fn said(dialect: Dialect, body: &[u8], is_stream: bool) -> Said {
    let mut said = Said::default();
    let mut calls: Vec<(u64, String, String, String)> = Vec::new();
    for record in records(body, is_stream) {
        match dialect {
            Dialect::OpenAi => openai(&record, &mut said, &mut calls),
            Dialect::Anthropic => anthropic(&record, &mut said, &mut calls),
            other => panic!("{other} is not read here"),
        }
    }
    let arguments = |text: &str| serde_json::from_str(if text.is_empty() { "{}" } else { text }).unwrap();
    said.calls = calls.into_iter().map(|(_, id, name, text)| (id, name, arguments(&text))).collect();
    said
}

fn openai(record: &Value, said: &mut Said, calls: &mut Vec<(u64, String, String, String)>) {
    let choice = &record["choices"][0];
    let message = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
    said.text += message["content"].as_str().unwrap_or_default();
    said.reasoning +=
        message["reasoning_content"].as_str().or_else(|| message["reasoning"].as_str()).unwrap_or_default();
    for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let index = call["index"].as_u64().unwrap_or(place as u64);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if !calls.iter().any(|known| known.0 == index) {
            calls.push((index, text(&call["id"]), text(&call["function"]["name"]), String::new()));
        }
        let known = calls.iter_mut().find(|known| known.0 == index).unwrap();
        known.3 += call["function"]["arguments"].as_str().unwrap_or_default();
    }
}

fn anthropic(record: &Value, said: &mut Said, calls: &mut Vec<(u64, String, String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let blocks = record["content"].as_array().into_iter().flatten().chain(record.get("content_block"));
    for (place, block) in blocks.enumerate() {
        match block["type"].as_str().unwrap() {
            "text" => said.text += &text(&block["text"]),
            "thinking" => said.reasoning += &text(&block["thinking"]),
            "tool_use" => {
                let index = record["index"].as_u64().unwrap_or(place as u64);
                let input = block["input"].to_string();
                let input = if input == "{}" { String::new() } else { input };
                calls.push((index, text(&block["id"]), text(&block["name"]), input));
            }
            _ => {}
        }
    }
    let delta = &record["delta"];
    said.text += &text(&delta["text"]);
    said.reasoning += &text(&delta["thinking"]);
    if let Some(call) = calls.iter_mut().find(|call| Some(call.0) == record["index"].as_u64()) {
        call.3 += &text(&delta["partial_json"]);
    }
}

/// A call written again in its own dialect.
pub(crate) fn rewrite(exchange: &Exchange, model: &str) -> Bytes {
    let request = exchange.call().request().unwrap();
    encode_request(request, &TargetShape::new(exchange.dialect, model)).unwrap().body
}

/// What a call says, whoever says it: the lines of the conversation, and the tools.
pub(crate) fn essence(request: &Request) -> Vec<String> {
    let mut system = String::new();
    let mut lines: Vec<String> = Vec::new();
    for message in &request.messages {
        let mut said = String::new();
        let mut rest = Vec::new();
        for part in &message.parts {
            describe(part, &mut said, &mut rest);
        }
        match message.role {
            Role::System | Role::Developer => {
                system += &said;
                continue;
            }
            Role::User => lines.append(&mut rest),
            Role::Assistant => {}
        }
        if !said.is_empty() {
            lines.push(format!("{:?}: {said}", message.role));
        }
        lines.append(&mut rest);
    }
    lines.insert(0, system);
    for tool in &request.tools {
        if let ToolBody::Function { name, description, parameters, .. } = &tool.body {
            let parameters =
                parameters.as_ref().map(|json| serde_json::from_str::<Value>(json.text()).unwrap());
            lines.push(format!("tool {name} {description:?} {parameters:?}"));
        }
    }
    let has_functions = request.tools.iter().any(|tool| matches!(tool.body, ToolBody::Function { .. }));
    lines.push(format!("{:?} {:?} {:?}", request.stop, request.stream, request.user));
    lines.extend(request.tool_choice.as_ref().filter(|_| has_functions).map(|choice| format!("{choice:?}")));
    joined(lines)
}

fn describe(part: &Part, said: &mut String, rest: &mut Vec<String>) {
    match &part.body {
        PartBody::Text(text) | PartBody::Document { source: Source::Text(text), .. } if !is_ours(text) => {
            *said += text
        }
        PartBody::ToolCall { id, name, arguments } => {
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            rest.push(format!("call {id} {name} {arguments}"));
        }
        PartBody::ToolResult { id, content, .. } => {
            let (mut text, mut shown) = (String::new(), Vec::new());
            for part in content {
                describe(part, &mut text, &mut shown);
            }
            rest.push(format!("result {id} {text}"));
            rest.append(&mut shown);
        }
        // Left out where it is allowed to: nobody else has the file, or fetches documents.
        PartBody::Image { source: Source::File(_), .. }
        | PartBody::Document { source: Source::File(_) | Source::Url(_), .. } => {}
        PartBody::Image { source, .. } | PartBody::Document { source, .. } => {
            rest.push(format!("shown {source:?}"))
        }
        _ => {}
    }
}

/// What a translation says about where it put an image.
fn is_ours(text: &str) -> bool {
    text.starts_with("Shown by the tool call") || text == "The result is shown in the next message."
}

/// Neighbouring lines of one speaker are one; pictures stand apart.
fn joined(lines: Vec<String>) -> Vec<String> {
    let (shown, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("shown"));
    let mut joined: Vec<String> = Vec::new();
    for line in lines {
        let speaker = line.split(": ").next().filter(|speaker| ["User", "Assistant"].contains(speaker));
        match (joined.last_mut(), speaker) {
            (Some(last), Some(speaker)) if last.starts_with(&format!("{speaker}: ")) => {
                *last += line.strip_prefix(&format!("{speaker}: ")).unwrap();
            }
            _ => joined.push(line),
        }
    }
    joined.extend(shown);
    joined
}
