//! An answer whose bytes go on as they come: of operations that are never translated, and of native calls.
//!
//! What it says of its use is read in passing. When it breaks off it cannot be ended well, so its connection to the caller must
//! break as well: half a picture must not look like a whole one. Dropping it drops the request to the provider.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use dialect::{Meter, Operation, Summary, Usage};
use http::StatusCode;
use tokio::time::Instant;

use crate::upstream::attempt::pull_trouble;
use crate::upstream::pull::Pull;
use crate::upstream::retry::{self, Toll};
use crate::upstream::stream::{Broken, Ending, Origin};
use crate::upstream::trouble::Trouble;

/// How much of an answer is looked into for what the provider holds.
const MOST_TOLD: usize = 64 << 10;

/// An answer that passes through.
pub struct RawAnswer {
    status: StatusCode,
    operation: Operation,
    meter: Meter,
    pull: Pull,
    origin: Origin,
    /// The beginning of a JSON answer to a native call: it may tell what the provider holds now.
    told: Option<Vec<u8>>,
    /// The first piece, read before the answer was committed to.
    ready: Option<Bytes>,
    is_over: bool,
    broken: Option<Broken>,
}

impl RawAnswer {
    /// Reads until the first piece or the end, which has to come by `due`.
    pub(super) async fn open(
        (status, operation): (StatusCode, Operation),
        meter: Meter,
        pull: Pull,
        origin: Origin,
        due: Instant,
    ) -> Result<Self, Trouble> {
        let tells = operation == Operation::Native && status.is_success() && meter.is_json();
        let told = tells.then(Vec::new);
        let mut raw =
            Self { status, operation, meter, pull, origin, told, ready: None, is_over: false, broken: None };
        match tokio::time::timeout_at(due, poll_fn(|cx| raw.poll_more(cx))).await {
            Ok(read) => raw.ready = read?,
            Err(_elapsed) => {
                let message = "the answer did not begin in time".to_owned();
                return Err(Trouble::overdue(&raw.origin.provider, raw.origin.status, message));
            }
        }
        Ok(raw)
    }

    /// The provider's status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether nothing is left to give out.
    pub const fn is_over(&self) -> bool {
        self.is_over && self.ready.is_none()
    }

    /// Whether the answer is an error in spite of its status: a JSON document that begins with one.
    pub(super) fn hidden_error(&self) -> Option<&Bytes> {
        let first = self.ready.as_ref().filter(|_| self.meter.is_json())?;
        let field =
            first.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"error\"")?;
        let value = field.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        (!value.starts_with(b"null")).then_some(first)
    }

    /// What the answer says so far, if it may name what the provider holds.
    pub fn told(&self) -> Option<&[u8]> {
        self.told.as_deref()
    }

    /// The next piece; `None` at the end, which is a bad one if [`RawAnswer::ending`] tells a failure.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.ready.take() {
            return Poll::Ready(Some(piece));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.poll_more(cx).map(|read| {
            read.unwrap_or_else(|trouble| {
                self.is_over = true;
                if retry::toll(trouble.class, None) == Toll::Failure {
                    let now = self.origin.clock.now();
                    self.origin.health.breaker.enter_regardless().failed(now);
                }
                self.broken = Some(trouble.into());
                None
            })
        })
    }

    /// How it ended, or how it stands.
    pub fn ending(&self) -> Ending<'_> {
        let mut summary = self.meter.summary();
        // A native answer that tells no use had none, unless it was a stream of a model's words.
        if self.operation == Operation::Native && !self.meter.is_stream() && summary.usage.is_none() {
            summary = Summary { usage: Some(Usage::default()), complete: true, ..summary };
        }
        Ending { summary, broken: self.broken.as_ref() }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Trouble>> {
        self.pull.poll_piece(cx).map(|piece| match piece {
            Some(Ok(piece)) => {
                self.meter.push(&piece);
                if let Some(told) = &mut self.told {
                    let room = MOST_TOLD.saturating_sub(told.len()).min(piece.len());
                    told.extend_from_slice(piece.get(..room).unwrap_or_default());
                }
                Ok(Some(piece))
            }
            Some(Err(error)) => Err(pull_trouble(&self.origin.provider, self.origin.status, &error)),
            None => {
                self.is_over = true;
                self.meter.finish();
                Ok(None)
            }
        })
    }
}

impl fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAnswer")
            .field("provider", &self.origin.provider)
            .field("status", &self.status)
            .field("is_over", &self.is_over)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
