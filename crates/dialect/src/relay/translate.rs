//! Streams of another dialect: read into events, and written as the caller's own.

use bytes::Bytes;

use super::{Decode, Encode, Wire, cut, failed, framed::Framed};
use crate::{
    Call, Dialect, Event, Fault, StopReason, Summary, anthropic, bedrock, cohere, fault::decode_in_band,
    gemini, names::Restore, openai, responses, sse, unnamed::Unnamed, whole::object_id,
};

/// A stream that is translated.
#[derive(Debug)]
pub(super) struct Translate {
    records: Framed,
    decoder: Box<dyn Decode>,
    encoder: Box<dyn Encode>,
    pub(super) summary: Summary,
    unnamed: Unnamed,
    /// Gives tools the caller's names; Converse's decoder does so itself.
    names: Option<Restore>,
    /// How many answers were asked for, and the one that the last event belongs to.
    asked: u32,
    choice: u32,
    /// A later call may name the answer.
    is_kept: bool,
}

fn decoder(dialect: Dialect, call: &Call) -> Box<dyn Decode> {
    match dialect {
        Dialect::OpenAi => Box::new(openai::stream::Decoder::default()),
        Dialect::Responses => Box::new(responses::stream::Decoder::default()),
        Dialect::Anthropic => Box::new(anthropic::stream::Decoder::default()),
        Dialect::Gemini => Box::new(gemini::stream::Decoder::new(call.envelope.n)),
        Dialect::Bedrock => Box::new(bedrock::stream::Decoder::new(call)),
        Dialect::Cohere => Box::new(cohere::stream::Decoder::default()),
    }
}

fn encoder(call: &Call) -> Box<dyn Encode> {
    match call.dialect {
        Dialect::OpenAi => Box::new(openai::emit::Encoder::new(call)),
        Dialect::Responses => Box::new(responses::emit::Encoder::new(call)),
        Dialect::Anthropic => Box::new(anthropic::emit::Encoder::default()),
        Dialect::Gemini => Box::new(gemini::emit::Encoder::new(call)),
        Dialect::Bedrock => Box::new(bedrock::emit::Encoder::new(call)),
        Dialect::Cohere => Box::new(cohere::emit::Encoder::new(call)),
    }
}

impl Translate {
    pub(super) fn new(call: &Call, upstream: Wire) -> Self {
        Self {
            records: Framed::new(upstream.framing),
            decoder: decoder(upstream.dialect, call),
            encoder: encoder(call),
            summary: Summary::default(),
            unnamed: Unnamed::new(call),
            names: (upstream.dialect != Dialect::Bedrock).then(|| Restore::new(call, upstream.dialect)),
            asked: call.envelope.n.max(1),
            choice: 0,
            is_kept: object_id(call, Some("id")).is_some(),
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let mut written = Vec::new();
        self.records.feed(chunk);
        let taken = self.take_all(&mut written);
        give(written, out);
        taken
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let mut written = Vec::new();
        let rest = self.records.rest();
        let taken = self.take(&rest, &mut written);
        // A record cut in two is not JSON; whether the answer was whole before it is for the grammar to tell.
        let taken = taken.or_else(|fault| if fault.code == "invalid_answer" { Ok(()) } else { Err(fault) });
        let taken = taken.and_then(|()| self.end(&mut written));
        give(written, out);
        taken
    }

    pub(super) fn sequence(&self) -> u64 {
        self.encoder.sequence()
    }

    fn end(&mut self, written: &mut Vec<u8>) -> Result<(), Fault> {
        let mut events = Vec::new();
        let whole = self.decoder.finish(&mut events);
        self.write(events, written)?;
        if whole { Ok(()) } else { Err(cut()) }
    }

    fn take_all(&mut self, written: &mut Vec<u8>) -> Result<(), Fault> {
        while let Some(record) = self.records.next()? {
            self.take(&record, written)?;
        }
        Ok(())
    }

    fn take(&mut self, record: &[u8], written: &mut Vec<u8>) -> Result<(), Fault> {
        let is_comment = record.first() == Some(&b':');
        let record = sse::parse(record);
        let Some(data) = record.data.filter(|data| !data.trim_ascii().is_empty()) else {
            // A comment keeps the connection alive; so does a ping.
            let events = if is_comment { vec![Event::Ping] } else { Vec::new() };
            return self.write(events, written);
        };
        if record.event == b"error" {
            return Err(decode_in_band(&data));
        }
        let mut events = Vec::new();
        let read = self.decoder.push(record.event, &data, &mut events);
        self.write_said(events, &data, written)?;
        read
    }

    fn write(&mut self, events: Vec<Event>, written: &mut Vec<u8>) -> Result<(), Fault> {
        self.write_said(events, b"", written)
    }

    fn write_said(&mut self, events: Vec<Event>, said: &[u8], written: &mut Vec<u8>) -> Result<(), Fault> {
        for mut event in events {
            if let Event::Choice(index) = &event {
                self.choice = *index;
            }
            // An answer that nobody asked for has no place in the caller's stream.
            let is_of_all =
                matches!(event, Event::Usage(_) | Event::ServiceTier(_) | Event::End | Event::Fault(_));
            if self.choice >= self.asked && !is_of_all {
                continue;
            }
            if let (Event::ToolStart { name, .. }, Some(names)) = (&mut event, &mut self.names) {
                *name = names.name(std::mem::take(name));
            }
            self.learn(&event)?;
            if let Event::Start { id, model, usage, .. } = &mut event {
                // Some tell what was used before they begin.
                *usage = usage.or(self.summary.usage);
                self.unnamed.fill(id, model, said);
            }
            self.encoder.encode(event, written)?;
        }
        Ok(())
    }

    fn learn(&mut self, event: &Event) -> Result<(), Fault> {
        let summary = &mut self.summary;
        match event {
            Event::Start { id, model, usage, .. } => {
                summary.object_id = Some(id.clone()).filter(|id| self.is_kept && !id.is_empty());
                summary.upstream_model = Some(model.clone()).filter(|model| !model.is_empty());
                summary.usage = usage.or(summary.usage);
            }
            Event::Text(text) | Event::Thinking(text) | Event::Refusal(text) => count(summary, text),
            Event::ToolStart { name, .. } => count(summary, name),
            Event::ToolArguments { fragment, .. } => count(summary, fragment),
            Event::Usage(usage) => summary.usage = Some(*usage),
            Event::Stop { reason: StopReason::Failed, native, .. } => {
                return Err(failed(native.as_deref().unwrap_or("error")));
            }
            Event::Stop { reason, .. } => summary.stop = Some(*reason),
            Event::End => summary.complete = true,
            Event::Fault(fault) => return Err(fault.clone()),
            Event::Unknown => summary.unknown = summary.unknown.saturating_add(1),
            Event::ServiceTier(tier) => summary.service_tier = Some(tier.clone()),
            Event::Signature(_)
            | Event::RedactedThinking(_)
            | Event::Choice(_)
            | Event::Citation(_)
            | Event::Logprobs(_)
            | Event::PartEnd
            | Event::Ping => {}
        }
        Ok(())
    }
}

fn count(summary: &mut Summary, text: &str) {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    summary.output_chars = summary.output_chars.saturating_add(length);
}

fn give(written: Vec<u8>, out: &mut Vec<Bytes>) {
    if !written.is_empty() {
        out.push(written.into());
    }
}
