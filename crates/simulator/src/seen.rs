//! The last requests as they arrived, for tests that ask what really reached the provider. Keys are never kept in the answer:
//! only which header carried one, and its last four characters.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Headers that carry a key.
const KEY_HEADERS: [&str; 5] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token"];

/// Bodies over this size are kept as a note of their size.
const KEPT_BODY_BYTES: usize = 4 * 1024 * 1024;

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenRequest {
    /// `POST` …
    pub method: String,
    /// With its query.
    pub path: String,
    /// Every header but those that carry a key; several values of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The headers that carried a key.
    pub auth: Vec<SeenKey>,
    /// The body as JSON; text when it is not JSON; null when there was none.
    pub body: Value,
}

/// A key that a request came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenKey {
    /// The header.
    pub header: String,
    /// `Bearer`, where the header has a scheme.
    pub scheme: Option<String>,
    /// The last four characters.
    pub last4: String,
}

#[derive(Debug)]
struct Kept {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// A ring of the last requests. Everything that costs is done when someone asks.
#[derive(Debug)]
pub(crate) struct Seen {
    capacity: usize,
    ring: Mutex<VecDeque<Kept>>,
}

impl Seen {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, ring: Mutex::default() }
    }

    pub(crate) fn keep(&self, parts: http::request::Parts, body: Bytes) {
        if self.capacity == 0 {
            return;
        }
        let kept = Kept { method: parts.method, uri: parts.uri, headers: parts.headers, body };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= self.capacity {
            ring.pop_front();
        }
        ring.push_back(kept);
    }

    /// The last requests, oldest first.
    pub(crate) fn list(&self) -> Vec<SeenRequest> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Kept::show).collect()
    }

    pub(crate) fn reset(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Kept {
    fn show(&self) -> SeenRequest {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        let mut auth = Vec::new();
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            if KEY_HEADERS.contains(&name.as_str()) {
                auth.push(SeenKey::of(name.as_str(), &value));
                continue;
            }
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.into_owned());
        }
        let (path, query_key) = self.show_path();
        auth.extend(query_key);
        SeenRequest { method: self.method.to_string(), path, headers, auth, body: self.show_body() }
    }

    /// The path with its query, but for the key that Google takes there.
    fn show_path(&self) -> (String, Option<SeenKey>) {
        let path = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        match query_key(&self.uri) {
            Some(key) => {
                let shown = SeenKey::of("?key", key);
                (path.replace(&format!("key={key}"), "key=***"), Some(shown))
            }
            None => (path, None),
        }
    }

    fn show_body(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        if self.body.len() > KEPT_BODY_BYTES {
            return Value::String(format!("a body of {} bytes, too large to show", self.body.len()));
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
    }
}

impl SeenKey {
    fn of(header: &str, value: &str) -> Self {
        let (scheme, key) = match value.split_once(' ') {
            Some((scheme, key)) => (Some(scheme.to_owned()), key),
            None => (None, value),
        };
        let skipped = key.chars().count().saturating_sub(4);
        Self { header: header.to_owned(), scheme, last4: key.chars().skip(skipped).collect() }
    }
}

/// The key of a request, wherever it is.
pub(crate) fn api_key<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .or_else(|| header("x-api-key"))
        .or_else(|| header("api-key"))
        .or_else(|| header("x-goog-api-key"))
        .or_else(|| query_key(uri))
}

fn query_key(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="))
}
