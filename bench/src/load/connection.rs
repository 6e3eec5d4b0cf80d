//! One HTTP/1.1 connection for the load generator: knows just enough to find the end of an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use lifecycle::Clock;
use tokio::time::Instant;

/// An answer that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is used again for every call.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) first_byte: Instant,
    /// Whether it ended with `[DONE]`, as OpenAI's streams do.
    pub(crate) is_done: bool,
}

/// When a caller hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// When the first bytes of the answer are there.
    AtFirstByte,
    /// This long after the request was sent, whatever came until then.
    After(Duration),
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a request and reads the whole answer, which has to be a 200 and, when streamed, to end with `[DONE]`.
    pub(crate) fn call(
        &mut self,
        request: &[u8],
        is_streamed: bool,
        clock: &Clock,
    ) -> anyhow::Result<Answered> {
        let answered = self.ask(request, clock)?;
        if answered.status != 200 {
            bail!("status {}", answered.status);
        }
        if is_streamed && !answered.is_done {
            bail!("the stream did not end with [DONE]");
        }
        Ok(answered)
    }

    /// Sends a request and reads the whole answer, whatever it is.
    pub(crate) fn ask(&mut self, request: &[u8], clock: &Clock) -> anyhow::Result<Answered> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let (head_end, status, framing) = loop {
            self.read_more()?;
            if let Some(head_end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.get(..head_end).unwrap_or_default();
                let (status, framing) = read_head(&String::from_utf8_lossy(head))?;
                break (head_end + 4, status, framing);
            }
        };
        let mut first_byte = (self.buffer.len() > head_end).then(|| clock.now());
        while !framing.is_complete(self.buffer.get(head_end..).unwrap_or_default()) {
            self.read_more()?;
            first_byte.get_or_insert_with(|| clock.now());
        }
        let body = self.buffer.get(head_end..).unwrap_or_default();
        let tail = body.get(body.len().saturating_sub(40)..).unwrap_or_default();
        let is_done = find(tail, b"[DONE]").is_some();
        Ok(Answered { status, first_byte: first_byte.unwrap_or_else(|| clock.now()), is_done })
    }

    /// Sends a request and hangs up.
    pub(crate) fn abandon(mut self, request: &[u8], leave: Leave) -> anyhow::Result<()> {
        self.stream.write_all(request)?;
        match leave {
            Leave::AtFirstByte => self.read_more()?,
            Leave::After(pause) => std::thread::sleep(pause),
        }
        Ok(())
    }

    fn read_more(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The status of an answer, and how its end is found.
fn read_head(head: &str) -> anyhow::Result<(u16, Framing)> {
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let framing = match length {
        Some(length) => Framing::Length(length.trim().parse()?),
        None if head.contains("transfer-encoding: chunked") => Framing::Chunked,
        None => bail!("neither content-length nor chunks"),
    };
    Ok((status, framing))
}

impl Framing {
    /// No answer here contains the last chunk's bytes as content: JSON strings have no bare line feeds.
    fn is_complete(self, body: &[u8]) -> bool {
        match self {
            Self::Length(length) => body.len() >= length,
            Self::Chunked => body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n",
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_found_by_length_or_by_the_last_chunk() {
        let length = read_head("HTTP/1.1 200 OK\r\nContent-Length: 3").unwrap().1;
        assert!(!length.is_complete(b"ab") && length.is_complete(b"abc"));
        let chunked = read_head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").unwrap().1;
        assert!(!chunked.is_complete(b"3\r\nabc\r\n") && chunked.is_complete(b"3\r\nabc\r\n0\r\n\r\n"));
    }

    #[test]
    fn the_status_of_an_answer_is_read_whatever_it_is() {
        let refused = read_head("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0").unwrap();
        assert_eq!(refused, (503, Framing::Length(0)));
        assert!(read_head("HTTP/1.1 200 OK\r\nserver: x").is_err());
    }
}
