//! The parts of Gemini contents, in requests and in answers, to and from the canonical form.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::value::RawValue;

use crate::{
    Dialect, Fault, Signature,
    canonical::{Extra, Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter},
};

/// Mark extra fields of a part that stand inside these objects.
pub(crate) const IN_FILE: &str = "fileData.";
pub(crate) const IN_BLOB: &str = "inlineData.";
pub(crate) const IN_RESULT: &str = "functionResponse.";

/// Reads a value that must be an object, its fields in camel case.
pub(crate) fn read(value: &RawValue, place: impl Into<String>) -> Result<Object<'_>, Fault> {
    Object::read(value, place)?.camel()
}

/// Takes an object, its fields in camel case.
pub(crate) fn take_object<'a>(object: &mut Object<'a>, name: &str) -> Result<Option<Object<'a>>, Fault> {
    object.take_object(name)?.map(Object::camel).transpose()
}

/// Takes the elements of a list. One alone may stand without its brackets.
pub(crate) fn list<'a>(object: &mut Object<'a>, name: &str) -> Result<Vec<&'a RawValue>, Fault> {
    match object.take(name) {
        None => Ok(Vec::new()),
        Some(one) if one.get().starts_with('{') => Ok(vec![one]),
        Some(several) => {
            serde_json::from_str(several.get()).map_err(|_error| object.wrong(name, "an array of objects"))
        }
    }
}

/// Takes the parts of a content. A call or a result that brings no id has an empty one.
pub(crate) fn parts(content: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let place = content.place_of("parts");
    let values = list(content, "parts")?.into_iter().enumerate();
    values.map(|(index, value)| part(value, crate::json::nth(&place, index))).collect()
}

fn part(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut object = read(value, place)?;
    let is_thought = object.take_as("thought", "true or false")?.unwrap_or(false);
    let signature = object.take_string("thoughtSignature")?.filter(|seal| !seal.is_empty());
    let signature = signature.map(|seal| read_seal(&seal));
    let mut extra = Extra::new();
    let body = if let Some(text) = object.take_string("text")? {
        if is_thought {
            let body = thought(text, signature);
            return Ok(Part { extra: object.rest(), ..Part::from(body) });
        }
        PartBody::Text(text)
    } else if let Some(call) = take_object(&mut object, "functionCall")? {
        function_call(call, value)?
    } else if let Some(result) = take_object(&mut object, "functionResponse")? {
        function_response(result, &mut extra)?
    } else if let Some(blob) = take_object(&mut object, "inlineData")?.filter(|_| !is_thought) {
        inline_data(blob, &mut extra)?
    } else if let Some(file) = take_object(&mut object, "fileData")? {
        file_data(file, &mut extra)?
    } else {
        return other(object, (value, signature));
    };
    if matches!(body, PartBody::Opaque { .. }) {
        return Ok(body.into());
    }
    extra.extend(object.rest());
    Ok(Part { signature, extra, ..Part::from(body) })
}

/// A part of a kind that only Gemini knows, whole. A seal alone is one on empty text.
fn other(object: Object<'_>, (value, signature): (&RawValue, Option<Signature>)) -> Result<Part, Fault> {
    let place = object.place.clone();
    let mut rest = object.rest().into_iter();
    match rest.next() {
        Some((kind, _)) => Ok(PartBody::Opaque { kind, value: Json::new(value) }.into()),
        None if signature.is_some() => Ok(Part { signature, ..Part::from(PartBody::Text(String::new())) }),
        None => Err(Fault::invalid(format!("`{place}` holds nothing")).at(place)),
    }
}

/// Marks a seal that stands for reasoning without words.
const REDACTED: &str = "redacted:";

/// Reasoning, by its words and its seal.
pub(crate) fn thought(text: String, signature: Option<Signature>) -> PartBody {
    match signature {
        Some(Signature { by, data }) if text.is_empty() && data.starts_with(REDACTED) => {
            let data = data.strip_prefix(REDACTED).unwrap_or_default();
            PartBody::RedactedThinking { data: Signature::new(by, data) }
        }
        signature => PartBody::Thinking { text, signature },
    }
}

