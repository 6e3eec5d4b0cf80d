//! Paths and methods. Every path exists with its version and without, for SDKs whose base URL lacks it.
//! It must not know bodies or what becomes of a call.

mod text;

use dialect::{Asked, Dialect, Operation};
use http::{HeaderMap, Method};

use crate::frontend::passage::{self, Held, Passage};

pub(super) use text::{decoded, unescaped};

/// What a path is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surface {
    /// A call to a model.
    Call(Asked),
    /// The models that the key may use, in the shape of this dialect.
    Models(Dialect),
    /// One of them.
    Model(Dialect, String),
    /// A call to a provider's own API.
    Passage(Passage),
}

/// A request that is for nothing we serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misdirected {
    /// No such path.
    Path(Dialect),
    /// The path exists for this method only.
    Method(Dialect, &'static str),
    /// The path leads out of what it names.
    Traversal(Dialect),
    /// Gemini's stream without events, which nobody asks for.
    NoEvents,
}

impl Surface {
    /// What `path` is for.
    pub fn find(
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, Misdirected> {
        // Most calls are known by their whole path, so that is looked at first.
        let surface = match in_words(path, headers) {
            Some(surface) => surface,
            None => {
                if let Some(passage) = Passage::find(method, path, query, headers)? {
                    return Ok(Self::Passage(passage));
                }
                model_in_path(path, query).unwrap_or_else(|| models(method, path, headers))?
            }
        };
        if *method == surface.method() { Ok(surface) } else { Err(surface.misdirected()) }
    }

    /// How its callers speak. A provider's own API is answered in OpenAI's shape until the provider is known.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Call(asked) => asked.dialect,
            Self::Models(dialect) | Self::Model(dialect, _) => *dialect,
            Self::Passage(passage) => passage.dialect,
        }
    }

    /// The word for it in records.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Call(asked) => word(asked),
            Self::Models(_) | Self::Model(..) => "models",
            Self::Passage(passage) => passage.held.as_ref().map_or("native", Held::operation),
        }
    }

    /// The key in the query, where callers of this surface may write it.
    pub fn key_in(&self, query: Option<&str>) -> Option<String> {
        (self.dialect() == Dialect::Gemini).then(|| passage::key_in(query)).flatten()
    }

    fn method(&self) -> Method {
        match self {
            Self::Call(_) => Method::POST,
            Self::Models(_) | Self::Model(..) | Self::Passage(_) => Method::GET,
        }
    }

    fn misdirected(&self) -> Misdirected {
        let allowed = if self.method() == Method::POST { "POST" } else { "GET" };
        Misdirected::Method(self.dialect(), allowed)
    }
}

const fn word(asked: &Asked) -> &'static str {
    match (asked.operation, asked.dialect) {
        (Operation::Chat, Dialect::OpenAi | Dialect::Cohere) => "chat",
        (Operation::Chat, Dialect::Responses) => "responses",
        (Operation::Chat, Dialect::Anthropic) => "messages",
        (Operation::Chat, Dialect::Gemini) => "generate_content",
        (Operation::Chat, Dialect::Bedrock) => "converse",
        (Operation::CountTokens, _) => "count_tokens",
        (Operation::Embeddings, _) => "embeddings",
        (Operation::Rerank, _) => "rerank",
        (Operation::ImageGeneration, _) => "image_generation",
        (Operation::ImageEdit, _) => "image_edit",
        (Operation::Transcription, _) => "transcription",
        (Operation::AudioTranslation, _) => "audio_translation",
        (Operation::Speech, _) => "speech",
        (Operation::Moderation, _) => "moderation",
        (Operation::Native, _) => "native",
    }
}

/// The paths that say all in words of their own.
fn in_words(path: &str, headers: &HeaderMap) -> Option<Surface> {
    let (dialect, operation) = match without_version(path) {
        "/chat/completions" => (Dialect::OpenAi, Operation::Chat),
        "/messages" => (Dialect::Anthropic, Operation::Chat),
        "/responses" => (Dialect::Responses, Operation::Chat),
        "/embeddings" => (Dialect::OpenAi, Operation::Embeddings),
        "/responses/input_tokens" => (Dialect::Responses, Operation::CountTokens),
        "/messages/count_tokens" => (Dialect::Anthropic, Operation::CountTokens),
        // Cohere's first version and Jina's share a path, and not the shape of the answer.
        "/rerank" if is_cohere(headers) => (Dialect::Cohere, Operation::Rerank),
        "/rerank" => (Dialect::OpenAi, Operation::Rerank),
        "/images/generations" => (Dialect::OpenAi, Operation::ImageGeneration),
        "/images/edits" => (Dialect::OpenAi, Operation::ImageEdit),
        "/audio/transcriptions" => (Dialect::OpenAi, Operation::Transcription),
        "/audio/translations" => (Dialect::OpenAi, Operation::AudioTranslation),
        "/audio/speech" => (Dialect::OpenAi, Operation::Speech),
        "/moderations" => (Dialect::OpenAi, Operation::Moderation),
        "/v2/chat" => (Dialect::Cohere, Operation::Chat),
        "/v2/embed" => (Dialect::Cohere, Operation::Embeddings),
        "/v2/rerank" => (Dialect::Cohere, Operation::Rerank),
        _ => return None,
    };
    Some(Surface::Call(Asked::from((dialect, operation))))
}

