//! What is known about vendors, so that a provider is a few lines: one small file of data each. To add a vendor, write its file and
//! name it here.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::ProviderSpec;
use crate::{
    diagnostic::{Report, hint},
    parse::read_value,
};

/// Embeds the files and names them.
macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../presets/", $name, ".yaml")))),+];
    };
}

presets!(
    "anthropic",
    "azure",
    "bedrock",
    "bedrock-anthropic",
    "cerebras",
    "cohere",
    "deepseek",
    "fireworks",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "tgi",
    "together",
    "vertex",
    "vertex-anthropic",
    "vllm",
    "xai",
);

/// What a preset's file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    /// Parts of the spec that only the author can know, each with an example of what to write.
    #[serde(default)]
    needs: BTreeMap<String, String>,
    /// What holds where the author has written nothing.
    spec: ProviderSpec,
}

/// Read when first needed. A file that cannot be read does not leave our tests.
static PRESETS: LazyLock<BTreeMap<&str, Result<Preset, String>>> =
    LazyLock::new(|| FILES.iter().map(|(name, text)| (*name, read_value(text))).collect());

/// Every preset's name, sorted.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// What is meant by a spec with a preset; nothing if that makes no sense, which is then reported.
pub(super) fn complete(authored: &ProviderSpec, report: &mut Report) -> Option<ProviderSpec> {
    let Some(name) = &authored.preset else { return Some(authored.clone()) };
    let preset = match PRESETS.get(name.as_str()) {
        Some(Ok(preset)) => preset.clone(),
        Some(Err(reason)) => {
            report.error("spec.preset", "internal", format!("the preset `{name}` cannot be read: {reason}"));
            return None;
        }
        None => {
            let near = hint(name, preset_names());
            let all = || format!("; known: `{}`", preset_names().collect::<Vec<_>>().join("`, `"));
            let near = if near.is_empty() { all() } else { near };
            report.error("spec.preset", "invalid_value", format!("`{name}` is not known{near}"));
            return None;
        }
    };
    if let (Some(written), Some(known)) = (authored.dialect, preset.spec.dialect)
        && written != known
    {
        let message = format!(
            "the preset `{name}` speaks `{known}`; remove the field, or write all without the preset"
        );
        report.error("spec.dialect", "contradiction", message);
        return None;
    }
    let whole = laid_over(authored.clone(), preset.spec);
    let mut is_whole = true;
    for (field, example) in &preset.needs {
        if !whole.has(field) {
            let message = format!("the preset `{name}` needs it; write `{field}: {example}`");
            report.error(format_args!("spec.{field}"), "missing_field", message);
            is_whole = false;
        }
    }
    is_whole.then_some(whole)
}

/// What is authored, completed by the preset where nothing is said.
fn laid_over(authored: ProviderSpec, preset: ProviderSpec) -> ProviderSpec {
    // A plain key instead of what the preset would sign in with.
    let auth = if authored.credential.is_some() { authored.auth } else { authored.auth.or(preset.auth) };
    let mut headers = preset.headers;
    headers.extend(authored.headers);
    ProviderSpec {
        preset: authored.preset,
        dialect: authored.dialect.or(preset.dialect),
        base_url: authored.base_url.or(preset.base_url),
        credential: authored.credential,
        azure: authored.azure.or(preset.azure),
        vertex: authored.vertex.or(preset.vertex),
        aws: authored.aws.or(preset.aws),
        auth,
        quirks: authored.quirks.or(preset.quirks),
        on_unsupported: authored.on_unsupported.or(preset.on_unsupported),
        fetch: authored.fetch.or(preset.fetch),
        headers,
        timeouts: authored.timeouts.or(preset.timeouts),
        http2: authored.http2 || preset.http2,
        max_tokens_field: authored.max_tokens_field.or(preset.max_tokens_field),
    }
}

#[cfg(test)]
mod tests;
