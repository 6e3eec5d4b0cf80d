//! Paths and methods. Every path also exists without its `/v1`, for SDKs whose base URL lacks it.
//! It must not know bodies or what becomes of a call.

use std::borrow::Cow;

use dialect::{Dialect, Operation};
use http::{HeaderMap, Method};

/// What a path is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surface {
    /// A call to a model.
    Call(Dialect, Operation),
    /// The models that the key may use, in the shape of this dialect.
    Models(Dialect),
    /// One of them.
    Model(Dialect, String),
}

/// A request that is for nothing we serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misdirected {
    /// No such path.
    Path(Dialect),
    /// The path exists for this method only.
    Method(Dialect, &'static str),
}

impl Surface {
    /// What `path` is for.
    pub fn find(method: &Method, path: &str, headers: &HeaderMap) -> Result<Self, Misdirected> {
        let rest = match path.strip_prefix("/v1") {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        let surface = match rest {
            "/chat/completions" => Self::Call(Dialect::OpenAi, Operation::Chat),
            "/embeddings" => Self::Call(Dialect::OpenAi, Operation::Embeddings),
            "/messages" => Self::Call(Dialect::Anthropic, Operation::Chat),
            "/models" => Self::Models(spoken(headers)),
            _ => match rest.strip_prefix("/models/").filter(|name| !name.is_empty()) {
                Some(name) => Self::Model(spoken(headers), decoded(name).into_owned()),
                None => return Err(Misdirected::Path(spoken(headers))),
            },
        };
        if *method == surface.method() { Ok(surface) } else { Err(surface.misdirected()) }
    }

    /// How its callers speak.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Call(dialect, _) | Self::Models(dialect) | Self::Model(dialect, _) => *dialect,
        }
    }

    /// The word for it in records.
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Call(Dialect::OpenAi, Operation::Chat) => "chat",
            Self::Call(Dialect::Responses, Operation::Chat) => "responses",
            Self::Call(Dialect::Anthropic, Operation::Chat) => "messages",
            Self::Call(Dialect::Gemini, Operation::Chat) => "generate_content",
            Self::Call(_, Operation::Chat) => "chat",
            Self::Call(_, Operation::CountTokens) => "count_tokens",
            Self::Call(_, Operation::Embeddings) => "embeddings",
            Self::Call(_, Operation::Rerank) => "rerank",
            Self::Call(_, Operation::ImageGeneration) => "image_generation",
            Self::Call(_, Operation::ImageEdit) => "image_edit",
            Self::Call(_, Operation::Transcription) => "transcription",
            Self::Call(_, Operation::AudioTranslation) => "audio_translation",
            Self::Call(_, Operation::Speech) => "speech",
            Self::Call(_, Operation::Moderation) => "moderation",
            Self::Call(_, Operation::Native) => "native",
            Self::Models(_) | Self::Model(..) => "models",
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Call(..) => Method::POST,
            Self::Models(_) | Self::Model(..) => Method::GET,
        }
    }

    fn misdirected(&self) -> Misdirected {
        let allowed = if self.method() == Method::POST { "POST" } else { "GET" };
        Misdirected::Method(self.dialect(), allowed)
    }
}

/// The dialect of a caller on a path that both dialects have: only Anthropic's SDKs name their version.
fn spoken(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") { Dialect::Anthropic } else { Dialect::OpenAi }
}

/// A path segment without its percent signs. What is no text afterwards is no model's name either, so it stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let value =
            escaped.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (value, escaped) {
            (Some(value), Some((_, after))) => {
                bytes.push(value);
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn find(method: &Method, path: &str) -> Result<Surface, Misdirected> {
        Surface::find(method, path, &HeaderMap::new())
    }

    #[test]
    fn every_path_is_found_with_and_without_its_version() {
        for prefix in ["", "/v1"] {
            let post = |path: &str| find(&Method::POST, &format!("{prefix}{path}")).unwrap();
            assert_eq!(post("/chat/completions"), Surface::Call(Dialect::OpenAi, Operation::Chat));
            assert_eq!(post("/embeddings"), Surface::Call(Dialect::OpenAi, Operation::Embeddings));
            assert_eq!(post("/messages"), Surface::Call(Dialect::Anthropic, Operation::Chat));
            let get = |path: &str| find(&Method::GET, &format!("{prefix}{path}")).unwrap();
            assert_eq!(get("/models"), Surface::Models(Dialect::OpenAi));
            let named = |name: &str| Surface::Model(Dialect::OpenAi, name.to_owned());
            assert_eq!(get("/models/openai/gpt-x"), named("openai/gpt-x"));
            assert_eq!(get("/models/openai%2Fgpt-x"), named("openai/gpt-x"));
            assert_eq!(get("/models/100%"), named("100%"));
            assert_eq!(get("/models/%ff"), named("%ff"));
        }
    }

    #[test]
    fn a_caller_that_names_anthropics_version_is_answered_in_its_shape() {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        assert_eq!(
            Surface::find(&Method::GET, "/v1/models", &headers),
            Ok(Surface::Models(Dialect::Anthropic))
        );
        assert_eq!(
            Surface::find(&Method::GET, "/nowhere", &headers),
            Err(Misdirected::Path(Dialect::Anthropic))
        );
    }

    #[test]
    fn what_is_not_served_is_told_apart_from_what_is_served_otherwise() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/messages/count_tokens",
            "/v1/models/",
            "/v1chat/completions",
            "/v2/models",
        ] {
            assert_eq!(find(&Method::POST, path), Err(Misdirected::Path(Dialect::OpenAi)), "{path}");
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
            let expected = Err(Misdirected::Method(Dialect::OpenAi, "POST"));
            assert_eq!(find(&method, "/v1/chat/completions"), expected, "{method}");
        }
        assert_eq!(find(&Method::POST, "/v1/models"), Err(Misdirected::Method(Dialect::OpenAi, "GET")));
    }
}