/// The models, or one of them.
fn models(method: &Method, path: &str, headers: &HeaderMap) -> Result<Surface, Misdirected> {
    let dialect = spoken(path, headers);
    let rest = without_version(path);
    if rest == "/models" {
        return Ok(Surface::Models(dialect));
    }
    let name = rest.strip_prefix("/models/").filter(|name| !name.is_empty());
    // Whoever posts to a model asks for something of Gemini's that is not served.
    let name = name.filter(|name| *method != Method::POST || !name.contains(':'));
    name.map(|name| Surface::Model(dialect, decoded(name).into_owned())).ok_or(Misdirected::Path(dialect))
}

/// A path without the version that its dialect may put before it.
pub(super) fn without_version(path: &str) -> &str {
    let path = path.strip_prefix("/openai").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let rest = ["/v1beta", "/v1"].iter().find_map(|version| path.strip_prefix(version));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// The paths that name the model themselves: Gemini's, Azure's deployments, and Bedrock's. `None` when it is none of them.
fn model_in_path(path: &str, query: Option<&str>) -> Option<Result<Surface, Misdirected>> {
    if let Some(rest) = path.strip_prefix("/openai/deployments/") {
        return deployment(rest).map(Ok);
    }
    if let Some(rest) = path.strip_prefix("/model/") {
        return bedrock(rest).map(Ok);
    }
    let rest = without_version(path);
    let rest = match rest.split_once("/publishers/google/models/") {
        Some((_, rest)) => rest,
        None => rest.strip_prefix("/models/")?,
    };
    let (name, verb) = rest.rsplit_once(':').or_else(|| rest.rsplit_once("%3A"))?;
    let (operation, stream) = match verb {
        "generateContent" => (Operation::Chat, false),
        "streamGenerateContent" => (Operation::Chat, true),
        "countTokens" => (Operation::CountTokens, false),
        "embedContent" | "batchEmbedContents" => (Operation::Embeddings, false),
        _ => return None,
    };
    if stream && !query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse")) {
        return Some(Err(Misdirected::NoEvents));
    }
    named(Dialect::Gemini, operation, name, stream).map(Ok)
}

/// `NAME/chat/completions` and the like, as Azure has it.
fn deployment(rest: &str) -> Option<Surface> {
    let (name, path) = rest.split_once('/')?;
    let operation = match path {
        "chat/completions" => Operation::Chat,
        "embeddings" => Operation::Embeddings,
        "images/generations" => Operation::ImageGeneration,
        "images/edits" => Operation::ImageEdit,
        "audio/transcriptions" => Operation::Transcription,
        "audio/translations" => Operation::AudioTranslation,
        "audio/speech" => Operation::Speech,
        _ => return None,
    };
    named(Dialect::OpenAi, operation, name, false)
}

/// `NAME/converse` and the like.
fn bedrock(rest: &str) -> Option<Surface> {
    let (name, verb) = rest.rsplit_once('/')?;
    let (operation, stream) = match verb {
        "converse" => (Operation::Chat, false),
        "converse-stream" => (Operation::Chat, true),
        "count-tokens" => (Operation::CountTokens, false),
        _ => return None,
    };
    named(Dialect::Bedrock, operation, name, stream)
}

fn named(dialect: Dialect, operation: Operation, name: &str, stream: bool) -> Option<Surface> {
    let model = Some(decoded(name).into_owned()).filter(|name| !name.is_empty())?;
    let asked = Asked { model: Some(model), stream, ..Asked::from((dialect, operation)) };
    Some(Surface::Call(asked))
}

/// The dialect of a caller on a path that several have: only Anthropic's SDKs name their version, only Google's have their own
/// header for the key or their own word for the version.
pub(super) fn spoken(path: &str, headers: &HeaderMap) -> Dialect {
    if path.starts_with("/v1beta/") || path.starts_with("/upload/") || headers.contains_key("x-goog-api-key")
    {
        Dialect::Gemini
    } else if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if path.starts_with("/model/") {
        Dialect::Bedrock
    } else if path.starts_with("/v2/") {
        Dialect::Cohere
    } else {
        Dialect::OpenAi
    }
}

/// Whether Cohere's own SDK asks: it says so.
fn is_cohere(headers: &HeaderMap) -> bool {
    headers.get("x-fern-sdk-name").is_some_and(|name| name.as_bytes().starts_with(b"cohere"))
}

#[cfg(test)]
mod tests;
