//! The blocks of Converse's messages, in requests and in answers, to and from the canonical form.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::{
    Dialect, Fault, Signature,
    bedrock::media::Kind,
    canonical::{Citation, Extra, Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter},
};

/// Marks the extra field of a text that was JSON in the result of a tool.
const JSON: &str = "json";

/// Takes the blocks of a field.
pub(crate) fn content(holder: &mut Object<'_>, name: &str) -> Result<Vec<Part>, Fault> {
    let place = holder.place_of(name);
    let mut parts: Vec<Part> = Vec::new();
    for (index, value) in holder.take_array(name)?.into_iter().enumerate() {
        let place = crate::json::nth(&place, index);
        let last = parts.last_mut().filter(|part| part.cache.is_none());
        match (cache_point(value, &place)?, last) {
            (Some(mark), Some(last)) => last.cache = Some(mark),
            _ => parts.push(block(value, place)?),
        }
    }
    Ok(parts)
}

/// The mark of a block that is one, in Anthropic's words.
pub(crate) fn cache_point(value: &RawValue, place: &str) -> Result<Option<Json>, Fault> {
    if !value.get().contains("cachePoint") {
        return Ok(None);
    }
    let mut block = Object::read(value, place)?;
    let Some(mut point) = block.take_object("cachePoint")? else { return Ok(None) };
    let mark = match point.take_string("ttl")? {
        Some(ttl) => serde_json::json!({"type": "ephemeral", "ttl": ttl}).to_string(),
        None => r#"{"type":"ephemeral"}"#.to_owned(),
    };
    Ok(Json::parse(&mark).ok())
}

fn block(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut block = Object::read(value, place)?;
    let opaque = |block: Object<'_>| {
        let kind = block.rest().into_iter().next().map(|(name, _)| name).unwrap_or_default();
        Ok(PartBody::Opaque { kind, value: Json::new(value) }.into())
    };
    if let Some(text) = block.take_string("text")? {
        return Ok(PartBody::Text(text).into());
    }
    for kind in [Kind::Image, Kind::Document, Kind::Video, Kind::Audio] {
        if block.has(kind.name()) {
            let part = block.take_object(kind.name())?.map(|inner| media(inner, kind)).transpose()?.flatten();
            return part.map_or_else(|| opaque(Object::read(value, "")?), Ok);
        }
    }
    if block.has("toolUse") || block.has("toolResult") {
        let part = tool(&mut block)?;
        return part.map_or_else(|| opaque(Object::read(value, "")?), Ok);
    }
    if let Some(reasoning) = block.take_object("reasoningContent")? {
        return reasoning_content(reasoning);
    }
    if let Some(mut cited) = block.take_object("citationsContent")? {
        let mut text = String::new();
        for (index, value) in cited.take_array("content")?.into_iter().enumerate() {
            text += &Object::read(value, cited.place_of(&crate::json::nth("content", index)))?
                .need_string("text")?;
        }
        let citations: Result<Vec<_>, Fault> =
            cited.take_array("citations")?.into_iter().map(citation).collect();
        return Ok(Part { citations: citations?, extra: cited.rest(), ..Part::from(PartBody::Text(text)) });
    }
    if let Some(json) = block.take(JSON) {
        let extra = vec![(JSON.to_owned(), Json::new(json))];
        return Ok(Part { extra, ..Part::from(PartBody::Text(json.get().to_owned())) });
    }
    opaque(block)
}

/// An image, a document, sound or moving pictures; nothing when its source has no canonical word.
fn media(mut inner: Object<'_>, kind: Kind) -> Result<Option<Part>, Fault> {
    let mut extra = Extra::new();
    let format = inner.take("format");
    let Some(mut source) = inner.take_object("source")? else {
        return Err(inner.wrong("source", "an object"));
    };
    let mut keep_format = true;
    let source = if let Some(data) = source.take_string("bytes")? {
        keep_format = false;
        let format: Option<String> = format.and_then(|format| serde_json::from_str(format.get()).ok());
        let media_type = kind.media_type(format.as_deref().unwrap_or("octet-stream"));
        Source::Base64 { media_type, data }
    } else if let Some(mut location) = source.take_object("s3Location")? {
        let uri = location.need_string("uri")?;
        extra.extend(location.rest());
        Source::File(uri)
    } else if let Some(text) = source.take_string("text")? {
        Source::Text(text)
    } else {
        return Ok(None);
    };
    if let Some(format) = format.filter(|_| keep_format) {
        extra.push(("format".to_owned(), Json::new(format)));
    }
    let body = match kind {
        Kind::Image => PartBody::Image { source, detail: None },
        Kind::Document => PartBody::Document { source, name: inner.take_string("name")? },
        Kind::Video => PartBody::Video { source },
        Kind::Audio => PartBody::Audio { source },
    };
    extra.extend(inner.rest());
    Ok(Some(Part { extra, ..Part::from(body) }))
}

