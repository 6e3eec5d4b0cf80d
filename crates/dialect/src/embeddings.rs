//! Embeddings: the call and the answer in words of no dialect, and how they pass between dialects.
//!
//! Vectors stay as they were written, text of numbers or base64 of 32-bit floats, until a caller wants the other form.

mod cohere;
mod gemini;
mod openai;
mod vector;

use bytes::Bytes;

use crate::{
    Call, Dialect, Fault, Outbound, Summary, TargetShape, Usage,
    canonical::{Extra, Json},
    fault::{broken, decode_in_band},
    json::Object,
    losses::Losses,
};

pub(crate) use gemini::predicts;
pub use vector::Vector;

/// A call for embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingsRequest {
    /// The dialect it was read from: `extra` fields are words of this dialect.
    pub origin: Dialect,
    /// The model asked for.
    pub model: String,
    /// What is embedded, a vector for each.
    pub inputs: Vec<EmbeddingsInput>,
    /// How long the vectors are.
    pub dimensions: Option<u32>,
    /// What they are for.
    pub purpose: Option<Purpose>,
    /// An opaque name for the end user.
    pub user: Option<String>,
    /// Everything else.
    pub extra: Extra,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingsInput {
    /// Text.
    Text(String),
    /// Text as the tokens of one provider's models: an array of numbers.
    Tokens(Json),
    /// Something only its own dialect understands, whole.
    Opaque(Json),
}

/// What vectors are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To tell classes apart.
    Classification,
    /// To find groups.
    Clustering,
    /// A word only one dialect knows.
    Other(String),
}

/// The vectors for a call.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingsAnswer {
    /// The provider's id.
    pub id: String,
    /// The model that answered; empty where the provider does not tell.
    pub model: String,
    /// A vector for each input, in order.
    pub vectors: Vec<Vector>,
    /// What it used.
    pub usage: Option<Usage>,
}

/// The purposes that have a word in every dialect that knows purposes.
type Words = [(Purpose, &'static str); 4];

impl Purpose {
    fn read(words: &Words, word: &str) -> Self {
        let known = words.iter().find(|(_, known)| known.eq_ignore_ascii_case(word));
        known.map_or_else(|| Self::Other(word.to_owned()), |(purpose, _)| purpose.clone())
    }

    fn word(&self, words: &Words) -> Option<&'static str> {
        words.iter().find(|(known, _)| known == self).map(|(_, word)| *word)
    }
}

impl EmbeddingsRequest {
    /// The texts, where nothing else is to be embedded.
    fn texts(&self, target: Dialect) -> Result<Vec<&str>, Fault> {
        let mut texts = Vec::with_capacity(self.inputs.len());
        for (index, input) in self.inputs.iter().enumerate() {
            let (place, why) = match input {
                EmbeddingsInput::Text(text) => {
                    texts.push(text.as_str());
                    continue;
                }
                EmbeddingsInput::Tokens(_) => {
                    ("input".to_owned(), "tokens are those of another model; send text")
                }
                EmbeddingsInput::Opaque(_) => {
                    (crate::json::nth("input", index), "only text is embedded there")
                }
            };
            return Err(Fault::no_word(target, &place, why));
        }
        Ok(texts)
    }
}

/// Reads a call.
pub(crate) fn decode(call: &Call) -> Result<EmbeddingsRequest, Fault> {
    let request = match call.dialect {
        Dialect::OpenAi | Dialect::Responses => openai::decode(&call.body),
        Dialect::Gemini => gemini::decode(&call.body, &call.envelope.model),
        Dialect::Cohere => cohere::decode(&call.body),
        other => Err(Fault::unsupported(format!("{other} has no embeddings"))),
    }?;
    if request.inputs.is_empty() {
        return Err(Fault::invalid("there is nothing to embed").at("input"));
    }
    Ok(request)
}

/// Writes a call for a target.
pub(crate) fn encode_call(call: &Call, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    let request = decode(call)?;
    let mut losses = Losses::new(request.origin, target);
    if !losses.is_home() {
        losses.extra("", &request.extra)?;
    }
    let body = match target.dialect {
        Dialect::OpenAi | Dialect::Responses => openai::write(&request, target, &mut losses),
        Dialect::Gemini => gemini::write(&request, target, &mut losses),
        Dialect::Cohere => cohere::write(&request, target, &mut losses),
        other => Err(Fault::unsupported(format!("a target that speaks {other} makes no embeddings"))),
    }?;
    Ok(Outbound { body: body.into(), dropped: losses.dropped, defaulted: losses.defaulted })
}

/// Whether a call goes through the canonical form although the target speaks its dialect.
pub(crate) fn is_rewritten(call: &Call, target: &TargetShape<'_>) -> bool {
    call.dialect == Dialect::Gemini
        && (call.envelope.places.embeds_one || matches!(target.platform, crate::Platform::Vertex { .. }))
}

/// Whether an answer is one that the caller gets as it is.
pub(crate) fn passes(call: &Call, upstream: Dialect, body: &[u8]) -> bool {
    let has_batch = || crate::gemini::probe::probe(body).is_ok_and(|probe| probe.has_data || probe.is_error);
    match (call.dialect, upstream) {
        (Dialect::OpenAi, Dialect::OpenAi) => true,
        (Dialect::Gemini, Dialect::Gemini) => !call.envelope.places.embeds_one && has_batch(),
        _ => false,
    }
}

/// Passes an answer on.
pub(crate) fn relay(call: &Call, upstream: Dialect, body: Bytes) -> Result<(Bytes, Summary), Fault> {
    let mut fields = Object::parse(&body).map_err(|fault| broken(&fault))?;
    if fields.has("error") {
        return Err(decode_in_band(&body));
    }
    let as_asked = match (call.dialect, call.envelope.places.embeds_one) {
        (Dialect::Gemini, true) => fields.has("embedding"),
        (Dialect::Gemini, false) => fields.has("embeddings"),
        (own, _) => own == upstream,
    };
    let answer = match upstream {
        Dialect::OpenAi | Dialect::Responses => openai::read(&mut fields),
        Dialect::Gemini => gemini::read(&mut fields),
        Dialect::Cohere => cohere::read(&mut fields),
        other => Err(Fault::unsupported(format!("{other} has no embeddings"))),
    };
    let answer = answer.map_err(|fault| broken(&fault))?;
    if answer.vectors.is_empty() {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    let summary = Summary {
        usage: answer.usage,
        upstream_model: Some(answer.model.clone()).filter(|model| !model.is_empty()),
        complete: true,
        ..Summary::default()
    };
    if as_asked && call.dialect == upstream {
        return Ok((body, summary));
    }
    let body = match call.dialect {
        Dialect::OpenAi | Dialect::Responses => openai::encode(&answer, call)?,
        Dialect::Gemini => gemini::encode(&answer, call)?,
        Dialect::Cohere => cohere::encode(&answer, call)?,
        other => return Err(Fault::unsupported(format!("{other} has no embeddings"))),
    };
    Ok((body.into(), summary))
}

/// The report of how much was embedded, where a provider tells.
fn used(tokens: Option<u64>) -> Option<Usage> {
    tokens.map(|input| Usage { input, ..Usage::default() })
}

#[cfg(test)]
mod tests;
