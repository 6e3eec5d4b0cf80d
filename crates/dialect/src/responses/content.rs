//! The content of messages and of results of tools, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    canonical::{Citation, Json, Part, PartBody, Source},
    json::{ArrayWriter, Object, ObjectWriter, is_string},
};

/// Marks an extra field that stands on the message around a piece.
pub(crate) const OF_MESSAGE: &str = "message.";

/// Takes a field of content: a string, an array of parts, or nothing.
pub(crate) fn take(item: &mut Object<'_>, name: &str) -> Result<Vec<Part>, Fault> {
    let place = item.place_of(name);
    let Some(value) = item.take(name) else { return Ok(Vec::new()) };
    if is_string(value) {
        let text: String =
            serde_json::from_str(value.get()).map_err(|_error| item.wrong(name, "a string"))?;
        return Ok(vec![PartBody::Text(text).into()]);
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        return Err(item.wrong(name, "a string or an array"));
    };
    let parts = parts.into_iter().enumerate();
    parts.map(|(index, value)| part(value, crate::json::nth(&place, index))).collect()
}

fn part(value: &RawValue, place: String) -> Result<Part, Fault> {
    let mut object = Object::read(value, place)?;
    let kind = object.need_string("type")?;
    let body = match kind.as_str() {
        "input_text" | "output_text" | "text" => PartBody::Text(object.need_string("text")?),
        "refusal" => PartBody::Refusal(object.need_string("refusal")?),
        "input_image" => match image(&mut object)? {
            Some(source) => PartBody::Image { source, detail: object.take_string("detail")? },
            None => PartBody::Opaque { kind, value: Json::new(value) },
        },
        "input_file" => match file(&mut object)? {
            Some(source) => PartBody::Document { source, name: object.take_string("filename")? },
            None => PartBody::Opaque { kind, value: Json::new(value) },
        },
        "input_audio" => audio(&mut object)?,
        _ => PartBody::Opaque { kind, value: Json::new(value) },
    };
    if matches!(body, PartBody::Opaque { .. }) {
        return Ok(body.into());
    }
    let citations = citations(&mut object)?;
    Ok(Part { citations, extra: object.rest(), ..Part::from(body) })
}

fn image(object: &mut Object<'_>) -> Result<Option<Source>, Fault> {
    let place = object.place_of("image_url");
    if let Some(url) = object.take_string("image_url")? {
        return source(url, &place).map(Some);
    }
    Ok(object.take_string("file_id")?.map(Source::File))
}

fn file(object: &mut Object<'_>) -> Result<Option<Source>, Fault> {
    if let Some(id) = object.take_string("file_id")? {
        return Ok(Some(Source::File(id)));
    }
    if let Some(url) = object.take_string("file_url")? {
        return Ok(Some(Source::Url(url)));
    }
    let place = object.place_of("file_data");
    let Some(data) = object.take_string("file_data")? else { return Ok(None) };
    if data.starts_with("data:") {
        return source(data, &place).map(Some);
    }
    // Bare bytes: what they are is told by the name alone.
    let name: String = object.peek_as("filename").unwrap_or_default();
    let media_type =
        if name.to_ascii_lowercase().ends_with(".txt") { "text/plain" } else { "application/pdf" };
    Ok(Some(Source::Base64 { media_type: media_type.to_owned(), data }))
}

