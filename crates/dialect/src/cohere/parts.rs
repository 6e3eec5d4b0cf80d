//! The pieces of Cohere's messages, in requests and in answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    canonical::{Citation, Extra, Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter, is_string},
};

/// Marks reasoning that stands in the field of that name.
pub(crate) const PLAN: &str = "tool_plan";
/// Marks a text that was a document in the result of a tool.
const DOCUMENT: &str = "document";

/// Takes the pieces of `content`: a string, an array, or nothing.
pub(crate) fn content(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let place = message.place_of("content");
    let Some(value) = message.take("content") else { return Ok(Vec::new()) };
    if is_string(value) {
        let text =
            serde_json::from_str(value.get()).map_err(|_error| message.wrong("content", "a string"))?;
        return Ok(vec![PartBody::Text(text).into()]);
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        return Err(message.wrong("content", "a string or an array"));
    };
    let items = items.into_iter().enumerate();
    items.map(|(index, value)| piece(value, crate::json::nth(&place, index))).collect()
}

fn piece(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut piece = Object::read(value, place)?;
    let kind = piece.need_string("type")?;
    let body = match kind.as_str() {
        "text" => PartBody::Text(piece.need_string("text")?),
        "thinking" => {
            PartBody::Thinking { text: piece.take_string("thinking")?.unwrap_or_default(), signature: None }
        }
        "image_url" => image(&mut piece)?,
        DOCUMENT => {
            let Some(document) = piece.take(DOCUMENT) else { return Err(piece.wrong(DOCUMENT, "an object")) };
            let extra = vec![(DOCUMENT.to_owned(), Json::new(document))];
            return Ok(Part { extra, ..Part::from(PartBody::Text(document.get().to_owned())) });
        }
        _ => return Ok(PartBody::Opaque { kind, value: Json::new(value) }.into()),
    };
    Ok(Part { extra: piece.rest(), ..Part::from(body) })
}

fn image(piece: &mut Object<'_>) -> Result<PartBody, Fault> {
    let Some(mut image) = piece.take_object("image_url")? else {
        return Err(piece.wrong("image_url", "an object"));
    };
    let url = image.need_string("url")?;
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let source = match inline {
        Some((media_type, data)) => {
            Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
        }
        None => Source::Url(url),
    };
    Ok(PartBody::Image { source, detail: image.take_string("detail")? })
}

/// Takes what the model says: its plan, its reasoning and words, its calls, and what the words rest on.
pub(crate) fn assistant(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    if let Some(plan) = message.take_string(PLAN)?.filter(|plan| !plan.is_empty()) {
        let extra: Extra = Json::parse("true").ok().map(|json| (PLAN.to_owned(), json)).into_iter().collect();
        parts.push(Part { extra, ..Part::from(PartBody::Thinking { text: plan, signature: None }) });
    }
    let first = parts.len();
    parts.extend(content(message)?);
    for value in message.take_array("citations")? {
        let (index, citation) = citation(value)?;
        let at = usize::try_from(index).ok().map(|index| first.saturating_add(index));
        let is_text = |part: &Part| matches!(part.body, PartBody::Text(_));
        let named = at.filter(|at| parts.get(*at).is_some_and(is_text));
        if let Some(at) = named.or_else(|| parts.iter().position(is_text))
            && let Some(text) = parts.get_mut(at)
        {
            text.citations.push(citation);
        }
    }
    for (index, value) in message.take_array("tool_calls")?.into_iter().enumerate() {
        let mut call = Object::read(value, message.place_of(&crate::json::nth("tool_calls", index)))?;
        let Some(mut function) = call.take_object("function")? else {
            return Err(call.wrong("function", "an object"));
        };
        let body = PartBody::ToolCall {
            id: call.take_string("id")?.unwrap_or_default(),
            name: function.take_string("name")?.unwrap_or_default(),
            arguments: function.take_string("arguments")?.unwrap_or_default(),
        };
        call.take("type");
        parts.push(Part { extra: call.rest(), ..Part::from(body) });
    }
    Ok(parts)
}

/// What a text rests on, and the piece of the content that the text is.
pub(crate) fn citation(value: &RawValue) -> Result<(u64, Citation), Fault> {
    let mut citation = Object::read(value, "citations")?;
    let index = citation.take_as("content_index", "a number")?.unwrap_or(0);
    let start: Option<u64> = citation.take_as("start", "a number")?;
    let end: Option<u64> = citation.take_as("end", "a number")?;
    let mut found =
        Citation { span: start.zip(end), url: None, title: None, quote: None, file: None, native: None };
    if let Some(source) = citation.take_array("sources")?.first() {
        let mut source = Object::read(source, "citations.sources")?;
        found.file = source.take_string("id")?;
        if let Some(mut document) = source.take_object(DOCUMENT)? {
            let mut word = |name: &str| document.take_string(name).ok().flatten();
            (found.url, found.title) = (word("url"), word("title"));
            found.quote = word("snippet").or_else(|| word("text"));
        }
    }
    found.native = Some((Dialect::Cohere, Json::new(value)));
    Ok((index, found))
}

