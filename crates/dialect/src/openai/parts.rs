//! The pieces of OpenAI messages, in requests and in answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault, Signature,
    canonical::{Citation, Extra, Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter, is_string},
    signature::seal_id,
};

/// The format under which signed reasoning of Anthropic models travels in OpenAI messages.
const SIGNED: &str = "anthropic-claude-v1";

/// Takes `content`: a string, an array of parts, or nothing.
pub(crate) fn content(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let place = message.place_of("content");
    let Some(value) = message.take("content") else { return Ok(Vec::new()) };
    if is_string(value) {
        let text: String =
            serde_json::from_str(value.get()).map_err(|_error| message.wrong("content", "a string"))?;
        return Ok(vec![PartBody::Text(text).into()]);
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        return Err(message.wrong("content", "a string or an array"));
    };
    let items = items.into_iter().enumerate();
    items.map(|(index, item)| content_part(item, crate::json::nth(&place, index))).collect()
}

fn content_part(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut object = Object::read(value, place)?;
    let kind = object.need_string("type")?;
    let body = match kind.as_str() {
        "text" => PartBody::Text(object.need_string("text")?),
        "refusal" => PartBody::Refusal(object.need_string("refusal")?),
        "image_url" => image(&mut object)?,
        "file" => file(&mut object)?,
        "input_audio" => audio(&mut object)?,
        "thinking" => PartBody::Thinking { text: thinking(&mut object)?, signature: None },
        _ => PartBody::Opaque { kind, value: Json::new(value) },
    };
    if matches!(body, PartBody::Opaque { .. }) {
        return Ok(body.into());
    }
    let cache = object.take("cache_control").map(Json::new);
    Ok(Part { cache, extra: object.rest(), ..Part::from(body) })
}

/// Some compatible servers write the URL without an object around it.
fn image(object: &mut Object<'_>) -> Result<PartBody, Fault> {
    let Some(value) = object.take("image_url") else { return Err(object.wrong("image_url", "an object")) };
    let place = object.place_of("image_url");
    let (url, detail, place) = if is_string(value) {
        let url =
            serde_json::from_str(value.get()).map_err(|_error| object.wrong("image_url", "a string"))?;
        (url, None, place)
    } else {
        let mut inner = Object::read(value, place)?;
        (inner.need_string("url")?, inner.take_string("detail")?, inner.place_of("url"))
    };
    Ok(PartBody::Image { source: source(url, &place)?, detail })
}

fn file(object: &mut Object<'_>) -> Result<PartBody, Fault> {
    let Some(mut file) = object.take_object("file")? else { return Err(object.wrong("file", "an object")) };
    let name = file.take_string("filename")?;
    let source = if let Some(id) = file.take_string("file_id")? {
        Source::File(id)
    } else {
        let place = file.place_of("file_data");
        source(file.need_string("file_data")?, &place)?
    };
    Ok(PartBody::Document { source, name })
}

fn audio(object: &mut Object<'_>) -> Result<PartBody, Fault> {
    let Some(mut audio) = object.take_object("input_audio")? else {
        return Err(object.wrong("input_audio", "an object"));
    };
    let media_type = format!("audio/{}", audio.need_string("format")?);
    Ok(PartBody::Audio { source: Source::Base64 { media_type, data: audio.need_string("data")? } })
}