/// Reads a seal. Gemini's own are base64, and so must be those of others: the official SDK takes nothing else.
pub(crate) fn read_seal(text: &str) -> Signature {
    let own = || Signature::new(Dialect::Gemini, text);
    // The SDK gives bytes back in the other alphabet.
    let standard: String = text
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let Some(carried) = STANDARD.decode(standard).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return own();
    };
    match carried.split_once('#').and_then(|(name, data)| Some((Dialect::named(name)?, data))) {
        Some((by, data)) => Signature::new(by, data),
        None => own(),
    }
}

/// The seal of reasoning without words, marked so.
pub(crate) fn wordless(data: &Signature) -> Signature {
    Signature::new(data.by, format!("{REDACTED}{}", data.data))
}

/// The seal as Gemini's SDK reads it.
pub(crate) fn carry_seal(signature: &Signature) -> String {
    if signature.by == Dialect::Gemini {
        return signature.data.clone();
    }
    URL_SAFE.encode(signature.carry(Dialect::Gemini))
}

fn function_call(mut call: Object<'_>, whole: &RawValue) -> Result<PartBody, Fault> {
    if call.has("partialArgs") || call.has("willContinue") {
        return Ok(PartBody::Opaque { kind: "functionCall.partialArgs".to_owned(), value: Json::new(whole) });
    }
    Ok(PartBody::ToolCall {
        id: call.take_string("id")?.unwrap_or_default(),
        name: call.need_string("name")?,
        arguments: call.take("args").map_or_else(|| "{}".to_owned(), |args| args.get().to_owned()),
    })
}

fn function_response(mut result: Object<'_>, extra: &mut Extra) -> Result<PartBody, Fault> {
    let id = result.take_string("id")?.unwrap_or_default();
    let (text, is_error) = response(&mut result)?;
    let mut content: Vec<Part> = text.map(|text| PartBody::Text(text).into()).into_iter().collect();
    content.extend(parts(&mut result)?);
    extra.extend(result.rest().into_iter().map(|(name, value)| (format!("{IN_RESULT}{name}"), value)));
    Ok(PartBody::ToolResult { id, content, is_error })
}

/// What a tool gave back: plain text where it says no more, JSON otherwise; and whether it failed.
fn response(result: &mut Object<'_>) -> Result<(Option<String>, bool), Fault> {
    let place = result.place_of("response");
    let Some(value) = result.take("response") else { return Ok((None, false)) };
    let mut object = Object::read(value, place)?;
    let is_error = object.has("error") && !object.has("output");
    let name = if is_error { "error" } else { "output" };
    let plain = object.peek_as::<String>(name);
    object.take(name);
    let rest = object.rest();
    match plain {
        Some(text) if rest.is_empty() => Ok((Some(text), is_error)),
        None if rest.is_empty() && value.get().trim_matches(['{', '}', ' ', '\n']).is_empty() => {
            Ok((None, false))
        }
        _ => Ok((Some(value.get().to_owned()), is_error)),
    }
}

fn inline_data(mut blob: Object<'_>, extra: &mut Extra) -> Result<PartBody, Fault> {
    let media_type = blob.need_string("mimeType")?;
    let source = Source::Base64 { media_type: media_type.clone(), data: standard(blob.need_string("data")?) };
    let name = blob.take_string("displayName")?;
    extra.extend(blob.rest().into_iter().map(|(field, value)| (format!("{IN_BLOB}{field}"), value)));
    Ok(shown(&media_type, source, name))
}

/// Base64 in its usual alphabet: Gemini takes both, nobody else does, and the official SDK writes the other one.
fn standard(mut data: String) -> String {
    if data.contains(['-', '_']) {
        data = data.replace('-', "+").replace('_', "/");
    }
    while data.len() % 4 > 1 {
        data.push('=');
    }
    data
}

