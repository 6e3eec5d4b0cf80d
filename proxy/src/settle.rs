//! The end of a call's account: real usage becomes cost, the reservation is settled, the record is finished.
//!
//! The body that goes to the caller owns the exchange and, while it streams, the admission: however the body ends, and also when
//! the caller leaves, both are settled once. It must not know how a body is framed on the wire, nor who provides.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dialect::{Operation, StopReason, Summary, Usage};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use policy::{NanoUsd, Prices, TokenCounts};

use crate::affinity::{Counted, Lesson};
use crate::exchange::Exchange;
use crate::failure::{Failure, code};
use crate::guard::Inspected;
use crate::limits::Admitted;
use crate::upstream::{Answer, AnswerBody, AnswerStream, Ending, RawAnswer, Served};

/// An answer on its way to the caller.
#[derive(Debug)]
pub struct Answered {
    /// What is known before the first byte.
    pub head: Head,
    /// The bytes, with everything that has to happen when they end.
    pub body: AnsweredBody,
}

/// What is known of an answer before its first byte.
#[derive(Debug)]
pub struct Head {
    /// The status of the answer.
    pub status: StatusCode,
    /// Who answers.
    pub served: Served,
    /// What it cost, where that is known already.
    pub cost: Option<NanoUsd>,
    /// The provider's headers that the caller may see.
    pub headers: HeaderMap,
    /// Fields of the call that the target has no word for.
    pub dropped: Vec<String>,
    /// Fields that got a value the caller did not choose.
    pub defaulted: Vec<(String, String)>,
}

/// The bytes of an answer.
#[derive(Debug)]
pub enum AnsweredBody {
    /// All of them.
    Whole(Whole),
    /// As they come.
    Stream(Box<Streaming>),
}

/// A whole answer, settled already. Its record is finished when the bytes are taken.
#[derive(Debug)]
pub struct Whole(Option<(Bytes, Exchange)>);

/// A streamed answer. Settled when it ends or is dropped.
#[derive(Debug)]
pub struct Streaming {
    source: Source,
    /// What the record says once a byte is out.
    status: u16,
    /// Taken by the settlement.
    account: Option<Account>,
    has_begun: bool,
}

/// Where the bytes of a streamed answer come from.
#[derive(Debug)]
enum Source {
    /// In the caller's dialect.
    Stream(AnswerStream),
    /// As the provider sent them.
    Raw(RawAnswer),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match self {
            Self::Stream(stream) => stream.poll_frame(cx),
            Self::Raw(raw) => raw.poll_frame(cx).map(|piece| piece.map(Ok)),
        }
    }

    fn ending(&self) -> Ending<'_> {
        match self {
            Self::Stream(stream) => stream.ending(),
            Self::Raw(raw) => raw.ending(),
        }
    }
}

/// The provider's bytes broke off, and nothing of ours could end them well: the caller's connection has to break as well.
#[derive(Debug, thiserror::Error)]
#[error("the provider's answer broke off")]
pub struct Torn;

/// What is needed to settle a call.
#[derive(Debug)]
struct Account {
    admitted: Admitted,
    exchange: Exchange,
    prices: Option<Prices>,
    input_chars: u64,
    operation: Operation,
    /// What the answer may teach of who holds what.
    lesson: Option<Lesson>,
}

/// Binds the answer to its account. A whole answer is settled at once.
pub fn attach(
    admitted: Admitted,
    answer: Answer,
    inbound: &Inspected,
    lesson: Option<Lesson>,
    mut exchange: Exchange,
) -> Answered {
    let Answer { target: served, headers, body, dropped, defaulted } = answer;
    exchange.note(|record| {
        record.model.clone_from(&served.model);
        record.provider.clone_from(&served.provider);
        record.upstream_model.clone_from(&served.upstream_model);
    });
    let prices = served.prices.clone();
    let call = &inbound.inbound().call;
    let account = Account {
        admitted,
        exchange,
        prices,
        input_chars: call.envelope.input_chars,
        operation: call.operation,
        lesson,
    };
    let mut status = StatusCode::OK;
    let (cost, body) = match body {
        AnswerBody::Whole { bytes, summary } => {
            let (exchange, cost) = account.settle(summary);
            (cost, AnsweredBody::Whole(Whole(Some((bytes, exchange)))))
        }
        AnswerBody::Stream(stream) => {
            let streaming = Streaming::of(Source::Stream(stream), status, account);
            (None, AnsweredBody::Stream(Box::new(streaming)))
        }
        AnswerBody::Raw(raw) => {
            status = raw.status();
            let is_over = raw.is_over();
            let mut streaming = Streaming::of(Source::Raw(raw), status, account);
            if is_over {
                // Nobody asks an empty body whether it has ended.
                streaming.settle(if status.as_u16() >= 400 { code::PROVIDER_REFUSED } else { code::OK });
            }
            (None, AnsweredBody::Stream(Box::new(streaming)))
        }
    };
    Answered { head: Head { status, served, cost, headers, dropped, defaulted }, body }
}

impl Account {
    fn provider(&self) -> &str {
        self.exchange.record().map_or("", |record| record.provider.as_str())
    }

    fn consumer(&self) -> &str {
        self.admitted.caller().key().consumer.name.as_str()
    }

