//! `embedContent`, `batchEmbedContents` and Vertex AI's `predict`: the same vectors as OpenAI's endpoint gives.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::gemini::request::{self, Content};
use crate::openai::embeddings::{DIMENSIONS, seed, vector};
use crate::reply::{input, tokens_of};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct One {
    model: Option<String>,
    content: Content,
    #[serde(alias = "task_type")]
    task_type: Option<String>,
    title: Option<String>,
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<u16>,
    #[serde(alias = "embed_content_config")]
    embed_content_config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    requests: Vec<One>,
}

#[derive(Debug, Deserialize)]
struct Predict {
    instances: Vec<Instance>,
    #[serde(default)]
    parameters: Value,
}

#[derive(Debug, Deserialize)]
struct Instance {
    content: String,
}

/// How the vectors are wrapped.
#[derive(Debug, Clone, Copy)]
enum Shape {
    One,
    Batch,
    Predict,
}

struct Embed {
    model: String,
    texts: Vec<(String, u16)>,
    shape: Shape,
}

/// Reads `embedContent`.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let one: One = request::read(arrived)?;
    made(arrived, vec![one.checked(arrived.name, false)?], Shape::One)
}

/// Reads `batchEmbedContents`, whose requests all name the model of the path.
pub(crate) fn read_batch(arrived: &Arrived<'_>) -> Parsed {
    let many: Many = request::read(arrived)?;
    if many.requests.is_empty() || many.requests.len() > 100 {
        let message =
            "* BatchEmbedContentsRequest.requests: at least one and at most 100 requests can be in one batch";
        return Err(Refusal::new(400, message));
    }
    let texts =
        many.requests.into_iter().map(|one| one.checked(arrived.name, true)).collect::<Result<_, _>>()?;
    made(arrived, texts, Shape::Batch)
}

/// Reads Vertex AI's `predict`.
pub(crate) fn read_predict(arrived: &Arrived<'_>) -> Parsed {
    let predict: Predict = request::read(arrived)?;
    let dimensions = predict.parameters.get("outputDimensionality").and_then(Value::as_u64);
    let dimensions = dimensions.and_then(|count| u16::try_from(count).ok()).unwrap_or(DIMENSIONS);
    let texts = predict.instances.into_iter().map(|instance| (instance.content, dimensions)).collect();
    made(arrived, texts, Shape::Predict)
}

fn made(arrived: &Arrived<'_>, texts: Vec<(String, u16)>, shape: Shape) -> Parsed {
    Ok(Box::new(Embed { model: arrived.name.to_owned(), texts, shape }))
}

impl One {
    fn checked(self, model: &str, must_name: bool) -> Result<(String, u16), Refusal> {
        let _accepted = (self.task_type, self.title);
        let named = self.model.as_deref().map(|named| named.trim_start_matches("models/"));
        if named.map_or(must_name, |named| named != model) {
            return Err(Refusal::new(400, "* EmbedContentRequest.model: unexpected model name format"));
        }
        let text = self.content.text();
        if text.is_empty() {
            return Err(Refusal::new(400, "* EmbedContentRequest.content: content is empty"));
        }
        let inner = self.embed_content_config.and_then(|config| config.output_dimensionality);
        let dimensions = self.output_dimensionality.or(inner).unwrap_or(DIMENSIONS);
        if dimensions == 0 {
            return Err(Refusal::new(400, "* EmbedContentRequest.output_dimensionality: must be positive"));
        }
        Ok((text, dimensions))
    }
}

impl Question for Embed {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let billed = input(self.texts.iter().map(|(text, _)| tokens_of(text)).sum(), facts.behaviour);
        let mut vectors = self.texts.iter().map(|(text, dimensions)| json!(vector(seed(text), *dimensions)));
        let mut answer = match self.shape {
            Shape::One => json!({"embedding": {"values": vectors.next()}}),
            Shape::Batch => {
                json!({"embeddings": vectors.map(|values| json!({"values": values})).collect::<Vec<_>>()})
            }
            Shape::Predict => {
                let predictions = vectors.zip(&self.texts).map(|(values, (text, _))| {
                    let statistics = json!({"truncated": false, "token_count": tokens_of(text)});
                    json!({"embeddings": {"values": values, "statistics": statistics}})
                });
                json!({"predictions": predictions.collect::<Vec<_>>()})
            }
        };
        if let (true, false, Some(members)) =
            (facts.reports_usage(), matches!(self.shape, Shape::Predict), answer.as_object_mut())
        {
            members.insert(
                "usageMetadata".to_owned(),
                json!({"promptTokenCount": billed.input, "totalTokenCount": billed.input}),
            );
        }
        Ok(Made::json(&answer, billed))
    }
}
