//! The body of an answer on its way out: paced, cut, stalled or re-chunked as scripted, and billed for what was sent.
//! It must not know a dialect: it gets finished events.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::behaviour::Behaviour;
use crate::encoding::Encoder;
use crate::ledger::Tab;

/// One event of a stream, as bytes, and the output tokens it carries.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    pub(crate) tokens: u64,
}

impl Event {
    pub(crate) fn new(text: String, tokens: u64) -> Self {
        Self { bytes: Bytes::from(text), tokens }
    }
}

/// The answer's body.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    pieces: VecDeque<Piece>,
    end: End,
    length: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    tab: Option<Tab>,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    wait: Duration,
    tokens: u64,
}

/// What follows the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Stall,
    /// Cut once what was handed out before is on the wire: hyper forgets what it has not sent when a body fails.
    CutSoon,
    Cut,
}

/// Long enough for a connection to be flushed.
const FLUSH_PAUSE: Duration = Duration::from_millis(2);

impl AnswerBody {
    /// A short body that is nobody's answer: errors, lists, the simulator's own pages.
    pub(crate) fn plain(bytes: Bytes) -> Self {
        let length = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let pieces = VecDeque::from([Piece { bytes, wait: Duration::ZERO, tokens: 0 }]);
        Self { pieces, end: End::Complete, length, sleep: None, tab: None }
    }

    /// A whole answer. Cutting or stalling it leaves the second half out, against the promised length.
    pub(crate) fn whole(bytes: Bytes, behaviour: &Behaviour, tab: Option<Tab>) -> Self {
        let mut body = Self::plain(bytes);
        body.tab = tab;
        body.encode(behaviour);
        body.end = end_of(behaviour);
        if let Some(piece) = body.pieces.front_mut() {
            piece.wait = Duration::from_millis(behaviour.first_byte_ms.unwrap_or(0));
            if body.end != End::Complete {
                piece.bytes.truncate(piece.bytes.len() / 2);
            }
        }
        body.rechunk(behaviour);
        body
    }

