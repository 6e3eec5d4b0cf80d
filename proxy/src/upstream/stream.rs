//! An answer that comes in pieces: read until its first content before it is committed to, and ended in band when it fails
//! after that. Dropping it drops the request to the provider.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dialect::{ErrorShape, Relay, Summary};
use lifecycle::Clock;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::upstream::attempt::pull_trouble;
use crate::upstream::latency::InFlight;
use crate::upstream::provider::Health;
use crate::upstream::pull::Pull;
use crate::upstream::retry::{self, Toll};
use crate::upstream::trouble::Trouble;

/// What is held back at most while the first content is waited for; a stream without content up to here is committed to as it is.
const HELD_BACK: usize = 1 << 20;

/// A streamed answer in the caller's dialect.
pub struct AnswerStream {
    relay: Relay,
    pull: Pull,
    origin: Origin,
    ready: VecDeque<Bytes>,
    /// Kept for its capacity.
    scratch: Vec<Bytes>,
    is_over: bool,
    broken: Option<Broken>,
}

/// Where a stream comes from.
pub(super) struct Origin {
    pub(super) provider: String,
    pub(super) request_id: String,
    pub(super) status: u16,
    pub(super) health: Arc<Health>,
    pub(super) clock: Clock,
    /// The stream counts as in flight until it is dropped.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) in_flight: InFlight,
}

/// How a stream ended, or how it stands while it has not.
#[derive(Debug)]
pub struct Ending<'a> {
    /// What is known of the answer.
    pub summary: Summary,
    /// Why it ended early; told to the caller in band already.
    pub broken: Option<&'a Broken>,
}

/// Why an answer that was committed to ended early.
#[derive(Debug)]
pub struct Broken {
    /// The word for the attempt's record.
    pub outcome: &'static str,
    /// What happened, safe to show.
    pub detail: Cow<'static, str>,
    /// What the caller is told.
    pub failure: Failure,
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Self { outcome: trouble.outcome, detail: trouble.detail(), failure: trouble.into_failure() }
    }
}

impl AnswerStream {
    /// Reads until the first content or the end, the first piece by `due`. Whatever fails here fails before anyone has seen a byte.
    pub(super) async fn open(
        relay: Relay,
        pull: Pull,
        origin: Origin,
        due: Instant,
    ) -> Result<Self, Trouble> {
        let mut stream = Self {
            relay,
            pull,
            origin,
            ready: VecDeque::new(),
            scratch: Vec::new(),
            is_over: false,
            broken: None,
        };
        match tokio::time::timeout_at(due, poll_fn(|cx| stream.poll_more(cx))).await {
            Ok(read) => read?,
            Err(_elapsed) => {
                let message = "the answer did not begin in time".to_owned();
                return Err(Trouble::overdue(&stream.origin.provider, stream.origin.status, message));
            }
        }
        while !stream.relay.has_content() && !stream.is_over && stream.held_back() < HELD_BACK {
            poll_fn(|cx| stream.poll_more(cx)).await?;
        }
        Ok(stream)
    }

    /// The next piece; `None` at the end. A failure of the provider is rendered in band as the last piece and told by
    /// [`AnswerStream::ending`], so that what the caller reads is well formed.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.poll_more(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(trouble)) => self.fail(trouble),
            }
        }
    }

    /// How it ended, or how it stands.
    pub fn ending(&self) -> Ending<'_> {
        Ending { summary: self.relay.summary(), broken: self.broken.as_ref() }
    }

    fn held_back(&self) -> usize {
        self.ready.iter().map(Bytes::len).sum()
    }

    /// Takes one more piece from the provider, or its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        let (provider, status) = (&self.origin.provider, self.origin.status);
        let relayed = match self.pull.poll_piece(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => self.relay.push(piece, &mut self.scratch),
            Poll::Ready(Some(Err(error))) if !self.relay.is_complete() => {
                return Poll::Ready(Err(pull_trouble(provider, status, &error)));
            }
            // A connection that ends badly after a complete answer has cost nobody anything.
            Poll::Ready(Some(Err(_)) | None) => {
                self.is_over = true;
                self.relay.finish(&mut self.scratch)
            }
        };
        self.ready.extend(self.scratch.drain(..));
        Poll::Ready(relayed.map_err(|fault| Trouble::fault(provider, status, fault)))
    }

    /// Ends the stream in band.
    fn fail(&mut self, trouble: Trouble) {
        self.is_over = true;
        if retry::toll(trouble.class, None) == Toll::Failure {
            self.origin.health.breaker.enter_regardless().failed(self.origin.clock.now());
        }
        let broken = Broken::from(trouble);
        let failure = &broken.failure;
        let shape = ErrorShape {
            status: failure.status,
            code: failure.code,
            message: &failure.message,
            param: failure.param.as_deref(),
            request_id: &self.origin.request_id,
        };
        self.relay.abort(&shape, &mut self.scratch);
        self.ready.extend(self.scratch.drain(..));
        self.broken = Some(broken);
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream")
            .field("provider", &self.origin.provider)
            .field("is_over", &self.is_over)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
