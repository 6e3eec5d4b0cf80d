//! The admin API as the bench needs it: one request on a connection of its own, JSON both ways.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Any token of the right form; the control plane is gone with the measurement.
pub(crate) const ADMIN_TOKEN: &str = "fda_benchbenchbenchbenchbenchbenchbenchbenchben";

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a control plane is administered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin {
    pub(crate) addr: SocketAddr,
}

impl Admin {
    /// Sends a document, which has to be taken.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        read_json(&request(self.addr, "POST", path, &body.to_string())?)
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        read_json(&request(self.addr, "GET", path, "")?)
    }

    /// Makes a key for a consumer.
    pub(crate) fn make_key(&self, consumer: &str) -> anyhow::Result<String> {
        let made = self.post("/v1/keys", &json!({"consumer": consumer})).context("no key was made")?;
        Ok(made.get("key").and_then(Value::as_str).context("the answer holds no key")?.to_owned())
    }
}

/// The text of a page, for what is no JSON.
pub(crate) fn page(addr: SocketAddr, path: &str) -> anyhow::Result<String> {
    request(addr, "GET", path, "")
}

fn read_json(content: &str) -> anyhow::Result<Value> {
    serde_json::from_str(content).with_context(|| format!("not JSON: {content}"))
}

/// The content of a successful answer.
fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {addr}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, content) = answer.split_once("\r\n\r\n").context("no complete answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{method} {path}: status {status}: {content}");
    }
    Ok(content.to_owned())
}
