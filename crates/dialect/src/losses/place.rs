//! Where a field stands, in the words of whoever wrote the call: a refusal must name what the caller can find.
//!
//! Writers name places in the words of OpenAI's chat. It must not know why a field is named.

use std::borrow::Cow;

use crate::Dialect;

/// Fields that have another name in a dialect: from, to. A name also stands for what is below it.
fn words(dialect: Dialect) -> &'static [(&'static str, &'static str)] {
    match dialect {
        Dialect::OpenAi | Dialect::Cohere => &[],
        Dialect::Responses => &[
            ("reasoning_effort", "reasoning.effort"),
            ("thinking", "reasoning.effort"),
            ("response_format.json_schema", "text.format"),
            ("response_format", "text.format"),
        ],
        Dialect::Anthropic => &[
            ("stop", "stop_sequences"),
            ("reasoning_effort", "output_config.effort"),
            ("response_format.json_schema", "output_config.format"),
            ("response_format", "output_config.format"),
        ],
        Dialect::Gemini => &[
            ("reasoning_effort", "generationConfig.thinkingConfig"),
            ("thinking", "generationConfig.thinkingConfig"),
            ("response_format.json_schema", "generationConfig.responseJsonSchema"),
            ("response_format", "generationConfig.responseMimeType"),
            ("stop_sequences", "generationConfig.stopSequences"),
            ("stop", "generationConfig.stopSequences"),
            ("seed", "generationConfig.seed"),
            ("n", "generationConfig.candidateCount"),
            ("logprobs", "generationConfig.responseLogprobs"),
            ("frequency_penalty", "generationConfig.frequencyPenalty"),
            ("presence_penalty", "generationConfig.presencePenalty"),
            ("temperature", "generationConfig.temperature"),
            ("top_p", "generationConfig.topP"),
            ("top_k", "generationConfig.topK"),
            ("service_tier", "serviceTier"),
            ("tool_choice", "toolConfig.functionCallingConfig"),
        ],
        Dialect::Bedrock => &[
            ("response_format", "outputConfig.textFormat"),
            ("reasoning_effort", "additionalModelRequestFields.thinking"),
            ("thinking", "additionalModelRequestFields.thinking"),
            ("stop_sequences", "inferenceConfig.stopSequences"),
            ("stop", "inferenceConfig.stopSequences"),
            ("temperature", "inferenceConfig.temperature"),
            ("top_p", "inferenceConfig.topP"),
            ("service_tier", "serviceTier"),
            ("metadata", "requestMetadata"),
            ("tool_choice", "toolConfig.toolChoice"),
        ],
    }
}

/// A place in the words of a caller. `above` is how many system prompts come before the first turn: where they have a field of
/// their own, the turns are counted without them.
pub(super) fn named(caller: Dialect, above: usize, place: &str) -> Cow<'_, str> {
    if place.starts_with("messages[") {
        return message(caller, above, place);
    }
    let found = words(caller).iter().find_map(|(from, to)| {
        let rest = place.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{to}{rest}"))
    });
    found.map_or(Cow::Borrowed(place), Cow::Owned)
}

/// A place in a turn. Items are not counted as turns are, so their numbers say nothing to a caller who wrote items.
fn message(caller: Dialect, above: usize, place: &str) -> Cow<'_, str> {
    match caller {
        Dialect::OpenAi | Dialect::Cohere => Cow::Borrowed(place),
        Dialect::Responses => Cow::Owned(without_numbers(place).replacen("messages", "input", 1)),
        Dialect::Anthropic | Dialect::Bedrock => renumbered(place, "messages", "system", above),
        Dialect::Gemini => {
            let place = renumbered(place, "contents", "systemInstruction", above);
            Cow::Owned(place.replacen(".content[", ".parts[", 1))
        }
    }
}

fn renumbered<'a>(place: &'a str, turns: &str, system: &str, above: usize) -> Cow<'a, str> {
    let parts = place.strip_prefix("messages[").and_then(|rest| rest.split_once(']'));
    let Some((number, rest)) = parts else { return Cow::Borrowed(place) };
    let Ok(number) = number.parse::<usize>() else { return Cow::Borrowed(place) };
    Cow::Owned(match number.checked_sub(above) {
        Some(number) => format!("{turns}[{number}]{rest}"),
        None => format!("{system}{}", rest.replacen(".content", "", 1)),
    })
}

/// `messages[3].content[0].x` as `messages[].content[].x`.
pub(super) fn without_numbers(place: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        !inside || *c == '['
    };
    place.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::{named, without_numbers};
    use crate::Dialect::{Anthropic, Bedrock, Gemini, OpenAi, Responses};

    #[test]
    fn places_lose_their_numbers() {
        assert_eq!(without_numbers("messages[13].content[0].x"), "messages[].content[].x");
        assert_eq!(without_numbers("seed"), "seed");
    }

    #[test]
    fn a_field_is_named_as_its_caller_wrote_it() {
        for (caller, place, expected) in [
            (OpenAi, "messages[1].content[0]", "messages[1].content[0]"),
            (Anthropic, "messages[1].content[0]", "messages[0].content[0]"),
            (Anthropic, "messages[0].content[2]", "system[2]"),
            (Anthropic, "stop", "stop_sequences"),
            (Anthropic, "stop_sequences", "stop_sequences"),
            (Gemini, "messages[1].content[0]", "contents[0].parts[0]"),
            (Gemini, "n", "generationConfig.candidateCount"),
            (Gemini, "next", "next"),
            (
                Gemini,
                "response_format.json_schema.description",
                "generationConfig.responseJsonSchema.description",
            ),
            (Responses, "messages[4].content[1].image_url", "input[].content[].image_url"),
            (Responses, "response_format.json_schema.description", "text.format.description"),
            (Bedrock, "metadata", "requestMetadata"),
        ] {
            assert_eq!(named(caller, 1, place), expected, "{caller}: {place}");
        }
    }
}
