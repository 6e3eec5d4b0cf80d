//! What is measured: which call goes through what to which upstream behaviour.

use crate::load::Call;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// OpenAI caller, OpenAI provider, a whole answer of about a kilobyte.
    Whole,
    /// The same, streamed: 32 events a millisecond or two apart, so that each is a write of its own.
    Streamed,
    /// OpenAI caller, Anthropic provider.
    TranslatedWhole,
    /// The same, streamed.
    TranslatedStreamed,
}

/// The models that the upstream serves, and its script for them.
pub(crate) const SCRIPT: &str =
    r#"{"rules": [{"model": "paced", "behaviour": {"tokens": 32, "tokens_per_second": 1000}}]}"#;

impl Scenario {
    pub(crate) const ALL: [Self; 4] =
        [Self::Whole, Self::Streamed, Self::TranslatedWhole, Self::TranslatedStreamed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "same dialect, whole",
            Self::Streamed => "same dialect, streamed (32 events)",
            Self::TranslatedWhole => "OpenAI to Anthropic, whole",
            Self::TranslatedStreamed => "OpenAI to Anthropic, streamed (32 events)",
        }
    }

    pub(crate) fn is_streamed(self) -> bool {
        matches!(self, Self::Streamed | Self::TranslatedStreamed)
    }

    /// The call as the floor forwards it, and as it reaches the upstream without anything between. The floor cannot translate,
    /// so a translation is compared with the same call untranslated.
    pub(crate) fn plain_call(self) -> Call {
        Call::chat(if self.is_streamed() { "paced" } else { "plain" }, "none", self.is_streamed())
    }

    /// The call as Frontdoor gets it. The policy leads `NAME` to the upstream's model of that name.
    pub(crate) fn frontdoor_call(self, key: &str) -> Call {
        let model = match self {
            Self::Whole => "plain",
            Self::Streamed => "paced",
            Self::TranslatedWhole => "plain-translated",
            Self::TranslatedStreamed => "paced-translated",
        };
        Call::chat(model, key, self.is_streamed())
    }

    /// Calls a second in the open loop: far from saturation, so that what is seen is the way and not the queue.
    pub(crate) fn open_rate(self) -> u32 {
        if self.is_streamed() { 50 } else { 500 }
    }

    pub(crate) fn closed_connections(self) -> usize {
        if self.is_streamed() { 64 } else { 16 }
    }
}