fn file_data(mut file: Object<'_>, extra: &mut Extra) -> Result<PartBody, Fault> {
    let uri = file.need_string("fileUri")?;
    let media_type = file.peek_as::<String>("mimeType");
    let media_type = media_type.as_deref().or_else(|| media_type_of(&uri)).unwrap_or_default();
    let name = file.take_string("displayName")?;
    let is_stored = uri.starts_with("gs://") || uri.contains("generativelanguage.googleapis.com/");
    let body = shown(media_type, if is_stored { Source::File(uri) } else { Source::Url(uri) }, name);
    extra.extend(file.rest().into_iter().map(|(field, value)| (format!("{IN_FILE}{field}"), value)));
    Ok(body)
}

fn shown(media_type: &str, source: Source, name: Option<String>) -> PartBody {
    match media_type.split('/').next() {
        Some("image") => PartBody::Image { source, detail: None },
        Some("audio") => PartBody::Audio { source },
        Some("video") => PartBody::Video { source },
        _ => PartBody::Document { source, name },
    }
}

/// The media type that the name of a file tells.
pub(crate) fn media_type_of(url: &str) -> Option<&'static str> {
    const TYPES: [(&str, &str); 30] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("heic", "image/heic"),
        ("heif", "image/heif"),
        ("pdf", "application/pdf"),
        ("json", "application/json"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("html", "text/html"),
        ("css", "text/css"),
        ("csv", "text/csv"),
        ("xml", "text/xml"),
        ("rtf", "text/rtf"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/wav"),
        ("aiff", "audio/aiff"),
        ("aac", "audio/aac"),
        ("ogg", "audio/ogg"),
        ("flac", "audio/flac"),
        ("mp4", "video/mp4"),
        ("mpeg", "video/mpeg"),
        ("mpg", "video/mpg"),
        ("mov", "video/mov"),
        ("webm", "video/webm"),
        ("wmv", "video/wmv"),
        ("flv", "video/x-flv"),
        ("3gpp", "video/3gpp"),
    ];
    if is_youtube(url) {
        return Some("video/mp4");
    }
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending)).map(|(_, media_type)| *media_type)
}

/// The one place on the web that every Gemini fetches from.
pub(crate) fn is_youtube(url: &str) -> bool {
    let starts = ["https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/"];
    starts.iter().any(|start| url.starts_with(start))
}

/// How parts are written: which fields without a word go along, and whether ids are understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) home: bool,
    pub(crate) ids: bool,
}

/// Writes a part. What has no place here is left out: the caller of this function has accounted for it. `name` is that of
/// the call which a result answers.
pub(crate) fn write(array: &mut ArrayWriter<'_>, part: &Part, name: Option<&str>, style: Style) {
    if let PartBody::Opaque { value, .. } = &part.body {
        return array.raw(value.text());
    }
    array.object(|w| {
        write_body(w, part, name, style);
        if let Some(signature) = &part.signature {
            w.string("thoughtSignature", &carry_seal(signature));
        }
        if style.home {
            let is_inner =
                |name: &str| [IN_FILE, IN_BLOB, IN_RESULT].iter().any(|start| name.starts_with(start));
            for (name, value) in part.extra.iter().filter(|(name, _)| !is_inner(name)) {
                w.raw(name, value.text());
            }
        }
    });
}

