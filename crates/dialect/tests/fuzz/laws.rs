//! What holds for any bytes whatever: each law takes an input, whose first bytes choose who speaks and the rest of which is what
//! is said, and panics when it is broken. They run as ordinary tests here and under libFuzzer in `fuzz/`.

use bytes::Bytes;
use frontdoor_dialect::{
    Asked, Call, Clamp, Dialect, ErrorShape, Fault, Framing, Meter, OnUnsupported, Operation, Platform,
    Quirks, Relay, Request, StopReason, Summary, TargetShape, Wire, aws_event, decode_fault, encode_call,
    encode_error, encode_request, endpoint, relay_answer,
};
use serde_json::Value;

/// A law.
pub(crate) type Law = fn(&[u8]);

/// Each law by its name, which is also that of its fuzz target.
pub(crate) const LAWS: [(&str, Law); 7] = [
    ("call", call),
    ("form", form),
    ("answer", answer),
    ("stream", stream),
    ("frames", frames),
    ("fault", fault),
    ("quirks", quirks),
];

/// How many bytes of an input choose.
pub(crate) const CHOICES: usize = 3;

const OPERATIONS: [Operation; 11] = [
    Operation::Chat,
    Operation::Embeddings,
    Operation::Rerank,
    Operation::CountTokens,
    Operation::ImageGeneration,
    Operation::ImageEdit,
    Operation::Transcription,
    Operation::AudioTranslation,
    Operation::Speech,
    Operation::Moderation,
    Operation::Native,
];

/// The wires there are: each dialect at its vendor, and Anthropic's inside AWS's.
pub(crate) const WIRES: [Wire; 7] = [
    Wire { dialect: Dialect::OpenAi, framing: Framing::Sse },
    Wire { dialect: Dialect::Responses, framing: Framing::Sse },
    Wire { dialect: Dialect::Anthropic, framing: Framing::Sse },
    Wire { dialect: Dialect::Gemini, framing: Framing::Sse },
    Wire { dialect: Dialect::Bedrock, framing: Framing::AwsEvents },
    Wire { dialect: Dialect::Cohere, framing: Framing::Sse },
    Wire { dialect: Dialect::Anthropic, framing: Framing::AwsChunks },
];

/// The boundary of the forms that are tried.
pub(crate) const BOUNDARY: &str = "frontdoor";

fn choose<T: Copy>(from: &[T], byte: u8) -> T {
    from[usize::from(byte) % from.len()]
}

fn split(input: &[u8]) -> Option<([u8; CHOICES], Bytes)> {
    let (choices, body) = input.split_first_chunk::<CHOICES>()?;
    Some((*choices, Bytes::copy_from_slice(body)))
}

/// What a path would tell of a call.
fn asked(dialect: Dialect, operation: Operation, stream: bool) -> Asked {
    let in_path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock);
    let stream = in_path && stream && operation == Operation::Chat;
    Asked { model: in_path.then(|| "m".to_owned()), stream, ..(dialect, operation).into() }
}

/// Whether a caller asks for the usage of a stream, in the dialects where it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Asked,
    Unasked,
}

