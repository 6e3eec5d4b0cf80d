//! How a provider differs from what its dialect says, as plain data. What the words do to a call is the dialect's to know.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::Dialect;
use crate::{Patterns, diagnostic::Report, limits};

/// How a provider differs from what its dialect says.
///
/// Fields of a request are named as the dialect names them. A dot leads into a map or into each map of a list: `messages.name` is the
/// name of every message, `response_format.type` what kind of format is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quirks {
    /// Request fields that it does not take, or takes without heeding them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<Vec<String>>,
    /// Request fields of which it takes these values only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeMap<String, Vec<Value>>>,
    /// Numbers in requests that must lie in a range: what lies outside is moved to its nearer end, and reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamp: Option<BTreeMap<String, Clamp>>,
    /// Request fields that have another name there. Only the last name of a field with dots changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<BTreeMap<String, String>>,
    /// Request fields that it takes as a list only: a single value is sent as a list of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<Vec<String>>,
    /// What it serves at all. Omitted: all that its dialect has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<OperationName>>,
    /// How it takes calls of OpenAI's Responses API. Omitted: `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponsesVia>,
    /// When it tells the usage of a streamed answer. Omitted: `option`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<StreamUsage>,
    /// Whether it knows the role `developer`; if not, such messages are sent as `system`. Omitted: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_role: Option<bool>,
    /// Its word for the tool choice `required`. Omitted: `required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_tool_choice: Option<String>,
    /// How many letters and digits its tool-call ids have; others are sent as a digest of that length. Omitted: any id is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id_length: Option<u8>,
    /// Whether it loads images by URL; if not, it takes their bytes only. Omitted: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_urls: Option<bool>,
    /// Whether turns of `user` and `assistant` must alternate, so that neighbours of one role are sent as one. Omitted: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternating_roles: Option<bool>,
    /// The field of a message in which it gives reasoning and takes it back. Omitted: reasoning is read from where most give it
    /// and not sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_field: Option<String>,
    /// What is different for some models. Every entry that means a model counts, in the order written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<ModelQuirks>>,
}

/// A range; an end that is omitted is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// The least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
}

/// What is different for some models of a provider, beyond what is different for all: lists and maps are added to, words replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelQuirks {
    /// Which models, by the provider's names.
    pub names: Patterns,
    /// How they differ. Has no `models` itself.
    pub quirks: Quirks,
}

/// Something a provider may serve.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OperationName {
    /// Conversations.
    Chat,
    /// Counting the tokens of one.
    CountTokens,
    /// Embeddings.
    Embeddings,
    /// Ordering documents by relevance.
    Rerank,
    /// Making images.
    ImageGeneration,
    /// Changing images.
    ImageEdit,
    /// Speech to text.
    Transcription,
    /// Speech to text in English.
    AudioTranslation,
    /// Text to speech.
    Speech,
    /// Judging content.
    Moderation,
}

/// How a provider takes calls of OpenAI's Responses API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesVia {
    /// It has that API.
    #[default]
    Native,
    /// It has not: they are sent as chat completions.
    Translate,
}

/// When a provider tells the usage of a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// When `stream_options.include_usage` asks for it.
    #[default]
    Option,
    /// Always; it may not know `stream_options`, so that is not sent.
    Always,
    /// Never; usage is estimated, and `stream_options` is not sent.
    Missing,
}

/// Names every quirk once, so that none is forgotten when two sets are laid over each other.
macro_rules! each_quirk {
    ($over:expr, $under:expr, $list:path, $map:path) => {
        Quirks {
            unsupported: $list($over.unsupported, $under.unsupported),
            only: $map($over.only, $under.only),
            clamp: $map($over.clamp, $under.clamp),
            rename: $map($over.rename, $under.rename),
            lists: $list($over.lists, $under.lists),
            operations: $over.operations.or($under.operations),
            responses: $over.responses.or($under.responses),
            stream_usage: $over.stream_usage.or($under.stream_usage),
            developer_role: $over.developer_role.or($under.developer_role),
            required_tool_choice: $over.required_tool_choice.or($under.required_tool_choice),
            tool_call_id_length: $over.tool_call_id_length.or($under.tool_call_id_length),
            image_urls: $over.image_urls.or($under.image_urls),
            alternating_roles: $over.alternating_roles.or($under.alternating_roles),
            reasoning_field: $over.reasoning_field.or($under.reasoning_field),
            models: $over.models.or($under.models),
        }
    };
}

