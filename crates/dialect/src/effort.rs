//! How much to reason, in words and in tokens: the one table between the dialects that take words and those that take budgets.

/// The budget of tokens that stands for an effort.
pub(crate) fn budget(effort: &str) -> Option<u32> {
    match effort {
        "minimal" | "low" => Some(1_024),
        "medium" => Some(2_048),
        "high" => Some(4_096),
        "xhigh" => Some(8_192),
        "max" => Some(16_384),
        _ => None,
    }
}

/// The effort that stands for a budget.
pub(crate) fn of_budget(budget: u32) -> &'static str {
    match budget {
        0 => "none",
        1..2_048 => "low",
        2_048..4_096 => "medium",
        4_096..8_192 => "high",
        8_192..16_384 => "xhigh",
        _ => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::{budget, of_budget};

    #[test]
    fn an_effort_survives_as_a_budget() {
        for word in ["low", "medium", "high", "xhigh", "max"] {
            assert_eq!(budget(word).map(of_budget), Some(word));
        }
        assert_eq!(of_budget(0), "none");
        assert_eq!(budget("none"), None);
    }
}
