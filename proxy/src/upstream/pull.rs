//! Takes an answer's body from the provider piece by piece, under the timeout between pieces and the call's deadline.
//! It must not know what the pieces mean.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use lifecycle::Clock;
use tokio::time::{Instant, Sleep};

use crate::upstream::encoding::{Decoding, EncodingError};

/// A body with its timers.
#[derive(Debug)]
pub(super) struct Pull {
    body: Incoming,
    decoding: Decoding,
    is_over: bool,
    clock: Clock,
    idle: Duration,
    deadline: Instant,
    last_piece: Instant,
    /// Made when the body is first waited for: most whole answers never are.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why no more comes.
#[derive(Debug)]
pub(super) enum PullError {
    /// Nothing for this long.
    Idle(Duration),
    /// The call's time is over.
    Deadline,
    /// The connection broke.
    Broken(hyper::Error),
    /// The bytes are not in the coding that the head of the answer names.
    Encoding(EncodingError),
}

impl Pull {
    pub(super) fn new(
        (body, decoding): (Incoming, Decoding),
        clock: Clock,
        idle: Duration,
        deadline: Instant,
    ) -> Self {
        let last_piece = clock.now();
        Self { body, decoding, is_over: false, clock, idle, deadline, last_piece, timer: None }
    }

    /// How much is still to come, where the provider said.
    pub(super) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact().filter(|_| self.decoding.is_plain())
    }

    /// The next piece; `None` at the end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PullError>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.last_piece = self.clock.now();
                    // Trailers carry nothing for us, and a decoder may want more before it gives anything.
                    let Ok(piece) = frame.into_data() else { continue };
                    let decoded = self.decoding.push(piece).map_err(PullError::Encoding);
                    if decoded.as_ref().map_or(true, |piece| !piece.is_empty()) {
                        return Poll::Ready(Some(decoded));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(PullError::Broken(error)))),
                Poll::Ready(None) if self.is_over || self.decoding.is_plain() => return Poll::Ready(None),
                Poll::Ready(None) => {
                    self.is_over = true;
                    match self.decoding.finish() {
                        Ok(rest) if rest.is_empty() => return Poll::Ready(None),
                        rest => return Poll::Ready(Some(rest.map_err(PullError::Encoding))),
                    }
                }
                Poll::Pending => return self.poll_timer(cx).map(|error| Some(Err(error))),
            }
        }
    }

    /// Ready when the wait is over. The timer is moved only when it fires, not for each piece.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<PullError> {
        loop {
            let due = (self.last_piece + self.idle).min(self.deadline);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = self.clock.now();
            if now >= self.deadline {
                return Poll::Ready(PullError::Deadline);
            }
            if now >= due {
                return Poll::Ready(PullError::Idle(self.idle));
            }
            timer.as_mut().reset(due);
        }
    }
}
