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

use crate::failure::Failure;
use crate::upstream::attempt::pull_trouble;
use crate::upstream::pull::Pull;
use crate::upstream::retry::{self, Toll};
use crate::upstream::stream::{Ending, Origin};
use crate::upstream::trouble::Trouble;

/// An answer that passes through.
pub struct RawAnswer {
    status: StatusCode,
    operation: Operation,
    meter: Meter,
    pull: Pull,
    origin: Origin,
    /// The first piece, read before the answer was committed to.
    ready: Option<Bytes>,
    is_over: bool,
    failure: Option<Failure>,
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
        let mut raw =
            Self { status, operation, meter, pull, origin, ready: None, is_over: false, failure: None };
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
                self.failure = Some(trouble.into_failure());
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
        Ending { summary, failure: self.failure.as_ref() }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Trouble>> {
        self.pull.poll_piece(cx).map(|piece| match piece {
            Some(Ok(piece)) => {
                self.meter.push(&piece);
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
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
