//! Calls to a provider's own API: what a path means that no dialect translates. Either it names the provider
//! (`/providers/NAME/…`), or it is about something that a provider holds: files, batches, responses and the like.
//!
//! It must not know which providers there are or who may use them.

use std::borrow::Cow;

use dialect::Dialect;
use http::{HeaderMap, Method};

use crate::frontend::Misdirected;
use crate::frontend::surface::{decoded, spoken, unescaped, without_version};

/// The header by which a caller chooses a provider where the path does not.
pub const CHOICE: &str = "x-frontdoor-provider";
/// How often a path is unwrapped in search of a way out: servers differ in how often they do it.
const UNWRAPPED: usize = 3;

/// Where providers keep what they hold.
const PLACES: [&str; 6] = ["files", "uploads", "batches", "responses", "conversations", "cachedContents"];

/// A call to a provider's own API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// How its caller speaks, as far as the path and the headers tell.
    pub dialect: Dialect,
    /// The provider, where the path or a header names it.
    pub provider: Option<String>,
    /// What it is about, where the path does not name a provider.
    pub held: Option<Held>,
    /// What is done.
    pub method: Method,
    /// Where at the provider: below its base URL, and without a version if it is about something held.
    pub path: String,
    /// The query, without a key of ours.
    pub query: Option<String>,
}

/// Something that a provider holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What kind of thing.
    pub kind: HeldKind,
    /// Which one; none when it is about all of them, or makes a new one.
    pub id: Option<String>,
}

/// The kinds of things that providers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// Files, and uploads of files.
    Files,
    /// Batches of calls.
    Batches,
    /// Responses.
    Responses,
    /// Conversations.
    Conversations,
    /// Content kept for prompts.
    Caches,
}

impl Held {
    /// The word for it in records.
    pub fn operation(&self) -> &'static str {
        match self.kind {
            HeldKind::Files => "files",
            HeldKind::Batches => "batches",
            HeldKind::Responses => "responses",
            HeldKind::Conversations => "conversations",
            HeldKind::Caches => "caches",
        }
    }
}