/// Writes pieces as `content`; one text alone is a string.
pub(crate) fn write_content(w: &mut ObjectWriter<'_>, parts: &[&Part]) {
    if let [Part { body: PartBody::Text(text) | PartBody::Refusal(text), extra, .. }] = parts
        && extra.is_empty()
    {
        return w.string("content", text);
    }
    w.array("content", |array| parts.iter().for_each(|part| write_piece(array, part)));
}

fn write_piece(array: &mut ArrayWriter<'_>, part: &Part) {
    if let Some((_, document)) = part.extra.iter().find(|(name, _)| name == DOCUMENT) {
        return array.object(|w| {
            w.string("type", DOCUMENT);
            w.raw(DOCUMENT, document.text());
        });
    }
    match &part.body {
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        PartBody::Text(text)
        | PartBody::Refusal(text)
        | PartBody::Document { source: Source::Text(text), .. } => array.object(|w| {
            w.string("type", "text");
            w.string("text", text);
            w.extra(&part.extra);
        }),
        PartBody::Thinking { text, .. } => array.object(|w| {
            w.string("type", "thinking");
            w.string("thinking", text);
            w.extra(&part.extra);
        }),
        PartBody::Image { source, detail } => array.object(|w| {
            w.string("type", "image_url");
            w.object("image_url", |w| {
                w.string("url", &url(source));
                if let Some(detail) = detail {
                    w.string("detail", detail);
                }
            });
            w.extra(&part.extra);
        }),
        _ => {}
    }
}

fn url(source: &Source) -> String {
    match source {
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) | Source::File(url) | Source::Text(url) => url.clone(),
    }
}

/// Writes what the model says, as fields of its message.
pub(crate) fn write_assistant(w: &mut ObjectWriter<'_>, parts: &[Part]) {
    let is_plan = |part: &Part| part.extra.iter().any(|(name, _)| name == PLAN);
    for part in parts.iter().filter(|part| is_plan(part)) {
        if let PartBody::Thinking { text, .. } = &part.body {
            w.string(PLAN, text);
        }
    }
    let said: Vec<&Part> = parts
        .iter()
        .filter(|part| !is_plan(part) && !matches!(part.body, PartBody::ToolCall { .. }))
        .collect();
    if !said.is_empty() {
        write_content(w, &said);
    }
    if parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. })) {
        w.array("tool_calls", |array| parts.iter().for_each(|part| write_call(array, part)));
    }
    let cited =
        || said.iter().zip(0_u64..).flat_map(|(part, index)| part.citations.iter().map(move |c| (index, c)));
    if cited().next().is_some() {
        w.array("citations", |array| {
            cited().for_each(|(index, citation)| write_citation(array, index, citation));
        });
    }
}

fn write_call(array: &mut ArrayWriter<'_>, part: &Part) {
    let PartBody::ToolCall { id, name, arguments } = &part.body else { return };
    array.object(|w| {
        w.string("id", id);
        w.string("type", "function");
        w.object("function", |w| {
            w.string("name", name);
            w.string("arguments", if arguments.trim().is_empty() { "{}" } else { arguments });
        });
        w.extra(&part.extra);
    });
}

fn write_citation(array: &mut ArrayWriter<'_>, index: u64, citation: &Citation) {
    match &citation.native {
        Some((Dialect::Cohere, native)) => array.raw(native.text()),
        _ => array.object(|w| write_citation_fields(w, index, citation)),
    }
}

/// Writes what a text rests on.
pub(crate) fn write_citation_fields(w: &mut ObjectWriter<'_>, index: u64, citation: &Citation) {
    if let Some((start, end)) = citation.span {
        w.number("start", start);
        w.number("end", end);
    }
    w.number("content_index", index);
    let write_document = |w: &mut ObjectWriter<'_>| {
        for (name, value) in
            [("url", &citation.url), ("title", &citation.title), ("snippet", &citation.quote)]
        {
            if let Some(value) = value {
                w.string(name, value);
            }
        }
    };
    w.array("sources", |array| {
        array.object(|w| {
            w.string("type", DOCUMENT);
            if let Some(file) = &citation.file {
                w.string("id", file);
            }
            w.object(DOCUMENT, write_document);
        });
    });
}