/// A URL, or the bytes that a data URL holds.
fn source(url: String, place: &str) -> Result<Source, Fault> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(Source::Url(url)) };
    let wrong = || Fault::invalid(format!("`{place}` must be a base64 data URL with a media type")).at(place);
    let (head, data) = rest.split_once(',').ok_or_else(wrong)?;
    let media_type = head.strip_suffix(";base64").ok_or_else(wrong)?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    if media_type.is_empty() {
        return Err(wrong());
    }
    Ok(Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

/// Mistral's reasoning: a list of text parts, or a string.
fn thinking(object: &mut Object<'_>) -> Result<String, Fault> {
    let Some(value) = object.take("thinking") else { return Ok(String::new()) };
    if is_string(value) {
        return serde_json::from_str(value.get()).map_err(|_error| object.wrong("thinking", "a string"));
    }
    let mut text = String::new();
    let items: Vec<&RawValue> = serde_json::from_str(value.get())
        .map_err(|_error| object.wrong("thinking", "a string or an array"))?;
    for item in items {
        let mut part = Object::read(item, object.place_of("thinking"))?;
        text.push_str(&part.take_string("text")?.unwrap_or_default());
    }
    Ok(text)
}

/// Takes everything an assistant says, in a request or in an answer: reasoning, words, then calls of tools.
pub(crate) fn assistant(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let mut parts = reasoning(message)?;
    parts.extend(content(message)?);
    if let Some(refusal) = message.take_string("refusal")? {
        parts.push(PartBody::Refusal(refusal).into());
    }
    let place = message.place_of("tool_calls");
    for (index, value) in message.take_array("tool_calls")?.into_iter().enumerate() {
        parts.push(tool_call(value, crate::json::nth(&place, index), index)?);
    }
    Ok(parts)
}

fn reasoning(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let plain = message.take_string("reasoning_content")?;
    let plain = if plain.is_some() { plain } else { take_text(message, "reasoning") };
    if let Some(signed) = signed_reasoning(message)? {
        return Ok(signed);
    }
    let plain = plain.filter(|text| !text.is_empty());
    Ok(plain.map(|text| PartBody::Thinking { text, signature: None }.into()).into_iter().collect())
}

/// A text field that other servers use for other things.
fn take_text(message: &mut Object<'_>, name: &str) -> Option<String> {
    serde_json::from_str(message.take(name)?.get()).ok()
}

/// Takes what an answer rests on: citations of web pages.
pub(crate) fn annotations(message: &mut Object<'_>) -> Result<Vec<Citation>, Fault> {
    let mut citations = Vec::new();
    for value in message.take_array("annotations")? {
        let mut annotation = Object::read(value, message.place_of("annotations"))?;
        let native = Some((Dialect::OpenAi, Json::new(value)));
        let mut citation = Citation { span: None, url: None, title: None, quote: None, file: None, native };
        if let Some(mut page) = annotation.take_object("url_citation")? {
            let (start, end) =
                (page.take_as("start_index", "a number")?, page.take_as("end_index", "a number")?);
            citation.span = start.zip(end);
            citation.url = page.take_string("url")?;
            citation.title = page.take_string("title")?;
        }
        citations.push(citation);
    }
    Ok(citations)
}

/// Writes what an answer rests on, where it is a web page: OpenAI has no word for anything else.
pub(crate) fn write_annotations<'a>(w: &mut ObjectWriter<'_>, citations: impl Iterator<Item = &'a Citation>) {
    let mut pages = citations.filter(|citation| citation.url.is_some()).peekable();
    if pages.peek().is_none() {
        return;
    }
    w.array("annotations", |array| {
        for page in pages {
            array.object(|w| {
                w.string("type", "url_citation");
                w.object("url_citation", |w| write_page(w, page));
            });
        }
    });
}

fn write_page(w: &mut ObjectWriter<'_>, page: &Citation) {
    let (start, end) = page.span.unwrap_or_default();
    w.number("start_index", start);
    w.number("end_index", end);
    w.string("url", page.url.as_deref().unwrap_or_default());
    w.string("title", page.title.as_deref().unwrap_or_default());
}

