//! Cohere's embeddings, version 2.

use serde_json::value::RawValue;

use super::{EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Purpose, Vector, Words, used};
use crate::{
    Call, Dialect, Fault, TargetShape,
    canonical::Json,
    json::{Object, object},
    losses::Losses,
};

const WORDS: Words = [
    (Purpose::Query, "search_query"),
    (Purpose::Document, "search_document"),
    (Purpose::Classification, "classification"),
    (Purpose::Clustering, "clustering"),
];

pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsRequest, Fault> {
    let mut call = Object::parse(body)?;
    let texts: Vec<String> = call.take_as("texts", "an array of strings")?.unwrap_or_default();
    let mut inputs: Vec<EmbeddingsInput> = texts.into_iter().map(EmbeddingsInput::Text).collect();
    for name in ["images", "inputs"] {
        for value in call.take_array(name)? {
            inputs.push(input(value)?);
        }
    }
    // In which forms the vectors come is asked when the answer is there; one of no tokens cannot be given.
    types(&mut call)?;
    Ok(EmbeddingsRequest {
        origin: Dialect::Cohere,
        model: call.need_string("model")?,
        inputs,
        dimensions: call.take_as("output_dimension", "a whole number that is not negative")?,
        purpose: call.take_string("input_type")?.map(|word| Purpose::read(&WORDS, &word)),
        user: None,
        extra: call.rest(),
    })
}

/// An input with content of its own: text, if it is nothing else.
fn input(value: &RawValue) -> Result<EmbeddingsInput, Fault> {
    let opaque = || Ok(EmbeddingsInput::Opaque(Json::new(value)));
    if !value.get().starts_with('{') {
        return opaque();
    }
    let mut text = String::new();
    for part in Object::read(value, "inputs")?.take_array("content")? {
        let mut part = Object::read(part, "inputs.content")?;
        match part.take_string("text")? {
            Some(words) => text.push_str(&words),
            None => return opaque(),
        }
    }
    Ok(EmbeddingsInput::Text(text))
}

/// The forms asked for: numbers when none is.
fn types(call: &mut Object<'_>) -> Result<Vec<String>, Fault> {
    let types: Vec<String> = call.take_as("embedding_types", "an array of strings")?.unwrap_or_default();
    Ok(if types.is_empty() { vec!["float".to_owned()] } else { types })
}

pub(super) fn write(
    request: &EmbeddingsRequest,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let texts = request.texts(target.dialect)?;
    if request.user.is_some() {
        losses.drop("user");
    }
    let purpose = match request.purpose.as_ref().map(|purpose| purpose.word(&WORDS)) {
        Some(Some(word)) => word,
        other => {
            if other.is_some() {
                losses.refuse("taskType", "there is no word for it")?;
            }
            // It cannot do without; most texts that are embedded are to be found later.
            losses.default("input_type", "search_document");
            "search_document"
        }
    };
    Ok(object(|w| {
        w.string("model", target.model);
        w.array("texts", |array| texts.iter().for_each(|text| array.string(text)));
        w.string("input_type", purpose);
        w.array("embedding_types", |array| array.string("float"));
        if let Some(dimensions) = request.dimensions {
            w.number("output_dimension", u64::from(dimensions));
        }
    }))
}

pub(super) fn read(answer: &mut Object<'_>) -> Result<EmbeddingsAnswer, Fault> {
    let mut vectors = Vec::new();
    if let Some(mut forms) = answer.take_object("embeddings")? {
        for name in ["float", "base64"] {
            if vectors.is_empty() {
                vectors = forms.take_array(name)?.into_iter().map(Vector::read).collect::<Result<_, _>>()?;
            }
        }
        // Forms that only Cohere's callers ask for.
        if vectors.is_empty() {
            let other = forms.rest().into_iter().next();
            let list =
                other.and_then(|(_, list)| serde_json::from_str::<Vec<Box<RawValue>>>(list.text()).ok());
            let list = list.unwrap_or_default();
            vectors = list.iter().map(|vector| Vector::read(vector)).collect::<Result<_, _>>()?;
        }
    }
    let mut tokens = None;
    if let Some(mut meta) = answer.take_object("meta")? {
        for name in ["billed_units", "tokens"] {
            let Some(mut counts) = meta.take_object(name)? else { continue };
            let count: Option<f64> = counts.take_as("input_tokens", "a number")?;
            tokens = tokens.or(count.and_then(|count| format!("{count:.0}").parse().ok()));
        }
    }
    Ok(EmbeddingsAnswer {
        id: answer.take_string("id")?.unwrap_or_default(),
        model: String::new(),
        vectors,
        usage: used(tokens),
    })
}

pub(super) fn encode(answer: &EmbeddingsAnswer, call: &Call) -> Result<Vec<u8>, Fault> {
    let mut request = Object::parse(&call.body)?;
    let mut forms = Vec::new();
    for name in types(&mut request)? {
        let form = match name.as_str() {
            "float" => answer.vectors.iter().map(Vector::numbers).collect::<Result<Vec<_>, _>>()?,
            "base64" => {
                let packed = answer.vectors.iter().map(|vector| Ok(format!("\"{}\"", vector.base64()?)));
                packed.collect::<Result<Vec<_>, Fault>>()?
            }
            other => {
                let why = format!("vectors of the type `{other}` cannot be made from those of this provider");
                return Err(Fault::unsupported(why).at("embedding_types"));
            }
        };
        forms.push((name, form.join(",")));
    }
    let texts = request.take("texts");
    Ok(object(|w| {
        w.string("response_type", "embeddings_by_type");
        w.string("id", &answer.id);
        w.object("embeddings", |w| forms.iter().for_each(|(name, form)| w.raw(name, &format!("[{form}]"))));
        if let Some(texts) = texts {
            w.raw("texts", texts.get());
        }
        if let Some(usage) = &answer.usage {
            w.object("meta", |w| {
                w.object("api_version", |w| w.string("version", "2"));
                w.object("billed_units", |w| w.number("input_tokens", usage.all_input()));
            });
        }
    }))
}
