//! What must hold between every pair of dialects: nasty calls, nasty answers and nasty streams, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test tells by panicking"
)]

mod answers;
mod calls;
mod faults;
mod grammar;
mod sent;
mod streams;

use bytes::Bytes;
use frontdoor_dialect::{
    Asked, Call, Dialect, Fault, OnUnsupported, Operation, Outbound, Relay, Summary, TargetShape, aws_event,
    encode_call, relay_answer,
};
use serde_json::{Value, json};

/// A model of each dialect that can do the most.
fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => "gpt-5",
        Dialect::Anthropic => "claude-sonnet-4-5",
        Dialect::Gemini => "gemini-2.5-pro",
        Dialect::Bedrock => "anthropic.claude-sonnet-4-5-v1:0",
        Dialect::Cohere => "command-a-03-2025",
    }
}

/// Everybody but this one.
fn others(dialect: Dialect) -> impl Iterator<Item = Dialect> {
    Dialect::ALL.into_iter().filter(move |other| *other != dialect)
}

/// A call as a caller of a dialect makes it.
fn call(dialect: Dialect, stream: bool, body: &Value) -> Call {
    let mut body = body.clone();
    let asked = match dialect {
        Dialect::Gemini | Dialect::Bedrock => {
            Asked { model: Some("m".to_owned()), stream, ..Asked::from((dialect, Operation::Chat)) }
        }
        _ => {
            body["model"] = json!("m");
            body["stream"] = json!(stream);
            Asked::from((dialect, Operation::Chat))
        }
    };
    Call::decode(asked, Bytes::from(body.to_string())).unwrap()
}

/// The shortest call of a dialect.
fn hello(dialect: Dialect, stream: bool) -> Call {
    let body = match dialect {
        Dialect::OpenAi | Dialect::Cohere => json!({"messages": [{"role": "user", "content": "hi"}]}),
        Dialect::Responses => json!({"input": "hi"}),
        Dialect::Anthropic => json!({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        Dialect::Bedrock => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
    };
    call(dialect, stream, &body)
}

fn outbound(call: &Call, to: Dialect, on_unsupported: OnUnsupported) -> Result<Outbound, Fault> {
    encode_call(
        call,
        &TargetShape { on_unsupported, max_output_tokens: Some(900), ..TargetShape::new(to, model(to)) },
    )
}

/// A call of one dialect as another one's provider gets it.
fn sent(from: Dialect, body: &Value, to: Dialect) -> Value {
    let written = outbound(&call(from, false, body), to, OnUnsupported::Refuse);
    let written = written.unwrap_or_else(|fault| panic!("{from} to {to}: {fault}"));
    serde_json::from_slice(&written.body).unwrap()
}

/// The same where losses are allowed, and what was lost.
fn bent(from: Dialect, body: &Value, to: Dialect) -> (Value, Outbound) {
    let written = outbound(&call(from, false, body), to, OnUnsupported::Drop).unwrap();
    (serde_json::from_slice(&written.body).unwrap(), written)
}

/// The fault with which a call is refused.
fn refused(from: Dialect, body: &Value, to: Dialect) -> Fault {
    outbound(&call(from, false, body), to, OnUnsupported::Refuse)
        .expect_err(&format!("{from} to {to}: {body}"))
}

/// A whole answer of one dialect as another one's caller gets it.
fn answered(caller: Dialect, provider: Dialect, body: &Value) -> Result<(Value, Summary), Fault> {
    let body = Bytes::from(body.to_string());
    let (body, summary) = relay_answer(&hello(caller, false), provider, body)?;
    Ok((serde_json::from_slice(&body).unwrap(), summary))
}

/// A stream of one dialect as another one's caller gets it, its bytes cut into pieces of a size.
fn streamed(call: &Call, provider: Dialect, stream: &[u8], size: usize) -> (Vec<u8>, Summary, Option<Fault>) {
    let mut relay = Relay::new(call, provider);
    let mut out = Vec::new();
    let pushed =
        stream.chunks(size).try_for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk), &mut out));
    let ending = pushed.and_then(|()| relay.finish(&mut out));
    (out.concat(), relay.summary(), ending.err())
}

/// Records as a provider sends them.
fn records(provider: Dialect, records: &[Value]) -> Vec<u8> {
    let mut stream = Vec::new();
    for record in records {
        match provider {
            Dialect::Bedrock => {
                let (name, payload) = record.as_object().unwrap().iter().next().unwrap();
                stream.extend(aws_event(name, payload.to_string().as_bytes()));
            }
            Dialect::Anthropic | Dialect::Responses => {
                let name = record["type"].as_str().unwrap();
                stream.extend(format!("event: {name}\ndata: {record}\n\n").into_bytes());
            }
            Dialect::OpenAi | Dialect::Gemini | Dialect::Cohere => {
                stream.extend(format!("data: {record}\n\n").into_bytes());
            }
        }
    }
    stream
}

/// The data of the records of a stream of text; what is not JSON as a string.
fn read(stream: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}
