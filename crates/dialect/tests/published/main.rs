//! docs/dialects.md says what this crate does: its tables are made here by asking the crate itself, and compared. With
//! `FRONTDOOR_DOCS=write` they are written.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test tells by panicking")]
#![expect(clippy::disallowed_methods, reason = "whether the document is to be written is told from outside")]

mod fields;

use bytes::Bytes;
use frontdoor_dialect::{Asked, Call, Dialect, Operation, Outbound, StopReason, TargetShape, encode_call};
use serde_json::{Value, json};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects.md");

/// A table as Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// The document holds this table between the marks of this name.
fn check(name: &str, table: &str) {
    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = WRITING.lock().unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no table `{name}`"));
    let (written, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no end of table `{name}`"));
    if written.trim() == table.trim() {
        return;
    }
    assert!(
        std::env::var("FRONTDOOR_DOCS").is_ok_and(|what| what == "write"),
        "docs/dialects.md says otherwise; write it anew with FRONTDOOR_DOCS=write. It should say:\n{table}"
    );
    std::fs::write(DOCUMENT, format!("{before}{begin}\n{}\n\n{end}{after}", table.trim())).unwrap();
}

/// Sends a call of a dialect, with its model in the path where it belongs there.
pub(crate) fn send(caller: Dialect, body: &Value, target: &TargetShape<'_>) -> Result<Outbound, String> {
    let in_path = matches!(caller, Dialect::Gemini | Dialect::Bedrock);
    let asked = Asked { model: in_path.then(|| "m".to_owned()), ..(caller, Operation::Chat).into() };
    let call = Call::decode(asked, Bytes::from(body.to_string())).map_err(|fault| fault.to_string())?;
    encode_call(&call, target).map_err(|fault| fault.param.unwrap_or(fault.message))
}

const REASONS: [StopReason; 8] = [
    StopReason::End,
    StopReason::Length,
    StopReason::StopSequence,
    StopReason::ToolUse,
    StopReason::Refusal,
    StopReason::ContextWindow,
    StopReason::Pause,
    StopReason::Failed,
];

/// Every word that a vendor's own package has for the end of an answer.
const WORDS: [(Dialect, &[&str]); 6] = [
    (
        Dialect::OpenAi,
        &[
            "stop",
            "length",
            "tool_calls",
            "content_filter",
            "function_call",
            "model_length",
            "error",
            "timeout",
        ],
    ),
    (Dialect::Responses, &["completed", "max_output_tokens", "content_filter", "failed", "cancelled"]),
    (
        Dialect::Anthropic,
        &[
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
        ],
    ),
    (
        Dialect::Gemini,
        &[
            "STOP",
            "MAX_TOKENS",
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "ESCALATION",
            "CONTINUATION",
            "OTHER",
            "NO_IMAGE",
            "IMAGE_OTHER",
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE",
        ],
    ),
    (
        Dialect::Bedrock,
        &[
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "content_filtered",
            "guardrail_intervened",
            "model_context_window_exceeded",
            "malformed_model_output",
            "malformed_tool_use",
        ],
    ),
    (
        Dialect::Cohere,
        &[
            "COMPLETE",
            "MAX_TOKENS",
            "STOP_SEQUENCE",
            "TOOL_CALL",
            "ERROR_TOXIC",
            "ERROR_LIMIT",
            "ERROR",
            "TIMEOUT",
        ],
    ),
];

#[test]
fn the_published_table_of_stop_reasons_is_the_one_in_use() {
    let cell = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
    let written = |reason: StopReason, dialect: Dialect| match reason {
        StopReason::Failed => "an error".to_owned(),
        _ => cell(vec![reason.encode(dialect)]),
    };
    let rows = |of: &dyn Fn(StopReason, Dialect) -> String| -> Vec<Vec<String>> {
        let row = |reason: StopReason| {
            let first = reason.as_str().replace('_', " ");
            [first].into_iter().chain(Dialect::ALL.map(|dialect| of(reason, dialect))).collect()
        };
        REASONS.map(row).into()
    };
    let read = |reason: StopReason, dialect: Dialect| {
        let (_, words) = WORDS.iter().find(|(known, _)| *known == dialect).unwrap();
        let is_it = |word: &&&str| StopReason::decode(dialect, word).0 == reason;
        cell(words.iter().filter(is_it).copied().collect())
    };
    let head = ["", "openai", "responses", "anthropic", "gemini", "bedrock", "cohere"];
    check("stop reasons read", &table(&head, &rows(&read)));
    check("stop reasons written", &table(&head, &rows(&written)));
}

#[test]
fn the_published_table_of_efforts_is_the_one_in_use() {
    let models = [
        (Dialect::Anthropic, "claude-sonnet-4-5", "Claude to 4.5"),
        (Dialect::Anthropic, "claude-opus-4-6", "Claude from 4.6"),
        (Dialect::Gemini, "gemini-2.5-flash", "Gemini 2.5"),
        (Dialect::Gemini, "gemini-3-pro-preview", "Gemini 3"),
        (Dialect::Cohere, "command-a-reasoning-08-2025", "Cohere"),
    ];
    let row = |effort: &str| {
        let call = json!({"model": "m", "max_tokens": 64_000, "reasoning_effort": effort,
            "messages": [{"role": "user", "content": "hi"}]});
        let cell = |(dialect, model, _): (Dialect, &str, &str)| {
            let shape = TargetShape { max_output_tokens: Some(64_000), ..TargetShape::new(dialect, model) };
            match send(Dialect::OpenAi, &call, &shape) {
                Ok(outbound) => thinking(&serde_json::from_slice(&outbound.body).unwrap()),
                Err(_) => "refused".to_owned(),
            }
        };
        [format!("`{effort}`")].into_iter().chain(models.map(cell)).collect()
    };
    let rows = ["none", "minimal", "low", "medium", "high", "xhigh", "max"].map(row);
    let head: Vec<&str> = ["effort"].into_iter().chain(models.map(|(_, _, name)| name)).collect();
    check("efforts", &table(&head, &rows));
}

/// What a body says of thinking.
fn thinking(body: &Value) -> String {
    let config = &body["generationConfig"]["thinkingConfig"];
    let told = [
        &body["output_config"]["effort"],
        &body["thinking"]["budget_tokens"],
        &body["thinking"]["token_budget"],
        &config["thinkingLevel"],
        &config["thinkingBudget"],
        &body["thinking"]["type"],
    ];
    let told = told.into_iter().find(|value| !value.is_null());
    told.map_or_else(|| "nothing".to_owned(), |value| format!("`{}`", value.to_string().trim_matches('"')))
}

#[test]
fn the_published_tables_of_fields_are_what_happens_to_them() {
    for caller in fields::CALLERS {
        let (name, table) = fields::table_of(caller);
        check(&format!("fields of {name}"), &table);
    }
}
