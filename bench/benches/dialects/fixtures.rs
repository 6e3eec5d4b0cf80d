//! One recorded exchange in every dialect: the same call, the same answer, and the same stream, so that the numbers can be compared.
//!
//! OpenAI's recording is the source; the crate under measurement wrote the others from it, and its golden tests say that it did so
//! without loss.

use std::path::Path;

use bytes::Bytes;
use dialect::{
    Asked, Call, Dialect, Framing, Operation, Relay, TargetShape, Wire, aws_event, encode_call, relay_answer,
};
use serde_json::Value;

/// How long the call is made.
const CALL: usize = 1 << 10;
/// And the long one.
const LONG_CALL: usize = 70 << 10;

/// Who may be behind the proxy.
pub(crate) const WIRES: [(&str, Wire); 7] = [
    ("openai", Wire { dialect: Dialect::OpenAi, framing: Framing::Sse }),
    ("responses", Wire { dialect: Dialect::Responses, framing: Framing::Sse }),
    ("anthropic", Wire { dialect: Dialect::Anthropic, framing: Framing::Sse }),
    ("anthropic at bedrock", Wire { dialect: Dialect::Anthropic, framing: Framing::AwsChunks }),
    ("gemini", Wire { dialect: Dialect::Gemini, framing: Framing::Sse }),
    ("bedrock", Wire { dialect: Dialect::Bedrock, framing: Framing::AwsEvents }),
    ("cohere", Wire { dialect: Dialect::Cohere, framing: Framing::Sse }),
];

/// A call and its answer.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) call: Bytes,
    pub(crate) answer: Bytes,
}

/// An exchange in one dialect.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) chat: Whole,
    /// With a tool, a call of it, its result, and another call of it as the answer.
    pub(crate) tools: Whole,
    pub(crate) long_call: Bytes,
    /// The records before the text of the stream, and those of the text.
    pub(crate) start: Vec<Bytes>,
    pub(crate) chunks: Vec<Bytes>,
}

/// The call as it stands in a path and in a body.
pub(crate) fn asked(dialect: Dialect, stream: bool) -> Asked {
    let in_path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock);
    let model = in_path.then(|| "gpt-4o".to_owned());
    Asked { model, stream: stream && in_path, ..(dialect, Operation::Chat).into() }
}

fn recorded(file: &str, name: &str) -> (Value, Bytes) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/dialect/tests/recordings");
    let text = std::fs::read_to_string(directory.join(file)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = lines.filter(|line| line["name"].as_str().unwrap().contains(name));
    let mut line = found.next().unwrap_or_else(|| panic!("{file} has no exchange {name}"));
    let body = line["response"]["body"]["text"].as_str().unwrap().to_owned();
    (line["request"]["json"].take(), body.into())
}

/// The call with its first words made longer, until it has a length.
fn stretched(call: &Value, length: usize) -> Bytes {
    const WORDS: &str = "Answer the question with the tools you have, in one short sentence. ";
    let missing = length.saturating_sub(call.to_string().len());
    let mut call = call.clone();
    let content = &mut call["messages"][0]["content"];
    let padding: String = WORDS.chars().cycle().take(missing).collect();
    *content = Value::from(padding + content.as_str().unwrap());
    call.to_string().into()
}

/// The long call: the conversation over and over.
fn long(call: &Value) -> Bytes {
    let mut call = call.clone();
    let turns = call["messages"].as_array().unwrap().clone();
    for _ in 0..LONG_CALL / call["messages"].to_string().len() {
        call["messages"].as_array_mut().unwrap().extend(turns.iter().cloned());
    }
    call.to_string().into()
}