/// The smallest call of a dialect; a streamed one may ask for its usage.
fn small_call(dialect: Dialect, streamed: Option<Usage>) -> Call {
    let (stream, usage) = (streamed.is_some(), streamed == Some(Usage::Asked));
    let body = match (dialect, stream) {
        (Dialect::OpenAi, true) => format!(
            r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":{usage}}},"messages":[{{"role":"user","content":"hi"}}]}}"#
        ),
        (Dialect::Responses, _) => format!(r#"{{"model":"m","stream":{stream},"input":"hi"}}"#),
        (Dialect::Gemini, _) => r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#.to_owned(),
        (Dialect::Bedrock, _) => r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#.to_owned(),
        _ => format!(
            r#"{{"model":"m","stream":{stream},"max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]}}"#
        ),
    };
    Call::decode(asked(dialect, Operation::Chat, stream), Bytes::from(body)).unwrap()
}

fn told(fault: &Fault) {
    assert!(!fault.code.is_empty() && !fault.message.is_empty(), "a fault says nothing: {fault:?}");
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", shown(body)))
}

/// A call that is understood is written for each target, or refused in words; what was written can be read.
pub(crate) fn call(input: &[u8]) {
    let Some(([dialect, operation, options], body)) = split(input) else { return };
    let (dialect, operation) = (choose(&Dialect::ALL, dialect), choose(&OPERATIONS, operation));
    let call = match Call::decode(asked(dialect, operation, options & 1 == 1), body) {
        Ok(call) => call,
        Err(fault) => return told(&fault),
    };
    let request = call.request();
    if let (Ok(request), Operation::Chat) = (&request, operation) {
        said_again(request.clone(), &asked(dialect, operation, call.envelope.stream));
    }
    let on_unsupported = choose(&[OnUnsupported::Drop, OnUnsupported::Refuse], options >> 1);
    let reasoning = choose(&[None, Some(true), Some(false)], options >> 2);
    for target in Dialect::ALL {
        let mut shape = TargetShape { on_unsupported, reasoning, ..TargetShape::new(target, "other") };
        if options & 64 != 0 {
            shape.max_output_tokens = Some(4_096);
        }
        if options & 128 != 0 {
            shape.platform = match target {
                Dialect::OpenAi | Dialect::Responses => Platform::Azure { api_version: "2024-10-21" },
                Dialect::Anthropic => Platform::Bedrock,
                _ => Platform::Vertex { project: "p", location: "l" },
            };
        }
        write(&call, request.is_ok(), &shape);
    }
}

/// What is written in its own dialect is read, and written the same again.
fn said_again(request: Request, asked: &Asked) {
    let model = request.model.clone();
    let shape = TargetShape::new(asked.dialect, &model);
    let Ok(once) = encode_request(request, &shape) else { return };
    let again = Call::decode(asked.clone(), once.body.clone()).and_then(|call| call.request());
    let again = again.unwrap_or_else(|fault| panic!("{fault}: {}", shown(&once.body)));
    let twice = encode_request(again, &shape).unwrap();
    assert_eq!(shown(&twice.body), shown(&once.body), "written in its own dialect");
}

fn write(call: &Call, is_understood: bool, shape: &TargetShape<'_>) {
    let path = endpoint(call, shape);
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "an endpoint that is no URL: {path}");
    let target = shape.dialect;
    match encode_call(call, shape) {
        Err(fault) => told(&fault),
        Ok(outbound) => {
            json(&outbound.body);
            let is_chat = call.operation == Operation::Chat && shape.platform == Platform::Direct;
            if call.dialect != target && is_chat {
                assert!(is_understood, "translated without being understood");
                let again =
                    Call::decode(asked(target, Operation::Chat, call.envelope.stream), outbound.body.clone());
                let again = again.and_then(|call| call.request());
                assert!(again.is_ok(), "{again:?}: {}", shown(&outbound.body));
            }
        }
    }
}

/// A form keeps every byte but the model's, or is refused in words.
pub(crate) fn form(input: &[u8]) {
    let Some(([dialect, operation, _], body)) = split(input) else { return };
    let dialect = choose(&[Dialect::OpenAi, Dialect::Responses], dialect);
    let operation =
        choose(&[Operation::Transcription, Operation::AudioTranslation, Operation::ImageEdit], operation);
    let asked = Asked {
        content_type: Some(format!("multipart/form-data; boundary={BOUNDARY}")),
        ..(dialect, operation).into()
    };
    let call = match Call::decode(asked.clone(), body) {
        Ok(call) => call,
        Err(fault) => return told(&fault),
    };
    match encode_call(&call, &TargetShape::new(dialect, "the-other")) {
        Err(fault) => told(&fault),
        Ok(outbound) => {
            let grown = outbound.body.len() + call.envelope.model.len();
            assert!(grown <= call.body.len() + "the-other".len() + 64, "more than the model changed");
            let again = Call::decode(asked, outbound.body).unwrap();
            assert_eq!(again.envelope.model, "the-other");
        }
    }
}

/// A whole answer reaches each caller as an answer with the same usage and end, or as a fault in words.
pub(crate) fn answer(input: &[u8]) {
    let Some(([caller, wire, operation], body)) = split(input) else { return };
    let (caller, wire) = (choose(&Dialect::ALL, caller), choose(&WIRES, wire));
    let mut call = small_call(caller, None);
    call.operation =
        choose(&[Operation::Chat, Operation::Chat, Operation::Embeddings, Operation::CountTokens], operation);
    let (out, summary) = match relay_answer(&call, wire, body) {
        Ok(answered) => answered,
        Err(fault) => return told(&fault),
    };
    if caller == wire.dialect {
        return;
    }
    json(&out);
    if call.operation != Operation::Chat {
        return;
    }
    let again = relay_answer(&call, caller, out.clone());
    let (_, again) = again.unwrap_or_else(|fault| panic!("{fault}: {}", shown(&out)));
    agree(caller, &summary, &again, &out);
}

