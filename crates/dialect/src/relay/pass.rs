//! Streams of the caller's own dialect: bytes go through unchanged, and what accounting needs is read in passing.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Framing, cut, failed, framed::Framed};
use crate::{
    Call, Dialect, Fault, StopReason, Summary, anthropic,
    fault::{decode_in_band, garbage},
    gemini, openai, responses, sse,
    whole::object_id,
};

/// A stream that is passed on.
#[derive(Debug)]
pub(super) struct Pass {
    dialect: Dialect,
    records: Framed,
    pub(super) summary: Summary,
    /// We asked for usage and the caller did not: the record with nothing else is ours.
    swallows_usage: bool,
    /// How many choices were asked for and how many ended.
    choices: u32,
    ended: u32,
    /// The number of the next record, where records are numbered.
    pub(super) sequence: u64,
    /// A later call may name the answer.
    is_kept: bool,
    calls_tools: bool,
}

/// What the caller gets for a record.
#[derive(Debug)]
enum Verdict {
    Pass,
    Swallow,
    Replace(Bytes),
}

impl Pass {
    pub(super) fn new(call: &Call, framing: Framing) -> Self {
        Self {
            dialect: call.dialect,
            records: Framed::new(framing),
            summary: Summary::default(),
            swallows_usage: call.dialect == Dialect::OpenAi && !call.envelope.wants_usage,
            choices: call.envelope.n.max(1),
            ended: 0,
            sequence: 0,
            is_kept: object_id(call, Some("id")).is_some(),
            calls_tools: false,
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let (first, length, started_clean) = (out.len(), chunk.len(), self.records.is_plain());
        self.records.feed(chunk.clone());
        let mut passed = 0;
        while let Some(record) = self.records.next()? {
            match self.take(&record)? {
                Verdict::Pass => {
                    passed += record.len();
                    out.push(record);
                }
                Verdict::Swallow => {}
                Verdict::Replace(record) => out.push(record),
            }
        }
        // Mostly a chunk holds whole records and nothing else: then it goes on in one piece.
        if started_clean && passed == length && out.len() > first + 1 {
            out.truncate(first);
            out.push(chunk);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let rest = self.records.rest();
        // Some servers forget the empty line after their last record; a record cut in two is not JSON.
        if sse::parse(&rest).data.is_some() {
            match self.take(&rest) {
                Ok(Verdict::Pass) => out.extend([rest, Bytes::from_static(b"\n\n")]),
                Ok(Verdict::Swallow) => {}
                Ok(Verdict::Replace(record)) => out.push(record),
                Err(fault) if fault.code == "invalid_answer" => {}
                Err(fault) => return Err(fault),
            }
        } else if !rest.is_empty() && rest.iter().all(u8::is_ascii_whitespace) {
            out.push(rest);
        }
        if !self.summary.complete {
            return Err(cut());
        }
        Ok(())
    }

    /// Reads a record and tells what the caller gets for it.
    fn take(&mut self, record: &[u8]) -> Result<Verdict, Fault> {
        let record = sse::parse(record);
        let Some(data) = record.data.filter(|data| !data.trim_ascii().is_empty()) else {
            return Ok(Verdict::Pass);
        };
        if record.event == b"error" {
            return Err(decode_in_band(&data));
        }
        match self.dialect {
            Dialect::Responses => self.take_responses(&data),
            Dialect::OpenAi => self.take_openai(&data),
            Dialect::Anthropic => self.take_anthropic(&data, record.event.is_empty()),
            Dialect::Gemini => self.take_gemini(&data),
            Dialect::Bedrock | Dialect::Cohere => {
                Err(Fault::unsupported("streams of this dialect are written anew, and do not pass through"))
            }
        }
    }

    fn take_openai(&mut self, data: &[u8]) -> Result<Verdict, Fault> {
        if data.trim_ascii() == b"[DONE]" {
            if self.ended == 0 && self.summary.output_chars == 0 {
                return Err(cut());
            }
            self.summary.complete = true;
            return Ok(Verdict::Pass);
        }
        let probe = openai::probe::probe(data).map_err(garbage)?;
        if probe.is_error {
            return Err(decode_in_band(data));
        }
        self.calls_tools |= probe.calls_tools;
        self.stop(probe.finish.as_deref())?;
        self.ended = self.ended.saturating_add(probe.finished);
        // The answer is whole when each choice ended; not every server says `[DONE]`.
        self.summary.complete |= probe.finished > 0 && self.ended >= self.choices;
        self.summary.service_tier = probe.tier.map(Cow::into_owned).or(self.summary.service_tier.take());
        let is_usage_alone = probe.choices == Some(0) && probe.usage.is_some();
        self.learn(probe.usage, (probe.id, probe.model), probe.chars);
        Ok(if is_usage_alone && self.swallows_usage { Verdict::Swallow } else { Verdict::Pass })
    }

    fn take_responses(&mut self, data: &[u8]) -> Result<Verdict, Fault> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Verdict::Pass);
        }
        let probe = responses::probe::event(data).map_err(garbage)?;
        if probe.is_error || matches!(probe.kind.as_ref(), "error" | "response.failed") {
            return Err(responses::error::read(data));
        }
        self.sequence = probe.sequence.map_or(self.sequence, |number| number.saturating_add(1));
        self.summary.unknown = self.summary.unknown.saturating_add(u32::from(!probe.is_known()));
        if let Some(stop) = probe.stop() {
            let (reason, native) = stop;
            if reason == StopReason::Failed {
                return Err(failed(native.as_deref().unwrap_or("failed")));
            }
            self.summary.stop = Some(reason);
            self.summary.complete = true;
        }
        let response = probe.response;
        self.summary.service_tier =
            response.service_tier.map(Cow::into_owned).or(self.summary.service_tier.take());
        self.summary.reasoning_removed = self.summary.reasoning_removed.max(response.removed);
        self.is_kept &= response.stored != Some(false);
        self.learn(response.usage, (response.id, response.model), probe.chars);
        Ok(Verdict::Pass)
    }

    fn take_anthropic(&mut self, data: &[u8], is_nameless: bool) -> Result<Verdict, Fault> {
        let probe = anthropic::probe::probe(data, self.summary.usage).map_err(garbage)?;
        if probe.is_error || probe.kind == "error" {
            return Err(decode_in_band(data));
        }
        self.stop(probe.stop.as_deref())?;
        self.summary.complete |= probe.kind == "message_stop";
        self.summary.unknown = self.summary.unknown.saturating_add(u32::from(!probe.is_known()));
        let verdict = if is_nameless { named(&probe.kind, data) } else { Verdict::Pass };
        self.summary.service_tier = probe.tier.map(Cow::into_owned).or(self.summary.service_tier.take());
        self.learn(probe.usage, (probe.id, probe.model), probe.chars);
        Ok(verdict)
    }

    fn take_gemini(&mut self, data: &[u8]) -> Result<Verdict, Fault> {
        let probe = gemini::probe::probe(data).map_err(garbage)?;
        if probe.is_error {
            return Err(decode_in_band(data));
        }
        self.calls_tools |= probe.calls_tools;
        if let Some(word) = &probe.finish {
            self.stopped(gemini::stop(word, self.calls_tools).0, word)?;
        }
        if probe.blocked.is_some() {
            self.summary.stop = Some(StopReason::Refusal);
        }
        self.ended = self.ended.saturating_add(probe.finished);
        self.summary.complete |= probe.blocked.is_some() || self.ended >= self.choices;
        self.summary.service_tier = probe.tier.map(Cow::into_owned).or(self.summary.service_tier.take());
        self.learn(probe.usage, (None, probe.model), probe.chars);
        Ok(Verdict::Pass)
    }

    fn stop(&mut self, word: Option<&str>) -> Result<(), Fault> {
        let Some(word) = word else { return Ok(()) };
        self.stopped(StopReason::decode(self.dialect, word).0.with_tools(self.calls_tools), word)
    }

    fn stopped(&mut self, reason: StopReason, word: &str) -> Result<(), Fault> {
        if reason == StopReason::Failed {
            return Err(failed(word));
        }
        self.summary.stop = Some(reason);
        Ok(())
    }

    fn learn(
        &mut self,
        usage: Option<crate::Usage>,
        (id, model): (Option<Cow<'_, str>>, Option<Cow<'_, str>>),
        chars: u64,
    ) {
        if self.summary.object_id.is_none() && self.is_kept {
            self.summary.object_id = id.filter(|id| !id.is_empty()).map(Cow::into_owned);
        }
        self.summary.usage = usage.or(self.summary.usage);
        if self.summary.upstream_model.is_none() {
            self.summary.upstream_model = model.filter(|model| !model.is_empty()).map(Cow::into_owned);
        }
        self.summary.output_chars = self.summary.output_chars.saturating_add(chars);
    }
}

/// Some servers leave the names of events out; the official SDK sees nothing but named ones.
fn named(kind: &str, data: &[u8]) -> Verdict {
    if kind.is_empty() || kind.contains(['\n', '\r']) {
        return Verdict::Pass;
    }
    let line: Vec<u8> =
        data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    let mut record = Vec::with_capacity(line.len() + 64);
    sse::write(&mut record, Some(kind), &line);
    Verdict::Replace(record.into())
}
