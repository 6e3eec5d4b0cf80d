//! Why an answer ended: the one table between the dialects.
//!
//! A block stays visible as a block in every dialect. An unknown reason becomes the safest known one and the
//! provider's own word is kept beside it; it never fails a finished answer.

use StopReason::{ContextWindow, End, Failed, Length, Pause, Refusal, StopSequence, ToolUse};

use crate::Dialect;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The model was done.
    End,
    /// The cap on output was reached.
    Length,
    /// One of the caller's stop sequences came up.
    StopSequence,
    /// The model calls tools.
    ToolUse,
    /// The model or a filter of the provider declined.
    Refusal,
    /// The context window was full.
    ContextWindow,
    /// A long turn was paused and may be continued.
    Pause,
    /// The provider failed while answering: an error, not an end.
    Failed,
}

/// The words of a dialect. The first line that fits wins, in both directions.
fn words(dialect: Dialect) -> &'static [(StopReason, &'static str)] {
    match dialect {
        Dialect::OpenAi => OPENAI,
        Dialect::Responses => RESPONSES,
        Dialect::Anthropic => ANTHROPIC,
        Dialect::Gemini => GEMINI,
        Dialect::Bedrock => BEDROCK,
        Dialect::Cohere => COHERE,
    }
}

const OPENAI: &[(StopReason, &str)] = &[
    (End, "stop"),
    (Length, "length"),
    (ToolUse, "tool_calls"),
    (Refusal, "content_filter"),
    (StopSequence, "stop"),
    (ContextWindow, "length"),
    (Pause, "stop"),
    (Failed, "error"),
    (ToolUse, "function_call"),
    (Length, "model_length"),
    (Failed, "timeout"),
];

const RESPONSES: &[(StopReason, &str)] = &[
    (End, "completed"),
    (Length, "max_output_tokens"),
    (Refusal, "content_filter"),
    (Failed, "failed"),
    (ToolUse, "completed"),
    (StopSequence, "completed"),
    (ContextWindow, "max_output_tokens"),
    (Pause, "completed"),
    (Failed, "cancelled"),
];

const ANTHROPIC: &[(StopReason, &str)] = &[
    (End, "end_turn"),
    (Length, "max_tokens"),
    (ToolUse, "tool_use"),
    (Refusal, "refusal"),
    (StopSequence, "stop_sequence"),
    (ContextWindow, "model_context_window_exceeded"),
    (Pause, "pause_turn"),
    (Failed, "error"),
];

const GEMINI: &[(StopReason, &str)] = &[
    (End, "STOP"),
    (Length, "MAX_TOKENS"),
    (Refusal, "SAFETY"),
    (ToolUse, "STOP"),
    (StopSequence, "STOP"),
    (ContextWindow, "MAX_TOKENS"),
    (Pause, "STOP"),
    (Failed, "OTHER"),
    (Refusal, "RECITATION"),
    (Refusal, "LANGUAGE"),
    (Refusal, "BLOCKLIST"),
    (Refusal, "PROHIBITED_CONTENT"),
    (Refusal, "SPII"),
    (Refusal, "MODEL_ARMOR"),
    (Refusal, "IMAGE_SAFETY"),
    (Refusal, "IMAGE_PROHIBITED_CONTENT"),
    (Refusal, "IMAGE_RECITATION"),
    (Failed, "MALFORMED_FUNCTION_CALL"),
    (ToolUse, "UNEXPECTED_TOOL_CALL"),
    (Refusal, "JAILBREAK"),
    (Refusal, "PUP_LIMITED_DISABLED"),
    (Failed, "TOO_MANY_TOOL_CALLS"),
    (Failed, "MISSING_THOUGHT_SIGNATURE"),
    (Failed, "MALFORMED_RESPONSE"),
    (Failed, "NO_IMAGE"),
    (Failed, "IMAGE_OTHER"),
    (Pause, "CONTINUATION"),
    (Refusal, "ESCALATION"),
];

const BEDROCK: &[(StopReason, &str)] = &[
    (End, "end_turn"),
    (Length, "max_tokens"),
    (ToolUse, "tool_use"),
    (Refusal, "content_filtered"),
    (StopSequence, "stop_sequence"),
    (ContextWindow, "model_context_window_exceeded"),
    (Pause, "end_turn"),
    (Failed, "malformed_model_output"),
    (Refusal, "guardrail_intervened"),
    (Failed, "malformed_tool_use"),
];

