//! The canonical form: what a call, an answer and a stream mean, in words of no dialect.
//!
//! What the canonical form has no word for is kept in `extra` (in the words of the dialect it came from), so that
//! going back to that dialect loses nothing. It must not know how any dialect writes things.

use crate::{Dialect, Fault, StopReason, Usage, signature::Signature};

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
    /// Makes sampling repeatable where the provider can.
    pub seed: Option<i64>,
    /// Lowers the odds of what was said often.
    pub frequency_penalty: Option<f64>,
    /// Lowers the odds of what was said at all.
    pub presence_penalty: Option<f64>,
    /// Whether the odds of each token are told.
    pub logprobs: Option<Logprobs>,
    /// How many answers to give.
    pub n: Option<u32>,
    /// Speed against price, in the words of the origin.
    pub service_tier: Option<String>,
    /// The caller's own labels, an object of strings.
    pub metadata: Option<Json>,
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

/// Whether and how the odds of tokens are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logprobs {
    /// Whether they are told.
    pub enabled: bool,
    /// How many alternatives for each token.
    pub top: Option<u32>,
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
    /// The seal a provider put on a piece that is not reasoning, as Gemini does on calls of tools.
    pub signature: Option<Signature>,
    /// What a text rests on.
    pub citations: Vec<Citation>,
    /// Everything else.
    pub extra: Extra,
}

impl From<PartBody> for Part {
    fn from(body: PartBody) -> Self {
        Self { body, cache: None, signature: None, citations: Vec::new(), extra: Extra::new() }
    }
}

/// What a text rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// The words that rest on it: first and one past the last character of the text of the part, where told.
    pub span: Option<(u64, u64)>,
    /// Where it can be read.
    pub url: Option<String>,
    /// Its name.
    pub title: Option<String>,
    /// The words cited.
    pub quote: Option<String>,
    /// The file or document, in the provider's words.
    pub file: Option<String>,
    /// The whole citation as the dialect `by` wrote it.
    pub native: Option<(Dialect, Json)>,
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
    /// Sound.
    Audio { source: Source },
    /// Moving pictures.
    Video { source: Source },
    /// The model calls a tool. `arguments` is JSON text as the model wrote it, possibly broken.
    ToolCall { id: String, name: String, arguments: String },
    /// What a tool gave back.
    ToolResult { id: String, content: Vec<Part>, is_error: bool },
    /// Reasoning shown to the caller; without a signature it cannot be replayed to Anthropic.
    Thinking { text: String, signature: Option<Signature> },
    /// Reasoning hidden from the caller, sealed.
    RedactedThinking { data: Signature },
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
    /// The caller asked to see it, where it is not shown unasked.
    pub shown: bool,
}

impl Reasoning {
    /// Whether the caller says nothing of how much to reason.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.effort.is_none() && self.budget.is_none() && self.thinking.is_none()
    }

    /// Whether Anthropic's `thinking` asks to see it.
    pub(crate) fn shows(thinking: &Json) -> bool {
        ![r#""disabled""#, r#""omitted""#].iter().any(|word| thinking.text().contains(word))
    }
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
    /// What was said: one choice, or several when `n` asked for them. Never empty.
    pub choices: Vec<Choice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The tier that served it, in the provider's words.
    pub service_tier: Option<String>,
    /// Everything else, in the words of the dialect it came from.
    pub extra: Extra,
}

/// One of the answers to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What was said.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: StopReason,
    /// The provider's own word, when `stop` does not say it exactly.
    pub native_stop: Option<String>,
    /// The stop sequence that ended it.
    pub stop_sequence: Option<String>,
    /// The odds of its tokens, in OpenAI's words.
    pub logprobs: Option<Json>,
}

impl Answer {
    /// The first choice.
    #[must_use]
    pub fn first(&self) -> Option<&Choice> {
        self.choices.first()
    }
}

/// A step of a streamed answer. Only tool calls may interleave, so only they carry an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event, once.
    Start { id: String, model: String, created: Option<u64>, usage: Option<Usage> },
    /// What follows belongs to this choice, until the next such event; the first one is 0.
    Choice(u32),
    /// More text.
    Text(String),
    /// What the text so far rests on.
    Citation(Citation),
    /// The odds of the tokens of the text before, in OpenAI's words: an array of tokens.
    Logprobs(Json),
    /// More reasoning.
    Thinking(String),
    /// More of the signature of the reasoning so far.
    Signature(Signature),
    /// A whole piece of hidden reasoning.
    RedactedThinking(Signature),
    /// More words of declining.
    Refusal(String),
    /// A tool call begins; indexes count tool calls from 0.
    ToolStart { index: u32, id: String, name: String, signature: Option<Signature> },
    /// More of its arguments.
    ToolArguments { index: u32, fragment: String },
    /// The piece that was open is complete.
    PartEnd,
    /// What was used so far; a later one corrects, never adds.
    Usage(Usage),
    /// Why it ends.
    Stop { reason: StopReason, native: Option<String>, sequence: Option<String> },
    /// The tier that serves it, in the provider's words.
    ServiceTier(String),
    /// An event or a piece that nobody here knows, skipped and counted.
    Unknown,
    /// Still alive.
    Ping,
    /// The provider's last word.
    End,
    /// The provider failed in band.
    Fault(Fault),
}
