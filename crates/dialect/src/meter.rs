//! Reads in passing what an answer says of its use, while its bytes go on untouched.
//!
//! For answers that are not understood otherwise: of raw operations, and of calls that pass through natively. What is kept is
//! bounded whatever comes, and what is not understood is no fault. It must not know what the answer is for.

use std::borrow::Cow;

use base64::Engine;
use bytes::Bytes;
use memchr::memmem;

use crate::{
    Dialect, Summary, Usage,
    eventstream::Messages,
    scan::{Scanner, count, numbers},
    sse::{self, Records},
};

/// The largest record of a stream that is looked into.
const LARGEST_RECORD: usize = 4 << 20;
/// How much of the beginning of a whole answer is kept: the model stands there.
const HEAD: usize = 4 << 10;
/// How much of its end is kept: the usage stands there. Twice as much is held for a moment.
const TAIL: usize = 64 << 10;
/// The longest name of a model that is kept.
const LONGEST_MODEL: usize = 256;

/// Where dialects tell what was used.
const USAGES: [&[u8]; 3] = [b"\"usage\"", b"\"usageMetadata\"", b"\"meta\""];
/// Where they tell the model.
const MODELS: [&[u8]; 2] = [b"\"model\"", b"\"modelVersion\""];

/// A reader of one answer.
#[derive(Debug)]
pub struct Meter {
    dialect: Dialect,
    form: Form,
    summary: Summary,
    records: u64,
}

#[derive(Debug)]
enum Form {
    /// Server-sent events.
    Sse(Records),
    /// AWS's binary event stream.
    Aws(Messages),
    /// A JSON document: its beginning and its end.
    Json { head: Vec<u8>, tail: Vec<u8> },
    /// Nothing that tells anything.
    Opaque,
}

impl Meter {
    /// A reader for an answer of this media type.
    #[must_use]
    pub fn new(dialect: Dialect, content_type: Option<&str>) -> Self {
        let kind = content_type.unwrap_or_default().trim_start().to_ascii_lowercase();
        let form = if kind.starts_with("text/event-stream") {
            Form::Sse(Records::new(LARGEST_RECORD))
        } else if kind.starts_with("application/vnd.amazon.eventstream") {
            Form::Aws(Messages::default())
        } else if kind.starts_with("application/json") || kind.contains("+json") {
            Form::Json { head: Vec::new(), tail: Vec::new() }
        } else {
            Form::Opaque
        };
        Self { dialect, form, summary: Summary::default(), records: 0 }
    }

    /// Whether the answer comes as a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.records > 0 || matches!(self.form, Form::Sse(_) | Form::Aws(_))
    }

    /// Whether the answer is a JSON document.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.form, Form::Json { .. })
    }

    /// Looks at the next piece.
    pub fn push(&mut self, piece: &Bytes) {
        let Self { dialect, form, summary, records } = self;
        match form {
            Form::Opaque => {}
            Form::Json { head, tail } => {
                let room = HEAD.saturating_sub(head.len());
                head.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
                let last = piece.get(piece.len().saturating_sub(TAIL)..).unwrap_or_default();
                tail.extend_from_slice(last);
                if tail.len() > 2 * TAIL {
                    tail.drain(..tail.len() - TAIL);
                }
            }
            Form::Sse(events) => {
                events.feed(piece.clone());
                // The bytes of a record that is too large go on; from here on nobody knows what they say.
                while let Some(next) = events.next().transpose() {
                    let Ok(record) = next else {
                        *form = Form::Opaque;
                        return;
                    };
                    *records += 1;
                    let data = sse::parse(&record).data.unwrap_or_default();
                    learn(*dialect, summary, &data, &data);
                }
            }
            Form::Aws(messages) => {
                messages.feed(piece.clone());
                while let Some(next) = messages.next().transpose() {
                    let Ok(message) = next else {
                        *form = Form::Opaque;
                        return;
                    };
                    *records += 1;
                    let data = unwrapped(&message.payload);
                    learn(*dialect, summary, &data, &data);
                }
            }
        }
    }

    /// The answer has ended properly.
    pub fn finish(&mut self) {
        self.read_whole();
        self.summary.complete = true;
    }

    /// What is known so far. A stream without any usage is taken for about a token an event.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let output_chars = if self.summary.usage.is_none() { self.records.saturating_mul(4) } else { 0 };
        Summary { output_chars, ..self.summary.clone() }
    }

    fn read_whole(&mut self) {
        if let Form::Json { head, tail } = &self.form {
            learn(self.dialect, &mut self.summary, head, tail);
        }
    }
}