    /// A streamed answer; `odd` are events of the dialect that do not belong in one.
    pub(crate) fn stream(mut events: Vec<Event>, behaviour: &Behaviour, odd: OddEvents, tab: Tab) -> Self {
        if Behaviour::is_on(behaviour.malformed) {
            events.insert(events.len() / 2, Event { bytes: odd.broken, tokens: 0 });
        }
        if Behaviour::is_on(behaviour.unknown_events) {
            let unknown = || Event { bytes: odd.unknown.clone(), tokens: 0 };
            events.insert(events.len().saturating_sub(1), unknown());
            events.insert(events.len().min(1), unknown());
        }
        misplace(&mut events, behaviour);
        if let Some(count) = behaviour.error_after {
            events.truncate(whole_number(count));
            events.push(Event { bytes: odd.error, tokens: 0 });
        }
        let end = end_of(behaviour);
        if let Some(count) = behaviour.cut_after.or(behaviour.stall_after) {
            events.truncate(whole_number(count));
        }
        let per_token =
            behaviour.tokens_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.get());
        let mut pieces: VecDeque<Piece> = events
            .into_iter()
            .map(|event| Piece {
                wait: times(per_token, event.tokens),
                bytes: event.bytes,
                tokens: event.tokens,
            })
            .collect();
        if let Some(first) = pieces.front_mut() {
            first.wait += Duration::from_millis(behaviour.first_byte_ms.unwrap_or(0));
        }
        let mut body = Self { pieces, end, length: None, sleep: None, tab: Some(tab) };
        body.encode(behaviour);
        body.rechunk(behaviour);
        body
    }

    /// Wraps every piece so that each can be read as soon as it arrives. One that is cut or stalls lacks its end.
    fn encode(&mut self, behaviour: &Behaviour) {
        let Some(encoding) = behaviour.encoding else { return };
        let mut encoder = Encoder::new(encoding);
        for (position, piece) in self.pieces.iter_mut().enumerate() {
            piece.bytes = encoder.piece(&piece.bytes, position == 0);
        }
        if let (End::Complete, Some(last)) = (self.end, self.pieces.back_mut()) {
            last.bytes = Bytes::from([last.bytes.as_ref(), &encoder.end()].concat());
        }
        let length = self.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        self.length = self.length.map(|_| u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// Cuts all bytes into equal pieces; each waits for, and counts, the events that begin in it.
    fn rechunk(&mut self, behaviour: &Behaviour) {
        let Some(size) = behaviour.chunk_bytes.map(|size| whole_number(size.get())) else { return };
        let mut starts = Vec::with_capacity(self.pieces.len());
        let mut bytes = BytesMut::new();
        for piece in self.pieces.drain(..) {
            starts.push((bytes.len(), piece.wait, piece.tokens));
            bytes.extend_from_slice(&piece.bytes);
        }
        let mut starts = starts.into_iter().peekable();
        let mut rest = bytes.freeze();
        let mut end = 0;
        while !rest.is_empty() {
            let chunk = rest.split_to(size.min(rest.len()));
            end += chunk.len();
            let mut piece = Piece { bytes: chunk, wait: Duration::ZERO, tokens: 0 };
            while let Some((_, wait, tokens)) = starts.next_if(|(start, ..)| *start < end) {
                piece.wait += wait;
                piece.tokens += tokens;
            }
            self.pieces.push_back(piece);
        }
    }

    fn at_end(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.end {
            End::Complete => Poll::Ready(None),
            // Nobody wakes this again: the connection stays open and silent until one side gives up.
            End::Stall => Poll::Pending,
            End::CutSoon => {
                self.end = End::Cut;
                self.sleep = Some(Box::pin(sleep(FLUSH_PAUSE)));
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut => {
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut as scripted"))))
            }
        }
    }
}

/// Events outside the grammar, made by the dialect.
#[derive(Debug)]
pub(crate) struct OddEvents {
    /// It does not parse.
    pub(crate) broken: Bytes,
    /// It reports an error.
    pub(crate) error: Bytes,
    /// Its type is one that nobody knows.
    pub(crate) unknown: Bytes,
}

/// Order, completeness and checksums, as scripted.
fn misplace(events: &mut Vec<Event>, behaviour: &Behaviour) {
    let middle = events.len() / 2;
    if Behaviour::is_on(behaviour.reorder) {
        let first = events.len().min(4);
        if let Some(first) = events.get_mut(..first) {
            first.reverse();
        }
    }
    if Behaviour::is_on(behaviour.truncate_record) {
        events.truncate(middle + 1);
        if let Some(last) = events.last_mut() {
            last.bytes.truncate(last.bytes.len() / 2);
        }
    }
    if let (true, Some(event)) = (Behaviour::is_on(behaviour.bad_checksum), events.get_mut(middle)) {
        let mut bytes = BytesMut::from(event.bytes.as_ref());
        if let Some(last) = bytes.last_mut() {
            *last ^= 0xff;
        }
        event.bytes = bytes.freeze();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(front) = self.pieces.front_mut().filter(|front| !front.wait.is_zero()) {
            let wait = std::mem::take(&mut front.wait);
            self.sleep = Some(Box::pin(sleep(wait)));
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        let Some(piece) = self.pieces.pop_front() else { return self.at_end(context) };
        let is_last = self.pieces.is_empty();
        if let Some(tab) = &mut self.tab {
            tab.add_output(piece.tokens);
            if is_last {
                tab.settle();
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece.bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Complete
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

fn end_of(behaviour: &Behaviour) -> End {
    match (behaviour.cut_after, behaviour.stall_after) {
        (Some(_), _) => End::CutSoon,
        (None, Some(_)) => End::Stall,
        (None, None) => End::Complete,
    }
}

fn times(per_token: Duration, tokens: u64) -> Duration {
    per_token.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
}

fn whole_number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