impl Quirks {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Quirks::default()
    }

    /// These quirks, completed by a preset's where nothing is said. Whoever writes a list replaces the preset's.
    pub(super) fn or(self, preset: Quirks) -> Quirks {
        each_quirk!(self, preset, Option::or, Option::or)
    }

    /// What holds for one model, by the provider's name for it.
    pub fn for_model(&self, model: &str) -> Cow<'_, Quirks> {
        let entries = self.models.iter().flatten().filter(|entry| entry.names.matches(model));
        entries.fold(Cow::Borrowed(self), |general, entry| {
            let (over, under) = (entry.quirks.clone(), general.into_owned());
            Cow::Owned(each_quirk!(over, under, joined, merged))
        })
    }

    pub(super) fn check(&self, dialect: Dialect, path: &str, report: &mut Report) {
        self.check_fields(path, report);
        self.check_words(dialect, path, report);
        let models = self.models.as_deref().unwrap_or_default();
        check_count(models.len(), &format!("{path}.models"), report);
        for (index, entry) in models.iter().enumerate() {
            let path = format!("{path}.models[{index}]");
            if let Err(message) = entry.names.check() {
                report.error(format_args!("{path}.names"), "invalid_value", message);
            }
            if entry.quirks.models.is_some() {
                let message = "models are told apart once; write another entry of `spec.quirks.models`";
                report.error(format_args!("{path}.quirks.models"), "invalid_value", message);
            } else {
                entry.quirks.check(dialect, &format!("{path}.quirks"), report);
            }
        }
    }

    /// The quirks that speak of request fields.
    fn check_fields(&self, path: &str, report: &mut Report) {
        self.check_only(path, report);
        self.check_clamp(path, report);
        let unsupported = self.unsupported.as_deref().unwrap_or_default();
        check_count(unsupported.len(), &format!("{path}.unsupported"), report);
        for (index, field) in unsupported.iter().enumerate() {
            check_field(field, &format!("{path}.unsupported[{index}]"), report);
        }
        for (field, name) in self.rename.iter().flatten() {
            let path = format!("{path}.rename");
            check_field(field, &path, report);
            if name.contains('.') {
                let message = format!("`{field}` keeps its place and gets another name, without dots");
                report.error(&path, "invalid_value", message);
            } else {
                check_field(name, &path, report);
            }
            if unsupported.contains(field) {
                let message =
                    format!("`{field}` is not supported and has another name; one of both is wrong");
                report.error(&path, "contradiction", message);
            }
        }
        let maps = [
            ("only", self.only.as_ref().map_or(0, BTreeMap::len)),
            ("clamp", self.clamp.as_ref().map_or(0, BTreeMap::len)),
            ("rename", self.rename.as_ref().map_or(0, BTreeMap::len)),
        ];
        for (name, count) in maps {
            check_count(count, &format!("{path}.{name}"), report);
        }
    }

    fn check_only(&self, path: &str, report: &mut Report) {
        let lists = self.lists.as_deref().unwrap_or_default();
        check_count(lists.len(), &format!("{path}.lists"), report);
        for (index, field) in lists.iter().enumerate() {
            check_field(field, &format!("{path}.lists[{index}]"), report);
        }
        for (field, values) in self.only.iter().flatten() {
            let path = format!("{path}.only");
            check_field(field, &path, report);
            check_count(values.len(), &path, report);
            if values.is_empty() {
                let message = format!("`{field}` takes no value at all; write it under `unsupported`");
                report.error(&path, "invalid_value", message);
            }
            if values.iter().filter_map(Value::as_number).any(|number| !is_exact(number)) {
                report.error(&path, "invalid_value", format!("`{field}`: {EXACT}"));
            }
            if values.iter().any(|value| value.is_array() || value.is_object()) {
                let message = format!("the values of `{field}` are texts, numbers, `true` or `false`");
                report.error(&path, "invalid_value", message);
            }
        }
    }

    fn check_clamp(&self, path: &str, report: &mut Report) {
        for (field, range) in self.clamp.iter().flatten() {
            let path = format!("{path}.clamp");
            check_field(field, &path, report);
            let (min, max) = (&range.min, &range.max);
            let ends = (min.as_ref().and_then(Number::as_f64), max.as_ref().and_then(Number::as_f64));
            if [min, max].into_iter().flatten().any(|number| !is_exact(number)) {
                report.error(&path, "invalid_value", format!("`{field}`: {EXACT}"));
            }
            if ends == (None, None) {
                report.error(&path, "missing_field", format!("`{field}` needs `min`, `max` or both"));
            } else if matches!(ends, (Some(min), Some(max)) if min > max) {
                report.error(&path, "invalid_value", format!("the range of `{field}` ends before it begins"));
            }
        }
    }

    /// The quirks that are words.
    fn check_words(&self, dialect: Dialect, path: &str, report: &mut Report) {
        let of_chat = [
            ("responses", self.responses.is_some()),
            ("stream_usage", self.stream_usage.is_some()),
            ("developer_role", self.developer_role.is_some()),
            ("required_tool_choice", self.required_tool_choice.is_some()),
            ("tool_call_id_length", self.tool_call_id_length.is_some()),
            ("image_urls", self.image_urls.is_some()),
            ("alternating_roles", self.alternating_roles.is_some()),
            ("reasoning_field", self.reasoning_field.is_some()),
        ];
        for (name, is_written) in of_chat {
            if is_written && dialect != Dialect::OpenAi {
                let message = "only providers of the dialect `openai` differ in this; remove the field";
                report.error(format_args!("{path}.{name}"), "contradiction", message);
            }
        }
        if self.required_tool_choice.as_ref().is_some_and(|word| !is_name(word)) {
            let message = "one word, such as `any`";
            report.error(format_args!("{path}.required_tool_choice"), "invalid_value", message);
        }
        if self.reasoning_field.as_ref().is_some_and(|word| !is_name(word)) {
            let message = "the name of a field of a message, such as `reasoning_content`";
            report.error(format_args!("{path}.reasoning_field"), "invalid_value", message);
        }
        if self.tool_call_id_length.is_some_and(|length| !(8..=64).contains(&length)) {
            let message = "from 8, so that two ids do not become one, to 64";
            report.error(format_args!("{path}.tool_call_id_length"), "invalid_value", message);
        }
        let operations = self.operations.as_deref().unwrap_or_default();
        if self.operations.is_some() && operations.is_empty() {
            let message =
                "the list is empty, so that nothing is served; omit it for all that the dialect has";
            report.error(format_args!("{path}.operations"), "invalid_value", message);
        }
        for (index, operation) in operations.iter().enumerate() {
            if operations.iter().take(index).any(|earlier| earlier == operation) {
                report.error(format_args!("{path}.operations[{index}]"), "duplicate", "named twice");
            }
        }
    }
}

