//! OpenAI chat requests, read into the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    canonical::{
        Extra, Json, Logprobs, Message, OutputFormat, PartBody, Reasoning, Request, Role, Tool, ToolBody,
        ToolChoice,
    },
    json::{Object, is_string},
    losses::Loss,
    openai::parts,
};

/// Marks an extra field that stands inside `function`.
pub(crate) const IN_FUNCTION: &str = "function.";

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?;
    let cap = call.take_as("max_tokens", "a whole number that is not negative")?;
    let newer_cap = call.take_as("max_completion_tokens", "a whole number that is not negative")?;
    let effort = call.take_string("reasoning_effort")?;
    Ok(Request {
        origin: Dialect::OpenAi,
        model: call.need_string("model")?,
        messages: messages(&mut call)?,
        tools: tools(&mut call)?,
        tool_choice: call.take("tool_choice").map(tool_choice).transpose()?,
        parallel_tool_calls: call.take_as("parallel_tool_calls", "true or false")?,
        max_output_tokens: newer_cap.or(cap),
        stop: stop(&mut call)?,
        temperature: call.take_as("temperature", "a number")?,
        top_p: call.take_as("top_p", "a number")?,
        top_k: call.take_as("top_k", "a whole number")?,
        seed: call.take_as("seed", "a whole number")?,
        frequency_penalty: call.take_as("frequency_penalty", "a number")?,
        presence_penalty: call.take_as("presence_penalty", "a number")?,
        logprobs: logprobs(&mut call)?,
        n: call.take_as("n", "a whole number that is not negative")?,
        service_tier: call.take_string("service_tier")?,
        metadata: call.take("metadata").map(Json::new),
        format: call.take("response_format").map(format).transpose()?.flatten(),
        reasoning: effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        user: call.take_string("user")?,
        cache: call.take("cache_control").map(Json::new),
        stream: call.take_as("stream", "true or false")?.unwrap_or(false),
        extra: call.rest(),
    })
}

fn logprobs(call: &mut Object<'_>) -> Result<Option<Logprobs>, Fault> {
    let enabled: Option<bool> = call.take_as("logprobs", "true or false")?;
    let top: Option<u32> = call.take_as("top_logprobs", "a whole number that is not negative")?;
    let asks = enabled.is_some() || top.is_some();
    Ok(asks.then_some(Logprobs { enabled: enabled.unwrap_or(false), top }))
}

/// What is lost when a field of an OpenAI request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    let is_zero = || value.parse::<f64>().is_ok_and(|number| number == 0.0);
    match name {
        "n" if value == "1" => Loss::Nothing,
        "logprobs" | "store" | "prefix" if value == "false" => Loss::Nothing,
        "top_logprobs" | "presence_penalty" | "frequency_penalty" if is_zero() => Loss::Nothing,
        "repetition_penalty" if value.parse::<f64>().is_ok_and(|number| number == 1.0) => Loss::Nothing,
        "logit_bias" | "metadata" if value == "{}" => Loss::Nothing,
        "modalities" if value.split_whitespace().collect::<String>() == r#"["text"]"# => Loss::Nothing,
        // Asking for usage is answered by the relay whatever the provider speaks.
        "stream_options" => Loss::Nothing,
        "annotations" | "function_call" | "tool_calls" if matches!(value, "[]" | "null") => Loss::Nothing,
        "store"
        | "metadata"
        | "service_tier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prompt_cache_options"
        | "safety_identifier"
        | "verbosity"
        | "prediction"
        | "reasoning_details"
        | "reasoning_format"
        | "annotations"
        | "name"
        | "index"
        | "usage" => Loss::Hint,
        _ => Loss::Meaning,
    }
}

fn messages(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut messages: Vec<Message> = Vec::new();
    let mut after_tool = false;
    for (index, value) in call.take_array("messages")?.into_iter().enumerate() {
        let mut object = Object::read(value, crate::json::nth("messages", index))?;
        let role = object.need_string("role")?;
        let message = match role.as_str() {
            "system" => spoken(Role::System, object)?,
            "developer" => spoken(Role::Developer, object)?,
            "user" => spoken(Role::User, object)?,
            "assistant" => assistant(object)?,
            "tool" => {
                let message = tool_result(object)?;
                // All results of one round belong to one turn.
                if let Some(last) = messages.last_mut().filter(|_| after_tool) {
                    last.parts.extend(message.parts);
                    continue;
                }
                after_tool = true;
                messages.push(message);
                continue;
            }
            other => {
                let place = object.place_of("role");
                return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
            }
        };
        after_tool = false;
        messages.push(message);
    }
    Ok(messages)
}

