//! OpenAI's embeddings, and those of compatible servers.

use serde_json::value::RawValue;

use super::{EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Purpose, Vector, Words};
use crate::{
    Call, Dialect, Fault, TargetShape,
    canonical::Json,
    json::{Object, is_string, object},
    losses::Losses,
    openai::usage,
};

/// Words that compatible servers have for purposes; OpenAI itself has none.
const WORDS: Words = [
    (Purpose::Query, "query"),
    (Purpose::Document, "document"),
    (Purpose::Classification, "classification"),
    (Purpose::Clustering, "clustering"),
];

pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsRequest, Fault> {
    let mut call = Object::parse(body)?;
    let input = call.take("input").ok_or_else(|| call.wrong("input", "a string or an array"))?;
    // In which form the vectors come is asked when the answer is there.
    call.take("encoding_format");
    let purpose = call.take_string("input_type")?;
    Ok(EmbeddingsRequest {
        origin: Dialect::OpenAi,
        model: call.need_string("model")?,
        inputs: inputs(input).map_err(|()| call.wrong("input", "text, tokens, or an array of these"))?,
        dimensions: call.take_as("dimensions", "a whole number that is not negative")?,
        purpose: purpose.map(|word| Purpose::read(&WORDS, word.strip_prefix("search_").unwrap_or(&word))),
        user: call.take_string("user")?,
        extra: call.rest(),
    })
}

fn inputs(value: &RawValue) -> Result<Vec<EmbeddingsInput>, ()> {
    let text = |value: &RawValue| serde_json::from_str(value.get()).map(EmbeddingsInput::Text).map_err(drop);
    if is_string(value) {
        return Ok(vec![text(value)?]);
    }
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(drop)?;
    let is_number = |item: &&RawValue| !item.get().starts_with(['"', '[', '{', 't', 'f', 'n']);
    if !items.is_empty() && items.iter().all(is_number) {
        return Ok(vec![EmbeddingsInput::Tokens(Json::new(value))]);
    }
    let input = |item: &RawValue| match item.get().as_bytes().first() {
        Some(b'"') => text(item),
        Some(b'[') => Ok(EmbeddingsInput::Tokens(Json::new(item))),
        Some(b'{') => Ok(EmbeddingsInput::Opaque(Json::new(item))),
        _ => Err(()),
    };
    items.into_iter().map(input).collect()
}

pub(super) fn write(
    request: &EmbeddingsRequest,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let texts = request.texts(target.dialect)?;
    if request.purpose.is_some() {
        losses.drop(if request.origin == Dialect::Cohere { "input_type" } else { "taskType" });
    }
    Ok(object(|w| {
        w.string("model", target.model);
        w.array("input", |array| texts.iter().for_each(|text| array.string(text)));
        w.string("encoding_format", "float");
        if let Some(dimensions) = request.dimensions {
            w.number("dimensions", u64::from(dimensions));
        }
        if let Some(user) = &request.user {
            w.string("user", user);
        }
    }))
}

pub(super) fn read(answer: &mut Object<'_>) -> Result<EmbeddingsAnswer, Fault> {
    let mut vectors = Vec::new();
    for (place, value) in answer.take_array("data")?.into_iter().enumerate() {
        let mut item = Object::read(value, crate::json::nth("data", place))?;
        let index: usize = item.take_as("index", "a number")?.unwrap_or(place);
        let vector = item.take("embedding").ok_or_else(|| item.wrong("embedding", "an array"))?;
        vectors.push((index, Vector::read(vector)?));
    }
    vectors.sort_by_key(|(index, _)| *index);
    Ok(EmbeddingsAnswer {
        id: answer.take_string("id")?.unwrap_or_default(),
        model: answer.take_string("model")?.unwrap_or_default(),
        vectors: vectors.into_iter().map(|(_, vector)| vector).collect(),
        usage: answer.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
    })
}

pub(super) fn encode(answer: &EmbeddingsAnswer, call: &Call) -> Result<Vec<u8>, Fault> {
    let packs = Object::parse(&call.body)?.take_string("encoding_format")?.as_deref() == Some("base64");
    let form = |vector: &Vector| match packs {
        true => vector.base64().map(|text| format!("\"{text}\"")),
        false => vector.numbers(),
    };
    let vectors: Vec<String> = answer.vectors.iter().map(form).collect::<Result<_, _>>()?;
    let model = if answer.model.is_empty() { &call.envelope.model } else { &answer.model };
    Ok(object(|w| {
        w.string("object", "list");
        w.array("data", |array| {
            for (index, vector) in (0..).zip(&vectors) {
                array.object(|w| {
                    w.string("object", "embedding");
                    w.number("index", index);
                    w.raw("embedding", vector);
                });
            }
        });
        w.string("model", model);
        let tokens = answer.usage.unwrap_or_default().all_input();
        w.object("usage", |w| {
            w.number("prompt_tokens", tokens);
            w.number("total_tokens", tokens);
        });
    }))
}
