//! Gemini's usage: `promptTokenCount` includes what was read from a cache and leaves out what tools brought in;
//! `candidatesTokenCount` leaves thoughts out.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usageMetadata` object.
pub(crate) fn decode(json: &[u8]) -> Option<Usage> {
    let (mut prompt, mut tools, mut cached, mut said, mut thoughts) = (0_u64, 0_u64, 0, 0_u64, 0);
    let mut counted = false;
    let is_object = numbers(json, |outer, name, number| {
        let Some(count) = count(number).filter(|_| outer.is_empty()) else { return };
        match name {
            b"promptTokenCount" => prompt = count,
            b"toolUsePromptTokenCount" => tools = count,
            b"cachedContentTokenCount" => cached = count,
            b"candidatesTokenCount" | b"responseTokenCount" => said = count,
            b"thoughtsTokenCount" => thoughts = count,
            _ => return,
        }
        counted = true;
    });
    (is_object && counted).then(|| Usage {
        input: prompt.saturating_sub(cached).saturating_add(tools),
        cache_read: cached,
        cache_write: 0,
        output: said.saturating_add(thoughts),
        reasoning: thoughts,
    })
}

/// Writes the fields of a `usageMetadata` object.
pub(crate) fn write(usage: &Usage, tier: Option<&str>, w: &mut ObjectWriter<'_>) {
    w.number("promptTokenCount", usage.all_input());
    w.number("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
    w.number("totalTokenCount", usage.total());
    if usage.cache_read > 0 {
        w.number("cachedContentTokenCount", usage.cache_read);
    }
    if usage.reasoning > 0 {
        w.number("thoughtsTokenCount", usage.reasoning);
    }
    if let Some(tier) = tier {
        w.string("serviceTier", tier);
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, write};
    use crate::{Usage, json::object};

    #[test]
    fn cached_tokens_are_inside_the_prompt_and_thoughts_outside_the_candidates() {
        let usage = Usage { input: 10, cache_read: 5, cache_write: 0, output: 9, reasoning: 2 };
        let written = object(|w| write(&usage, None, w));
        let expected = concat!(
            r#"{"promptTokenCount":15,"candidatesTokenCount":7,"totalTokenCount":24,"#,
            r#""cachedContentTokenCount":5,"thoughtsTokenCount":2}"#
        );
        assert_eq!(String::from_utf8_lossy(&written), expected);
        assert_eq!(decode(&written), Some(usage));
    }

    #[test]
    fn what_tools_brought_in_is_input_beside_the_prompt() {
        let report = br#"{"promptTokenCount":46,"candidatesTokenCount":57,"totalTokenCount":310,
            "toolUsePromptTokenCount":40,"thoughtsTokenCount":167,"promptTokensDetails":[{"tokenCount":46}]}"#;
        let expected = Usage { input: 86, output: 224, reasoning: 167, ..Usage::default() };
        assert_eq!(decode(report), Some(expected));
        assert_eq!(expected.total(), 310);
    }

    #[test]
    fn a_report_without_counts_is_none() {
        assert_eq!(decode(br#"{"trafficType":"ON_DEMAND"}"#), None);
        assert_eq!(decode(b"null"), None);
    }
}
