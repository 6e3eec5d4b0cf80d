//! What is known of the models behind Converse by their names: it has one form for all of them, but they do not all
//! take all of it. A name that is not known gets what the form itself has a word for.

/// Models that take the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's own that reason.
    Nova2,
    /// Amazon's own before them.
    Nova,
    /// Mistral's.
    Mistral,
    /// OpenAI's open ones.
    GptOss,
    /// Models whose reasoning is set by a word.
    Worded,
    /// All others.
    Other,
}

/// Models that answer by a schema only as arguments of a tool.
const SCHEMALESS: &[&str] = &[
    "claude-v2",
    "claude-instant",
    "claude-3",
    "claude-sonnet-4-2025",
    "claude-opus-4-2025",
    "claude-opus-4-1",
    "nova",
    "llama",
    "titan",
    "jamba",
    "command-r",
    "mistral-7b",
    "mistral-large-24",
    "mistral-small-24",
    "mixtral",
    "pixtral",
];

impl Family {
    /// The family of a model's name, whatever region stands before it.
    pub(crate) fn of(model: &str) -> Self {
        let has = |word: &str| model.contains(word);
        if has("anthropic.") || has("claude") {
            Self::Claude
        } else if has("nova-2") {
            Self::Nova2
        } else if has("nova") {
            Self::Nova
        } else if has("mistral") {
            Self::Mistral
        } else if has("gpt-oss") {
            Self::GptOss
        } else if has("qwen") || has("deepseek.v3") {
            Self::Worded
        } else {
            Self::Other
        }
    }

    /// Whether parts of a call can be marked for its cache.
    pub(crate) fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2)
    }
}

/// Whether a model keeps to a schema by itself.
pub(crate) fn keeps_schemas(model: &str) -> bool {
    !SCHEMALESS.iter().any(|word| model.contains(word))
}
