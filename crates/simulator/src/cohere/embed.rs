//! `POST /v2/embed`: the same vectors as OpenAI's endpoint gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::cohere::body;
use crate::openai::embeddings::{DIMENSIONS, seed, vector};
use crate::reply::{input, tokens_of};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedRequest {
    model: String,
    texts: Option<Vec<String>>,
    inputs: Option<Vec<Value>>,
    images: Option<Vec<String>>,
    input_type: Option<String>,
    embedding_types: Option<Vec<String>>,
    output_dimension: Option<u16>,
    #[serde(rename = "truncate")]
    _truncate: Option<String>,
    #[serde(rename = "max_tokens")]
    _max_tokens: Option<u64>,
    #[serde(rename = "priority")]
    _priority: Option<u64>,
}

/// Reads `POST /v2/embed`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request: EmbedRequest = body(arrived)?;
    if request.input_type.is_none() {
        return Err(Refusal::new(
            400,
            "invalid request: valid input_type must be provided with the provided model",
        ));
    }
    if request.said().is_empty() || request.said().len() > 96 {
        return Err(Refusal::new(400, "invalid request: at least 1 and at most 96 texts are needed"));
    }
    let known = ["float", "int8", "uint8", "binary", "ubinary", "base64"];
    if let Some(kind) = request.kinds().iter().find(|kind| !known.contains(kind)) {
        return Err(Refusal::new(400, format!("invalid request: unknown embedding type {kind}")));
    }
    Ok(Box::new(request))
}

impl EmbedRequest {
    fn said(&self) -> Vec<String> {
        let inputs = self.inputs.iter().flatten().map(|input| {
            let parts = input.get("content").and_then(Value::as_array).into_iter().flatten();
            parts.filter_map(|part| part.get("text")?.as_str()).collect()
        });
        self.texts.iter().flatten().chain(self.images.iter().flatten()).cloned().chain(inputs).collect()
    }

    fn kinds(&self) -> Vec<&str> {
        self.embedding_types
            .as_ref()
            .map_or_else(|| vec!["float"], |kinds| kinds.iter().map(String::as_str).collect())
    }
}

impl Question for EmbedRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let texts = self.said();
        let billed = input(texts.iter().map(|text| tokens_of(text)).sum(), facts.behaviour);
        let dimensions = self.output_dimension.unwrap_or(DIMENSIONS);
        let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(seed(text), dimensions)).collect();
        let mut embeddings = Map::new();
        for kind in self.kinds() {
            let of_kind = vectors.iter().map(|vector| encode(vector, kind));
            embeddings.insert(kind.to_owned(), Value::from(of_kind.collect::<Vec<_>>()));
        }
        let mut answer = json!({
            "id": facts.id(""), "embeddings": embeddings, "texts": self.texts.clone().unwrap_or_default(),
            "response_type": "embeddings_by_type",
        });
        let mut meta = json!({"api_version": {"version": "2"}});
        if let (true, Some(members)) = (facts.reports_usage(), meta.as_object_mut()) {
            members.insert("billed_units".to_owned(), json!({"input_tokens": billed.input}));
        }
        if let Some(members) = answer.as_object_mut() {
            members.insert("meta".to_owned(), meta);
        }
        Ok(Made::json(&answer, billed))
    }
}

/// One vector in one type: each value as it is, as a byte, or as its sign, eight to a byte.
fn encode(vector: &[f32], kind: &str) -> Value {
    let sign = |value: &f32| u8::from(*value > 0.0);
    let bits =
        || vector.chunks(8).map(|eight| eight.iter().fold(0u8, |bits, value| (bits << 1) | sign(value)));
    match kind {
        "base64" => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Value::from(STANDARD.encode(bytes))
        }
        "int8" => json!(vector.iter().map(|value| if *value > 0.0 { 64 } else { -64 }).collect::<Vec<i8>>()),
        "uint8" => json!(vector.iter().map(|value| if *value > 0.0 { 192 } else { 64 }).collect::<Vec<u8>>()),
        "ubinary" => json!(bits().collect::<Vec<u8>>()),
        "binary" => json!(bits().map(|byte| i16::from(byte) - 128).collect::<Vec<i16>>()),
        _ => json!(vector),
    }
}
