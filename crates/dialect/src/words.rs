//! Places in a call, named as its caller wrote them.
//!
//! Writers name what they refuse or leave out in the words of chat completions, in which most are at home. A caller of Gemini,
//! where nearly everything stands elsewhere, is told its own.

use crate::{Dialect, Fault, Outbound, Request, Role};

/// How the places of one request are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    origin: Dialect,
    /// The system prompt stands apart there, and is the first message here.
    has_system: bool,
}

/// Names of settings: here, and where Gemini has them.
const GEMINI: [(&str, &str); 19] = [
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
        if self.origin != Dialect::Gemini {
            return None;
        }
        let known = GEMINI.iter().find(|(name, _)| *name == place).map(|(_, named)| (*named).to_owned());
        known.or_else(|| self.content(place))
    }

    /// `messages[2].content[1].x` as `contents[1].parts[1].x`.
    fn content(self, place: &str) -> Option<String> {
        let (number, rest) = place.strip_prefix("messages[")?.split_once(']')?;
        let rest = rest.replace(".content[", ".parts[").replace(".tool_calls", ".parts");
        let Ok(number) = number.parse::<usize>() else { return Some(format!("contents[]{rest}")) };
        match number.checked_sub(usize::from(self.has_system)) {
            Some(number) => Some(format!("contents[{number}]{rest}")),
            None => Some(format!("systemInstruction{rest}")),
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