/// A call of a tool or its result; nothing when the provider itself runs the tool.
fn tool(block: &mut Object<'_>) -> Result<Option<Part>, Fault> {
    if let Some(mut call) = block.take_object("toolUse")? {
        if call.take_string("type")?.is_some_and(|kind| kind != "tool_use") {
            return Ok(None);
        }
        let body = PartBody::ToolCall {
            id: call.need_string("toolUseId")?,
            name: call.need_string("name")?,
            arguments: call.take("input").map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
        };
        return Ok(Some(Part { extra: call.rest(), ..Part::from(body) }));
    }
    let Some(mut result) = block.take_object("toolResult")? else { return Ok(None) };
    if result.has("type") {
        return Ok(None);
    }
    let body = PartBody::ToolResult {
        id: result.need_string("toolUseId")?,
        content: content(&mut result, "content")?,
        is_error: result.take_string("status")?.as_deref() == Some("error"),
    };
    Ok(Some(Part { extra: result.rest(), ..Part::from(body) }))
}

fn reasoning_content(mut reasoning: Object<'_>) -> Result<Part, Fault> {
    if let Some(data) = reasoning.take_string("redactedContent")? {
        return Ok(PartBody::RedactedThinking { data: Signature::read(Dialect::Bedrock, &data) }.into());
    }
    let Some(mut text) = reasoning.take_object("reasoningText")? else {
        return Err(reasoning.wrong("reasoningText", "an object"));
    };
    let signature = text.take_string("signature")?.filter(|signature| !signature.is_empty());
    let body = PartBody::Thinking {
        text: text.take_string("text")?.unwrap_or_default(),
        signature: signature.map(|signature| Signature::read(Dialect::Bedrock, &signature)),
    };
    Ok(Part { extra: text.rest(), ..Part::from(body) })
}

/// What a text rests on.
pub(crate) fn citation(value: &RawValue) -> Result<Citation, Fault> {
    let mut citation = Object::read(value, "citation")?;
    let mut quote = String::new();
    for words in citation.take_array("sourceContent")? {
        quote += &Object::read(words, "sourceContent")?.take_string("text")?.unwrap_or_default();
    }
    let location = citation.take_object("location")?;
    let web = location.map(|mut location| location.take_object("web")).transpose()?.flatten();
    Ok(Citation {
        span: None,
        url: web.map(|mut web| web.take_string("url")).transpose()?.flatten(),
        title: citation.take_string("title")?,
        quote: Some(quote).filter(|quote| !quote.is_empty()),
        file: citation.take_string("source")?,
        native: Some((Dialect::Bedrock, Json::new(value))),
    })
}

/// Writes a block and, where it has a mark for the cache, another one after it.
pub(crate) fn write(array: &mut ArrayWriter<'_>, part: &Part) {
    match &part.body {
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        _ => array.object(|w| write_body(w, part)),
    }
    if let Some(mark) = &part.cache {
        write_cache_point(array, mark);
    }
}

/// Writes a mark for the cache.
pub(crate) fn write_cache_point(array: &mut ArrayWriter<'_>, mark: &Json) {
    let ttl = || {
        serde_json::from_str::<serde_json::Value>(mark.text()).ok()?.get("ttl")?.as_str().map(str::to_owned)
    };
    array.object(|w| {
        w.object("cachePoint", |w| {
            w.string("type", "default");
            if let Some(ttl) = ttl() {
                w.string("ttl", &ttl);
            }
        });
    });
}

