//! Gemini's embeddings: one text (`embedContent`) or a batch (`batchEmbedContents`), and `predict` of Vertex AI's older models.

use serde_json::value::RawValue;

use super::{EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Purpose, Vector, Words, used};
use crate::{
    Call, Dialect, Fault, Platform, TargetShape,
    canonical::{Extra, Json, PartBody},
    gemini::parts::{self, list, read as read_object, take_object},
    json::{Object, ObjectWriter, object},
    losses::Losses,
};

const WORDS: Words = [
    (Purpose::Query, "RETRIEVAL_QUERY"),
    (Purpose::Document, "RETRIEVAL_DOCUMENT"),
    (Purpose::Classification, "CLASSIFICATION"),
    (Purpose::Clustering, "CLUSTERING"),
];

/// What is told beside each content; elsewhere it is told once for all.
#[derive(Debug, Default, PartialEq)]
struct Beside {
    purpose: Option<String>,
    dimensions: Option<u32>,
    extra: Extra,
}

pub(super) fn decode(body: &[u8], model: &str) -> Result<EmbeddingsRequest, Fault> {
    let mut call = Object::parse(body)?.camel()?;
    let mut inputs = Vec::new();
    let mut first: Option<Beside> = None;
    if call.has("content") {
        let (input, beside) = request(call)?;
        inputs.push(input);
        first = Some(beside);
    } else {
        for (index, value) in list(&mut call, "requests")?.into_iter().enumerate() {
            let (input, beside) = request(read_object(value, crate::json::nth("requests", index))?)?;
            inputs.push(input);
            match &first {
                Some(first) if *first != beside => {
                    let place = crate::json::nth("requests", index);
                    let message =
                        format!("`{place}` asks for another kind of vector than the first; send it apart");
                    return Err(Fault::unsupported(message).at(place));
                }
                Some(_) => {}
                None => first = Some(beside),
            }
        }
    }
    let beside = first.unwrap_or_default();
    Ok(EmbeddingsRequest {
        origin: Dialect::Gemini,
        model: model.to_owned(),
        inputs,
        dimensions: beside.dimensions,
        purpose: beside.purpose.map(|word| Purpose::read(&WORDS, &word)),
        user: None,
        extra: beside.extra,
    })
}

fn request(mut request: Object<'_>) -> Result<(EmbeddingsInput, Beside), Fault> {
    request.take("model");
    let Some(content) = request.take("content") else { return Err(request.wrong("content", "an object")) };
    let place = request.place_of("content");
    let config = take_object(&mut request, "embedContentConfig")?;
    let mut beside = Beside::default();
    for mut fields in config.into_iter().chain([request]) {
        beside.purpose = beside.purpose.or(fields.take_string("taskType")?);
        let dimensions = fields.take_as("outputDimensionality", "a whole number that is not negative")?;
        beside.dimensions = beside.dimensions.or(dimensions);
        beside.extra.extend(fields.rest());
    }
    beside.purpose = beside.purpose.filter(|word| word != "TASK_TYPE_UNSPECIFIED");
    Ok((input(content, place)?, beside))
}

fn input(content: &RawValue, place: String) -> Result<EmbeddingsInput, Fault> {
    let mut text = String::new();
    for part in parts::parts(&mut read_object(content, place)?)? {
        match part.body {
            PartBody::Text(words) => text.push_str(&words),
            _ => return Ok(EmbeddingsInput::Opaque(Json::new(content))),
        }
    }
    Ok(EmbeddingsInput::Text(text))
}

/// Whether Vertex AI has the newer methods for a model.
pub(crate) fn predicts(target: &TargetShape<'_>) -> bool {
    let is_vertex = matches!(target.platform, Platform::Vertex { .. });
    is_vertex && !["gemini", "maas"].iter().any(|newer| target.model.contains(newer))
}

