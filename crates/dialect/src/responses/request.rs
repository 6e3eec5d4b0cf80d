//! Requests, read into the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    canonical::{Extra, Json, Logprobs, OutputFormat, Reasoning, Request, Tool, ToolBody, ToolChoice},
    json::{Object, is_string},
    losses::Loss,
    responses::{
        content::OF_MESSAGE,
        items::{ITEM, Turns, instructions},
    },
};

/// Mark extra fields that stand inside these objects.
pub(crate) const IN_TEXT: &str = "text.";
pub(crate) const IN_REASONING: &str = "reasoning.";

/// What `include` asks for when the odds of tokens are wanted.
pub(crate) const LOGPROBS: &str = "message.output_text.logprobs";

/// What `include` asks for when reasoning is to be sent back.
pub(crate) const SEALED: &str = "reasoning.encrypted_content";

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?;
    let mut turns = Turns::default();
    turns.messages.extend(call.take_string("instructions")?.map(instructions));
    turns.input(&mut call)?;
    let (format, mut inner) = text(&mut call)?;
    let (effort, rest) = reasoning(&mut call)?;
    inner.extend(rest);
    Ok(Request {
        origin: Dialect::Responses,
        model: call.need_string("model")?,
        messages: turns.messages,
        tools: tools(&mut call)?,
        tool_choice: call.take("tool_choice").map(tool_choice).transpose()?,
        parallel_tool_calls: call.take_as("parallel_tool_calls", "true or false")?,
        max_output_tokens: call.take_as("max_output_tokens", "a whole number that is not negative")?,
        stop: Vec::new(),
        temperature: call.take_as("temperature", "a number")?,
        top_p: call.take_as("top_p", "a number")?,
        top_k: None,
        seed: None,
        frequency_penalty: None,
        presence_penalty: None,
        logprobs: logprobs(&mut call)?,
        n: None,
        service_tier: call.take_string("service_tier")?,
        metadata: call.take("metadata").map(Json::new),
        format,
        reasoning: effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        user: call.take_string("user")?,
        cache: None,
        stream: call.take_as("stream", "true or false")?.unwrap_or(false),
        extra: {
            inner.extend(call.rest());
            inner
        },
    })
}

/// What is lost when a field of a request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    let plain = || value.trim_matches('"');
    match name {
        _ if name.starts_with(OF_MESSAGE) => Loss::Nothing,
        // Who spoke, and what is told elsewhere in the canonical form.
        ITEM | "instructions" | "id" | "status" | "phase" | "summary" | "content" | "logprobs" => {
            Loss::Nothing
        }
        "background" | "store" if value == "false" => Loss::Nothing,
        "truncation" if plain() == "disabled" => Loss::Nothing,
        "text.verbosity" if plain() == "medium" => Loss::Nothing,
        "reasoning.context" if plain() == "auto" => Loss::Nothing,
        "reasoning.mode" if plain() == "standard" => Loss::Nothing,
        "include" if is_covered(value) => Loss::Nothing,
        "stream_options" | "defer_loading" | "async" | "allowed_callers" if is_usual(value) => Loss::Nothing,
        "caller" if value.contains(r#""direct""#) => Loss::Nothing,
        "previous_response_id" | "conversation" | "prompt" => Loss::Kept,
        // Without tools of the provider there is nothing to limit.
        "max_tool_calls" => Loss::Nothing,
        "store"
        | "truncation"
        | "include"
        | "text.verbosity"
        | "reasoning.summary"
        | "reasoning.generate_summary"
        | "reasoning.context"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prompt_cache_options"
        | "prompt_cache_breakpoint"
        | "context_management"
        | "safety_identifier"
        | "access_programs"
        | "image"
        | "personality"
        | "stream_options"
        | "defer_loading"
        | "output_schema"
        | "namespace"
        | "detail"
        | "name"
        | "caller" => Loss::Hint,
        _ => Loss::Meaning,
    }
}