/// What a caller reads is what the provider meant, as far as the caller's dialect has words for it.
fn agree(caller: Dialect, meant: &Summary, read: &Summary, out: &[u8]) {
    let shown = || shown(out);
    let word = |stop: Option<StopReason>| stop.map(|stop| stop.encode(caller));
    // An end that calls tools or declines is told as such, and one that only claims to is a plain end.
    let is_claim = |summary: &Summary| {
        matches!(summary.stop, Some(StopReason::End | StopReason::ToolUse | StopReason::Refusal))
    };
    if meant.stop.is_some() && !(is_claim(meant) && is_claim(read)) {
        assert_eq!(word(read.stop), word(meant.stop), "stop: {}", shown());
    }
    // Sums of absurd counts are cut off.
    if let (Some(meant), Some(read)) = (meant.usage, read.usage)
        && meant.total() < 1 << 40
    {
        assert_eq!((read.all_input(), read.output), (meant.all_input(), meant.output), "usage: {}", shown());
    }
}

/// The beginning of some bytes, for people.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(4_000)]).into_owned()
}

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Run {
    out: Vec<u8>,
    summary: Summary,
    ending: Result<(), (String, String)>,
}

fn run(call: &Call, wire: Wire, chunks: impl Iterator<Item = Bytes>) -> Run {
    let (mut relay, mut out) = (Relay::new(call, wire), Vec::new());
    let mut ending = Ok(());
    for chunk in chunks {
        ending = relay.push(chunk, &mut out);
        if ending.is_err() {
            break;
        }
    }
    let ending = ending.and_then(|()| relay.finish(&mut out));
    if let Err(fault) = &ending {
        told(fault);
    }
    let ending = ending.map_err(|fault| (fault.code.to_string(), fault.message));
    let summary = relay.summary();
    let length = out.len();
    relay.abort(&ErrorShape { status: 502, code: "c", message: "m", param: None, request_id: "r" }, &mut out);
    assert_eq!(out.len() > length, !summary.complete, "an error in band comes where no end came");
    out.truncate(length);
    Run { out: out.concat(), summary, ending }
}

/// Pieces of a length that varies with the seed.
fn pieces(body: &Bytes, seed: u8) -> impl Iterator<Item = Bytes> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut rest = body.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = if seed < 64 { 3 } else { 400 };
        let length = 1 + usize::try_from(state % most).unwrap();
        Some(rest.split_to(length.min(rest.len())))
    })
}