    /// Counts what was really used. The exchange comes back without an ending.
    fn settle(self, summary: Summary) -> (Exchange, Option<NanoUsd>) {
        let (mut usage, mut estimated) = count(&summary, self.input_chars);
        if let (Some(lesson), Some(id)) = (&self.lesson, &summary.object_id) {
            let owing = summary.usage.is_none().then_some(usage.input);
            lesson.answered(id, self.provider(), self.consumer(), owing);
        }
        let counted = self.lesson.as_ref().map(|lesson| lesson.counted(summary.usage.is_some()));
        let Self { admitted, mut exchange, prices, operation, .. } = self;
        let is_free = operation == Operation::CountTokens || counted == Some(Counted::All);
        if is_free {
            // Counting uses nothing, and what is asked for again was counted when it was made.
            (usage, estimated) = (Usage::default(), false);
        }
        if let Some(Counted::Input(before)) = counted {
            usage.input = usage.input.saturating_sub(before);
        }
        let cost = if is_free { Some(NanoUsd(0)) } else { prices.map(|prices| prices.cost(&counts(usage))) };
        admitted.settle(usage.total(), usage.output);
        exchange.note(|record| {
            record.tokens = usage;
            record.estimated = estimated;
            record.unknown_events = summary.unknown;
            record.priced = cost.is_some();
            record.cost_nano_usd = cost.map_or(0, |cost| cost.0);
            record.response_model = summary.upstream_model.unwrap_or_default();
            record.stop_reason = Cow::Borrowed(summary.stop.map_or("", StopReason::as_str));
        });
        (exchange, cost)
    }
}

/// The usage that the provider told, or else an estimate; and which of them it is. What a broken stream told so far may lack the
/// output that was streamed since.
fn count(summary: &Summary, input_chars: u64) -> (Usage, bool) {
    let seen_output = dialect::estimate_tokens(summary.output_chars);
    match summary.usage {
        Some(usage) if summary.complete => (usage, false),
        Some(usage) => (Usage { output: usage.output.max(seen_output), ..usage }, true),
        None => (
            Usage { input: dialect::estimate_tokens(input_chars), output: seen_output, ..Usage::default() },
            true,
        ),
    }
}

fn counts(usage: Usage) -> TokenCounts {
    let Usage { input, cache_read, cache_write, output, reasoning } = usage;
    TokenCounts { input, cache_read, cache_write, output, reasoning }
}

impl Body for AnsweredBody {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        match self.get_mut() {
            Self::Whole(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(streaming) => {
                streaming.poll(cx).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.0.is_none(),
            Self::Stream(streaming) => streaming.account.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Whole(left)) => {
                let length = left.as_ref().map_or(0, |(bytes, _)| bytes.len());
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Stream(_) => SizeHint::new(),
        }
    }
}

impl Whole {
    fn take(&mut self) -> Option<Bytes> {
        let (bytes, mut exchange) = self.0.take()?;
        let first_byte_us = exchange.elapsed_us();
        exchange.note(|record| {
            record.first_byte_us = first_byte_us;
            record.status = 200;
            record.code = code::OK;
        });
        Some(bytes)
    }
}

impl Streaming {
    fn of(source: Source, status: StatusCode, account: Account) -> Self {
        Self { source, status: status.as_u16(), account: Some(account), has_begun: false }
    }

    /// Whether the bytes are the provider's own.
    pub fn is_raw(&self) -> bool {
        matches!(self.source, Source::Raw(_))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Torn>>> {
        if self.account.is_none() {
            return Poll::Ready(None);
        }
        match self.source.poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => {
                self.begin();
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(failure))) => {
                self.settle(failure.code);
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                let failed = self.source.ending().broken.map(|broken| broken.failure.code);
                let refused = self.status >= 400;
                self.settle(failed.unwrap_or(if refused { code::PROVIDER_REFUSED } else { code::OK }));
                // A stream in the caller's dialect has told the failure in band.
                let is_torn = failed.is_some() && matches!(self.source, Source::Raw(_));
                Poll::Ready(is_torn.then_some(Err(Torn)))
            }
        }
    }

    /// Notes the first byte.
    fn begin(&mut self) {
        if let Some(account) = self.account.as_mut().filter(|_| !self.has_begun) {
            self.has_begun = true;
            let first_byte_us = account.exchange.elapsed_us();
            let status = self.status;
            account.exchange.note(|record| {
                record.first_byte_us = first_byte_us;
                record.status = status;
            });
        }
    }

    fn settle(&mut self, code: &'static str) {
        if matches!(code, code::OK | code::PROVIDER_REFUSED) {
            self.begin();
        }
        if let Some(account) = self.account.take() {
            if let Source::Raw(raw) = &self.source
                && let (Some(told), Some(lesson)) = (raw.told(), &account.lesson)
            {
                lesson.passed(told, account.provider(), account.consumer());
            }
            let ending = self.source.ending();
            let (mut exchange, _cost) = account.settle(ending.summary);
            exchange.note(|record| {
                record.code = code;
                // The attempt began well; what became of it is known only now.
                if let Some((broken, attempt)) = ending.broken.zip(record.decision.attempts.last_mut()) {
                    attempt.outcome = broken.outcome;
                    attempt.detail.clone_from(&broken.detail);
                }
            });
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.settle(code::CLIENT_GONE);
    }
}
