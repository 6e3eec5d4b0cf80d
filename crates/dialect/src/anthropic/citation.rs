//! What a text rests on, in Anthropic's words. A web page is all that other dialects know; anything else goes home only.

use serde_json::value::RawValue;

use crate::{
    Citation, Dialect, Fault,
    canonical::{Extra, Json},
    json::{Object, object},
};

/// The field of a text block.
const FIELD: &str = "citations";

/// Takes the citations out of the fields of a text block of an answer.
pub(crate) fn take(extra: &mut Extra) -> Result<Vec<Citation>, Fault> {
    let Some(at) = extra.iter().position(|(name, _)| name == FIELD) else { return Ok(Vec::new()) };
    let (_, list) = extra.remove(at);
    let list: Option<Vec<&RawValue>> = serde_json::from_str(list.text()).ok().flatten();
    list.unwrap_or_default().into_iter().map(read).collect()
}

/// Reads one.
pub(crate) fn read(value: &RawValue) -> Result<Citation, Fault> {
    let mut citation = Object::read(value, FIELD)?;
    let title = citation.take_string("title")?;
    let document = citation.take_string("document_title")?;
    Ok(Citation {
        // Anthropic's positions are in the document, not in the answer.
        span: None,
        url: citation.take_string("url")?,
        title: title.or(document),
        quote: citation.take_string("cited_text")?,
        file: citation.take_string("file_id")?,
        native: Some((Dialect::Anthropic, Json::new(value))),
    })
}

/// Whether there is a word for it.
pub(crate) fn is_known(citation: &Citation) -> bool {
    citation.url.is_some() || matches!(citation.native, Some((Dialect::Anthropic, _)))
}

/// The JSON of one that [`is_known`].
pub(crate) fn write(citation: &Citation) -> String {
    if let Some((Dialect::Anthropic, native)) = &citation.native {
        return native.text().to_owned();
    }
    let json = object(|w| {
        w.string("type", "web_search_result_location");
        w.string("cited_text", citation.quote.as_deref().unwrap_or_default());
        w.string("url", citation.url.as_deref().unwrap_or_default());
        w.opt_string("title", citation.title.as_deref());
        // Sealed by Anthropic for its own searches; the SDK's type wants the field.
        w.string("encrypted_index", "");
    });
    String::from_utf8_lossy(&json).into_owned()
}
