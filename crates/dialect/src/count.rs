//! Counting the tokens of a conversation: the question and the answer in each dialect.
//!
//! A question is a chat call without what only shapes the answer. Some dialects wrap it in an object of its own.

use base64::Engine;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    Call, Dialect, Fault, Outbound, Platform, Request, Summary, TargetShape, anthropic, bedrock,
    fault::{broken, decode_in_band},
    gemini, hosted,
    json::{Object, object},
    losses::Losses,
    responses, schema,
};

/// The fields of a chat call that a question has too; the others would be refused.
const OF_RESPONSES: [&str; 12] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "truncation",
    "previous_response_id",
    "conversation",
    "personality",
];
const OF_ANTHROPIC: [&str; 8] =
    ["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"];
const OF_VERTEX: [&str; 4] = ["contents", "systemInstruction", "tools", "generationConfig"];
const OF_BEDROCK: [&str; 4] = ["messages", "system", "toolConfig", "additionalModelRequestFields"];

/// The chat call inside a question.
pub(crate) fn inner(dialect: Dialect, body: &[u8]) -> Result<Bytes, Fault> {
    let place = match dialect {
        Dialect::Gemini => &["generateContentRequest"][..],
        Dialect::Bedrock => &["input", "converse"][..],
        _ => return Ok(Bytes::copy_from_slice(body)),
    };
    let mut outer = Object::parse(body)?;
    for name in place {
        match outer.take_object(name)? {
            Some(found) => outer = found,
            // A plain one stands by itself.
            None if dialect == Dialect::Gemini => return Ok(Bytes::copy_from_slice(body)),
            None => return Err(outer.wrong(name, "an object")),
        }
    }
    Ok(object(|w| w.extra(&outer.rest())).into())
}

/// Writes a question for a target of another dialect, or one that has to be written anew.
pub(crate) fn encode_request(mut request: Request, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    without_answer(&mut request);
    if request.origin != target.dialect {
        responses::allowed::narrow(&mut request);
    }
    let target = match target.dialect {
        // OpenAI counts for its responses only.
        Dialect::OpenAi => TargetShape { dialect: Dialect::Responses, ..*target },
        _ => *target,
    };
    let mut losses = Losses::new(request.origin, &target);
    schema::fit(&mut request, &target, &mut losses)?;
    let body = match target.dialect {
        Dialect::OpenAi | Dialect::Responses => {
            kept(&responses::write::write(request, &target, &mut losses)?, &OF_RESPONSES)?
        }
        Dialect::Anthropic => {
            // No answer is written, so no cap is left out; but the writer wants one.
            request.max_output_tokens = Some(u32::MAX);
            let plain = TargetShape { platform: Platform::Direct, ..target };
            kept(&anthropic::write::write(request, &plain, &mut losses)?, &OF_ANTHROPIC)?
        }
        Dialect::Gemini => gemini::write::write(request, &target, &mut losses)?,
        Dialect::Bedrock => kept(&bedrock::write::write(request, &target, &mut losses)?, &OF_BEDROCK)?,
        Dialect::Cohere => return Err(Fault::unsupported("a target that speaks cohere cannot count tokens")),
    };
    let body = wrap(&body, &target)?;
    Ok(Outbound { body, dropped: losses.dropped, defaulted: losses.defaulted })
}

/// Puts a question into the object that the target wants around it.
pub(crate) fn wrap(body: &[u8], target: &TargetShape<'_>) -> Result<Bytes, Fault> {
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| Fault::invalid(format!("the body is not understood: {error}")))?;
    let body = match (target.dialect, target.platform) {
        (Dialect::OpenAi | Dialect::Responses, Platform::Azure { api_version }) if api_version != "v1" => {
            let message =
                format!("Azure counts no tokens in the version `{api_version}` of its API; `v1` does");
            return Err(Fault::unsupported(message));
        }
        (Dialect::Gemini, Platform::Vertex { .. }) => kept(body, &OF_VERTEX)?,
        (Dialect::Gemini, _) => object(|w| {
            w.object("generateContentRequest", |w| {
                w.string("model", &format!("models/{}", target.model));
                if let Ok(fields) = Object::read(raw, "") {
                    w.extra(&fields.rest().into_iter().filter(|(name, _)| name != "model").collect());
                }
            });
        }),
        (Dialect::Bedrock, _) => object(|w| w.object("input", |w| w.raw("converse", raw.get()))),
        (Dialect::Anthropic, Platform::Bedrock) => invoked(raw)?,
        (Dialect::Anthropic, Platform::Vertex { .. }) => {
            let mut call = Object::read(raw, "")?;
            call.take("anthropic_version");
            object(|w| {
                w.string("anthropic_version", hosted::VERTEX);
                w.extra(&call.rest());
            })
        }
        _ => body.to_vec(),
    };
    Ok(body.into())
}

