//! Which endpoint a request is for: one table, put together from what each dialect serves. It must not know what an endpoint does.

use http::request::Parts;

use crate::answer::{Arrived, Parsed};
use crate::{anthropic, bedrock, cohere, gemini, openai, responses};

/// Whose shapes are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
}

/// Reads a request, refusing what the real provider refuses.
pub(crate) type Reader = fn(&Arrived<'_>) -> Parsed;

/// One endpoint. `{…}` in its path stands for any segment; `{…}:verb` for one that ends in the verb.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    method: &'static str,
    /// Also its name in the ledger.
    pub(crate) path: &'static str,
    pub(crate) surface: Surface,
    /// Several dialects have this path: it is for callers whose headers say that they speak this one.
    is_shared: bool,
    pub(crate) read: Reader,
}

impl Route {
    pub(crate) const fn post(path: &'static str, surface: Surface, read: Reader) -> Self {
        Self { method: "POST", path, surface, is_shared: false, read }
    }

    pub(crate) const fn get(path: &'static str, surface: Surface, read: Reader) -> Self {
        Self { method: "GET", path, surface, is_shared: false, read }
    }

    pub(crate) const fn delete(path: &'static str, surface: Surface, read: Reader) -> Self {
        Self { method: "DELETE", path, surface, is_shared: false, read }
    }

    pub(crate) const fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }
}

/// A request's endpoint.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) route: Route,
    /// What stands for the last `{…}` in the path: a model, or the id of something.
    pub(crate) name: String,
}

const TABLES: [&[Route]; 6] =
    [openai::ROUTES, responses::ROUTES, anthropic::ROUTES, gemini::ROUTES, bedrock::ROUTES, cohere::ROUTES];

/// The endpoint, or the surface in whose shape to say that there is none.
pub(crate) fn find(parts: &Parts) -> Result<Found, Surface> {
    let caller = speaks(parts);
    let path = canonical(parts.uri.path());
    let found = TABLES.iter().flat_map(|table| table.iter()).find_map(|route| {
        if parts.method != route.method || (route.is_shared && route.surface != caller) {
            return None;
        }
        Some(Found { route: *route, name: name_in(route.path, &path)? })
    });
    found.ok_or(caller)
}

/// Whose shapes a caller expects, by its headers and the beginning of the path.
fn speaks(parts: &Parts) -> Surface {
    let path = parts.uri.path();
    if parts.headers.contains_key("anthropic-version") {
        Surface::Anthropic
    } else if parts.headers.contains_key("x-goog-api-key")
        || path.starts_with("/v1beta")
        || path.contains("/projects/")
    {
        Surface::Gemini
    } else if path.starts_with("/model/") {
        Surface::Bedrock
    } else if path.starts_with("/v2/") || path.ends_with("/rerank") {
        Surface::Cohere
    } else {
        Surface::OpenAi
    }
}

/// The path as the table writes it. Some callers leave `/v1` out; Google serves the same under several versions, Azure under `/openai/v1`.
fn canonical(path: &str) -> String {
    let path = path.strip_prefix("/openai").filter(|rest| rest.starts_with("/v1/")).unwrap_or(path);
    if let Some(rest) = path.strip_prefix("/openai/responses") {
        return format!("/v1/responses{rest}");
    }
    if let Some(rest) = path.strip_prefix("/v1beta1/projects/") {
        return format!("/v1/projects/{rest}");
    }
    match path.strip_prefix("/v1/models/") {
        Some(rest) if rest.contains(':') => return format!("/v1beta/models/{rest}"),
        _ => {}
    }
    let has_prefix = ["/v1", "/v2", "/model/", "/openai/"].iter().any(|prefix| path.starts_with(prefix));
    if has_prefix { path.to_owned() } else { format!("/v1{path}") }
}

/// What stands for the last `{…}` of the pattern, if the path is one of it.
fn name_in(pattern: &str, path: &str) -> Option<String> {
    let mut name = String::new();
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(name),
            (Some(wanted), Some(given)) => match wanted.strip_prefix('{') {
                None if wanted == given => {}
                None => return None,
                Some(rest) => {
                    let (_, verb) = rest.split_once('}')?;
                    let value = given.strip_suffix(verb).filter(|value| !value.is_empty())?;
                    name = percent_decoded(value);
                }
            },
            _ => return None,
        }
    }
}

/// Text with its `%XX` read.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_stands_for_the_last_placeholder() {
        let check = |pattern: &str, path: &str, expected: Option<&str>| {
            assert_eq!(name_in(pattern, path).as_deref(), expected, "{pattern} {path}");
        };
        check("/v1/chat", "/v1/chat", Some(""));
        check("/v1/chat", "/v1/chats", None);
        check("/v1/files/{id}/content", "/v1/files/file-1/content", Some("file-1"));
        check("/v1/files/{id}/content", "/v1/files/file-1", None);
        check(
            "/v1beta/models/{model}:generateContent",
            "/v1beta/models/a%40b%3D1:generateContent",
            Some("a@b=1"),
        );
        check("/v1beta/models/{model}:generateContent", "/v1beta/models/a:countTokens", None);
        check("/model/{id}/converse", "/model/us.nova-v1%3A0/converse", Some("us.nova-v1:0"));
    }

    #[test]
    fn versions_that_mean_the_same_are_one_endpoint() {
        for (path, expected) in [
            ("/chat/completions", "/v1/chat/completions"),
            ("/openai/v1/responses", "/v1/responses"),
            ("/v1/models/gemini:generateContent", "/v1beta/models/gemini:generateContent"),
            ("/v1beta1/projects/p/x", "/v1/projects/p/x"),
            ("/model/m/converse", "/model/m/converse"),
        ] {
            assert_eq!(canonical(path), expected);
        }
    }
}