/// The same stream in a dialect and on a wire: records one by one.
fn streamed(wire: Wire, stream: &Bytes) -> Vec<Bytes> {
    if wire.framing == Framing::AwsChunks {
        let records = streamed(Wire::from(wire.dialect), stream);
        return records.iter().map(in_chunk).collect();
    }
    let body = if matches!(wire.dialect, Dialect::Gemini | Dialect::Bedrock) {
        r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"contents":[{"parts":[{"text":"hi"}]}]}"#
    } else {
        r#"{"model":"gpt-4o","max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"input":"hi","messages":[{"role":"user","content":"hi"}]}"#
    };
    let call = Call::decode(asked(wire.dialect, true), Bytes::from_static(body.as_bytes())).unwrap();
    let mut relay = Relay::new(&call, Dialect::OpenAi);
    let mut records = Vec::new();
    for record in std::str::from_utf8(stream).unwrap().split_inclusive("\n\n") {
        relay.push(Bytes::copy_from_slice(record.as_bytes()), &mut records).unwrap();
    }
    relay.finish(&mut records).unwrap();
    records
}

/// A record as InvokeModel sends it.
fn in_chunk(record: &Bytes) -> Bytes {
    let mut out = Vec::new();
    for line in std::str::from_utf8(record).unwrap().lines() {
        if let Some(data) = line.strip_prefix("data: ") {
            let data = base64(data.as_bytes());
            out.extend_from_slice(&aws_event("chunk", format!(r#"{{"bytes":"{data}"}}"#).as_bytes()));
        }
    }
    out.into()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().chain(&[0, 0]).take(3).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// OpenAI's call in a dialect.
fn own(dialect: Dialect, body: Bytes) -> Bytes {
    if dialect == Dialect::OpenAi {
        return body;
    }
    let call = Call::decode(asked(Dialect::OpenAi, false), body).unwrap();
    let shape = TargetShape { max_output_tokens: Some(4_096), ..TargetShape::new(dialect, "gpt-4o") };
    encode_call(&call, &shape).unwrap().body
}

fn whole(dialect: Dialect, (call, answer): (Bytes, Bytes)) -> Whole {
    let call = own(dialect, call);
    let as_caller = Call::decode(asked(dialect, false), call.clone()).unwrap();
    let (answer, _) = relay_answer(&as_caller, Dialect::OpenAi, answer).unwrap();
    Whole { call, answer }
}

/// The exchange as one dialect has it.
pub(crate) fn exchange(wire: Wire) -> Exchange {
    let file = "openai.openai.chat.jsonl";
    let (call, answer) = recorded(file, "test_dbos_agent_override_deps_in_workflow#0");
    let chat = whole(wire.dialect, (stretched(&call, CALL), answer));
    let (_, answer) = recorded(file, "instructions_with_tool_calls_keep_instructions#0");
    let (call, _) = recorded(file, "instructions_with_tool_calls_keep_instructions#1");
    let (_, stream) = recorded(file, "test_dbos_agent_iter#0");
    let call = stretched(&call, CALL);
    let long_call = own(wire.dialect, long(&serde_json::from_slice(&call).unwrap()));
    let tools = whole(wire.dialect, (call, answer));
    let records = streamed(wire, &stream);
    // Only what carries a word of the answer is a chunk like most are.
    let words = |record: &Bytes| record.len() < 600 && is_text(record);
    let first = records.iter().position(words).unwrap();
    let start = records[..first].to_vec();
    let chunks: Vec<Bytes> = records[first..].iter().filter(|record| words(record)).cloned().collect();
    assert!(chunks.len() > 3, "the stream of {wire:?} has no words");
    Exchange { chat, tools, long_call, start, chunks }
}

/// Whether a record carries some text, whoever wrote it.
fn is_text(record: &Bytes) -> bool {
    let text = String::from_utf8_lossy(record);
    let plain = [
        "\"delta\":{\"content\":\"",
        "output_text.delta",
        "text_delta",
        "\"parts\":[{\"text\":\"",
        "contentBlockDelta",
        "content-delta",
    ];
    // In a chunk of AWS's the record is base64: all but its first few are words.
    plain.iter().any(|mark| text.contains(mark)) || text.contains("eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSI")
}