pub(super) fn write(
    request: &EmbeddingsRequest,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    if request.user.is_some() {
        losses.drop("user");
    }
    let purpose = match &request.purpose {
        Some(Purpose::Other(word)) if request.origin == Dialect::Gemini => Some(word.as_str()),
        Some(purpose) => {
            let word = purpose.word(&WORDS);
            if word.is_none() {
                losses.refuse("input_type", "there is no word for it")?;
            }
            word
        }
        None => None,
    };
    let predicts = predicts(target);
    if !losses.is_home() || predicts {
        request.texts(target.dialect)?;
    }
    if predicts {
        return Ok(object(|w| predict(w, request, purpose)));
    }
    let is_vertex = matches!(target.platform, Platform::Vertex { .. });
    let model = format!("models/{}", target.model);
    let extra = if losses.is_home() { request.extra.as_slice() } else { &[] };
    let beside = |w: &mut ObjectWriter<'_>| {
        if let Some(purpose) = purpose {
            w.string("taskType", purpose);
        }
        if let Some(dimensions) = request.dimensions {
            w.number("outputDimensionality", u64::from(dimensions));
        }
        extra.iter().for_each(|(name, value)| w.raw(name, value.text()));
    };
    let one = |w: &mut ObjectWriter<'_>, input: &EmbeddingsInput| {
        write_content(w, input);
        if is_vertex {
            w.object("embedContentConfig", beside);
        } else {
            w.string("model", &model);
            beside(w);
        }
    };
    Ok(object(|w| {
        w.array("requests", |array| {
            request.inputs.iter().for_each(|input| array.object(|w| one(w, input)));
        });
    }))
}

fn write_content(w: &mut ObjectWriter<'_>, input: &EmbeddingsInput) {
    match input {
        EmbeddingsInput::Text(text) => w.object("content", |w| {
            w.array("parts", |array| array.object(|w| w.string("text", text)));
        }),
        EmbeddingsInput::Tokens(content) | EmbeddingsInput::Opaque(content) => {
            w.raw("content", content.text());
        }
    }
}

fn predict(w: &mut ObjectWriter<'_>, request: &EmbeddingsRequest, purpose: Option<&str>) {
    w.array("instances", |array| {
        for input in &request.inputs {
            let EmbeddingsInput::Text(text) = input else { continue };
            array.object(|w| {
                w.string("content", text);
                if let Some(purpose) = purpose {
                    w.string("task_type", purpose);
                }
            });
        }
    });
    if let Some(dimensions) = request.dimensions {
        w.object("parameters", |w| w.number("outputDimensionality", u64::from(dimensions)));
    }
}

pub(super) fn read(answer: &mut Object<'_>) -> Result<EmbeddingsAnswer, Fault> {
    let mut vectors = Vec::new();
    let mut tokens: Option<u64> = None;
    for name in ["embedding", "embeddings"] {
        for value in list(answer, name)? {
            vectors.push(values(read_object(value, name)?)?);
        }
    }
    for value in list(answer, "predictions")? {
        let mut prediction = read_object(value, "predictions")?;
        let Some(mut embedding) = take_object(&mut prediction, "embeddings")? else {
            return Err(prediction.wrong("embeddings", "an object"));
        };
        if let Some(mut statistics) = take_object(&mut embedding, "statistics")? {
            let count: Option<f64> = statistics.take_as("tokenCount", "a number")?;
            let count = count.and_then(|count| format!("{count:.0}").parse::<u64>().ok());
            tokens = count.map(|count| count.saturating_add(tokens.unwrap_or(0))).or(tokens);
        }
        vectors.push(values(embedding)?);
    }
    if let Some(mut report) = take_object(answer, "usageMetadata")? {
        tokens = report.take_as("promptTokenCount", "a count")?.or(tokens);
    }
    Ok(EmbeddingsAnswer { id: String::new(), model: String::new(), vectors, usage: used(tokens) })
}

fn values(mut embedding: Object<'_>) -> Result<Vector, Fault> {
    let values = embedding.take("values").ok_or_else(|| embedding.wrong("values", "an array"))?;
    Vector::read(values)
}

pub(super) fn encode(answer: &EmbeddingsAnswer, call: &Call) -> Result<Vec<u8>, Fault> {
    let vectors: Vec<String> = answer.vectors.iter().map(Vector::numbers).collect::<Result<_, _>>()?;
    let is_one = call.envelope.places.embeds_one;
    Ok(object(|w| {
        match vectors.first().filter(|_| is_one) {
            Some(vector) => w.object("embedding", |w| w.raw("values", vector)),
            None => w.array("embeddings", |array| {
                vectors.iter().for_each(|vector| array.object(|w| w.raw("values", vector)));
            }),
        }
        if let Some(usage) = &answer.usage {
            w.object("usageMetadata", |w| {
                w.number("promptTokenCount", usage.all_input());
                w.number("totalTokenCount", usage.all_input());
            });
        }
    }))
}