/// The records of a text as AWS frames them.
pub(crate) fn framed(wire: Wire, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut name = String::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(event) = line.strip_prefix(b"event: ") {
            name = String::from_utf8_lossy(event).chars().take(60).collect();
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            if wire.framing == Framing::AwsEvents {
                out.extend_from_slice(&aws_event(&name, data));
            } else {
                use base64::Engine;
                let data = base64::engine::general_purpose::STANDARD.encode(data);
                out.extend_from_slice(&aws_event("chunk", format!(r#"{{"bytes":"{data}"}}"#).as_bytes()));
            }
        }
    }
    out
}

/// A stream gives the same however its bytes are cut, and what a caller of any dialect gets is a whole stream of that dialect,
/// with the same usage and end, or ends in a fault in words.
pub(crate) fn stream(input: &[u8]) {
    let Some(([caller, wire, seed], body)) = split(input) else { return };
    let (caller, wire) = (choose(&Dialect::ALL, caller), choose(&WIRES, wire));
    let body = if wire.framing == Framing::Sse { body } else { framed(wire, &body).into() };
    let call = small_call(caller, Some(if seed & 1 == 1 { Usage::Asked } else { Usage::Unasked }));
    let whole = run(&call, wire, std::iter::once(body.clone()));
    assert_eq!(run(&call, wire, pieces(&body, seed)), whole, "cut otherwise");
    if whole.ending.is_err() || caller == wire.dialect {
        return;
    }
    let out = Bytes::from(whole.out);
    let again = run(&call, Wire::from(caller), std::iter::once(out.clone()));
    // Bedrock's own streams finish a call before the next begins, and are read so. Ours give pieces of several calls in the order in which the
    // provider gave them, which SDKs put together by their index.
    let interleaves = |message: &str| caller == Dialect::Bedrock && message.contains("which is not open");
    if matches!(&again.ending, Err((_, message)) if interleaves(message)) {
        return;
    }
    assert_eq!(again.ending, Ok(()), "{}", shown(&out));
    let told_usage = again.summary.usage.is_some() || (caller == Dialect::OpenAi && seed & 1 == 0);
    assert!(told_usage || whole.summary.usage.is_none(), "usage is lost: {}", shown(&out));
    agree(caller, &whole.summary, &again.summary, &out);
}

/// Binary event streams and metered answers of any bytes give the same however they are cut.
pub(crate) fn frames(input: &[u8]) {
    let Some(([caller, wire, seed], body)) = split(input) else { return };
    let caller = choose(&Dialect::ALL, caller);
    let call = small_call(caller, Some(Usage::Asked));
    let choice = wire;
    let wire = choose(&WIRES[4..], wire);
    let whole = run(&call, wire, std::iter::once(body.clone()));
    assert_eq!(run(&call, wire, pieces(&body, seed)), whole, "cut otherwise");
    let kinds = ["text/event-stream", "application/vnd.amazon.eventstream", "application/json", "audio/mpeg"];
    let kind = choose(&kinds, choice);
    let metered = |chunks: &mut dyn Iterator<Item = Bytes>| {
        let mut meter = Meter::new(caller, Some(kind));
        chunks.for_each(|chunk| meter.push(&chunk));
        meter.finish();
        meter.summary()
    };
    let whole = metered(&mut std::iter::once(body.clone()));
    assert_eq!(metered(&mut pieces(&body, seed)), whole, "metered otherwise");
}

/// Whatever a provider says went wrong becomes a fault in words, and an error in each caller's dialect.
pub(crate) fn fault(input: &[u8]) {
    let Some(([dialect, status, header], body)) = split(input) else { return };
    let dialect = choose(&Dialect::ALL, dialect);
    let status =
        choose(&[200, 302, 400, 401, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503, 529, 999], status);
    let text = String::from_utf8_lossy(&body);
    let value: String = text.chars().take(usize::from(header % 32)).collect();
    let fault = decode_fault(dialect, status, &|_| Some(value.clone()).filter(|_| header > 31), &body);
    told(&fault);
    let error = ErrorShape {
        status,
        code: &fault.code,
        message: &fault.message,
        param: fault.param.as_deref(),
        request_id: &value,
    };
    for caller in Dialect::ALL {
        let body = encode_error(caller, &error);
        json(&body);
        told(&decode_fault(caller, status, &|_| None, &body));
    }
}

/// What a provider does not take is not in the body it gets, and a body that fits already stays as it is.
pub(crate) fn quirks(input: &[u8]) {
    let Some(([dialect, choice, drop], body)) = split(input) else { return };
    let dialect =
        choose(&[Dialect::OpenAi, Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses], dialect);
    let Ok(call) = Call::decode((dialect, Operation::Chat), body) else { return };
    let has = |bit: u8| choice >> bit & 1 == 1;
    let mut quirks = Quirks {
        no_developer_role: has(0),
        no_image_urls: has(1),
        required_tool_choice: has(2).then(|| "any".to_owned()),
        tool_call_id_length: has(3).then_some(9),
        reasoning_field: has(4).then(|| "reasoning_content".to_owned()),
        ..Quirks::default()
    };
    if has(5) {
        quirks.unsupported = vec!["seed".to_owned(), "messages.name".to_owned(), "logit_bias".to_owned()];
    }
    if has(6) {
        quirks.clamp.insert("temperature".to_owned(), Clamp { min: Some(0.0), max: Some(1.0) });
        quirks.only.insert("n".to_owned(), vec![Value::from(1)]);
    }
    if has(7) {
        quirks.rename.insert("stop".to_owned(), "stop_sequences_there".to_owned());
    }
    let mut shape = TargetShape::new(Dialect::OpenAi, "other");
    shape.quirks = Some(&quirks);
    shape.on_unsupported = choose(&[OnUnsupported::Drop, OnUnsupported::Refuse], drop);
    let outbound = match encode_call(&call, &shape) {
        Ok(outbound) => outbound,
        Err(fault) => return told(&fault),
    };
    let written = json(&outbound.body);
    if has(5) {
        assert!(written.get("seed").is_none_or(Value::is_null), "{written}");
    }
    if has(7) {
        assert!(written.get("stop").is_none_or(Value::is_null), "{written}");
    }
    let again = Call::decode((Dialect::OpenAi, Operation::Chat), outbound.body.clone()).unwrap();
    let again = encode_call(&again, &shape).unwrap();
    assert_eq!(json(&again.body), written, "fitted twice");
}
