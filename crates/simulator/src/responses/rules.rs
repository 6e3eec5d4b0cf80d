//! What the Responses API refuses.

use serde_json::{Map, Value};

use crate::answer::Refusal;
use crate::openai::{check_model, check_name, check_strict};
use crate::responses::answer::ENCRYPTED;
use crate::responses::items::{kind, text_of};
use crate::responses::request::ResponsesRequest;

/// All that a request may have. Anything else is a mistake, such as a parameter of chat completions.
const MEMBERS: [&str; 33] = [
    "access_programs",
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "image",
];

/// Refuses members that there are not.
pub(crate) fn check_members(members: &Map<String, Value>) -> Result<(), Refusal> {
    match members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(coded("unknown_parameter", unknown, format!("Unknown parameter: '{unknown}'."))),
    }
}

fn coded(code: &str, param: &str, message: String) -> Refusal {
    Refusal { code: Some(code.to_owned()), ..Refusal::invalid(param, message) }
}

/// Refuses settings and tools that the real one refuses.
pub(crate) fn check(request: &ResponsesRequest) -> Result<(), Refusal> {
    check_model(&request.model)?;
    if let Some(temperature) = request.temperature.filter(|temperature| !(0.0..=2.0).contains(temperature)) {
        let message = format!(
            "Invalid 'temperature': expected a value between 0 and 2, but got {temperature} instead."
        );
        let code = if temperature < 0.0 { "decimal_below_min_value" } else { "decimal_above_max_value" };
        return Err(coded(code, "temperature", message));
    }
    if let Some(limit) = request.max_output_tokens.filter(|limit| *limit < 16) {
        let message = format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {limit} instead."
        );
        return Err(coded("integer_below_min_value", "max_output_tokens", message));
    }
    if request.top_logprobs.is_some_and(|count| count > 20) {
        let message =
            "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20.".to_owned();
        return Err(coded("integer_above_max_value", "top_logprobs", message));
    }
    if request.stream_options.is_some() && request.stream != Some(true) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Refusal::invalid("stream_options", message));
    }
    for (position, tool) in request.tools.iter().flatten().enumerate() {
        check_tool(tool, position)?;
    }
    let format = request.text.as_ref().and_then(|text| text.get("format"));
    if let Some(format) = format.filter(|format| format.get("strict") == Some(&Value::Bool(true))) {
        let schema = format.get("schema").unwrap_or(&Value::Null);
        check_strict(schema, text_of(format, "name"), "text.format.schema")?;
    }
    if request.items().is_empty() && request.previous_response_id.is_none() {
        let message =
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.";
        return Err(coded("missing_required_parameter", "input", message.to_owned()));
    }
    request.items().iter().enumerate().try_for_each(|(position, item)| check_item(item, position))
}

fn check_tool(tool: &Value, position: usize) -> Result<(), Refusal> {
    if text_of(tool, "type").is_empty() {
        let at = format!("tools[{position}].type");
        return Err(coded("missing_required_parameter", &at, format!("Missing required parameter: '{at}'.")));
    }
    if text_of(tool, "type") != "function" {
        return Ok(());
    }
    let at = format!("tools[{position}].name");
    let name = text_of(tool, "name");
    if name.is_empty() {
        return Err(coded("missing_required_parameter", &at, format!("Missing required parameter: '{at}'.")));
    }
    check_name(name, &at)?;
    if tool.get("strict") == Some(&Value::Bool(true)) {
        let parameters = tool.get("parameters").unwrap_or(&Value::Null);
        check_strict(parameters, name, &format!("tools[{position}].parameters"))?;
    }
    Ok(())
}

fn check_item(item: &Value, position: usize) -> Result<(), Refusal> {
    let prefix = match kind(item) {
        "message" => {
            check_message(item, position)?;
            "msg"
        }
        "function_call" => "fc",
        "reasoning" => "rs",
        _ => "",
    };
    let id = text_of(item, "id");
    if !id.is_empty() && !id.starts_with(prefix) {
        let at = format!("input[{position}].id");
        let message = format!("Invalid '{at}': '{id}'. Expected an ID that begins with '{prefix}'.");
        return Err(coded("invalid_value", &at, message));
    }
    if text_of(item, "call_id").len() > 64 {
        let at = format!("input[{position}].call_id");
        let message = format!("Invalid '{at}': string too long. Expected a string with maximum length 64.");
        return Err(coded("string_above_max_length", &at, message));
    }
    let encrypted = text_of(item, "encrypted_content");
    if kind(item) == "reasoning" && !encrypted.is_empty() && encrypted != ENCRYPTED {
        let start: String = encrypted.chars().take(8).collect();
        let message = format!("The encrypted content {start}... could not be verified.");
        return Err(coded("invalid_encrypted_content", "input", message));
    }
    Ok(())
}

fn check_message(item: &Value, position: usize) -> Result<(), Refusal> {
    let role = text_of(item, "role");
    if !["user", "assistant", "system", "developer"].contains(&role) {
        let at = format!("input[{position}].role");
        return Err(coded(
            "invalid_value",
            &at,
            format!(
                "Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
            ),
        ));
    }
    let known: &[&str] = if role == "assistant" {
        &["output_text", "refusal"]
    } else {
        &["input_text", "input_image", "input_file", "input_audio"]
    };
    let parts = item.get("content").and_then(Value::as_array);
    for (index, part) in parts.into_iter().flatten().enumerate() {
        let found = text_of(part, "type");
        if !known.contains(&found) {
            let at = format!("input[{position}].content[{index}].type");
            let known = known.join("', '");
            return Err(coded(
                "invalid_value",
                &at,
                format!("Invalid value: '{found}'. Supported values are: '{known}'."),
            ));
        }
    }
    Ok(())
}

/// Refuses a conversation whose calls and outputs do not belong together.
pub(crate) fn check_items(items: &[Value]) -> Result<(), Refusal> {
    let ids = |wanted: &'static str| {
        let of_kind = items.iter().filter(move |item| kind(item) == wanted);
        of_kind.map(|item| text_of(item, "call_id"))
    };
    let calls: Vec<&str> = ids("function_call").collect();
    let outputs: Vec<&str> = ids("function_call_output").collect();
    // Calls of other kinds of tools may be answered in the same way.
    let any_call =
        |id: &str| items.iter().any(|item| kind(item).ends_with("_call") && text_of(item, "call_id") == id);
    if let Some(id) = outputs.iter().find(|id| !any_call(id)) {
        return Err(Refusal::invalid(
            "input",
            format!("No tool call found for function call output with call_id {id}."),
        ));
    }
    if let Some(id) = calls.iter().find(|id| !outputs.contains(id)) {
        return Err(Refusal::invalid("input", format!("No tool output found for function call {id}.")));
    }
    let mut following = items.iter().skip(1).chain(std::iter::once(&Value::Null));
    for item in items {
        let next = following.next().unwrap_or(&Value::Null);
        let is_followed = next.is_object() && text_of(next, "role") != "user";
        if kind(item) == "reasoning" && item.is_object() && !is_followed {
            let id = text_of(item, "id");
            let message =
                format!("Item '{id}' of type 'reasoning' was provided without its required following item.");
            return Err(Refusal::invalid("input", message));
        }
    }
    Ok(())
}