fn audio(object: &mut Object<'_>) -> Result<PartBody, Fault> {
    let Some(mut audio) = object.take_object("input_audio")? else {
        return Err(object.wrong("input_audio", "an object"));
    };
    let media_type = format!("audio/{}", audio.need_string("format")?);
    let source = Source::Base64 { media_type, data: audio.need_string("data")? };
    Ok(PartBody::Audio { source })
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

fn citations(object: &mut Object<'_>) -> Result<Vec<Citation>, Fault> {
    object.take_array("annotations")?.into_iter().map(citation).collect()
}

/// Reads an annotation.
pub(crate) fn citation(value: &RawValue) -> Result<Citation, Fault> {
    let mut annotation = Object::read(value, "annotations")?;
    let start: Option<u64> = annotation.peek_as("start_index");
    let end: Option<u64> = annotation.peek_as("end_index");
    let text = |annotation: &mut Object<'_>, name: &str| annotation.peek_as::<String>(name);
    Ok(Citation {
        span: start.zip(end),
        url: text(&mut annotation, "url"),
        title: text(&mut annotation, "title").or_else(|| text(&mut annotation, "filename")),
        quote: None,
        file: text(&mut annotation, "file_id"),
        native: Some((Dialect::Responses, Json::new(value))),
    })
}

/// Writes an annotation of a text; nothing when there is no word for what is cited.
pub(crate) fn write_citation(array: &mut ArrayWriter<'_>, citation: &Citation, text: &str) {
    if let Some((Dialect::Responses, native)) = &citation.native {
        return array.raw(native.text());
    }
    if let Some(json) = annotation(citation, text) {
        array.raw(&json);
    }
}

/// An annotation as it is written; nothing when there is no word for what is cited. What does not say which words rest on
/// it means all of the text.
pub(crate) fn annotation(citation: &Citation, text: &str) -> Option<String> {
    if let Some((Dialect::Responses, native)) = &citation.native {
        return Some(native.text().to_owned());
    }
    let (start, end) =
        citation.span.unwrap_or_else(|| (0, u64::try_from(text.chars().count()).unwrap_or(u64::MAX)));
    let title = citation.title.as_deref();
    let json = match (&citation.url, &citation.file) {
        (Some(url), _) => crate::json::object(|w| {
            w.string("type", "url_citation");
            w.number("start_index", start);
            w.number("end_index", end);
            w.string("url", url);
            w.string("title", title.unwrap_or_default());
        }),
        (None, Some(file)) => crate::json::object(|w| {
            w.string("type", "file_citation");
            w.string("file_id", file);
            w.string("filename", title.unwrap_or_default());
            w.number("index", end);
        }),
        (None, None) => return None,
    };
    String::from_utf8(json).ok()
}

/// Whether some text stands alone, so that a string says all of it.
pub(crate) fn alone<'a>(parts: &[&'a Part], home: bool) -> Option<&'a str> {
    match parts {
        [Part { body: PartBody::Text(text), extra, citations, .. }]
            if !home
                || (citations.is_empty() && extra.iter().all(|(name, _)| name.starts_with(OF_MESSAGE))) =>
        {
            Some(text)
        }
        _ => None,
    }
}

/// Writes a piece of what the caller or a tool says.
pub(crate) fn write_input(array: &mut ArrayWriter<'_>, part: &Part, home: bool) {
    let rest = |w: &mut ObjectWriter<'_>| {
        if home {
            extra(w, part);
        }
    };
    match &part.body {
        PartBody::Text(text) | PartBody::Document { source: Source::Text(text), .. } => array.object(|w| {
            w.string("type", "input_text");
            w.string("text", text);
            rest(w);
        }),
        PartBody::Image { source, detail } => array.object(|w| {
            w.string("type", "input_image");
            match source {
                Source::File(id) => w.string("file_id", id),
                _ => w.string("image_url", &url(source)),
            }
            match detail {
                Some(detail) => w.string("detail", detail),
                None if home => {}
                None => w.string("detail", "auto"),
            }
            rest(w);
        }),
        PartBody::Document { source, name } => array.object(|w| {
            w.string("type", "input_file");
            write_file(w, source, name.as_deref());
            rest(w);
        }),
        PartBody::Audio { source: Source::Base64 { media_type, data } } => array.object(|w| {
            w.string("type", "input_audio");
            w.object("input_audio", |w| {
                w.string("data", data);
                w.string("format", media_type.strip_prefix("audio/").unwrap_or(media_type));
            });
            rest(w);
        }),
        PartBody::Refusal(text) => array.object(|w| {
            w.string("type", "input_text");
            w.string("text", text);
        }),
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        // What has no place here was taken out before.
        _ => {}
    }
}

fn write_file(w: &mut ObjectWriter<'_>, source: &Source, name: Option<&str>) {
    match source {
        Source::File(id) => w.string("file_id", id),
        Source::Url(url) => w.string("file_url", url),
        Source::Base64 { .. } | Source::Text(_) => w.string("file_data", &url(source)),
    }
    match (name, source) {
        (Some(name), _) => w.string("filename", name),
        // The provider wants a name with every document that it does not know yet.
        (None, Source::Base64 { .. }) => w.string("filename", "document.pdf"),
        (None, _) => {}
    }
}

fn url(source: &Source) -> String {
    match source {
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) | Source::File(url) | Source::Text(url) => url.clone(),
    }
}

/// Writes a piece of what the model said.
pub(crate) fn write_output(array: &mut ArrayWriter<'_>, part: &Part, home: bool) {
    match &part.body {
        PartBody::Text(text) => array.object(|w| {
            w.string("type", "output_text");
            w.string("text", text);
            w.array("annotations", |array| {
                for citation in &part.citations {
                    write_citation(array, citation, text);
                }
            });
            if home {
                extra(w, part);
            }
        }),
        PartBody::Refusal(text) => array.object(|w| {
            w.string("type", "refusal");
            w.string("refusal", text);
            if home {
                extra(w, part);
            }
        }),
        PartBody::Opaque { value, .. } => array.raw(value.text()),
        _ => {}
    }
}

fn extra(w: &mut ObjectWriter<'_>, part: &Part) {
    for (name, value) in part.extra.iter().filter(|(name, _)| !name.starts_with(OF_MESSAGE)) {
        w.raw(name, value.text());
    }
}
