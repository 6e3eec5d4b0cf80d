//! Real exchanges between official SDKs and real providers: whatever they said must survive this crate.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test tells by panicking")]
#![expect(clippy::disallowed_methods, reason = "more recordings may be named from outside")]

mod anthropic;
mod bedrock;
mod cohere;
mod essence;
mod exchange;
mod gemini;
mod openai;
mod responses;

use bytes::Bytes;
use exchange::{Exchange, exchanges};
use frontdoor_dialect::{
    Asked, Call, Dialect, OnUnsupported, Operation, Platform, Relay, Summary, TargetShape, Usage,
    decode_fault, encode_call, relay_answer,
};
use serde_json::{Value, json};

/// A stream through a relay in chunks of this size: what came out, and what was learned.
fn relay(call: &Call, upstream: Dialect, body: &[u8], size: usize) -> (Vec<u8>, Summary) {
    let mut relay = Relay::new(call, upstream);
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        relay.push(Bytes::copy_from_slice(chunk), &mut out).unwrap();
    }
    relay.finish(&mut out).unwrap();
    (out.concat(), relay.summary())
}

fn answer(call: &Call, exchange: &Exchange, upstream: Dialect) -> (Vec<u8>, Summary) {
    if exchange.is_stream() {
        return relay(call, upstream, &exchange.body, 4_096);
    }
    let (bytes, summary) = relay_answer(call, upstream, Bytes::from(exchange.body.clone())).unwrap();
    (bytes.to_vec(), summary)
}

/// The dialects that are read here.
const SPOKEN: [Dialect; 6] = Dialect::ALL;

/// The others.
fn others(dialect: Dialect) -> impl Iterator<Item = Dialect> {
    SPOKEN.into_iter().filter(move |other| *other != dialect)
}

/// A call of a dialect that could have led to this exchange.
fn call_of(dialect: Dialect, exchange: &Exchange) -> Call {
    let stream = exchange.is_stream();
    let body = match dialect {
        Dialect::OpenAi => openai::call(stream),
        Dialect::Responses => responses::call(stream),
        Dialect::Anthropic => anthropic::call(stream),
        Dialect::Gemini => gemini::call(),
        Dialect::Bedrock => bedrock::call(),
        Dialect::Cohere => cohere::call(stream),
    };
    let mut asked = Asked::from((dialect, Operation::Chat));
    if matches!(dialect, Dialect::Gemini | Dialect::Bedrock) {
        (asked.model, asked.stream) = (Some("m".to_owned()), stream);
    }
    Call::decode(asked, Bytes::from(body.to_string())).unwrap()
}

/// Those whose dialect callers speak: their bytes pass through.
fn is_passed(exchange: &Exchange) -> bool {
    !matches!(exchange.dialect, Dialect::Bedrock | Dialect::Cohere)
}

fn successes() -> impl Iterator<Item = Exchange> {
    exchanges().into_iter().filter(|exchange| exchange.status == 200)
}

#[test]
fn every_recorded_call_is_understood() {
    for exchange in exchanges() {
        let call = exchange.call();
        assert_eq!(call.envelope.model, exchange.model(), "{}", exchange.name);
        if exchange.status == 200 {
            assert_eq!(call.envelope.stream, exchange.is_stream(), "{}", exchange.name);
        }
        assert_eq!(call.envelope.tools as usize, exchange.tools(), "{}", exchange.name);
        if exchange.operation == Operation::Chat {
            call.request().unwrap_or_else(|fault| panic!("{}: {fault}", exchange.name));
        }
    }
}

#[test]
fn on_the_same_dialect_a_call_changes_nothing_but_the_model() {
    for exchange in exchanges().into_iter().filter(is_passed) {
        let call = exchange.call();
        let model = call.envelope.model.clone();
        let same = encode_call(&call, &TargetShape::new(exchange.dialect, &model)).unwrap();
        let mut expected = exchange.request.clone();
        if call.envelope.stream && exchange.dialect == Dialect::OpenAi {
            expected["stream_options"]["include_usage"] = json!(true);
        }
        assert_eq!(serde_json::from_slice::<Value>(&same.body).unwrap(), expected, "{}", exchange.name);
        let other = encode_call(&call, &TargetShape::new(exchange.dialect, "other")).unwrap();
        if exchange.dialect != Dialect::Gemini {
            expected["model"] = json!("other");
        }
        assert_eq!(serde_json::from_slice::<Value>(&other.body).unwrap(), expected, "{}", exchange.name);
    }
}

#[test]
fn on_the_same_dialect_an_answer_keeps_every_byte() {
    for exchange in successes().filter(is_passed) {
        let call = exchange.call();
        let (bytes, summary) = answer(&call, &exchange, exchange.dialect);
        if call.envelope.wants_usage || !exchange.is_stream() || exchange.dialect != Dialect::OpenAi {
            assert!(bytes == exchange.body, "{}", exchange.name);
        }
        assert!(summary.complete, "{}", exchange.name);
        assert_eq!(summary.stop.is_some(), exchange.operation == Operation::Chat, "{}", exchange.name);
        assert_eq!(exchange.usage(), summary.usage, "{}", exchange.name);
    }
}

