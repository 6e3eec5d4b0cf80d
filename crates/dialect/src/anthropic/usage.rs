//! Anthropic's usage: `input_tokens` exclude what was read from and written to the cache.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usage` object over what is known already: a later report corrects the fields it names, never adds.
pub(crate) fn correct(known: Option<Usage>, json: &[u8]) -> Option<Usage> {
    let mut usage = known.unwrap_or_default();
    let is_object = numbers(json, |outer, name, number| {
        let field = match (outer, name) {
            (b"", b"input_tokens") => &mut usage.input,
            (b"", b"cache_read_input_tokens") => &mut usage.cache_read,
            (b"", b"cache_creation_input_tokens") => &mut usage.cache_write,
            (b"", b"output_tokens") => &mut usage.output,
            (b"output_tokens_details", b"thinking_tokens") => &mut usage.reasoning,
            _ => return,
        };
        *field = count(number).unwrap_or(*field);
    });
    if !is_object {
        return known;
    }
    usage.reasoning = usage.reasoning.min(usage.output);
    Some(usage)
}

/// The tier that a `usage` object names; it bears on the price.
pub(crate) fn tier(json: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Report {
        service_tier: Option<String>,
    }
    // Most reports name none.
    memchr::memmem::find(json, b"service_tier")?;
    serde_json::from_slice::<Report>(json).ok()?.service_tier.filter(|tier| !tier.is_empty())
}

/// Writes the fields of a `usage` object.
pub(crate) fn write(usage: &Usage, w: &mut ObjectWriter<'_>) {
    w.number("input_tokens", usage.input);
    w.number("cache_creation_input_tokens", usage.cache_write);
    w.number("cache_read_input_tokens", usage.cache_read);
    w.number("output_tokens", usage.output);
    if usage.reasoning > 0 {
        w.object("output_tokens_details", |w| w.number("thinking_tokens", usage.reasoning));
    }
}

#[cfg(test)]
mod tests {
    use super::{correct, write};
    use crate::{Usage, json::object};

    #[test]
    fn cached_tokens_are_outside_the_input_tokens() {
        let usage = Usage { input: 10, cache_read: 5, cache_write: 3, output: 7, reasoning: 2 };
        let written = object(|w| write(&usage, w));
        assert!(String::from_utf8_lossy(&written).starts_with(r#"{"input_tokens":10,"#));
        assert_eq!(correct(None, &written), Some(usage));
    }

    #[test]
    fn a_later_report_corrects_and_never_adds() {
        let first = correct(None, br#"{"input_tokens":4,"cache_read_input_tokens":9,"output_tokens":1}"#);
        let last = correct(first, br#"{"cache_read_input_tokens":8,"output_tokens":20,"input_tokens":null}"#);
        assert_eq!(last, Some(Usage { input: 4, cache_read: 8, output: 20, ..Usage::default() }));
    }
}
