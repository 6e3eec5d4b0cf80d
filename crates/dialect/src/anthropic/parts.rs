//! The blocks of Anthropic messages, in requests and in answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault, Signature,
    anthropic::citation,
    canonical::{Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter, is_string},
};

/// Takes the blocks of a field: a string, an array, or nothing.
pub(crate) fn content(message: &mut Object<'_>, name: &str) -> Result<Vec<Part>, Fault> {
    let place = message.place_of(name);
    let Some(value) = message.take(name) else { return Ok(Vec::new()) };
    if is_string(value) {
        let text: String =
            serde_json::from_str(value.get()).map_err(|_error| message.wrong(name, "a string"))?;
        return Ok(vec![PartBody::Text(text).into()]);
    }
    let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        return Err(message.wrong(name, "a string or an array"));
    };
    let blocks = blocks.into_iter().enumerate();
    blocks.map(|(index, value)| block(value, crate::json::nth(&place, index))).collect()
}

fn block(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut block = Object::read(value, place)?;
    let kind = block.need_string("type")?;
    let body = match kind.as_str() {
        "text" => PartBody::Text(block.need_string("text")?),
        "image" | "document" => match source(&mut block)? {
            Some(source) if kind == "image" => PartBody::Image { source, detail: None },
            Some(source) => PartBody::Document { source, name: block.take_string("title")? },
            None => PartBody::Opaque { kind, value: Json::new(value) },
        },
        "tool_use" => PartBody::ToolCall {
            id: block.need_string("id")?,
            name: block.need_string("name")?,
            arguments: block.take("input").map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
        },
        "tool_result" => PartBody::ToolResult {
            id: block.need_string("tool_use_id")?,
            content: content(&mut block, "content")?,
            is_error: block.take_as("is_error", "true or false")?.unwrap_or(false),
        },
        "thinking" => PartBody::Thinking {
            text: block.take_string("thinking")?.unwrap_or_default(),
            signature: block
                .take_string("signature")?
                .filter(|signature| !signature.is_empty())
                .map(|signature| Signature::read(Dialect::Anthropic, &signature)),
        },
        "redacted_thinking" => PartBody::RedactedThinking {
            data: Signature::read(Dialect::Anthropic, &block.need_string("data")?),
        },
        _ => PartBody::Opaque { kind, value: Json::new(value) },
    };
    if matches!(body, PartBody::Opaque { .. }) {
        return Ok(body.into());
    }
    let cache = block.take("cache_control").map(Json::new);
    Ok(Part { cache, extra: block.rest(), ..Part::from(body) })
}

/// The source of an image or document; nothing when it is of a kind only Anthropic knows.
fn source(block: &mut Object<'_>) -> Result<Option<Source>, Fault> {
    let Some(mut source) = block.take_object("source")? else {
        return Err(block.wrong("source", "an object"));
    };
    Ok(Some(match source.need_string("type")?.as_str() {
        "base64" => Source::Base64 {
            media_type: source.need_string("media_type")?,
            data: source.need_string("data")?,
        },
        "url" => Source::Url(source.need_string("url")?),
        "file" => Source::File(source.need_string("file_id")?),
        "text" => Source::Text(source.need_string("data")?),
        _ => return Ok(None),
    }))
}

/// Writes a block. What has no block of its own is left out: the caller of this function has accounted for it.
pub(crate) fn write(array: &mut ArrayWriter<'_>, part: &Part, home: bool) {
    match &part.body {
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        PartBody::Thinking { signature: None, .. } => {}
        _ => array.object(|w| {
            write_body(w, &part.body, home);
            if !part.citations.is_empty() {
                w.array("citations", |array| {
                    part.citations.iter().for_each(|citation| array.raw(&citation::write(citation)));
                });
            }
            if let Some(cache) = &part.cache {
                w.raw("cache_control", cache.text());
            }
            if home {
                w.extra(&part.extra);
            }
        }),
    }
}

fn write_body(w: &mut ObjectWriter<'_>, body: &PartBody, home: bool) {
    match body {
        PartBody::Text(text) | PartBody::Refusal(text) => {
            w.string("type", "text");
            w.string("text", text);
        }
        PartBody::Image { source, .. } => {
            w.string("type", "image");
            w.object("source", |w| write_source(w, source));
        }
        PartBody::Document { source, name } => {
            w.string("type", "document");
            w.object("source", |w| write_source(w, source));
            if let Some(name) = name {
                w.string("title", name);
            }
        }
        PartBody::ToolCall { id, name, arguments } => {
            w.string("type", "tool_use");
            w.string("id", id);
            w.string("name", name);
            w.raw("input", if arguments.trim().is_empty() { "{}" } else { arguments });
        }
        PartBody::ToolResult { id, content, is_error } => {
            w.string("type", "tool_result");
            w.string("tool_use_id", id);
            write_result(w, content, home);
            if *is_error {
                w.bool("is_error", true);
            }
        }
        PartBody::Thinking { text, signature } => {
            w.string("type", "thinking");
            w.string("thinking", text);
            let signature = signature.as_ref().map(|signature| signature.carry(Dialect::Anthropic));
            w.string("signature", signature.as_deref().unwrap_or_default());
        }
        PartBody::RedactedThinking { data } => {
            w.string("type", "redacted_thinking");
            w.string("data", &data.carry(Dialect::Anthropic));
        }
        PartBody::Audio { .. } | PartBody::Video { .. } => {}
        PartBody::Opaque { .. } => {}
    }
}

fn write_result(w: &mut ObjectWriter<'_>, content: &[Part], home: bool) {
    match content {
        [] => {}
        [Part { body: PartBody::Text(text), cache: None, extra, .. }] if extra.is_empty() || !home => {
            w.string("content", text);
        }
        parts => w.array("content", |array| {
            for part in parts {
                write(array, part, home);
            }
        }),
    }
}

fn write_source(w: &mut ObjectWriter<'_>, source: &Source) {
    match source {
        Source::Base64 { media_type, data } => {
            w.string("type", "base64");
            w.string("media_type", media_type);
            w.string("data", data);
        }
        Source::Url(url) => {
            w.string("type", "url");
            w.string("url", url);
        }
        Source::File(id) => {
            w.string("type", "file");
            w.string("file_id", id);
        }
        Source::Text(text) => {
            w.string("type", "text");
            w.string("media_type", "text/plain");
            w.string("data", text);
        }
    }
}
