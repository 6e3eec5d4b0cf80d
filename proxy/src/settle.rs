//! The end of a call's account: real usage becomes cost, the reservation is settled, the record is finished.
//!
//! The body that goes to the caller owns the exchange and, while it streams, the admission: however the body ends, and also when
//! the caller leaves, both are settled once. It must not know how a body is framed on the wire, nor who provides.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dialect::{StopReason, Summary, Usage};
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use policy::{NanoUsd, Prices, TokenCounts};

use crate::exchange::Exchange;
use crate::failure::code;
use crate::guard::Inspected;
use crate::limits::Admitted;
use crate::upstream::{Answer, AnswerBody, AnswerStream, Served};

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
    stream: AnswerStream,
    /// Taken by the settlement.
    account: Option<Account>,
    has_begun: bool,
}

/// What is needed to settle a call.
#[derive(Debug)]
struct Account {
    admitted: Admitted,
    exchange: Exchange,
    prices: Option<Prices>,
    input_chars: u64,
}

/// Binds the answer to its account. A whole answer is settled at once.
pub fn attach(admitted: Admitted, answer: Answer, inbound: &Inspected, mut exchange: Exchange) -> Answered {
    let Answer { target: served, headers, body, dropped, defaulted } = answer;
    exchange.note(|record| {
        record.model.clone_from(&served.model);
        record.provider.clone_from(&served.provider);
        record.upstream_model.clone_from(&served.upstream_model);
    });
    let prices = served.prices.clone();
    let account =
        Account { admitted, exchange, prices, input_chars: inbound.inbound().call.envelope.input_chars };
    let (cost, body) = match body {
        AnswerBody::Whole { bytes, summary } => {
            let (exchange, cost) = account.settle(summary);
            (cost, AnsweredBody::Whole(Whole(Some((bytes, exchange)))))
        }
        AnswerBody::Stream(stream) => {
            let streaming = Streaming { stream, account: Some(account), has_begun: false };
            (None, AnsweredBody::Stream(Box::new(streaming)))
        }
    };
    Answered { head: Head { served, cost, headers, dropped, defaulted }, body }
}

impl Account {
    /// Counts what was really used. The exchange comes back without an ending.
    fn settle(self, summary: Summary) -> (Exchange, Option<NanoUsd>) {
        let Self { admitted, mut exchange, prices, input_chars } = self;
        let (usage, estimated) = count(&summary, input_chars);
        let cost = prices.map(|prices| prices.cost(&counts(usage)));
        admitted.settle(usage.total(), usage.output);
        exchange.note(|record| {
            record.tokens = usage;
            record.estimated = estimated;
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
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(streaming) => {
                streaming.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
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
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.account.is_none() {
            return Poll::Ready(None);
        }
        match self.stream.poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => {
                self.begin();
                Poll::Ready(Some(bytes))
            }
            Poll::Ready(Some(Err(failure))) => {
                self.settle(failure.code);
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                let code = self.stream.ending().failure.map_or(code::OK, |failure| failure.code);
                self.settle(code);
                Poll::Ready(None)
            }
        }
    }

    /// Notes the first byte.
    fn begin(&mut self) {
        if let Some(account) = self.account.as_mut().filter(|_| !self.has_begun) {
            self.has_begun = true;
            let first_byte_us = account.exchange.elapsed_us();
            account.exchange.note(|record| {
                record.first_byte_us = first_byte_us;
                record.status = 200;
            });
        }
    }

    fn settle(&mut self, code: &'static str) {
        if let Some(account) = self.account.take() {
            let (mut exchange, _cost) = account.settle(self.stream.ending().summary);
            exchange.note(|record| record.code = code);
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.settle(code::CLIENT_GONE);
    }
}
