//! A provider that does as it is told, byte by byte, on a real socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifecycle::{TaskKind, Tasks};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What is done with one request.
#[derive(Clone)]
pub(super) enum Act {
    /// Status, further header lines, body.
    Reply(u16, &'static str, String),
    /// The same with a body that is no text.
    Bytes(u16, &'static str, Vec<u8>),
    /// Server-sent events, each written by itself, then the end.
    Events(Vec<String>),
    /// The same, then the connection breaks.
    EventsThenCut(Vec<String>),
    /// The same, then silence.
    EventsThenStall(Vec<String>),
    /// The head announces a length that never comes.
    HeadOnly(&'static str),
    /// Nothing at all.
    Stall,
    /// The connection is closed without a byte.
    Close,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
}

#[derive(Clone)]
pub(super) struct FakeProvider {
    pub(super) port: u16,
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    left: Arc<Notify>,
}

impl FakeProvider {
    /// Does the acts in order; the last one again and again.
    pub(super) async fn start(tasks: &Tasks, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            port: listener.local_addr().unwrap().port(),
            acts: Arc::new(Mutex::new(acts.into())),
            seen: Arc::default(),
            connections: Arc::default(),
            arrived: Arc::default(),
            left: Arc::default(),
        };
        let (this, children) = (provider.clone(), tasks.clone());
        tasks.spawn("fake provider", TaskKind::Disposable, async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::Relaxed);
                children.spawn("fake connection", TaskKind::Disposable, this.clone().serve(stream));
            }
        });
        provider
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns once a request has come in.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Returns once the other side has closed a connection on which it was owed something.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(seen) = read_request(&mut stream).await {
            self.seen.lock().push(seen);
            self.arrived.notify_one();
            let act = {
                let mut acts = self.acts.lock();
                if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
            };
            if !self.act(act, &mut stream).await {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    async fn act(&self, act: Act, stream: &mut TcpStream) -> bool {
        match act {
            Act::Reply(status, headers, body) => {
                let length = body.len();
                let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                stream.write_all(text.as_bytes()).await.is_ok()
            }
            Act::Bytes(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
                stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok()
            }
            Act::Events(events) => {
                write_events(stream, &events).await;
                stream.write_all(b"0\r\n\r\n").await.is_ok()
            }
            Act::EventsThenCut(events) => {
                write_events(stream, &events).await;
                false
            }
            Act::EventsThenStall(events) => {
                write_events(stream, &events).await;
                self.wait_for_end(stream).await
            }
            Act::HeadOnly(head) => {
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).await;
                self.wait_for_end(stream).await
            }
            Act::Stall => self.wait_for_end(stream).await,
            Act::Close => false,
        }
    }

    async fn wait_for_end(&self, stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        let _ = stream.read(&mut byte).await;
        self.left.notify_one();
        false
    }
}

async fn write_events(stream: &mut TcpStream, events: &[String]) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    for event in events {
        let _ = stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await;
        let _ = stream.flush().await;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen { head, body: String::from_utf8_lossy(&bytes[head_end..]).into_owned() })
}