/// Reasoning of Anthropic models with its signatures; any other kind stays where it is.
fn signed_reasoning(message: &mut Object<'_>) -> Result<Option<Vec<Part>>, Fault> {
    let Some(details) = message.peek_as::<Vec<&RawValue>>("reasoning_details") else { return Ok(None) };
    let mut parts = Vec::new();
    for detail in details {
        let mut detail = Object::read(detail, message.place_of("reasoning_details"))?;
        if detail.take_string("format")?.as_deref() != Some(SIGNED) {
            return Ok(None);
        }
        match detail.need_string("type")?.as_str() {
            "reasoning.text" => {
                let text = detail.take_string("text")?.unwrap_or_default();
                let signature = detail.take_string("signature")?.filter(|signature| !signature.is_empty());
                let signature = signature.map(|signature| Signature::read(Dialect::Anthropic, &signature));
                parts.push(PartBody::Thinking { text, signature }.into());
            }
            "reasoning.encrypted" => {
                let data = Signature::read(Dialect::Anthropic, &detail.need_string("data")?);
                parts.push(PartBody::RedactedThinking { data }.into());
            }
            _ => return Ok(None),
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    message.take("reasoning_details");
    Ok(Some(parts))
}

fn tool_call(value: &RawValue, place: String, index: usize) -> Result<Part, Fault> {
    let mut object = Object::read(value, place)?;
    let kind = object.take_string("type")?.unwrap_or_else(|| "function".to_owned());
    let function = if kind == "function" { object.take_object("function")? } else { None };
    let Some(mut function) = function else {
        return Ok(PartBody::Opaque { kind, value: Json::new(value) }.into());
    };
    let body = PartBody::ToolCall {
        // Not every server gives an id; the place of the call is as good a name, since it is echoed back.
        id: object.take_string("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{index}")),
        name: function.need_string("name")?,
        arguments: arguments(&mut function)?.unwrap_or_default(),
    };
    object.take("index");
    Ok(Part { extra: object.rest(), ..Part::from(body) })
}

/// Arguments as text; some servers write the object itself.
pub(crate) fn arguments(function: &mut Object<'_>) -> Result<Option<String>, Fault> {
    let Some(value) = function.take("arguments") else { return Ok(None) };
    if !is_string(value) {
        return Ok(Some(value.get().to_owned()));
    }
    serde_json::from_str(value.get()).map(Some).map_err(|_error| function.wrong("arguments", "a string"))
}

/// Writes `content`: a string when it is plain text, an array otherwise, `null` when there is nothing.
pub(crate) fn write_content(w: &mut ObjectWriter<'_>, parts: &[&Part], home: bool) {
    match parts {
        [] => w.null("content"),
        [Part { body: PartBody::Text(text), cache, extra, .. }]
            if !home || (cache.is_none() && extra.is_empty()) =>
        {
            w.string("content", text);
        }
        _ => w.array("content", |array| {
            for part in parts {
                write_part(array, &part.body, home.then_some((&part.cache, &part.extra)));
            }
        }),
    }
}

fn write_part(array: &mut ArrayWriter<'_>, body: &PartBody, marks: Option<(&Option<Json>, &Extra)>) {
    let rest = |w: &mut ObjectWriter<'_>| {
        let Some((cache, extra)) = marks else { return };
        if let Some(cache) = cache {
            w.raw("cache_control", cache.text());
        }
        w.extra(extra);
    };
    match body {
        PartBody::Text(text) | PartBody::Document { source: Source::Text(text), .. } => array.object(|w| {
            w.string("type", "text");
            w.string("text", text);
            rest(w);
        }),
        PartBody::Refusal(text) => array.object(|w| {
            w.string("type", "refusal");
            w.string("refusal", text);
            rest(w);
        }),
        PartBody::Image { source, detail } => array.object(|w| {
            w.string("type", "image_url");
            w.object("image_url", |w| {
                w.string("url", &url(source));
                if let Some(detail) = detail {
                    w.string("detail", detail);
                }
            });
            rest(w);
        }),
        PartBody::Document { source, name } => array.object(|w| {
            w.string("type", "file");
            w.object("file", |w| write_file(w, source, name.as_deref()));
            rest(w);
        }),
        PartBody::Audio { source: Source::Base64 { media_type, data } } => array.object(|w| {
            w.string("type", "input_audio");
            w.object("input_audio", |w| {
                w.string("data", data);
                w.string("format", audio_format(media_type));
            });
            rest(w);
        }),
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        // These never stand in `content`: the caller of this function takes them out first.
        PartBody::ToolCall { .. }
        | PartBody::ToolResult { .. }
        | PartBody::Thinking { .. }
        | PartBody::Audio { .. }
        | PartBody::Video { .. }
        | PartBody::RedactedThinking { .. } => {}
    }
}

fn write_file(w: &mut ObjectWriter<'_>, source: &Source, name: Option<&str>) {
    if let Source::File(id) = source {
        w.string("file_id", id);
    } else {
        w.string("file_data", &url(source));
    }
    match (name, source) {
        (Some(name), _) => w.string("filename", name),
        // The provider wants a name with every document that it does not know yet.
        (None, Source::Base64 { .. }) => w.string("filename", "document.pdf"),
        (None, _) => {}
    }
}

/// `mp3` and `wav` are the words OpenAI knows; media types have several for each.
pub(crate) fn audio_format(media_type: &str) -> &str {
    match media_type.split_once('/').map_or(media_type, |(_, format)| format) {
        "mpeg" | "mpeg3" | "x-mp3" => "mp3",
        "wave" | "x-wav" | "vnd.wave" => "wav",
        format => format,
    }
}

