//! Usage in Converse's convention: `inputTokens` exclude what was read from and written to the cache.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usage` object.
pub(crate) fn decode(json: &[u8]) -> Option<Usage> {
    let mut usage = Usage::default();
    let is_object = numbers(json, |outer, name, number| {
        let field = match (outer, name) {
            (b"", b"inputTokens") => &mut usage.input,
            (b"", b"cacheReadInputTokens") => &mut usage.cache_read,
            (b"", b"cacheWriteInputTokens") => &mut usage.cache_write,
            (b"", b"outputTokens") => &mut usage.output,
            _ => return,
        };
        *field = count(number).unwrap_or(*field);
    });
    is_object.then_some(usage)
}

/// Writes the fields of a `usage` object.
pub(crate) fn write(usage: &Usage, w: &mut ObjectWriter<'_>) {
    w.number("inputTokens", usage.input);
    w.number("outputTokens", usage.output);
    w.number("totalTokens", usage.total());
    w.number("cacheReadInputTokens", usage.cache_read);
    w.number("cacheWriteInputTokens", usage.cache_write);
}

#[cfg(test)]
mod tests {
    use super::{decode, write};
    use crate::{Usage, json::object};

    #[test]
    fn cached_tokens_are_outside_the_input_tokens_and_the_total_is_the_sum() {
        let report = br#"{"cacheReadInputTokenCount":7,"cacheReadInputTokens":7,"cacheWriteInputTokens":2492,"inputTokens":22,"outputTokens":13,"serverToolUsage":{},"totalTokens":2534}"#;
        let usage = decode(report).unwrap();
        assert_eq!(usage, Usage { input: 22, cache_read: 7, cache_write: 2_492, output: 13, reasoning: 0 });
        assert_eq!(usage.total(), 2_534);
        assert_eq!(decode(&object(|w| write(&usage, w))), Some(usage));
    }
}
