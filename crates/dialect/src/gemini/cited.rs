//! What a text rests on: Gemini's grounding and citations, to and from the canonical form.
//!
//! Gemini counts bytes of UTF-8 where everybody else counts characters.

use serde_json::value::RawValue;

use crate::{
    Fault,
    canonical::Citation,
    gemini::parts::{list, read, take_object},
    json::{Object, ObjectWriter},
};

/// Takes what a candidate's text rests on.
pub(crate) fn take(candidate: &mut Object<'_>, text: &str) -> Result<Vec<Citation>, Fault> {
    let mut citations = Vec::new();
    if let Some(mut metadata) = take_object(candidate, "citationMetadata")? {
        let name = if metadata.has("citations") { "citations" } else { "citationSources" };
        for value in list(&mut metadata, name)? {
            citations.push(citation(value, text)?);
        }
    }
    if let Some(metadata) = take_object(candidate, "groundingMetadata")? {
        grounding(metadata, text, &mut citations)?;
    }
    Ok(citations)
}

fn empty() -> Citation {
    Citation { span: None, url: None, title: None, quote: None, file: None, native: None }
}

fn citation(value: &RawValue, text: &str) -> Result<Citation, Fault> {
    let mut citation = read(value, "citationMetadata")?;
    let start = citation.take_as("startIndex", "a number")?.unwrap_or(0);
    let end: Option<u64> = citation.take_as("endIndex", "a number")?;
    Ok(Citation {
        span: end.and_then(|end| characters(text, start, end)),
        url: citation.take_string("uri")?,
        title: citation.take_string("title")?,
        ..empty()
    })
}

fn grounding(mut metadata: Object<'_>, text: &str, citations: &mut Vec<Citation>) -> Result<(), Fault> {
    let mut chunks = Vec::new();
    for value in list(&mut metadata, "groundingChunks")? {
        chunks.push((chunk(value)?, false));
    }
    for value in list(&mut metadata, "groundingSupports")? {
        let mut support = read(value, "groundingSupports")?;
        let places: Vec<usize> =
            support.take_as("groundingChunkIndices", "an array of numbers")?.unwrap_or_default();
        let (mut span, mut quote) = (None, None);
        if let Some(mut segment) = take_object(&mut support, "segment")? {
            let start = segment.take_as("startIndex", "a number")?.unwrap_or(0);
            let end: Option<u64> = segment.take_as("endIndex", "a number")?;
            span = end.and_then(|end| characters(text, start, end));
            quote = segment.take_string("text")?;
        }
        for place in places {
            let Some((chunk, cited)) = chunks.get_mut(place) else { continue };
            *cited = true;
            citations.push(Citation { span, quote: quote.clone(), ..chunk.clone() });
        }
    }
    // What was found but is cited nowhere supports the answer as a whole.
    citations.extend(chunks.into_iter().filter(|(_, cited)| !cited).map(|(chunk, _)| chunk));
    Ok(())
}

fn chunk(value: &RawValue) -> Result<Citation, Fault> {
    let mut chunk = read(value, "groundingChunks")?;
    for kind in ["web", "retrievedContext", "maps", "image"] {
        let Some(mut source) = take_object(&mut chunk, kind)? else { continue };
        let url = source.take_string(if kind == "image" { "sourceUri" } else { "uri" })?;
        return Ok(Citation {
            url,
            title: source.take_string("title")?,
            file: source.take_string("documentName")?,
            ..empty()
        });
    }
    Ok(empty())
}

/// A range of bytes as one of characters; nothing when it does not lie in the text.
fn characters(text: &str, start: u64, end: u64) -> Option<(u64, u64)> {
    let count = |bytes: u64| {
        let before = text.get(..usize::try_from(bytes).ok()?)?;
        u64::try_from(before.chars().count()).ok()
    };
    Some((count(start)?, count(end)?)).filter(|(start, end)| start <= end)
}

/// A range of characters as one of bytes, and the words in it.
fn bytes(text: &str, (start, end): (u64, u64)) -> Option<(u64, u64, &str)> {
    let place = |characters: u64| {
        let characters = usize::try_from(characters).ok()?;
        let places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
        places.into_iter().nth(characters)
    };
    let (start, end) = (place(start)?, place(end)?);
    let words = text.get(start..end)?;
    Some((u64::try_from(start).ok()?, u64::try_from(end).ok()?, words))
}

/// Writes what a text rests on as grounding.
pub(crate) fn write(w: &mut ObjectWriter<'_>, citations: &[Citation], text: &str) {
    if citations.is_empty() {
        return;
    }
    w.object("groundingMetadata", |w| {
        w.array("groundingChunks", |array| {
            for citation in citations {
                array.object(|w| write_chunk(w, citation));
            }
        });
        w.array("groundingSupports", |array| {
            for (place, citation) in citations.iter().enumerate() {
                let Some((start, end, words)) = citation.span.and_then(|span| bytes(text, span)) else {
                    continue;
                };
                array.object(|w| write_support(w, place, (start, end, words)));
            }
        });
    });
}

fn write_support(w: &mut ObjectWriter<'_>, place: usize, (start, end, words): (u64, u64, &str)) {
    w.object("segment", |w| {
        w.number("startIndex", start);
        w.number("endIndex", end);
        w.string("text", words);
    });
    w.array("groundingChunkIndices", |array| array.raw(&place.to_string()));
}

fn write_chunk(w: &mut ObjectWriter<'_>, citation: &Citation) {
    let kind = if citation.url.is_some() { "web" } else { "retrievedContext" };
    w.object(kind, |w| {
        let fields = [("uri", &citation.url), ("title", &citation.title)];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            w.string(name, value);
        }
        if kind == "retrievedContext" {
            if let Some(file) = &citation.file {
                w.string("documentName", file);
            }
            if let Some(quote) = &citation.quote {
                w.string("text", quote);
            }
        }
    });
}
