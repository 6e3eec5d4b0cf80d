//! Documents in the order of their relevance: the question and the answer in the two shapes there are.
//!
//! Cohere's shape is spoken by Cohere, Jina's by Jina, vLLM and Together, below the paths of OpenAI's dialect. Documents that
//! the caller wants back are its own, so they are put in here where the provider does not give them.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    Call, Dialect, Fault, OnUnsupported, Outbound, Summary, TargetShape, Usage,
    canonical::Extra,
    fault::{broken, decode_in_band},
    json::{ArrayWriter, Object, ObjectWriter, is_string, object},
    scan::{count, numbers},
    unnamed::Unnamed,
};

/// A question.
#[derive(Debug)]
struct Question<'a> {
    query: &'a RawValue,
    documents: Vec<&'a RawValue>,
    top_n: Option<u64>,
    returns_documents: Option<bool>,
    /// The fields of a document that count, where documents are objects.
    fields: Vec<String>,
    /// The most tokens of a document that count.
    most_tokens: Option<u64>,
    extra: Extra,
}

impl<'a> Question<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut call = Object::parse(body)?;
        call.take("model");
        let Some(query) = call.take("query") else { return Err(call.wrong("query", "a string")) };
        if !call.has("documents") {
            return Err(call.wrong("documents", "an array"));
        }
        Ok(Self {
            query,
            documents: call.take_array("documents")?,
            top_n: call.take_as("top_n", "a whole number")?,
            returns_documents: call.take_as("return_documents", "true or false")?,
            fields: call.take_as("rank_fields", "an array of strings")?.unwrap_or_default(),
            most_tokens: call.take_as("max_tokens_per_doc", "a whole number")?,
            extra: call.rest(),
        })
    }

    /// Whether Cohere's second version takes it as it is.
    fn is_plain(&self) -> bool {
        self.returns_documents.is_none()
            && self.fields.is_empty()
            && self.documents.iter().all(|document| is_string(document))
            && !self.extra.iter().any(|(name, _)| name == "max_chunks_per_doc")
    }
}

/// Whether a call goes to a target as it is, but for the model.
pub(crate) fn is_passed(call: &Call, target: &TargetShape<'_>) -> bool {
    match (call.dialect, target.dialect) {
        (Dialect::Cohere, Dialect::Cohere) => {
            Question::read(&call.body).is_ok_and(|question| question.is_plain())
        }
        (Dialect::OpenAi, Dialect::OpenAi) => true,
        _ => false,
    }
}

/// Writes a question for a target.
pub(crate) fn encode(call: &Call, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    let is_cohere = match target.dialect {
        Dialect::Cohere => true,
        Dialect::OpenAi | Dialect::Responses => false,
        other => {
            return Err(Fault::unsupported(format!("a target that speaks {other} cannot rank documents")));
        }
    };
    let question = Question::read(&call.body)?;
    let mut dropped = Vec::new();
    let home = (call.dialect == Dialect::Cohere) == is_cohere;
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &question.extra {
        match name.as_str() {
            // Cohere's first version only.
            "max_chunks_per_doc" => dropped.push(name.clone()),
            _ if home => kept.push((name, value.text())),
            // How much is read of long documents, and who asks how urgently.
            "truncation" | "truncate_prompt_tokens" | "priority" | "user" => dropped.push(name.clone()),
            _ if target.on_unsupported == OnUnsupported::Drop => dropped.push(name.clone()),
            _ => return Err(Fault::no_word(target.dialect, name, "there is no word for it")),
        }
    }
    if question.most_tokens.is_some() && !is_cohere {
        dropped.push("max_tokens_per_doc".to_owned());
    }
    let documents = texts(&question, target.dialect)?;
    let body = object(|w| {
        w.string("model", target.model);
        w.raw("query", question.query.get());
        w.array("documents", |array| documents.iter().for_each(|document| array.string(document)));
        if let Some(top_n) = question.top_n {
            w.number("top_n", top_n);
        }
        if is_cohere {
            if let Some(most) = question.most_tokens {
                w.number("max_tokens_per_doc", most);
            }
        } else {
            // The caller has them.
            w.bool("return_documents", false);
        }
        kept.iter().for_each(|(name, value)| w.raw(name, value));
    });
    Ok(Outbound { body: body.into(), dropped, defaulted: Vec::new() })
}

/// The documents as texts: of an object the field `text`, or the fields that count, a line for each.
fn texts(question: &Question<'_>, target: Dialect) -> Result<Vec<String>, Fault> {
    let documents = question.documents.iter().enumerate();
    let text = |(index, document): (usize, &&RawValue)| {
        let place = crate::json::nth("documents", index);
        if is_string(document) {
            return serde_json::from_str(document.get())
                .map_err(|error| Fault::invalid(format!("`{place}` is no string: {error}")).at(place));
        }
        let mut document = Object::read(document, place.clone())?;
        if question.fields.is_empty() {
            let text = document.take_string("text")?;
            return text.ok_or_else(|| Fault::no_word(target, &place, "only texts can be ranked"));
        }
        let mut lines = Vec::with_capacity(question.fields.len());
        for field in &question.fields {
            if let Some(value) = document.take_string(field)? {
                lines.push(format!("{field}: {value}"));
            }
        }
        Ok(lines.join("\n"))
    };
    documents.map(text).collect()
}