/// Bedrock counts what InvokeModel would get.
fn invoked(raw: &RawValue) -> Result<Vec<u8>, Fault> {
    let mut call = Object::read(raw, "")?;
    call.take("model");
    let has_version = call.has("anthropic_version");
    let inner = object(|w| {
        if !has_version {
            w.string("anthropic_version", hosted::BEDROCK);
        }
        w.number("max_tokens", 1);
        w.extra(&call.rest());
    });
    let inner = base64::engine::general_purpose::STANDARD.encode(inner);
    Ok(object(|w| w.object("input", |w| w.object("invokeModel", |w| w.string("body", &inner)))))
}

/// Takes out what shapes the answer alone: no target must refuse to count for its sake.
fn without_answer(request: &mut Request) {
    request.max_output_tokens = None;
    request.stop.clear();
    (request.temperature, request.top_p, request.top_k) = (None, None, None);
    (request.frequency_penalty, request.presence_penalty) = (None, None);
    (request.seed, request.n, request.logprobs) = (None, None, None);
    (request.service_tier, request.metadata, request.user) = (None, None, None);
    request.stream = false;
}

/// An object with these of its fields only.
fn kept(body: &[u8], names: &[&str]) -> Result<Vec<u8>, Fault> {
    let fields = Object::parse(body)?.rest();
    Ok(object(|w| {
        for (name, value) in fields.iter().filter(|(name, _)| names.contains(&name.as_str())) {
            w.raw(name, value.text());
        }
    }))
}

/// Passes an answer to a question on.
pub(crate) fn relay(call: &Call, body: Bytes) -> Result<(Bytes, Summary), Fault> {
    let (tokens, is_native) = decode(call.dialect, &body)?;
    let summary = Summary { complete: true, ..Summary::default() };
    if is_native {
        return Ok((body, summary));
    }
    Ok((encode(call.dialect, tokens)?.into(), summary))
}

/// The name that a dialect has for the count.
fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic => "input_tokens",
        Dialect::Gemini => "totalTokens",
        Dialect::Bedrock => "inputTokens",
        Dialect::Cohere => "tokens",
    }
}

/// The count, and whether it came as the caller's dialect has it. A cloud may answer in its own words for a model that
/// speaks another dialect.
fn decode(caller: Dialect, body: &[u8]) -> Result<(u64, bool), Fault> {
    let mut answer = Object::parse(body).map_err(|fault| broken(&fault))?;
    if answer.has("error") {
        return Err(decode_in_band(body));
    }
    let has_kind = answer.has("object");
    for word in ["input_tokens", "totalTokens", "inputTokens"] {
        let count: Option<u64> = answer.take_as(word, "a count").map_err(|fault| broken(&fault))?;
        if let Some(count) = count {
            let is_openai = matches!(caller, Dialect::OpenAi | Dialect::Responses);
            return Ok((count, word == name(caller) && has_kind == is_openai));
        }
    }
    Err(Fault::bad_answer("invalid_answer", "the provider's answer has no count"))
}

fn encode(caller: Dialect, tokens: u64) -> Result<Vec<u8>, Fault> {
    match caller {
        Dialect::OpenAi | Dialect::Responses => Ok(object(|w| {
            w.string("object", "response.input_tokens");
            w.number(name(caller), tokens);
        })),
        Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => {
            Ok(object(|w| w.number(name(caller), tokens)))
        }
        Dialect::Cohere => Err(Fault::unsupported("callers that speak cohere cannot have tokens counted")),
    }
}

#[cfg(test)]
mod tests;
