//! How a provider differs from the dialect it speaks, as data, and what that does to a call.
//!
//! A provider that is compatible with a dialect but not in everything is described here, never by a condition on its
//! name. The fields of the body are edited where they stand, without building a tree of it. It must not know any
//! provider.

mod apply;

use std::collections::BTreeMap;

pub(crate) use apply::apply;

/// How a provider differs from its dialect.
///
/// Fields are named as in the body that goes out, before any is renamed. A dot leads into an object, or into each object of
/// an array: `messages.name` is the name of every message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quirks {
    /// Fields that it does not take: refused, or left out where that is allowed.
    pub unsupported: Vec<String>,
    /// Fields of which it takes these values only.
    pub only: BTreeMap<String, Vec<serde_json::Value>>,
    /// Numbers that must lie in a range: what lies outside is moved to its nearer end.
    pub clamp: BTreeMap<String, Clamp>,
    /// Fields that have another name there; only the last name of a field with dots changes.
    pub rename: BTreeMap<String, String>,
    /// Fields that it takes as a list only: a single value is sent as a list of one.
    pub lists: Vec<String>,
    /// How a stream tells what it used.
    pub stream_usage: StreamUsage,
    /// It has no `developer` role: such messages go as `system`.
    pub no_developer_role: bool,
    /// Its word for a tool choice of `required`.
    pub required_tool_choice: Option<String>,
    /// How many letters and digits its ids of tool calls have.
    pub tool_call_id_length: Option<u8>,
    /// It takes the bytes of images only, no URLs.
    pub no_image_urls: bool,
    /// Turns of callers and models must alternate.
    pub alternating_roles: bool,
    /// The field of a message in which it gives reasoning and takes it back.
    pub reasoning_field: Option<String>,
}

/// The range of a number; an end that is missing is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
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
    /// Never; the option is not known there.
    Missing,
}

impl Quirks {
    /// Whether the body may have to be edited.
    pub(crate) fn edits(&self) -> bool {
        self.stream_usage != StreamUsage::Option
            || self.no_developer_role
            || self.no_image_urls
            || self.required_tool_choice.is_some()
            || self.tool_call_id_length.is_some()
            || self.reasoning_field.is_some()
            || !(self.unsupported.is_empty()
                && self.only.is_empty()
                && self.clamp.is_empty()
                && self.rename.is_empty()
                && self.lists.is_empty())
    }
}

#[cfg(test)]
mod tests;