/// One of the documents, ranked.
#[derive(Debug)]
struct Ranked<'a> {
    index: u64,
    score: &'a RawValue,
}

/// Passes an answer on.
pub(crate) fn relay(call: &Call, upstream: Dialect, body: Bytes) -> Result<(Bytes, Summary), Fault> {
    let question = Question::read(&call.body)?;
    let mut answer = Object::parse(&body).map_err(|fault| broken(&fault))?;
    let has_results = answer.has("results") || answer.has("data");
    if !has_results && (answer.has("error") || answer.has("message") || answer.has("detail")) {
        return Err(decode_in_band(&body));
    }
    let results = results(&mut answer, &question).map_err(|fault| broken(&fault))?;
    let model = answer.take_string("model").ok().flatten();
    let usage = usage(&mut answer);
    let summary = Summary { usage, upstream_model: model.clone(), complete: true, ..Summary::default() };
    let is_same = matches!(
        (call.dialect, upstream),
        (Dialect::Cohere, Dialect::Cohere) | (Dialect::OpenAi, Dialect::OpenAi)
    );
    let wants_documents = question.returns_documents == Some(true);
    if is_same && !(wants_documents && call.dialect == Dialect::Cohere) {
        return Ok((body, summary));
    }
    let mut id = answer.take_string("id").ok().flatten().unwrap_or_default();
    let mut model = model.unwrap_or_default();
    Unnamed::new(call).fill(&mut id, &mut model, &body);
    let documents = question.documents.as_slice();
    let shown = if wants_documents { documents } else { &[] };
    let most = question.top_n.and_then(|top_n| usize::try_from(top_n).ok()).unwrap_or(usize::MAX);
    let body = object(|w| {
        let write = |array: &mut ArrayWriter<'_>| {
            results.iter().take(most).for_each(|ranked| write_result(array, ranked, shown));
        };
        if call.dialect == Dialect::Cohere {
            w.string("id", &id);
            w.array("results", write);
            w.object("meta", |w| write_meta(w, &mut answer, usage));
        } else {
            w.string("model", &model);
            w.string("object", "list");
            w.object("usage", |w| {
                let tokens = usage.unwrap_or_default().all_input();
                w.number("total_tokens", tokens);
                w.number("prompt_tokens", tokens);
            });
            w.array("results", write);
        }
    });
    Ok((body.into(), summary))
}

fn results<'a>(answer: &mut Object<'a>, question: &Question<'_>) -> Result<Vec<Ranked<'a>>, Fault> {
    let name = if answer.has("results") { "results" } else { "data" };
    if !answer.has(name) {
        return Err(answer.wrong("results", "an array"));
    }
    let mut results = Vec::new();
    for (place, value) in answer.take_array(name)?.into_iter().enumerate() {
        let mut result = Object::read(value, crate::json::nth(name, place))?;
        let Some(index) = result.take_as::<u64>("index", "a number")? else {
            return Err(result.wrong("index", "a number"));
        };
        let score = result.take("relevance_score").or_else(|| result.take("score"));
        let Some(score) = score.filter(|score| score.get().parse::<f64>().is_ok()) else {
            return Err(result.wrong("relevance_score", "a number"));
        };
        if usize::try_from(index).map_or(true, |index| index >= question.documents.len()) {
            return Err(Fault::invalid("a document is ranked that was not asked about"));
        }
        results.push(Ranked { index, score });
    }
    Ok(results)
}

/// Tokens, where the provider counts in tokens: some count searches.
fn usage(answer: &mut Object<'_>) -> Option<Usage> {
    let (mut input, mut billed, mut total) = (None, None, None);
    for name in ["usage", "meta"] {
        let report: Option<&RawValue> = answer.peek_as(name);
        numbers(
            report.map_or(b"".as_slice(), |report| report.get().as_bytes()),
            |outer, name, number| match (outer, name) {
                (b"" | b"tokens", b"prompt_tokens" | b"input_tokens") => input = count(number),
                (b"billed_units", b"input_tokens") => billed = count(number),
                (b"", b"total_tokens") => total = count(number),
                _ => {}
            },
        );
    }
    let input = input.or(billed).or(total)?;
    Some(Usage { input, ..Usage::default() })
}

fn write_result(array: &mut ArrayWriter<'_>, ranked: &Ranked<'_>, documents: &[&RawValue]) {
    array.object(|w| {
        w.number("index", ranked.index);
        w.raw("relevance_score", ranked.score.get());
        let document = usize::try_from(ranked.index).ok().and_then(|index| documents.get(index));
        match document {
            Some(text) if is_string(text) => w.object("document", |w| w.raw("text", text.get())),
            Some(document) => w.raw("document", document.get()),
            None => {}
        }
    });
}

/// What Cohere tells beside the results: its own words where it spoke, the tokens otherwise.
fn write_meta(w: &mut ObjectWriter<'_>, answer: &mut Object<'_>, usage: Option<Usage>) {
    let native = answer.take_object("meta").ok().flatten();
    match native {
        Some(native) => w.extra(&native.rest()),
        None => {
            w.object("api_version", |w| w.string("version", "2"));
            if let Some(usage) = usage {
                w.object("tokens", |w| w.number("input_tokens", usage.all_input()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
