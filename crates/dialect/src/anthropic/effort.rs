//! How much Claude models think: newer ones take an effort and decide for themselves, older ones take a budget.

/// The first generation that thinks as much as it finds right.
const FIRST_ADAPTIVE: (u32, u32) = (4, 6);
/// Families that came with it.
const ADAPTIVE_FAMILIES: [&str; 2] = ["mythos", "fable"];

/// Whether a model takes `thinking: {type: adaptive}` and `output_config.effort`. The names of Bedrock and Vertex AI are known too.
///
/// Source: the models of Anthropic's SDK 2.11.0, and those it warns of when thinking is `enabled`.
pub(crate) fn is_adaptive(model: &str) -> bool {
    let Some((_, name)) = model.split_once("claude-") else { return false };
    if ADAPTIVE_FAMILIES.iter().any(|family| name.contains(family)) {
        return true;
    }
    // Dates and versions of the platform have other forms than the one or two digits of a generation.
    let mut numbers = name
        .split(['-', '.', ':', '@'])
        .skip_while(|piece| !is_number(piece))
        .take_while(|piece| is_number(piece))
        .filter_map(|piece| piece.parse::<u32>().ok());
    numbers.next().is_some_and(|major| (major, numbers.next().unwrap_or(0)) >= FIRST_ADAPTIVE)
}

fn is_number(piece: &str) -> bool {
    (1..=2).contains(&piece.len()) && piece.bytes().all(|byte| byte.is_ascii_digit())
}

/// Anthropic's word for an effort; nothing when it means no thinking at all.
pub(crate) fn word(effort: &str) -> Option<&'static str> {
    match effort {
        "minimal" | "low" => Some("low"),
        "medium" => Some("medium"),
        "high" => Some("high"),
        "xhigh" => Some("xhigh"),
        "max" => Some("max"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_adaptive;

    #[test]
    fn generations_are_told_apart_by_the_name_wherever_it_is_hosted() {
        for name in [
            "claude-opus-4-6",
            "claude-sonnet-5",
            "claude-haiku-5-5",
            "claude-mythos-preview",
            "us.anthropic.claude-opus-4-7-v1:0",
            "claude-opus-4-8@20260401",
        ] {
            assert!(is_adaptive(name), "{name}");
        }
        for name in [
            "claude-opus-4-5",
            "claude-sonnet-4-5-20250929",
            "claude-opus-4-20250514",
            "anthropic.claude-3-7-sonnet-20250219-v1:0",
            "claude-haiku-4-5@20251001",
            "gpt-5",
            "my-claude",
        ] {
            assert!(!is_adaptive(name), "{name}");
        }
    }
}
