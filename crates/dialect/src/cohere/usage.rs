//! Usage in Cohere's convention: `tokens` is what was read and written, `billed_units` what is paid; cached tokens are
//! among the input.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usage` object.
pub(crate) fn decode(json: &[u8]) -> Option<Usage> {
    let (mut tokens, mut billed, mut cached) = ([None; 2], [None; 2], 0);
    let is_object = numbers(json, |outer, name, number| {
        let place = match (outer, name) {
            (b"tokens", b"input_tokens") => &mut tokens[0],
            (b"tokens", b"output_tokens") => &mut tokens[1],
            (b"billed_units", b"input_tokens") => &mut billed[0],
            (b"billed_units", b"output_tokens") => &mut billed[1],
            (b"", b"cached_tokens") => {
                cached = count(number).unwrap_or(0);
                return;
            }
            _ => return,
        };
        *place = count(number);
    });
    let [input, output] = [tokens[0].or(billed[0]), tokens[1].or(billed[1])];
    if !is_object || input.or(output).is_none() {
        return None;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let cache_read = cached.min(input);
    Some(Usage { input: input - cache_read, cache_read, cache_write: 0, output, reasoning: 0 })
}

/// Writes the fields of a `usage` object.
pub(crate) fn write(usage: &Usage, w: &mut ObjectWriter<'_>) {
    w.object("tokens", |w| {
        w.number("input_tokens", usage.all_input());
        w.number("output_tokens", usage.output);
    });
    if usage.cache_read > 0 {
        w.number("cached_tokens", usage.cache_read);
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, write};
    use crate::{Usage, json::object};

    #[test]
    fn tokens_count_and_not_what_is_billed_and_cached_ones_are_among_the_input() {
        let report = br#"{"billed_units":{"input_tokens":2406,"output_tokens":2},"cached_tokens":2928,"tokens":{"input_tokens":2935.0,"output_tokens":4}}"#;
        let usage = decode(report).unwrap();
        assert_eq!(usage, Usage { input: 7, cache_read: 2_928, output: 4, ..Usage::default() });
        assert_eq!(decode(&object(|w| write(&usage, w))), Some(usage));
    }

    #[test]
    fn what_is_billed_stands_in_for_tokens_that_were_not_told() {
        let usage = decode(br#"{"billed_units":{"input_tokens":5,"output_tokens":2}}"#).unwrap();
        assert_eq!((usage.input, usage.output), (5, 2));
        assert_eq!(decode(br#"{"billed_units":{"search_units":1}}"#), None);
    }
}
