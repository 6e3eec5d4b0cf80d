//! Recorded exchanges, and what they say when read without the crate under test.

use std::path::{Path, PathBuf};

use base64::Engine;
use bytes::Bytes;
use frontdoor_dialect::{Asked, Call, Dialect, Operation, TargetShape, Usage, encode_request};
use serde_json::Value;

use crate::{anthropic, bedrock, cohere, gemini, openai, responses};

/// One call and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    pub(crate) path: String,
    pub(crate) request: Value,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What an answer says: its text, its reasoning, and its calls of tools.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<(String, String, Value)>,
}

/// Calls of tools as they come: where they stand, their ids and names, and the text of their arguments.
pub(crate) type Calls = Vec<(u64, String, String, String)>;

/// A text field, empty when it is missing.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Exchange {
    pub(crate) fn is_stream(&self) -> bool {
        !self.body.trim_ascii().starts_with(b"{")
    }

    pub(crate) fn call(&self) -> Call {
        let body = Bytes::from(self.request.to_string());
        Call::decode(self.asked(), body).unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
    }

    /// What the path asks for; only those of Gemini and Bedrock tell more than the operation.
    fn asked(&self) -> Asked {
        let mut asked = Asked::from((self.dialect, self.operation));
        if self.dialect == Dialect::Gemini {
            let (model, verb) = self.path.rsplit('/').next().unwrap().split_once(':').unwrap();
            asked.model = Some(model.to_owned());
            asked.stream = verb.starts_with("stream");
        }
        if self.dialect == Dialect::Bedrock {
            let mut path = self.path.rsplit('/');
            asked.stream = path.next() == Some("converse-stream");
            asked.model = path.next().map(|model| model.replace("%3A", ":"));
        }
        asked
    }

    /// A call of a dialect that asks for the same as this one, but for its body.
    pub(crate) fn read_as(&self, dialect: Dialect, body: Bytes) -> Call {
        let mut asked = Asked::from((dialect, self.operation));
        if matches!(dialect, Dialect::Gemini | Dialect::Bedrock) {
            let call = self.call();
            (asked.model, asked.stream) = (Some(call.envelope.model), call.envelope.stream);
        }
        Call::decode(asked, body).unwrap()
    }

    pub(crate) fn model(&self) -> String {
        let model = self.request["model"].as_str().map(str::to_owned);
        model.or(self.asked().model).unwrap()
    }

    /// How many tools are offered; Gemini groups its functions.
    pub(crate) fn tools(&self) -> usize {
        let tools = self.request["tools"].as_array().into_iter().flatten();
        if self.dialect == Dialect::Gemini {
            return tools.map(|tool| tool["functionDeclarations"].as_array().map_or(0, Vec::len)).sum();
        }
        if self.dialect == Dialect::Bedrock { bedrock::tools(&self.request) } else { tools.count() }
    }

    /// The usage as the provider meant it.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let mut usage = None;
        for record in records(&self.body, self.is_stream()) {
            let inner = record.pointer("/message/usage").or_else(|| record.pointer("/response/usage"));
            let top = record.get("usage").or_else(|| record.pointer("/delta/usage")).or_else(|| {
                record.get("usageMetadata").filter(|report| report.get("promptTokenCount").is_some())
            });
            let Some(report) = inner.or(top).filter(|report| report.is_object()) else {
                continue;
            };
            let count = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            usage = Some(match self.dialect {
                Dialect::OpenAi => openai::usage(&count),
                Dialect::Responses => responses::usage(&count),
                Dialect::Anthropic => anthropic::usage(&count),
                Dialect::Gemini => gemini::usage(&count),
                Dialect::Bedrock => bedrock::usage(&count),
                Dialect::Cohere => cohere::usage(&count),
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
        ref name if name.ends_with(".openai.responses.jsonl") => (Dialect::Responses, Operation::Chat),
        ref name if name.ends_with(".anthropic.messages.jsonl") => (Dialect::Anthropic, Operation::Chat),
        ref name if name.ends_with(".gemini.generate.jsonl") => (Dialect::Gemini, Operation::Chat),
        ref name if name.ends_with(".bedrock.converse.jsonl") => (Dialect::Bedrock, Operation::Chat),
        ref name if name.ends_with(".cohere.chat.jsonl") => (Dialect::Cohere, Operation::Chat),
        _ => return Vec::new(),
    };
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exchange = |line: Value| Exchange {
        name: line["name"].as_str().unwrap().to_owned(),
        dialect,
        operation,
        path: line["request"]["path"].as_str().unwrap().to_owned(),
        request: line["request"]["json"].clone(),
        status: u16::try_from(line["response"]["status"].as_u64().unwrap()).unwrap(),
        body: answer(&line["response"]["body"]),
    };
    lines.map(exchange).collect()
}

/// A recorded body: text, or bytes.
fn answer(body: &Value) -> Vec<u8> {
    match body["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(body["base64"].as_str().unwrap()).unwrap(),
    }
}

/// The JSON of a whole body or of each record of a stream.
fn records(body: &[u8], is_stream: bool) -> Vec<Value> {
    // Binary messages begin with their length.
    if body.first() == Some(&0) {
        return bedrock::records(body);
    }
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
    let mut calls = Calls::new();
    for record in records(body, is_stream) {
        match dialect {
            Dialect::OpenAi => openai::said(&record, &mut said, &mut calls),
            Dialect::Responses => responses::said(&record, &mut said, &mut calls),
            Dialect::Anthropic => anthropic::said(&record, &mut said, &mut calls),
            Dialect::Gemini => gemini::said(&record, &mut said, &mut calls),
            Dialect::Bedrock => bedrock::said(&record, &mut said, &mut calls),
            Dialect::Cohere => cohere::said(&record, &mut said, &mut calls),
        }
    }
    let arguments = |text: &str| serde_json::from_str(if text.is_empty() { "{}" } else { text }).unwrap();
    said.calls = calls.into_iter().map(|(_, id, name, text)| (id, name, arguments(&text))).collect();
    said
}

impl Said {
    /// As another caller gets it: an id may carry a seal, and a call without an id gets one.
    pub(crate) fn translated(mut self, original: &Self) -> Self {
        for (call, (known, ..)) in self.calls.iter_mut().zip(&original.calls) {
            let bare = call.0.split("__sig_").next().unwrap().to_owned();
            call.0 = if known.is_empty() { String::new() } else { bare };
        }
        self
    }
}

/// A call written again in its own dialect.
pub(crate) fn rewrite(exchange: &Exchange, model: &str) -> Bytes {
    let request = exchange.call().request().unwrap();
    encode_request(request, &TargetShape::new(exchange.dialect, model)).unwrap().body
}