/// Reads the model from one text, the usage from the other.
fn learn(dialect: Dialect, summary: &mut Summary, model_in: &[u8], usage_in: &[u8]) {
    if summary.upstream_model.is_none() {
        summary.upstream_model = MODELS.iter().find_map(|name| text_of(model_in, name));
    }
    for name in USAGES {
        if let Some(usage) = usage_of(dialect, summary.usage, usage_in, name) {
            summary.usage = Some(usage);
            return;
        }
    }
}

/// The record inside a chunk of a model that keeps its own dialect there.
fn unwrapped(payload: &[u8]) -> Cow<'_, [u8]> {
    let bytes = values(payload, b"\"bytes\"").next().and_then(|value| value.strip_prefix(b"\""));
    let inside = bytes.and_then(|bytes| bytes.get(..memchr::memchr(b'"', bytes)?));
    let decoded = inside.and_then(|inside| base64::engine::general_purpose::STANDARD.decode(inside).ok());
    decoded.map_or(Cow::Borrowed(payload), Cow::Owned)
}

/// What stands after a field's name: inside a string the quotes of a name would be escaped.
fn values<'a>(json: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    memmem::rfind_iter(json, name).filter_map(move |at| {
        let is_escaped = at.checked_sub(1).and_then(|before| json.get(before)) == Some(&b'\\');
        let after = json.get(at + name.len()..).filter(|_| !is_escaped)?;
        Some(after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
    })
}

fn text_of(json: &[u8], name: &'static [u8]) -> Option<String> {
    // The first one: what stands further in may be quoted from the call.
    let value = values(json, name).last()?.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', value).filter(|end| (1..=LONGEST_MODEL).contains(end))?;
    let text = std::str::from_utf8(value.get(..end)?).ok()?;
    (!text.contains('\\')).then(|| text.to_owned())
}

/// The last object of this name that counts tokens.
fn usage_of(dialect: Dialect, known: Option<Usage>, json: &[u8], name: &'static [u8]) -> Option<Usage> {
    values(json, name).filter(|value| value.starts_with(b"{")).find_map(|value| {
        let span = Scanner::new(value).skip().ok()?;
        read_usage(dialect, known, value.get(span.start..span.end)?)
    })
}

