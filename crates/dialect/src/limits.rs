//! Rate-limit headers of the family the caller's SDK reads.
//!
//! Only configured limits are told; what the limits are is not known here.

use std::time::Duration;

use crate::{Dialect, civil};

/// One limit as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is allowed in a window.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// The most constrained limit of each dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitState {
    /// Calls.
    pub requests: Option<Limit>,
    /// Tokens.
    pub tokens: Option<Limit>,
}

/// The headers that tell a caller how its limits stand.
#[must_use]
pub fn limit_headers(dialect: Dialect, state: &LimitState, now_unix_ms: u64) -> Vec<(&'static str, String)> {
    let names: [[&'static str; 3]; 2] = match dialect {
        // The others' SDKs read no such headers; the best known ones stand in.
        Dialect::OpenAi | Dialect::Responses | Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere => [
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        ],
        Dialect::Anthropic => [
            [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
            ],
            [
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
            ],
        ],
    };
    let mut headers = Vec::with_capacity(6);
    for ([limit_name, remaining_name, reset_name], limit) in
        names.into_iter().zip([state.requests, state.tokens])
    {
        let Some(limit) = limit else { continue };
        let reset = match dialect {
            Dialect::Anthropic => {
                let millis = u64::try_from(limit.reset.as_millis()).unwrap_or(u64::MAX);
                civil::rfc3339(now_unix_ms.saturating_add(millis).div_ceil(1_000))
            }
            _ => civil::format_duration(limit.reset),
        };
        headers.push((limit_name, limit.limit.to_string()));
        headers.push((remaining_name, limit.remaining.to_string()));
        headers.push((reset_name, reset));
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Limit, LimitState, limit_headers};
    use crate::Dialect;

    #[test]
    fn each_family_is_the_one_its_sdk_reads_and_only_configured_limits_are_told() {
        let requests = Some(Limit { limit: 60, remaining: 59, reset: Duration::from_millis(1_500) });
        let state = LimitState { requests, tokens: None };
        assert_eq!(
            limit_headers(Dialect::OpenAi, &state, 0),
            [
                ("x-ratelimit-limit-requests", "60".to_owned()),
                ("x-ratelimit-remaining-requests", "59".to_owned()),
                ("x-ratelimit-reset-requests", "2s".to_owned()),
            ]
        );
        assert_eq!(
            limit_headers(Dialect::Anthropic, &state, 1_000),
            [
                ("anthropic-ratelimit-requests-limit", "60".to_owned()),
                ("anthropic-ratelimit-requests-remaining", "59".to_owned()),
                ("anthropic-ratelimit-requests-reset", "1970-01-01T00:00:03Z".to_owned()),
            ]
        );
        assert!(limit_headers(Dialect::OpenAi, &LimitState::default(), 0).is_empty());
    }

    #[test]
    fn an_endless_reset_does_not_overflow() {
        let tokens = Some(Limit { limit: 1, remaining: 0, reset: Duration::MAX });
        let state = LimitState { requests: None, tokens };
        assert_eq!(limit_headers(Dialect::Anthropic, &state, u64::MAX).len(), 3);
        assert_eq!(limit_headers(Dialect::OpenAi, &state, 0).len(), 3);
    }
}
