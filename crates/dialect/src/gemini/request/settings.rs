//! `generationConfig`, read into the words of the canonical form.

use crate::{
    Fault,
    canonical::{Extra, Json, Logprobs, OutputFormat, Reasoning},
    gemini::{models, parts::take_object, request::IN_CONFIG},
    json::Object,
    schema,
};

/// What `generationConfig` tells.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) max_output_tokens: Option<u32>,
    pub(super) stop: Vec<String>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
    pub(super) seed: Option<i64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) n: Option<u32>,
    pub(super) format: Option<OutputFormat>,
    pub(super) reasoning: Option<Reasoning>,
}

pub(super) fn read(mut config: Object<'_>, extra: &mut Extra) -> Result<Settings, Fault> {
    let enabled = config.take_as("responseLogprobs", "true or false")?;
    let top = config.take_as("logprobs", "a whole number that is not negative")?;
    let asks = enabled.is_some() || top.is_some();
    let top_k: Option<f64> = config.take_as("topK", "a number")?;
    let settings = Settings {
        max_output_tokens: config.take_as("maxOutputTokens", "a whole number that is not negative")?,
        stop: config.take_as("stopSequences", "an array of strings")?.unwrap_or_default(),
        temperature: config.take_as("temperature", "a number")?,
        top_p: config.take_as("topP", "a number")?,
        // Google writes it as a float.
        top_k: top_k.and_then(|top_k| format!("{top_k:.0}").parse().ok()),
        seed: config.take_as("seed", "a whole number")?,
        frequency_penalty: config.take_as("frequencyPenalty", "a number")?,
        presence_penalty: config.take_as("presencePenalty", "a number")?,
        logprobs: asks.then_some(Logprobs { enabled: enabled.unwrap_or(false), top }),
        n: config.take_as("candidateCount", "a whole number that is not negative")?,
        reasoning: reasoning(&mut config, extra)?,
        format: format(&mut config, extra)?,
    };
    extra.extend(config.rest().into_iter().map(|(name, value)| (format!("{IN_CONFIG}{name}"), value)));
    Ok(settings)
}

/// The form of the answer. The schema is kept as written, too, for the way home.
fn format(config: &mut Object<'_>, extra: &mut Extra) -> Result<Option<OutputFormat>, Fault> {
    let media_type = config.take_string("responseMimeType")?;
    let plain = config.take("responseJsonSchema").or_else(|| config.take("_responseJsonSchema"));
    let older = config.take("responseSchema");
    let (name, schema) = match (plain, older) {
        (Some(schema), _) => ("responseJsonSchema", Json::new(schema)),
        (None, Some(schema)) => ("responseSchema", Json::new(schema)),
        (None, None) => {
            return Ok(match media_type.as_deref() {
                Some("application/json") => Some(OutputFormat::JsonObject),
                None | Some("text/plain") => None,
                Some(other) => Some(opaque(other)),
            });
        }
    };
    extra.push((format!("{IN_CONFIG}{name}"), schema.clone()));
    if let Some(other) = media_type.filter(|media_type| media_type != "application/json") {
        return Ok(Some(opaque(&other)));
    }
    let schema = if name == "responseSchema" {
        schema::from_gemini(&schema, "generationConfig.responseSchema")?
    } else {
        schema
    };
    Ok(Some(OutputFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) }))
}

/// A form that has no other word than Gemini's: its media type.
fn opaque(media_type: &str) -> OutputFormat {
    let text = serde_json::Value::from(media_type).to_string();
    Json::parse(&text).map_or(OutputFormat::JsonObject, OutputFormat::Opaque)
}

/// How much to think. The field is kept as written, too, for the way home.
fn reasoning(config: &mut Object<'_>, extra: &mut Extra) -> Result<Option<Reasoning>, Fault> {
    let place = format!("{IN_CONFIG}thinkingConfig");
    let Some(mut thinking) = take_object(config, "thinkingConfig")? else { return Ok(None) };
    let budget: Option<i64> = thinking.take_as("thinkingBudget", "a whole number")?;
    let level = thinking.take_string("thinkingLevel")?.map(|level| level.to_ascii_lowercase());
    let shown = thinking.peek_as("includeThoughts").unwrap_or(false);
    let level = level.filter(|level| level != "thinking_level_unspecified");
    let kept = crate::json::object(|w| {
        if let Some(budget) = budget {
            w.raw("thinkingBudget", &budget.to_string());
        }
        if let Some(level) = &level {
            w.string("thinkingLevel", &level.to_ascii_uppercase());
        }
        w.extra(&thinking.rest());
    });
    if let Ok(kept) = Json::parse(&String::from_utf8_lossy(&kept)) {
        extra.push((place, kept));
    }
    // A negative budget leaves the amount to the model, as no budget does.
    let budget = budget.and_then(|budget| u32::try_from(budget).ok());
    let effort = level.or_else(|| budget.map(|budget| models::word_of(budget).to_owned()));
    let asks = effort.is_some() || budget.is_some() || shown;
    let budget = budget.filter(|budget| *budget > 0);
    Ok(asks.then_some(Reasoning { effort, budget, thinking: None, shown }))
}