fn spoken(role: Role, mut object: Object<'_>) -> Result<Message, Fault> {
    Ok(Message { role, parts: parts::content(&mut object)?, extra: object.rest() })
}

fn assistant(mut object: Object<'_>) -> Result<Message, Fault> {
    Ok(Message { role: Role::Assistant, parts: parts::assistant(&mut object)?, extra: object.rest() })
}

fn tool_result(mut object: Object<'_>) -> Result<Message, Fault> {
    let id = object.need_string("tool_call_id")?;
    let content = parts::content(&mut object)?;
    let mut part = crate::canonical::Part::from(PartBody::ToolResult { id, content, is_error: false });
    part.cache = object.take("cache_control").map(Json::new);
    part.extra = object.rest();
    Ok(Message { role: Role::User, parts: vec![part], extra: Extra::new() })
}

fn tools(call: &mut Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = call.take_array("tools")?.into_iter().enumerate();
    tools.map(|(index, value)| tool(value, &crate::json::nth("tools", index))).collect()
}

fn tool(value: &RawValue, place: &str) -> Result<Tool, Fault> {
    let mut object = Object::read(value, place)?;
    let kind = object.take_string("type")?.unwrap_or_else(|| "function".to_owned());
    let function = if kind == "function" { object.take_object("function")? } else { None };
    let Some(mut function) = function else {
        let body = ToolBody::Opaque { kind, value: Json::new(value) };
        return Ok(Tool { body, cache: None, extra: Extra::new() });
    };
    let body = ToolBody::Function {
        name: function.need_string("name")?,
        description: function.take_string("description")?,
        parameters: function.take("parameters").map(Json::new),
        strict: function.take_as("strict", "true or false")?,
    };
    let cache = object.take("cache_control").map(Json::new);
    let mut extra = object.rest();
    extra.extend(function.rest().into_iter().map(|(name, value)| (format!("{IN_FUNCTION}{name}"), value)));
    Ok(Tool { body, cache, extra })
}

fn tool_choice(value: &RawValue) -> Result<ToolChoice, Fault> {
    let wrong = || Fault::invalid("`tool_choice` must be a known word or an object").at("tool_choice");
    if is_string(value) {
        return match serde_json::from_str::<String>(value.get()).map_err(|_error| wrong())?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        };
    }
    let mut object = Object::read(value, "tool_choice")?;
    if object.take_string("type")?.as_deref() == Some("function")
        && let Some(mut function) = object.take_object("function")?
    {
        return Ok(ToolChoice::Named(function.need_string("name")?));
    }
    Ok(ToolChoice::Opaque(Json::new(value)))
}

fn stop(call: &mut Object<'_>) -> Result<Vec<String>, Fault> {
    let Some(value) = call.take("stop") else { return Ok(Vec::new()) };
    let stop = if is_string(value) {
        serde_json::from_str(value.get()).map(|one| vec![one])
    } else {
        serde_json::from_str(value.get())
    };
    stop.map_err(|_error| call.wrong("stop", "a string or an array of strings"))
}

fn format(value: &RawValue) -> Result<Option<OutputFormat>, Fault> {
    let mut object = Object::read(value, "response_format")?;
    match object.need_string("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::JsonObject)),
        "json_schema" => {
            let Some(mut inner) = object.take_object("json_schema")? else {
                return Err(object.wrong("json_schema", "an object"));
            };
            let Some(schema) = inner.take("schema") else { return Err(inner.wrong("schema", "an object")) };
            Ok(Some(OutputFormat::JsonSchema {
                name: inner.take_string("name")?,
                description: inner.take_string("description")?,
                schema: Json::new(schema),
                strict: inner.take_as("strict", "true or false")?,
            }))
        }
        _ => Ok(Some(OutputFormat::Opaque(Json::new(value)))),
    }
}

#[cfg(test)]
mod tests;
