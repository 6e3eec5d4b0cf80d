//! Anthropic messages requests, read into the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    anthropic::parts,
    canonical::{
        Extra, Json, Message, OutputFormat, Part, Reasoning, Request, Role, Tool, ToolBody, ToolChoice,
    },
    json::Object,
    losses::Loss,
};

/// Marks extra fields that stand inside these objects.
pub(crate) const IN_METADATA: &str = "metadata.";
pub(crate) const IN_OUTPUT: &str = "output_config.";

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?;
    let mut inner = Extra::new();
    let (user, metadata) = user(&mut call)?;
    inner.extend(metadata);
    let (format, reasoning, output) = output(&mut call)?;
    inner.extend(output);
    let (tool_choice, parallel_tool_calls) = tool_choice(&mut call)?;
    Ok(Request {
        origin: Dialect::Anthropic,
        model: call.need_string("model")?,
        messages: messages(&mut call)?,
        tools: tools(&mut call)?,
        tool_choice,
        parallel_tool_calls,
        max_output_tokens: call.take_as("max_tokens", "a whole number that is not negative")?,
        stop: call.take_as("stop_sequences", "an array of strings")?.unwrap_or_default(),
        temperature: call.take_as("temperature", "a number")?,
        top_p: call.take_as("top_p", "a number")?,
        top_k: call.take_as("top_k", "a whole number")?,
        seed: None,
        frequency_penalty: None,
        presence_penalty: None,
        logprobs: None,
        n: None,
        service_tier: call.take_string("service_tier")?,
        metadata: None,
        format,
        reasoning,
        user,
        cache: call.take("cache_control").map(Json::new),
        stream: call.take_as("stream", "true or false")?.unwrap_or(false),
        extra: {
            inner.extend(call.rest());
            inner
        },
    })
}

/// What is lost when a field of an Anthropic request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    match name {
        "mcp_servers" | "citations" | "allowed_callers" if value == "[]" => Loss::Nothing,
        "defer_loading" | "eager_input_streaming" if value == "false" => Loss::Nothing,
        "type" if value == r#""custom""# => Loss::Nothing,
        "caller" if value.contains(r#""direct""#) => Loss::Nothing,
        "service_tier"
        | "speed"
        | "defer_loading"
        | "eager_input_streaming"
        | "input_examples"
        | "caller"
        | "title"
        | "context" => Loss::Hint,
        // Citations in history tell where a text came from; the text itself stays.
        "citations" if value.starts_with('[') => Loss::Hint,
        "citations" if value.contains("false") => Loss::Nothing,
        "inference_geo" => Loss::Duty,
        _ => Loss::Meaning,
    }
}

fn user(call: &mut Object<'_>) -> Result<(Option<String>, Extra), Fault> {
    let Some(mut metadata) = call.take_object("metadata")? else { return Ok((None, Extra::new())) };
    let user = metadata.take_string("user_id")?;
    Ok((user, prefixed(IN_METADATA, metadata)))
}

fn prefixed(prefix: &str, object: Object<'_>) -> Extra {
    object.rest().into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

/// The form of the answer and how much to reason; both may stand in `output_config`.
fn output(call: &mut Object<'_>) -> Result<(Option<OutputFormat>, Option<Reasoning>, Extra), Fault> {
    let mut config = call.take_object("output_config")?;
    let mut format = match config.as_mut() {
        Some(config) => config.take("format"),
        None => None,
    };
    format = format.or_else(|| call.take("output_format"));
    let effort = config.as_mut().map(|config| config.take_string("effort")).transpose()?.flatten();
    let thinking = call.take("thinking");
    let mut budget = None;
    if let Some(thinking) = thinking {
        let mut thinking = Object::read(thinking, "thinking")?;
        if thinking.take_string("type")?.as_deref() == Some("enabled") {
            budget = thinking.take_as("budget_tokens", "a whole number that is not negative")?;
        }
    }
    let reasons = effort.is_some() || thinking.is_some();
    let reasoning = reasons.then(|| {
        let thinking = thinking.map(Json::new);
        let shown = thinking.as_ref().is_some_and(Reasoning::shows);
        Reasoning { effort, budget, thinking, shown }
    });
    let rest = config.map(|config| prefixed(IN_OUTPUT, config)).unwrap_or_default();
    Ok((format.map(output_format).transpose()?, reasoning, rest))
}

fn output_format(value: &RawValue) -> Result<OutputFormat, Fault> {
    let mut format = Object::read(value, "output_config.format")?;
    if format.take_string("type")?.as_deref() == Some("json_schema")
        && let Some(schema) = format.take("schema")
    {
        // Anthropic keeps to a schema always, which elsewhere is called strict.
        let schema = Json::new(schema);
        return Ok(OutputFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) });
    }
    Ok(OutputFormat::Opaque(Json::new(value)))
}

fn tool_choice(call: &mut Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), Fault> {
    let Some(value) = call.take("tool_choice") else { return Ok((None, None)) };
    let mut choice = Object::read(value, "tool_choice")?;
    let serial: Option<bool> = choice.take_as("disable_parallel_tool_use", "true or false")?;
    let parallel = serial.map(|serial| !serial);
    let choice = match choice.need_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.need_string("name")?),
        _ => ToolChoice::Opaque(Json::new(value)),
    };
    Ok((Some(choice), parallel))
}

fn messages(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    let system = parts::content(call, "system")?;
    if !system.is_empty() {
        messages.push(Message { role: Role::System, parts: system, extra: Extra::new() });
    }
    for (index, value) in call.take_array("messages")?.into_iter().enumerate() {
        let mut message = Object::read(value, crate::json::nth("messages", index))?;
        let role = match message.need_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            // A system prompt in the middle of a conversation: `Developer` tells it from the one above all.
            "system" => Role::Developer,
            other => {
                let place = message.place_of("role");
                return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
            }
        };
        let parts = parts::content(&mut message, "content")?;
        messages.push(Message { role, parts: results_first(parts), extra: message.rest() });
    }
    Ok(messages)
}

/// Results of tools come first in a turn.
pub(crate) fn results_first(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|part| !matches!(part.body, crate::canonical::PartBody::ToolResult { .. }));
    parts
}

fn tools(call: &mut Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = call.take_array("tools")?.into_iter().enumerate();
    tools.map(|(index, value)| tool(value, crate::json::nth("tools", index))).collect()
}

fn tool(value: &RawValue, place: String) -> Result<Tool, Fault> {
    let mut tool = Object::read(value, place)?;
    let kind = tool.peek_as::<String>("type").unwrap_or_else(|| "custom".to_owned());
    if kind != "custom" {
        let body = ToolBody::Opaque { kind, value: Json::new(value) };
        return Ok(Tool { body, cache: None, extra: Extra::new() });
    }
    let body = ToolBody::Function {
        name: tool.need_string("name")?,
        description: tool.take_string("description")?,
        parameters: tool.take("input_schema").map(Json::new),
        strict: tool.take_as("strict", "true or false")?,
    };
    let cache = tool.take("cache_control").map(Json::new);
    Ok(Tool { body, cache, extra: tool.rest() })
}

#[cfg(test)]
mod tests;