/// Whether everything asked for has a place in the canonical form.
fn is_covered(include: &str) -> bool {
    serde_json::from_str::<Vec<&str>>(include)
        .is_ok_and(|wanted| wanted.iter().all(|wanted| [LOGPROBS, SEALED].contains(wanted)))
}

/// What would hold anyway.
fn is_usual(value: &str) -> bool {
    matches!(value, "false" | "{}") || value.contains("include_obfuscation") || value == r#"["direct"]"#
}

/// The form of the answer, and what else stands beside it.
fn text(call: &mut Object<'_>) -> Result<(Option<OutputFormat>, Extra), Fault> {
    let Some(mut text) = call.take_object("text")? else { return Ok((None, Extra::new())) };
    let format = text.take("format").map(format).transpose()?.flatten();
    Ok((format, prefixed(IN_TEXT, text)))
}

fn format(value: &RawValue) -> Result<Option<OutputFormat>, Fault> {
    let mut format = Object::read(value, "text.format")?;
    match format.need_string("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::JsonObject)),
        "json_schema" => {
            let Some(schema) = format.take("schema") else { return Err(format.wrong("schema", "an object")) };
            Ok(Some(OutputFormat::JsonSchema {
                name: format.take_string("name")?,
                description: format.take_string("description")?,
                schema: Json::new(schema),
                strict: format.take_as("strict", "true or false")?,
            }))
        }
        _ => Ok(Some(OutputFormat::Opaque(Json::new(value)))),
    }
}

fn reasoning(call: &mut Object<'_>) -> Result<(Option<String>, Extra), Fault> {
    let Some(mut reasoning) = call.take_object("reasoning")? else { return Ok((None, Extra::new())) };
    let effort = reasoning.take_string("effort")?;
    Ok((effort, prefixed(IN_REASONING, reasoning)))
}

fn prefixed(prefix: &str, object: Object<'_>) -> Extra {
    object.rest().into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

/// `include` stays where it is: it asks for other things too.
fn logprobs(call: &mut Object<'_>) -> Result<Option<Logprobs>, Fault> {
    let wanted: Vec<String> = call.peek_as("include").unwrap_or_default();
    let enabled = wanted.iter().any(|wanted| wanted == LOGPROBS);
    let top: Option<u32> = call.take_as("top_logprobs", "a whole number that is not negative")?;
    Ok((enabled || top.is_some()).then_some(Logprobs { enabled, top }))
}

fn tools(call: &mut Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = call.take_array("tools")?.into_iter().enumerate();
    tools.map(|(index, value)| tool(value, crate::json::nth("tools", index))).collect()
}

fn tool(value: &RawValue, place: String) -> Result<Tool, Fault> {
    let mut tool = Object::read(value, place)?;
    let kind = tool.need_string("type")?;
    if kind != "function" {
        let body = ToolBody::Opaque { kind, value: Json::new(value) };
        return Ok(Tool { body, cache: None, extra: Extra::new() });
    }
    let body = ToolBody::Function {
        name: tool.need_string("name")?,
        description: tool.take_string("description")?,
        parameters: tool.take("parameters").map(Json::new),
        strict: tool.take_as("strict", "true or false")?,
    };
    Ok(Tool { body, cache: None, extra: tool.rest() })
}

fn tool_choice(value: &RawValue) -> Result<ToolChoice, Fault> {
    let wrong = || Fault::invalid("`tool_choice` must be a known word or an object").at("tool_choice");
    if is_string(value) {
        return match serde_json::from_str::<String>(value.get()).map_err(|_error| wrong())?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        };
    }
    let mut choice = Object::read(value, "tool_choice")?;
    if choice.take_string("type")?.as_deref() == Some("function") {
        return Ok(ToolChoice::Named(choice.need_string("name")?));
    }
    Ok(ToolChoice::Opaque(Json::new(value)))
}

#[cfg(test)]
mod tests;