/// Reads counts by all the names that dialects have for them; a later report corrects what an earlier one said.
fn read_usage(dialect: Dialect, known: Option<Usage>, json: &[u8]) -> Option<Usage> {
    let known = known.unwrap_or_default();
    let (mut input, mut cache_read, mut cache_write) = (None, None, None);
    let (mut output, mut thoughts, mut reasoning, mut tool_input) = (None, None, None, 0);
    numbers(json, |outer, name, number| {
        let Some(count) = count(number) else { return };
        match (outer, name) {
            (b"", b"prompt_tokens" | b"input_tokens" | b"inputTokens" | b"promptTokenCount")
            | (b"tokens", b"input_tokens") => input = Some(count),
            (b"", b"toolUsePromptTokenCount") => tool_input = count,
            (b"", b"completion_tokens" | b"output_tokens" | b"outputTokens" | b"candidatesTokenCount")
            | (b"tokens", b"output_tokens") => output = Some(count),
            (b"", b"thoughtsTokenCount") => thoughts = Some(count),
            (b"", b"cachedContentTokenCount" | b"prompt_cache_hit_tokens" | b"num_cached_tokens")
            | (b"", b"cache_read_input_tokens" | b"cacheReadInputTokens")
            | (b"prompt_tokens_details" | b"input_tokens_details", b"cached_tokens") => {
                cache_read = Some(count);
            }
            (b"", b"cache_creation_input_tokens" | b"cacheWriteInputTokens")
            | (b"prompt_tokens_details" | b"input_tokens_details", b"cache_write_tokens") => {
                cache_write = Some(count);
            }
            (
                b"completion_tokens_details" | b"output_tokens_details",
                b"reasoning_tokens" | b"thinking_tokens",
            ) => {
                reasoning = Some(count);
            }
            _ => {}
        }
    });
    if input.is_none() && output.is_none() && cache_read.is_none() {
        return None;
    }
    let (cache_read, cache_write) =
        (cache_read.unwrap_or(known.cache_read), cache_write.unwrap_or(known.cache_write));
    let includes_cache = matches!(dialect, Dialect::OpenAi | Dialect::Responses | Dialect::Gemini);
    let input = match input {
        Some(all) if includes_cache => {
            all.saturating_add(tool_input).saturating_sub(cache_read).saturating_sub(cache_write)
        }
        Some(input) => input,
        None => known.input,
    };
    let output = output.map_or(known.output, |output| output.saturating_add(thoughts.unwrap_or(0)));
    let reasoning = reasoning.or(thoughts).unwrap_or(known.reasoning).min(output);
    Some(Usage { input, cache_read, cache_write, output, reasoning })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Meter;
    use crate::{Dialect, Summary, Usage};

    fn read(dialect: Dialect, kind: &str, pieces: &[&[u8]]) -> Summary {
        let mut meter = Meter::new(dialect, Some(kind));
        for piece in pieces {
            meter.push(&bytes::Bytes::copy_from_slice(piece));
        }
        meter.finish();
        meter.summary()
    }

    #[test]
    fn every_dialect_s_usage_is_read_in_its_own_convention() {
        let openai = r#"{"model":"m","usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#;
        let images =
            r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":6,"output_tokens":2}}"#;
        let anthropic =
            r#"{"model":"m","usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":2}}"#;
        let gemini = r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1,"thoughtsTokenCount":1,"cachedContentTokenCount":4},"modelVersion":"m"}"#;
        let bedrock = r#"{"usage":{"inputTokens":6,"outputTokens":2,"cacheReadInputTokens":4}}"#;
        let cohere =
            r#"{"usage":{"billed_units":{"input_tokens":5},"tokens":{"input_tokens":6,"output_tokens":2}}}"#;
        let plain = Usage { input: 6, output: 2, ..Usage::default() };
        let cached = Usage { cache_read: 4, ..plain };
        for (dialect, body, expected) in [
            (Dialect::OpenAi, openai, cached),
            (Dialect::OpenAi, images, plain),
            (Dialect::Anthropic, anthropic, cached),
            (Dialect::Gemini, gemini, Usage { reasoning: 1, ..cached }),
            (Dialect::Bedrock, bedrock, cached),
            (Dialect::Cohere, cohere, plain),
        ] {
            let summary = read(dialect, "application/json; charset=utf-8", &[body.as_bytes()]);
            assert_eq!(summary.usage, Some(expected), "{body}");
        }
    }

    #[test]
    fn the_usage_at_the_end_of_a_large_answer_is_found_and_one_inside_a_text_is_not() {
        let picture = "A".repeat(1 << 20);
        let quoted = r#""text":"{\"usage\":{\"prompt_tokens\":9}}""#;
        let start = format!(r#"{{"model":"m",{quoted},"data":"{picture}","usa"#);
        let end = r#"ge":{"prompt_tokens":1,"completion_tokens":2},"other":{"usage":{"type":"object"}}}"#;
        let summary = read(Dialect::OpenAi, "application/json", &[start.as_bytes(), end.as_bytes()]);
        assert_eq!(summary.usage, Some(Usage { input: 1, output: 2, ..Usage::default() }));
        assert_eq!(summary.upstream_model.as_deref(), Some("m"));
        let quoted = format!("{{{quoted}}}");
        assert_eq!(read(Dialect::OpenAi, "application/json", &[quoted.as_bytes()]).usage, None);
    }

    #[test]
    fn the_last_report_of_a_stream_corrects_the_first() {
        let first = b"event: message_start\ndata: {\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
        let last = b"event: message_delta\ndata: {\"usage\":{\"output_tokens\":5}}\n\n";
        let summary = read(Dialect::Anthropic, "text/event-stream", &[first, last]);
        assert_eq!(summary.usage, Some(Usage { input: 7, output: 5, ..Usage::default() }));
        assert_eq!((summary.upstream_model.as_deref(), summary.output_chars), (Some("m"), 0));
    }

    #[test]
    fn aws_s_binary_events_tell_their_use_too() {
        let mut bytes = Vec::new();
        let usage = br#"{"usage":{"inputTokens":6,"outputTokens":2}}"#;
        crate::eventstream::write(&mut bytes, crate::eventstream::Kind::Event, "metadata", usage);
        let wrapped = br#"{"bytes":"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjl9fQ=="}"#;
        crate::eventstream::write(&mut bytes, crate::eventstream::Kind::Event, "chunk", wrapped);
        let (left, right) = bytes.split_at(20);
        let summary = read(Dialect::Bedrock, "application/vnd.amazon.eventstream", &[left, right]);
        assert_eq!(summary.usage, Some(Usage { input: 9, output: 2, ..Usage::default() }));
    }

    #[test]
    fn a_stream_that_tells_nothing_is_taken_for_a_token_an_event() {
        let summary = read(Dialect::OpenAi, "text/event-stream", &[b"data: {}\n\ndata: {}\n\n"]);
        assert_eq!((summary.usage, summary.output_chars), (None, 8));
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_chunking_upset_it(body in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
            let kinds =
                ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", "audio/mpeg"];
            for kind in kinds {
                let (left, right) = body.split_at(at.min(body.len()));
                let cut = read(Dialect::OpenAi, kind, &[left, right]);
                prop_assert_eq!(cut, read(Dialect::OpenAi, kind, &[&body]));
            }
        }
    }
}