const COHERE: &[(StopReason, &str)] = &[
    (End, "COMPLETE"),
    (Length, "MAX_TOKENS"),
    (ToolUse, "TOOL_CALL"),
    (StopSequence, "STOP_SEQUENCE"),
    (Refusal, "ERROR_TOXIC"),
    (ContextWindow, "MAX_TOKENS"),
    (Pause, "COMPLETE"),
    (Failed, "ERROR"),
    (Length, "ERROR_LIMIT"),
    (Failed, "TIMEOUT"),
];

/// Words inside an unknown reason that tell what it must mean. A block is looked for first.
const HINTS: &[(StopReason, &[&str])] = &[
    (
        StopReason::Refusal,
        &["filter", "safety", "block", "refus", "policy", "armor", "guard", "prohibit", "recitation", "spii"],
    ),
    (StopReason::ToolUse, &["tool", "function"]),
    (StopReason::Length, &["length", "max_", "limit", "context"]),
];

impl StopReason {
    /// Reads a dialect's word. The second value is that word when the reason alone would not give it back.
    #[must_use]
    pub fn decode(dialect: Dialect, word: &str) -> (Self, Option<String>) {
        let known = words(dialect).iter().find(|(_, known)| *known == word);
        let reason = known.map_or_else(|| Self::guess(word), |(reason, _)| *reason);
        let native = (reason.encode(dialect) != word).then(|| word.to_owned());
        (reason, native)
    }

    /// The dialect's word.
    #[must_use]
    pub fn encode(self, dialect: Dialect) -> &'static str {
        let known = words(dialect).iter().find(|(reason, _)| *reason == self);
        known.map_or("stop", |(_, word)| word)
    }

    /// A stable name for records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Length => "length",
            Self::StopSequence => "stop_sequence",
            Self::ToolUse => "tool_use",
            Self::Refusal => "refusal",
            Self::ContextWindow => "context_window",
            Self::Pause => "pause",
            Self::Failed => "failed",
        }
    }

    /// An answer that calls tools but claims a plain end still waits for their results; agents loop on this.
    pub(crate) fn with_tools(self, calls_tools: bool) -> Self {
        if calls_tools && self == Self::End { Self::ToolUse } else { self }
    }

    /// A refusal in words is a block, whatever the reason says.
    pub(crate) fn with_refusal(self, refuses: bool) -> Self {
        if refuses && self == Self::End { Self::Refusal } else { self }
    }

    fn guess(word: &str) -> Self {
        let word = word.to_ascii_lowercase();
        let hinted = HINTS.iter().find(|(_, hints)| hints.iter().any(|hint| word.contains(hint)));
        hinted.map_or(Self::End, |(reason, _)| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::StopReason;
    use crate::Dialect::{Anthropic, OpenAi};

    #[test]
    fn a_block_stays_a_block_in_both_directions() {
        assert_eq!(StopReason::decode(Anthropic, "refusal").0.encode(OpenAi), "content_filter");
        assert_eq!(StopReason::decode(OpenAi, "content_filter").0.encode(Anthropic), "refusal");
    }

    #[test]
    fn the_table_translates_each_known_reason() {
        for (word, expected) in [
            ("end_turn", "stop"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop"),
            ("tool_use", "tool_calls"),
            ("model_context_window_exceeded", "length"),
            ("pause_turn", "stop"),
        ] {
            assert_eq!(StopReason::decode(Anthropic, word).0.encode(OpenAi), expected, "{word}");
        }
        for (word, expected) in [
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("tool_calls", "tool_use"),
            ("function_call", "tool_use"),
        ] {
            assert_eq!(StopReason::decode(OpenAi, word).0.encode(Anthropic), expected, "{word}");
        }
    }

    #[test]
    fn an_unknown_reason_is_kept_and_maps_to_the_safest_known_one() {
        assert_eq!(
            StopReason::decode(OpenAi, "MODEL_ARMOR"),
            (StopReason::Refusal, Some("MODEL_ARMOR".into()))
        );
        assert_eq!(StopReason::decode(OpenAi, "eos"), (StopReason::End, Some("eos".into())));
        assert_eq!(
            StopReason::decode(Anthropic, "max_turn_cost"),
            (StopReason::Length, Some("max_turn_cost".into()))
        );
    }

    #[test]
    fn an_error_reason_is_not_a_stop() {
        assert_eq!(StopReason::decode(OpenAi, "error").0, StopReason::Failed);
        assert_eq!(StopReason::decode(OpenAi, "timeout").0, StopReason::Failed);
    }
}
