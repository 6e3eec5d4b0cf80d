//! How a provider differs from the dialect it speaks, as data.
//!
//! A provider that is compatible with a dialect but not in everything is described here, never by a condition on its
//! name. It must not know any provider.

/// How a provider differs from its dialect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quirks {
    /// Fields of the call that it does not take, dotted where they stand inside others.
    pub unsupported: Vec<String>,
    /// Fields that have another name there: from, to.
    pub renamed: Vec<(String, String)>,
    /// Numbers that must stay within bounds.
    pub clamped: Vec<Clamp>,
    /// How a stream tells what it used.
    pub stream_usage: StreamUsage,
    /// It has no `developer` role: such messages go as `system`.
    pub no_developer_role: bool,
    /// Its word for a tool choice of `required`.
    pub required_tool_choice: Option<String>,
    /// It takes no JSON Schema, only any JSON object.
    pub no_json_schema: bool,
}

/// A number that must stay within bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Clamp {
    /// The field.
    pub field: String,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
}

/// How a stream tells what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamUsage {
    /// When `stream_options.include_usage` asks for it.
    #[default]
    Option,
    /// Always; the option is not known there.
    Always,
    /// Never.
    Missing,
}
