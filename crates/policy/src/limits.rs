//! How large policy may be. Part of the contract: exceeding one is a refused version with a diagnostic, on both sides alike.

/// Resources in one version.
pub const RESOURCES: usize = 50_000;
/// Bytes of one resource in canonical form, and of one body on the wire.
pub const RESOURCE_BYTES: usize = 256 * 1024;
/// Bytes of one file of documents.
pub const DOCUMENTS_BYTES: usize = 64 * 1024 * 1024;
/// Levels of nesting in a document.
pub const DOCUMENT_DEPTH: usize = 32;
/// YAML aliases (`*name`) in one file.
pub const YAML_ALIASES: usize = 10_000;
/// Nodes which aliases may add to one file by repetition.
pub const YAML_REPLAYED_NODES: usize = 100_000;
/// Characters of a name.
pub const NAME_CHARS: usize = 253;
/// Labels of one resource.
pub const LABELS: usize = 64;
/// Characters of a label's key or value, and of other short texts (organisation, team, application).
pub const SHORT_TEXT_CHARS: usize = 128;
/// Characters of a note.
pub const NOTE_CHARS: usize = 1024;
/// Targets of one model, and of one rule.
pub const TARGETS: usize = 64;
/// Rules of one route.
pub const RULES: usize = 256;
/// Patterns in one list.
pub const PATTERNS: usize = 1024;
/// Extra headers of a provider.
pub const HEADERS: usize = 64;
/// Bytes of a header's value.
pub const HEADER_VALUE_BYTES: usize = 4096;
/// Bytes of one condition.
pub const CONDITION_BYTES: usize = 4096;
/// Levels of a condition's syntax tree, so that evaluating one cannot exhaust a stack.
pub const CONDITION_DEPTH: usize = 32;
/// Bytes a compiled regular expression of a condition may take.
pub const REGEX_BYTES: usize = 256 * 1024;
/// The longest duration that may be authored.
pub const SPAN_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;
/// The largest weight of a target.
pub const WEIGHT: u32 = 1_000_000;
/// Tries of one call over all targets.
pub const ATTEMPTS: u32 = 10;
/// The highest price that may be authored, in USD (per million tokens, or per request).
pub const USD: u64 = 1_000_000;
/// Bytes of one image or document that a proxy may be allowed to fetch.
pub const FETCHED_BYTES: u64 = 64 * 1024 * 1024;
/// Entries of one quirk, and values or models of one entry.
pub const QUIRK_ENTRIES: usize = 256;
