//! The usage of a response: `input_tokens` include what was read from and written to a cache.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usage` object.
pub(crate) fn decode(json: &[u8]) -> Option<Usage> {
    let (mut input, mut output, mut reasoning, mut cache_read, mut cache_write) = (0, 0, 0, 0, 0);
    let is_object = numbers(json, |outer, name, number| {
        let Some(count) = count(number) else { return };
        match (outer, name) {
            (b"", b"input_tokens") => input = count,
            (b"", b"output_tokens") => output = count,
            (b"input_tokens_details", b"cached_tokens") => cache_read = count,
            (b"input_tokens_details", b"cache_write_tokens") => cache_write = count,
            (b"output_tokens_details", b"reasoning_tokens") => reasoning = count,
            _ => {}
        }
    });
    is_object.then(|| Usage {
        input: input.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output,
        reasoning: reasoning.min(output),
    })
}

/// Writes the fields of a `usage` object.
pub(crate) fn write(usage: &Usage, w: &mut ObjectWriter<'_>) {
    w.number("input_tokens", usage.all_input());
    w.object("input_tokens_details", |w| {
        w.number("cached_tokens", usage.cache_read);
        w.number("cache_write_tokens", usage.cache_write);
    });
    w.number("output_tokens", usage.output);
    w.object("output_tokens_details", |w| w.number("reasoning_tokens", usage.reasoning));
    w.number("total_tokens", usage.total());
}

#[cfg(test)]
mod tests {
    use super::{decode, write};
    use crate::{Usage, json::object};

    #[test]
    fn cached_tokens_are_inside_the_input_tokens() {
        let usage = Usage { input: 10, cache_read: 5, cache_write: 3, output: 7, reasoning: 2 };
        let written = object(|w| write(&usage, w));
        assert!(String::from_utf8_lossy(&written).starts_with(r#"{"input_tokens":18,"#));
        assert_eq!(decode(&written), Some(usage));
    }

    #[test]
    fn cache_writes_told_by_lifetime_count_once() {
        let json = br#"{"input_tokens":30,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":20,
            "cache_write_tokens_details":{"ttl_30m_tokens":15,"ttl_12h_tokens":5}},"output_tokens":1}"#;
        let expected = Usage { input: 6, cache_read: 4, cache_write: 20, output: 1, reasoning: 0 };
        assert_eq!(decode(json), Some(expected));
    }
}
