//! The canonical form: what a call, an answer and a stream mean, in words of no dialect.
//!
//! What the canonical form has no word for is kept in `extra` (in the words of the dialect it came from), so that
//! going back to that dialect loses nothing. It must not know how any dialect writes things.

use crate::{Dialect, Fault, StopReason, Usage};

/// A JSON value kept as it was written: key order and number formats matter to models and to callers.
#[derive(Debug, Clone)]
pub struct Json(Box<serde_json::value::RawValue>);

impl Json {
    /// Keeps a value.
    #[must_use]
    pub fn new(raw: &serde_json::value::RawValue) -> Self {
        Self(raw.to_owned())
    }

    /// Keeps a text if it is one JSON value.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&serde_json::value::RawValue>(text).map(Self::new)
    }

    /// The text of the value.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    /// Equal as values, whatever the spacing.
    fn eq(&self, other: &Self) -> bool {
        let value = |json: &Self| serde_json::from_str::<serde_json::Value>(json.text());
        self.text() == other.text() || matches!((value(self), value(other)), (Ok(a), Ok(b)) if a == b)
    }
}

/// Fields without a canonical word, in the order they came.
pub type Extra = Vec<(String, Json)>;

/// A chat call.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The dialect it was read from: `extra` fields are words of this dialect.
    pub origin: Dialect,
    /// The model asked for.
    pub model: String,
    /// System prompts, turns and tool results, in order.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// How it must choose among them.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called in one answer.
    pub parallel_tool_calls: Option<bool>,
    /// The cap on what is written, reasoning included.
    pub max_output_tokens: Option<u32>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sampling among the k likeliest.
    pub top_k: Option<u64>,
    /// The form of the answer.
    pub format: Option<OutputFormat>,
    /// How much to reason first.
    pub reasoning: Option<Reasoning>,
    /// An opaque name for the end user.
    pub user: Option<String>,
    /// Cache everything up to the end of the call.
    pub cache: Option<Json>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Everything else.
    pub extra: Extra,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator's instructions.
    System,
    /// OpenAI's newer word for them; a system prompt everywhere else.
    Developer,
    /// The person, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. Results of tools come first in a user turn.
    pub parts: Vec<Part>,
    /// Everything else.
    pub extra: Extra,
}

/// A piece of a turn or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The piece.
    pub body: PartBody,
    /// A cache mark, in Anthropic's words.
    pub cache: Option<Json>,
    /// Everything else.
    pub extra: Extra,
}

impl From<PartBody> for Part {
    fn from(body: PartBody) -> Self {
        Self { body, cache: None, extra: Extra::new() }
    }
}

/// The kinds of pieces.
#[derive(Debug, Clone, PartialEq)]
pub enum PartBody {
    /// Plain text.
    Text(String),
    /// An image, with OpenAI's `detail` when given.
    Image { source: Source, detail: Option<String> },
    /// A document.
    Document { source: Source, name: Option<String> },
    /// The model calls a tool. `arguments` is JSON text as the model wrote it, possibly broken.
    ToolCall { id: String, name: String, arguments: String },
    /// What a tool gave back.
    ToolResult { id: String, content: Vec<Part>, is_error: bool },
    /// Reasoning shown to the caller; without a signature it cannot be replayed to Anthropic.
    Thinking { text: String, signature: Option<String> },
    /// Reasoning hidden from the caller.
    RedactedThinking { data: String },
    /// The model declines, in words.
    Refusal(String),
    /// A piece only its own dialect understands, whole.
    Opaque { kind: String, value: Json },
}

/// Where the bytes of an image or a document are.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// In the call.
    Base64 { media_type: String, data: String },
    /// To be fetched by the provider.
    Url(String),
    /// Uploaded before, known to one provider only.
    File(String),
    /// Plain text in the call.
    Text(String),
}

/// A tool offered to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The tool.
    pub body: ToolBody,
    /// A cache mark, in Anthropic's words.
    pub cache: Option<Json>,
    /// Everything else.
    pub extra: Extra,
}

/// The kinds of tools.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolBody {
    /// Run by the caller.
    Function { name: String, description: Option<String>, parameters: Option<Json>, strict: Option<bool> },
    /// Run by the provider, or of a kind only one dialect knows, whole.
    Opaque { kind: String, value: Json },
}

/// How the model must choose among tools.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None of them.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
    /// A choice only one dialect knows, whole.
    Opaque(Json),
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema { name: Option<String>, description: Option<String>, schema: Json, strict: Option<bool> },
    /// A form only one dialect knows, whole.
    Opaque(Json),
}

/// How much to reason before answering.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reasoning {
    /// In words: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    pub effort: Option<String>,
    /// In tokens.
    pub budget: Option<u32>,
    /// Anthropic's `thinking` field whole, when it was the source.
    pub thinking: Option<Json>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The provider's id.
    pub id: String,
    /// The model that answered, in the provider's words.
    pub model: String,
    /// Unix seconds, where the dialect tells.
    pub created: Option<u64>,
    /// What was said.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: StopReason,
    /// The provider's own word, when `stop` does not say it exactly.
    pub native_stop: Option<String>,
    /// The stop sequence that ended it.
    pub stop_sequence: Option<String>,
    /// What it used.
    pub usage: Option<Usage>,
}

/// A step of a streamed answer. Only tool calls may interleave, so only they carry an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event, once.
    Start { id: String, model: String, created: Option<u64>, usage: Option<Usage> },
    /// More text.
    Text(String),
    /// More reasoning.
    Thinking(String),
    /// More of the signature of the reasoning so far.
    Signature(String),
    /// A whole piece of hidden reasoning.
    RedactedThinking(String),
    /// More words of declining.
    Refusal(String),
    /// A tool call begins; indexes count tool calls from 0.
    ToolStart { index: u32, id: String, name: String },
    /// More of its arguments.
    ToolArguments { index: u32, fragment: String },
    /// The piece that was open is complete.
    PartEnd,
    /// What was used so far; a later one corrects, never adds.
    Usage(Usage),
    /// Why it ends.
    Stop { reason: StopReason, native: Option<String>, sequence: Option<String> },
    /// Still alive.
    Ping,
    /// The provider's last word.
    End,
    /// The provider failed in band.
    Fault(Fault),
}