/// What holds for a model beside what holds for all.
fn joined(over: Option<Vec<String>>, under: Option<Vec<String>>) -> Option<Vec<String>> {
    let (Some(over), Some(mut under)) = (over.clone(), under.clone()) else { return over.or(under) };
    under.extend(over);
    under.sort();
    under.dedup();
    Some(under)
}

fn merged<V: Clone>(
    over: Option<BTreeMap<String, V>>,
    under: Option<BTreeMap<String, V>>,
) -> Option<BTreeMap<String, V>> {
    let (Some(over), Some(mut under)) = (over.clone(), under.clone()) else { return over.or(under) };
    under.extend(over);
    Some(under)
}

/// `name` or `name.name`, as fields are called in JSON.
fn check_field(field: &str, path: &str, report: &mut Report) {
    if !field.split('.').all(is_name) {
        let message = "a field is named as in a request, with dots into maps and lists, such as `seed` or `messages.name`";
        report.error(path, "invalid_value", message);
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= limits::SHORT_TEXT_CHARS
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

const EXACT: &str = "a number has at most 15 digits and lies between -1000000000 and 1000000000";

/// Whether every reader of the number's canonical form reads the same number, so that its digest stays the same.
fn is_exact(number: &Number) -> bool {
    let digits = number.to_string().bytes().filter(u8::is_ascii_digit).count();
    number.is_i64() || number.as_f64().is_some_and(|value| digits <= 15 && value.abs() <= 1e9)
}

fn check_count(count: usize, path: &str, report: &mut Report) {
    if count > limits::QUIRK_ENTRIES {
        report.error(path, "too_large", format!("at most {} entries", limits::QUIRK_ENTRIES));
    }
}
