//! `POST /v1/embeddings`: vectors of length one that depend on the text alone, as floats or base64 (which the official SDK asks for).

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::reply::{input, tokens_of};

/// Short, because nobody compares these with a real model's.
pub(crate) const DIMENSIONS: u16 = 64;

#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingsRequest {
    #[serde(default)]
    model: String,
    input: Input,
    encoding_format: Option<Encoding>,
    dimensions: Option<u16>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// A text, several, or the same as tokens.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

impl EmbeddingsRequest {
    /// Reads `POST /v1/embeddings`, refusing what OpenAI refuses.
    pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
        let mut request: Self = super::body(arrived)?;
        request.model = super::model_of(arrived, std::mem::take(&mut request.model))?;
        super::check_model(&request.model)?;
        if request.dimensions == Some(0) {
            return Err(Refusal::invalid(
                "dimensions",
                "Invalid 'dimensions': expected a value of at least 1.",
            ));
        }
        if request.seeds().is_empty() {
            return Err(Refusal::invalid("input", "Invalid 'input': expected at least one text."));
        }
        Ok(Box::new(request))
    }

    fn seeds(&self) -> Vec<u64> {
        match &self.input {
            Input::Text(text) => vec![seed(text)],
            Input::Texts(texts) => texts.iter().map(seed).collect(),
            Input::Tokens(tokens) => vec![seed(tokens)],
            Input::ManyTokens(many) => many.iter().map(seed).collect(),
        }
    }

    fn tokens(&self) -> u64 {
        let count = |tokens: &Vec<u32>| u64::try_from(tokens.len()).unwrap_or(u64::MAX);
        match &self.input {
            Input::Text(text) => tokens_of(text),
            Input::Texts(texts) => texts.iter().map(|text| tokens_of(text)).sum(),
            Input::Tokens(tokens) => count(tokens),
            Input::ManyTokens(many) => many.iter().map(count).sum(),
        }
    }

    fn encode(&self, vector: &[f32]) -> Value {
        match self.encoding_format {
            Some(Encoding::Base64) => {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                Value::String(STANDARD.encode(bytes))
            }
            Some(Encoding::Float) | None => json!(vector),
        }
    }
}

impl Question for EmbeddingsRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let dimensions = self.dimensions.unwrap_or(DIMENSIONS);
        let billed = input(self.tokens(), facts.behaviour);
        let data: Vec<Value> = self
            .seeds()
            .into_iter()
            .enumerate()
            .map(|(index, seed)| json!({"object": "embedding", "index": index, "embedding": self.encode(&vector(seed, dimensions))}))
            .collect();
        let mut answer = json!({"object": "list", "data": data, "model": facts.model});
        if let (true, Some(members)) = (facts.reports_usage(), answer.as_object_mut()) {
            members.insert(
                "usage".to_owned(),
                json!({"prompt_tokens": billed.input, "total_tokens": billed.input}),
            );
        }
        Ok(Made::json(&answer, billed))
    }
}

/// What a vector depends on.
pub(crate) fn seed(text: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A point on the unit sphere.
pub(crate) fn vector(seed: u64, dimensions: u16) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        // Splitmix64: every bit of the seed reaches every value.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [high, low, ..] = (z ^ (z >> 31)).to_be_bytes();
        f32::from(i16::from_be_bytes([high, low])) / 32_768.0
    };
    let values: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    values.into_iter().map(|value| value / length).collect()
}