fn write_body(w: &mut ObjectWriter<'_>, part: &Part) {
    match &part.body {
        PartBody::Text(text) if !part.citations.is_empty() => write_cited(w, text, part),
        PartBody::Text(text) | PartBody::Refusal(text) => {
            match part.extra.iter().find(|(name, _)| name == JSON) {
                Some((_, json)) => w.raw(JSON, json.text()),
                None => w.string("text", text),
            }
        }
        PartBody::Image { source, .. } => write_media(w, Kind::Image, (source, None), part),
        PartBody::Document { source, name } => {
            write_media(w, Kind::Document, (source, name.as_deref()), part)
        }
        PartBody::Video { source } => write_media(w, Kind::Video, (source, None), part),
        PartBody::Audio { source } => write_media(w, Kind::Audio, (source, None), part),
        PartBody::ToolCall { id, name, arguments } => w.object("toolUse", |w| {
            w.string("toolUseId", id);
            w.string("name", name);
            w.raw("input", if arguments.trim().is_empty() { "{}" } else { arguments });
            w.extra(&part.extra);
        }),
        PartBody::ToolResult { id, content, is_error } => w.object("toolResult", |w| {
            w.string("toolUseId", id);
            w.array("content", |array| content.iter().for_each(|part| write(array, part)));
            if *is_error {
                w.string("status", "error");
            }
            w.extra(&part.extra);
        }),
        PartBody::Thinking { text, signature } => w.object("reasoningContent", |w| {
            w.object("reasoningText", |w| {
                w.string("text", text);
                if let Some(signature) = signature {
                    w.string("signature", &signature.data);
                }
                w.extra(&part.extra);
            });
        }),
        PartBody::RedactedThinking { data } => w.object("reasoningContent", |w| match data.by {
            // Converse wraps the words of Anthropic's field once more.
            Dialect::Anthropic => w.string("redactedContent", &STANDARD.encode(&data.data)),
            _ => w.string("redactedContent", &data.data),
        }),
        PartBody::Opaque { .. } => {}
    }
}

fn write_media(w: &mut ObjectWriter<'_>, kind: Kind, (source, name): (&Source, Option<&str>), part: &Part) {
    let is_place = |name: &str| name == "bucketOwner";
    w.object(kind.name(), |w| {
        if let Some(name) = name {
            w.string("name", name);
        }
        match source {
            Source::Base64 { media_type, .. } => {
                if let Some(format) = kind.format(media_type) {
                    w.string("format", format);
                }
            }
            Source::Text(_) | Source::File(_) | Source::Url(_) => {}
        }
        w.object("source", |w| match source {
            Source::Base64 { data, .. } => w.string("bytes", data),
            Source::Text(text) => w.string("text", text),
            Source::File(uri) | Source::Url(uri) => w.object("s3Location", |w| {
                w.string("uri", uri);
                for (name, value) in part.extra.iter().filter(|(name, _)| is_place(name)) {
                    w.raw(name, value.text());
                }
            }),
        });
        for (name, value) in part.extra.iter().filter(|(name, _)| !is_place(name)) {
            w.raw(name, value.text());
        }
    });
}

fn write_cited(w: &mut ObjectWriter<'_>, text: &str, part: &Part) {
    w.object("citationsContent", |w| {
        w.array("content", |array| array.object(|w| w.string("text", text)));
        w.array("citations", |array| {
            for citation in &part.citations {
                match &citation.native {
                    Some((Dialect::Bedrock, native)) => array.raw(native.text()),
                    _ => array.object(|w| write_citation(w, citation)),
                }
            }
        });
        w.extra(&part.extra);
    });
}

/// Writes what a text rests on.
pub(crate) fn write_citation(w: &mut ObjectWriter<'_>, citation: &Citation) {
    if let Some(title) = &citation.title {
        w.string("title", title);
    }
    if let Some(file) = &citation.file {
        w.string("source", file);
    }
    if let Some(quote) = &citation.quote {
        w.array("sourceContent", |array| array.object(|w| w.string("text", quote)));
    }
    if let Some(url) = &citation.url {
        w.object("location", |w| w.object("web", |w| w.string("url", url)));
    }
}