fn url(source: &Source) -> String {
    match source {
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) | Source::File(url) | Source::Text(url) => url.clone(),
    }
}

/// Writes what an assistant says, after its role. Refusals stay refusals only among OpenAI's own.
pub(crate) fn write_assistant(w: &mut ObjectWriter<'_>, parts: &[Part], home: bool) {
    let is_text = |part: &&Part| match &part.body {
        PartBody::Text(text) => home || !text.is_empty(),
        PartBody::Opaque { value, .. } => home && !is_call(value),
        _ => false,
    };
    let said: Vec<&Part> = parts.iter().filter(is_text).collect();
    write_content(w, &said, home);
    let refusals = parts.iter().filter_map(|part| match &part.body {
        PartBody::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    let refusal: String = refusals.collect();
    if !refusal.is_empty() {
        w.string("refusal", &refusal);
    }
    write_tool_calls(w, parts, home);
}

/// Opaque pieces of an assistant are parts of its content or calls of tools that are not functions.
fn is_call(value: &Json) -> bool {
    serde_json::from_str::<Object<'_>>(value.text()).is_ok_and(|object| object.has("id"))
}

fn write_tool_calls(w: &mut ObjectWriter<'_>, parts: &[Part], home: bool) {
    let is_tool = |part: &&Part| match &part.body {
        PartBody::ToolCall { .. } => true,
        PartBody::Opaque { value, .. } => home && is_call(value),
        _ => false,
    };
    let calls: Vec<&Part> = parts.iter().filter(is_tool).collect();
    if calls.is_empty() {
        return;
    }
    w.array("tool_calls", |array| {
        for part in calls {
            write_tool_call(array, part, home);
        }
    });
}

fn write_tool_call(array: &mut ArrayWriter<'_>, part: &Part, home: bool) {
    let (id, name, arguments) = match &part.body {
        PartBody::ToolCall { id, name, arguments } => (id, name, arguments.as_str()),
        PartBody::Opaque { value, .. } => return array.raw(value.text()),
        _ => return,
    };
    array.object(|w| {
        w.string("id", &seal_id(id, part.signature.as_ref()));
        w.string("type", "function");
        w.object("function", |w| {
            w.string("name", name);
            w.string("arguments", if arguments.is_empty() { "{}" } else { arguments });
        });
        if home {
            w.extra(&part.extra);
        }
    });
}

/// Writes reasoning: the words for everyone, and the signatures for whoever sends them back.
pub(crate) fn write_reasoning(w: &mut ObjectWriter<'_>, parts: &[Part]) {
    let mut words = String::new();
    let mut is_signed = false;
    for part in parts {
        match &part.body {
            PartBody::Thinking { text, signature } => {
                words.push_str(text);
                is_signed |= signature.as_ref().is_some_and(|signature| !signature.data.is_empty());
            }
            PartBody::RedactedThinking { .. } => is_signed = true,
            _ => {}
        }
    }
    if !words.is_empty() {
        w.string("reasoning_content", &words);
    }
    if !is_signed {
        return;
    }
    w.array("reasoning_details", |array| {
        let mut index = 0;
        for part in parts {
            match &part.body {
                PartBody::Thinking { text, signature } => {
                    let signature = signature.as_ref().map(|signature| signature.carry(Dialect::Anthropic));
                    let signature = signature.unwrap_or_default();
                    write_detail(array, index, |w| signed_text(w, text, &signature));
                }
                PartBody::RedactedThinking { data } => {
                    let data = data.carry(Dialect::Anthropic);
                    write_detail(array, index, |w| sealed(w, &data));
                }
                _ => continue,
            }
            index += 1;
        }
    });
}

/// Writes one piece of signed reasoning.
pub(crate) fn write_detail(
    array: &mut ArrayWriter<'_>,
    index: u64,
    write: impl FnOnce(&mut ObjectWriter<'_>),
) {
    array.object(|w| {
        write(w);
        w.string("format", SIGNED);
        w.number("index", index);
    });
}

pub(crate) fn signed_text(w: &mut ObjectWriter<'_>, text: &str, signature: &str) {
    w.string("type", "reasoning.text");
    w.string("text", text);
    w.string("signature", signature);
}

pub(crate) fn sealed(w: &mut ObjectWriter<'_>, data: &str) {
    w.string("type", "reasoning.encrypted");
    w.string("data", data);
}