fn write_body(w: &mut ObjectWriter<'_>, part: &Part, name: Option<&str>, style: Style) {
    match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => w.string("text", text),
        PartBody::Thinking { text, signature } => {
            w.string("text", text);
            w.bool("thought", true);
            if let Some(signature) = signature.as_ref().filter(|signature| !signature.data.is_empty()) {
                w.string("thoughtSignature", &carry_seal(signature));
            }
        }
        PartBody::RedactedThinking { data } => {
            w.string("text", "");
            w.bool("thought", true);
            w.string("thoughtSignature", &carry_seal(&wordless(data)));
        }
        PartBody::ToolCall { id, name, arguments } => w.object("functionCall", |w| {
            if style.ids && !id.is_empty() {
                w.string("id", id);
            }
            w.string("name", name);
            w.raw("args", if arguments.trim().is_empty() { "{}" } else { arguments });
        }),
        PartBody::ToolResult { id, content, is_error } => w.object("functionResponse", |w| {
            if style.ids && !id.is_empty() {
                w.string("id", id);
            }
            match (name, part.extra.iter().find(|(name, _)| name.strip_prefix(IN_RESULT) == Some("name"))) {
                (Some(name), _) => w.string("name", name),
                (None, Some((_, name))) => w.raw("name", name.text()),
                (None, None) => {}
            }
            write_result(w, content, *is_error, style);
            if style.home {
                write_inner(w, &part.extra, IN_RESULT, &["name"]);
            }
        }),
        PartBody::Document { source: Source::Text(text), .. } => w.string("text", text),
        PartBody::Document { source, name } => write_source(w, source, name.as_deref(), (&part.extra, style)),
        PartBody::Image { source, .. } | PartBody::Audio { source } | PartBody::Video { source } => {
            write_source(w, source, None, (&part.extra, style));
        }
        PartBody::Opaque { .. } => {}
    }
}

fn write_inner(w: &mut ObjectWriter<'_>, extra: &Extra, prefix: &str, but: &[&str]) {
    for (name, value) in extra {
        if let Some(name) = name.strip_prefix(prefix).filter(|name| !but.contains(name)) {
            w.raw(name, value.text());
        }
    }
}

/// A response must be an object: JSON objects go as they are, everything else under `output` or `error`.
fn write_result(w: &mut ObjectWriter<'_>, content: &[Part], is_error: bool, style: Style) {
    let mut text = String::new();
    let mut shown = Vec::new();
    for part in content {
        match &part.body {
            PartBody::Text(words) | PartBody::Document { source: Source::Text(words), .. } => {
                if !text.is_empty() && !text.ends_with(char::is_whitespace) {
                    text.push('\n');
                }
                text.push_str(words);
            }
            _ => shown.push(part),
        }
    }
    let is_object = text.trim_start().starts_with('{')
        && serde_json::from_str::<Object<'_>>(&text).is_ok_and(|object| !object.rest().is_empty());
    if is_object && (!is_error || text.contains("\"error\"")) {
        w.raw("response", text.trim());
    } else {
        w.object("response", |w| {
            if is_error {
                w.string("error", &text);
            } else if !(text.is_empty() && content.iter().all(|part| !matches!(part.body, PartBody::Text(_))))
            {
                w.string("output", &text);
            }
        });
    }
    if !shown.is_empty() {
        w.array("parts", |array| {
            for part in shown {
                write(array, part, None, style);
            }
        });
    }
}

fn write_source(
    w: &mut ObjectWriter<'_>,
    source: &Source,
    name: Option<&str>,
    (extra, style): (&Extra, Style),
) {
    match source {
        Source::Base64 { media_type, data } => w.object("inlineData", |w| {
            w.string("mimeType", media_type);
            w.string("data", data);
            if let Some(name) = name.filter(|_| style.home) {
                w.string("displayName", name);
            }
            if style.home {
                write_inner(w, extra, IN_BLOB, &[]);
            }
        }),
        Source::Url(uri) | Source::File(uri) => w.object("fileData", |w| {
            let known = extra.iter().find(|(name, _)| name.strip_prefix(IN_FILE) == Some("mimeType"));
            match known.filter(|_| style.home) {
                Some((_, media_type)) => w.raw("mimeType", media_type.text()),
                None if style.home => {}
                None => w.string("mimeType", media_type_of(uri).unwrap_or("application/octet-stream")),
            }
            w.string("fileUri", uri);
            if let Some(name) = name.filter(|_| style.home) {
                w.string("displayName", name);
            }
            if style.home {
                write_inner(w, extra, IN_FILE, &["mimeType"]);
            }
        }),
        Source::Text(text) => w.string("text", text),
    }
}
