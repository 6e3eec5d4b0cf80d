//! Places in a call, named as its caller wrote them.
//!
//! Writers name what they refuse or leave out in the words of chat completions, in which most are at home. A caller of another
//! dialect, where things stand elsewhere, is told its own.

use crate::{Dialect, Fault, Outbound, Request, Role, losses::without_numbers};

/// How the places of one request are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    origin: Dialect,
    /// The system prompt stands apart there, and is the first message here.
    has_system: bool,
}

/// Names that differ: here, and where the caller has them. A name also stands for what is below it.
fn names(origin: Dialect) -> &'static [(&'static str, &'static str)] {
    match origin {
        Dialect::OpenAi | Dialect::Cohere => &[],
        Dialect::Responses => RESPONSES,
        Dialect::Anthropic => ANTHROPIC,
        Dialect::Gemini => GEMINI,
        Dialect::Bedrock => BEDROCK,
    }
}

const RESPONSES: &[(&str, &str)] = &[
    ("reasoning_effort", "reasoning.effort"),
    ("thinking", "reasoning.effort"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
];

const ANTHROPIC: &[(&str, &str)] = &[
    ("stop", "stop_sequences"),
    ("reasoning_effort", "output_config.effort"),
    ("response_format.json_schema", "output_config.format"),
    ("response_format", "output_config.format"),
];

const GEMINI: &[(&str, &str)] = &[
    ("stop", "generationConfig.stopSequences"),
    ("stop_sequences", "generationConfig.stopSequences"),
    ("n", "generationConfig.candidateCount"),
    ("temperature", "generationConfig.temperature"),
    ("top_p", "generationConfig.topP"),
    ("top_k", "generationConfig.topK"),
    ("seed", "generationConfig.seed"),
    ("presence_penalty", "generationConfig.presencePenalty"),
    ("frequency_penalty", "generationConfig.frequencyPenalty"),
    ("logprobs", "generationConfig.responseLogprobs"),
    ("max_tokens", "generationConfig.maxOutputTokens"),
    ("response_format", "generationConfig.responseMimeType"),
    ("output_config.format", "generationConfig.responseMimeType"),
    ("reasoning_effort", "generationConfig.thinkingConfig"),
    ("thinking", "generationConfig.thinkingConfig"),
    ("tool_choice", "toolConfig.functionCallingConfig"),
    ("service_tier", "serviceTier"),
    ("metadata", "labels"),
    ("messages", "contents"),
];

const BEDROCK: &[(&str, &str)] = &[
    ("stop", "inferenceConfig.stopSequences"),
    ("stop_sequences", "inferenceConfig.stopSequences"),
    ("temperature", "inferenceConfig.temperature"),
    ("top_p", "inferenceConfig.topP"),
    ("max_tokens", "inferenceConfig.maxTokens"),
    ("response_format", "outputConfig.textFormat"),
    ("output_config.format", "outputConfig.textFormat"),
    ("reasoning_effort", "additionalModelRequestFields.thinking"),
    ("thinking", "additionalModelRequestFields.thinking"),
    ("tool_choice", "toolConfig.toolChoice"),
    ("service_tier", "serviceTier"),
    ("metadata", "requestMetadata"),
];

impl Words {
    pub(crate) fn of(request: &Request) -> Self {
        let is_system = |role| matches!(role, Role::System | Role::Developer);
        let has_system = request.messages.first().is_some_and(|message| is_system(message.role));
        Self { origin: request.origin, has_system }
    }

    /// Names everything that a translation tells.
    pub(crate) fn tell(self, outbound: Result<Outbound, Fault>) -> Result<Outbound, Fault> {
        match outbound {
            Ok(mut outbound) => {
                for place in &mut outbound.dropped {
                    *place = self.named(place).unwrap_or_else(|| std::mem::take(place));
                }
                outbound.dropped.dedup();
                for (place, _) in &mut outbound.defaulted {
                    *place = self.named(place).unwrap_or_else(|| std::mem::take(place));
                }
                Ok(outbound)
            }
            Err(mut fault) => {
                if let Some(place) = &fault.param
                    && let Some(named) = self.named(place)
                {
                    fault.message = fault.message.replace(&format!("`{place}`"), &format!("`{named}`"));
                    fault.param = Some(named);
                }
                Err(fault)
            }
        }
    }

    /// The caller's name of a place, where it is another one.
    fn named(self, place: &str) -> Option<String> {
        if place.starts_with("messages[") {
            return self.content(place);
        }
        names(self.origin).iter().find_map(|(name, named)| {
            let rest = place.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{named}{rest}"))
        })
    }

    /// `messages[2].content[1].x` as, for one, `contents[1].parts[1].x`: where the system prompt stands apart, it is not counted.
    fn content(self, place: &str) -> Option<String> {
        let (number, rest) = place.strip_prefix("messages[")?.split_once(']')?;
        let (turns, system, rest) = match self.origin {
            Dialect::OpenAi | Dialect::Cohere => return None,
            // Items are not counted as turns are: their numbers would say nothing.
            Dialect::Responses => return Some(without_numbers(place).replacen("messages", "input", 1)),
            Dialect::Gemini => {
                let rest = rest.replace(".content[", ".parts[").replace(".tool_calls", ".parts");
                ("contents", "systemInstruction", rest)
            }
            Dialect::Anthropic | Dialect::Bedrock => ("messages", "system", rest.to_owned()),
        };
        let Ok(number) = number.parse::<usize>() else { return Some(format!("{turns}[]{rest}")) };
        match number.checked_sub(usize::from(self.has_system)) {
            Some(number) => Some(format!("{turns}[{number}]{rest}")),
            None => Some(format!("{system}{}", rest.replacen(".content", "", 1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use crate::{Asked, Call, Dialect, Fault, Operation, TargetShape, encode_call};

    fn refused(fields: &Value) -> Fault {
        let mut body = json!({"systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "q"}]}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let asked = Asked { model: Some("m".to_owned()), ..Asked::from((Dialect::Gemini, Operation::Chat)) };
        let call = Call::decode(asked, Bytes::from(body.to_string())).unwrap();
        encode_call(&call, &TargetShape::new(Dialect::Anthropic, "claude")).unwrap_err()
    }

    #[test]
    fn every_caller_is_told_its_own_fields() {
        for (origin, place, expected) in [
            (Dialect::OpenAi, "messages[1].content[0]", None),
            (Dialect::Anthropic, "messages[1].content[0]", Some("messages[0].content[0]")),
            (Dialect::Anthropic, "messages[0].content[2]", Some("system[2]")),
            (
                Dialect::Anthropic,
                "messages[].content[].cache_control",
                Some("messages[].content[].cache_control"),
            ),
            (Dialect::Anthropic, "stop", Some("stop_sequences")),
            (Dialect::Anthropic, "stop_sequences", None),
            (Dialect::Gemini, "messages[1].content[0]", Some("contents[0].parts[0]")),
            (Dialect::Gemini, "n", Some("generationConfig.candidateCount")),
            (Dialect::Gemini, "next", None),
            (Dialect::Responses, "messages[4].content[1].image_url", Some("input[].content[].image_url")),
            (Dialect::Responses, "response_format.json_schema.description", Some("text.format.description")),
            (Dialect::Bedrock, "metadata", Some("requestMetadata")),
        ] {
            let words = super::Words { origin, has_system: true };
            assert_eq!(words.named(place).as_deref(), expected, "{origin}: {place}");
        }
    }

    #[test]
    fn a_gemini_caller_is_told_its_own_fields() {
        let sound = json!({"contents": [{"parts": [{"text": "q"}, {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}]}]});
        for (fields, place) in [
            (sound, "contents[0].parts[1]"),
            (json!({"generationConfig": {"candidateCount": 2}}), "generationConfig.candidateCount"),
            (json!({"generationConfig": {"seed": 2}}), "generationConfig.seed"),
            (json!({"generationConfig": {"stopSequences": [" "]}}), "generationConfig.stopSequences"),
            (
                json!({"generationConfig": {"responseMimeType": "application/json"}}),
                "generationConfig.responseMimeType",
            ),
            (json!({"cachedContent": "x"}), "cachedContent"),
        ] {
            let fault = refused(&fields);
            assert_eq!(fault.param.as_deref(), Some(place));
            assert!(fault.message.contains(&format!("`{place}`")), "{fault}");
        }
    }
}