#[test]
fn usage_that_only_we_asked_for_is_swallowed_and_nothing_else() {
    for exchange in successes().filter(|exchange| exchange.dialect == Dialect::OpenAi && exchange.is_stream())
    {
        let mut request = exchange.request.clone();
        request.as_object_mut().unwrap().remove("stream_options");
        let body = Bytes::from(request.to_string());
        let call = Call::decode((Dialect::OpenAi, Operation::Chat), body).unwrap();
        for size in [1, 7, 100, usize::MAX] {
            let (bytes, summary) = relay(&call, Dialect::OpenAi, &exchange.body, size);
            let text = std::str::from_utf8(&exchange.body).unwrap();
            let kept: String = text
                .split_inclusive("\n\n")
                .filter(|record| !record.contains(r#""choices":[],"usage":{"#))
                .collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), kept, "{}", exchange.name);
            assert_eq!(exchange.usage(), summary.usage, "{}", exchange.name);
        }
    }
}

#[test]
fn any_chunking_gives_the_same_stream_in_every_dialect() {
    for exchange in successes().filter(Exchange::is_stream) {
        let calls = others(exchange.dialect).map(|other| call_of(other, &exchange)).chain([exchange.call()]);
        for call in calls {
            let whole = relay(&call, exchange.dialect, &exchange.body, usize::MAX);
            for size in [1, 2, 3, 17, 1_000] {
                let pieced = relay(&call, exchange.dialect, &exchange.body, size);
                assert!(pieced == whole, "{} for {} in chunks of {size}", exchange.name, call.dialect);
            }
        }
    }
}

#[test]
fn an_answer_to_a_caller_of_another_dialect_says_the_same() {
    for exchange in successes().filter(|exchange| exchange.operation == Operation::Chat) {
        let (_, own) = answer(&exchange.call(), &exchange, exchange.dialect);
        let original = exchange::said(exchange.dialect, &exchange.body, exchange.is_stream());
        for other in others(exchange.dialect) {
            let name = format!("{} for {other}", exchange.name);
            let foreign = call_of(other, &exchange);
            let (bytes, summary) = answer(&foreign, &exchange, exchange.dialect);
            let translated = exchange::said(other, &bytes, exchange.is_stream()).translated(&original);
            assert_eq!(translated, original, "{name}");
            // What the caller reads as usage and end is what the provider meant.
            let again = Exchange { body: bytes, dialect: other, ..exchange.clone() };
            let (_, read_back) = answer(&foreign, &again, other);
            let used = |summary: &Summary| summary.usage.unwrap_or_default();
            assert_eq!(used(&read_back), told_by(other, used(&summary)), "{name}");
            assert_eq!(own.usage, summary.usage, "{name}");
            let words = |summary: &Summary| summary.stop.map(|stop| stop.encode(Dialect::OpenAi));
            assert_eq!(words(&read_back), words(&summary), "{name}");
            assert_eq!(words(&own), words(&summary), "{name}");
        }
    }
}

/// A usage as far as a dialect can tell it: not all have words for reasoning or for what was written to a cache.
fn told_by(dialect: Dialect, usage: Usage) -> Usage {
    match dialect {
        Dialect::Gemini => Usage { input: usage.input + usage.cache_write, cache_write: 0, ..usage },
        Dialect::Cohere => {
            Usage { input: usage.input + usage.cache_write, cache_write: 0, reasoning: 0, ..usage }
        }
        Dialect::Bedrock => Usage { reasoning: 0, ..usage },
        Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic => usage,
    }
}

#[test]
fn a_call_read_and_written_in_its_own_dialect_means_the_same() {
    for exchange in exchanges().into_iter().filter(|exchange| exchange.operation == Operation::Chat) {
        let request = exchange.call().request().unwrap();
        let written = exchange::rewrite(&exchange, &request.model);
        let again = exchange.read_as(exchange.dialect, written).request().unwrap();
        assert_eq!(again, request, "{}", exchange.name);
    }
}

#[test]
fn a_call_written_in_another_dialect_says_the_same_or_is_refused_by_name() {
    for exchange in exchanges().into_iter().filter(|exchange| exchange.operation == Operation::Chat) {
        let call = exchange.call();
        for other in others(exchange.dialect) {
            let mut shape = TargetShape::new(other, "other");
            shape.on_unsupported = OnUnsupported::Drop;
            if other == Dialect::Gemini {
                // Only there images are fetched.
                shape.platform = Platform::Vertex { project: "p", location: "l" };
            }
            let name = format!("{} in {other}", exchange.name);
            let outbound = match encode_call(&call, &shape) {
                Ok(outbound) => outbound,
                Err(fault) => {
                    assert!(fault.param.is_some(), "{name}: {fault}");
                    continue;
                }
            };
            let written = exchange.read_as(other, outbound.body);
            let (mut before, mut after) = (call.request().unwrap(), written.request().unwrap());
            essence::allow(&mut before, &mut after, (other, &outbound.dropped));
            assert_eq!(essence::essence(&after), essence::essence(&before), "{name}");
        }
    }
}

#[test]
fn recorded_errors_are_faults() {
    for exchange in exchanges().into_iter().filter(|exchange| exchange.status != 200) {
        let fault = decode_fault(exchange.dialect, exchange.status, &|_| None, &exchange.body);
        assert!(!fault.message.is_empty(), "{}", exchange.name);
        assert!(!fault.message.contains("answered with status"), "{}: {fault}", exchange.name);
    }
}
