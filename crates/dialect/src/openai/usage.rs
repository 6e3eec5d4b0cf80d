//! OpenAI's usage: `prompt_tokens` include what was read from and written to a cache.

use crate::{
    Usage,
    json::ObjectWriter,
    scan::{count, numbers},
};

/// Reads a `usage` object, of a chat or of embeddings, from OpenAI or a compatible server.
pub(crate) fn decode(json: &[u8]) -> Option<Usage> {
    let (mut prompt, mut output, mut reasoning, mut cache_write) = (0, 0, 0, 0);
    let (mut cached, mut other_cached) = (None, None);
    let is_object = numbers(json, |outer, name, number| {
        let Some(count) = count(number) else { return };
        match (outer, name) {
            (b"", b"prompt_tokens") => prompt = count,
            (b"", b"completion_tokens") => output = count,
            (b"", b"prompt_cache_hit_tokens" | b"num_cached_tokens") => other_cached = Some(count),
            (b"prompt_tokens_details", b"cached_tokens") => cached = Some(count),
            (b"prompt_tokens_details", b"cache_write_tokens") => cache_write = count,
            (b"completion_tokens_details", b"reasoning_tokens") => reasoning = count,
            _ => {}
        }
    });
    let cache_read = cached.or(other_cached).unwrap_or(0);
    is_object.then(|| Usage {
        input: prompt.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output,
        reasoning: reasoning.min(output),
    })
}

/// OpenAI's word for the tier that served an answer. Tiers that it has none for stay with whoever served it: some clients
/// refuse other words.
pub(crate) fn tier(told: &str) -> Option<&'static str> {
    Some(match told.to_ascii_lowercase().as_str() {
        "default" | "standard" => "default",
        "auto" => "auto",
        "flex" => "flex",
        "scale" => "scale",
        "priority" => "priority",
        "fast" => "fast",
        _ => return None,
    })
}

/// Writes the fields of a `usage` object.
pub(crate) fn write(usage: &Usage, w: &mut ObjectWriter<'_>) {
    w.number("prompt_tokens", usage.all_input());
    w.number("completion_tokens", usage.output);
    w.number("total_tokens", usage.total());
    w.object("prompt_tokens_details", |w| {
        w.number("cached_tokens", usage.cache_read);
        if usage.cache_write > 0 {
            w.number("cache_write_tokens", usage.cache_write);
        }
    });
    w.object("completion_tokens_details", |w| w.number("reasoning_tokens", usage.reasoning));
}

#[cfg(test)]
mod tests {
    use super::{decode, write};
    use crate::{Usage, json::object};

    #[test]
    fn cached_tokens_are_inside_the_prompt_tokens() {
        let usage = Usage { input: 10, cache_read: 5, cache_write: 3, output: 7, reasoning: 2 };
        let written = object(|w| write(&usage, w));
        assert!(String::from_utf8_lossy(&written).starts_with(r#"{"prompt_tokens":18,"#));
        assert_eq!(decode(&written), Some(usage));
    }

    #[test]
    fn other_servers_words_for_cached_tokens_are_known() {
        for json in [
            r#"{"prompt_tokens":9,"completion_tokens":1,"num_cached_tokens":4}"#,
            r#"{"prompt_tokens":9.0,"completion_tokens":1,"prompt_cache_hit_tokens":4}"#,
        ] {
            let expected = Usage { input: 5, cache_read: 4, output: 1, ..Usage::default() };
            assert_eq!(decode(json.as_bytes()), Some(expected), "{json}");
        }
    }

    #[test]
    fn impossible_counts_do_not_overflow() {
        let json =
            br#"{"prompt_tokens":1,"completion_tokens":-3,"prompt_tokens_details":{"cached_tokens":9}}"#;
        assert_eq!(decode(json), Some(Usage { cache_read: 9, ..Usage::default() }));
        assert_eq!(decode(b"null"), None);
    }
}