impl Passage {
    /// What passage a path is; `None` when it is none.
    pub(super) fn find(
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, Misdirected> {
        let Some(mut passage) = named(path).or_else(|| held(method, path, headers)) else { return Ok(None) };
        if leads_out(path) || (passage.held.is_some() && is_ambiguous(path)) {
            return Err(Misdirected::Traversal(passage.dialect));
        }
        if matches!(*method, Method::TRACE | Method::CONNECT) {
            // Who answers the first shows what was sent, our credential with it; the second is for tunnels.
            return Err(Misdirected::Method(passage.dialect, "GET, POST, PUT, PATCH and DELETE"));
        }
        if passage.provider.is_none() {
            let choice = headers.get(CHOICE).and_then(|value| value.to_str().ok());
            passage.provider = choice.map(|name| name.trim().to_owned());
        } else {
            passage.dialect = spoken(&passage.path, headers);
        }
        passage.method = method.clone();
        passage.query = query.map(without_key).filter(|query| !query.is_empty());
        Ok(Some(passage))
    }

    /// The model, where the path tells it.
    pub fn model(&self) -> Option<String> {
        let (_, rest) =
            ["/models/", "/model/", "/deployments/"].iter().find_map(|place| self.path.rsplit_once(place))?;
        let end = rest.find(['/', ':']).unwrap_or(rest.len());
        let name = rest.get(..end).map(|name| decoded(name).into_owned());
        name.filter(|name| !name.is_empty())
    }
}

impl Passage {
    /// The ids of what the path is about, as far as it is something that providers hold, and however it is written.
    pub fn ids(&self) -> Vec<String> {
        if let Some(held) = &self.held {
            return held.id.iter().cloned().collect();
        }
        let plain = unescaped(self.path.as_bytes());
        let plain = String::from_utf8_lossy(&plain);
        let segments: Vec<&str> =
            plain.split(['/', '\\', ';', ':', '?']).filter(|segment| !segment.is_empty()).collect();
        let pairs = segments.windows(2).filter_map(|pair| match pair {
            [place, id] if PLACES.contains(place) => Some([(*id).to_owned(), format!("{place}/{id}")]),
            _ => None,
        });
        pairs.flatten().collect()
    }
}

fn passage(dialect: Dialect, path: String, held: Option<Held>) -> Passage {
    Passage { dialect, provider: None, held, method: Method::GET, path, query: None }
}

/// `/providers/NAME/REST`.
fn named(path: &str) -> Option<Passage> {
    let rest = path.strip_prefix("/providers/")?;
    let at = rest.find('/')?;
    let (name, rest) = rest.split_at_checked(at)?;
    let name = decoded(name).into_owned();
    let is_there = !name.is_empty() && rest.len() > 1;
    is_there.then(|| Passage { provider: Some(name), ..passage(Dialect::OpenAi, rest.to_owned(), None) })
}

/// Paths about what a provider holds.
fn held(method: &Method, path: &str, headers: &HeaderMap) -> Option<Passage> {
    if let Some(upload) = ["/upload", "/download"].iter().find_map(|prefix| {
        let rest = without_version(path.strip_prefix(prefix)?);
        rest.starts_with("/files").then_some((*prefix, rest))
    }) {
        let (prefix, rest) = upload;
        let held = about(Dialect::Gemini, rest)?;
        return Some(passage(Dialect::Gemini, format!("{prefix}/v1beta{rest}"), Some(held)));
    }
    let rest = without_version(path);
    let dialect = match rest.strip_prefix("/messages/batches") {
        Some(more) if is_end(more) => Dialect::Anthropic,
        _ => spoken(path, headers),
    };
    let held = about(dialect, rest).or_else(|| batch_of_gemini(method, rest))?;
    let dialect =
        if rest.contains(':') && held.kind == HeldKind::Batches { Dialect::Gemini } else { dialect };
    let path = if dialect == Dialect::Gemini { format!("/v1beta{rest}") } else { rest.to_owned() };
    Some(passage(dialect, path, Some(held)))
}

/// What a path without its version is about.
fn about(dialect: Dialect, rest: &str) -> Option<Held> {
    let kinds: &[(&str, HeldKind)] = match dialect {
        Dialect::OpenAi | Dialect::Responses => &[
            ("/files", HeldKind::Files),
            ("/uploads", HeldKind::Files),
            ("/batches", HeldKind::Batches),
            ("/responses/", HeldKind::Responses),
            ("/conversations", HeldKind::Conversations),
        ],
        Dialect::Anthropic => &[("/messages/batches", HeldKind::Batches), ("/files", HeldKind::Files)],
        Dialect::Gemini => &[
            ("/files", HeldKind::Files),
            ("/batches", HeldKind::Batches),
            ("/cachedContents", HeldKind::Caches),
        ],
        Dialect::Bedrock | Dialect::Cohere => &[],
    };
    let (place, kind, more) =
        kinds.iter().find_map(|(place, kind)| Some((*place, *kind, rest.strip_prefix(place)?)))?;
    let is_id_needed = place.ends_with('/');
    if !is_id_needed && !is_end(more) {
        return None;
    }
    let more = more.strip_prefix('/').unwrap_or(more);
    let id = more.split(['/', ':']).next().map(|id| decoded(id).into_owned()).filter(|id| !id.is_empty());
    // Calls to models stand below the same path.
    if kind == HeldKind::Responses && matches!(id.as_deref(), None | Some("input_tokens" | "compact")) {
        return None;
    }
    let name = |id: String| {
        if dialect == Dialect::Gemini { format!("{}/{id}", place.trim_matches('/')) } else { id }
    };
    Some(Held { kind, id: id.map(name) })
}

/// Gemini begins batches at the model.
fn batch_of_gemini(method: &Method, rest: &str) -> Option<Held> {
    let (_, verb) = rest.strip_prefix("/models/")?.rsplit_once(':')?;
    let is_batch = matches!(verb, "batchGenerateContent" | "asyncBatchEmbedContent");
    (is_batch && *method == Method::POST).then_some(Held { kind: HeldKind::Batches, id: None })
}

fn is_end(more: &str) -> bool {
    more.is_empty() || more.starts_with(['/', ':'])
}

/// Whether some server could take a path for one outside of what it names. Judged byte by byte: what is no text is unwrapped by
/// servers all the same.
fn leads_out(path: &str) -> bool {
    let mut bytes = Cow::Borrowed(path.as_bytes());
    for _ in 0..=UNWRAPPED {
        let is_step =
            |segment: &[u8]| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."));
        if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(is_step) || bytes.contains(&0) {
            return true;
        }
        let unwrapped = unescaped(&bytes);
        if *unwrapped == *bytes {
            return false;
        }
        bytes = Cow::Owned(unwrapped.into_owned());
    }
    // Still wrapped: nobody writes paths like that.
    true
}

/// Whether a path about something held could be read by its provider as one about something else: whose it is is decided by the id
/// that is read here.
fn is_ambiguous(path: &str) -> bool {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=+@,!$&()*".contains(&byte);
    let mut escapes = path.split('%').skip(1);
    path.contains("//")
        || path.contains([';', '\\'])
        || !escapes.all(|rest| {
            let escape = rest.get(..2).map(|digits| format!("%{digits}")).unwrap_or_default();
            matches!(*unescaped(escape.as_bytes()), [byte] if is_harmless(byte))
        })
}

/// A query without the key that Google's callers write there: ours must not go on.
fn without_key(query: &str) -> String {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("key=")).collect();
    pairs.join("&")
}

/// The key in the query of a caller who speaks as Google's do.
pub fn key_in(query: Option<&str>) -> Option<String> {
    let key = query?.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(decoded(key).into_owned())
}

#[cfg(test)]
mod tests;
