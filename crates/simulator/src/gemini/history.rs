//! What Gemini refuses: empty turns, calls and results out of step, lost thought signatures, schemas outside its subset,
//! settings that do not go together.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::answer::Refusal;
use crate::gemini::request::{Content, Declaration, GenerateRequest, GenerationConfig, Part};

/// Stands for what Gemini wants back untouched.
pub(crate) const SIGNATURE: &str = "c2ltdWxhdGVkLXRob3VnaHQtc2lnbmF0dXJl";

/// Google's own words for a history that another model wrote.
const EXEMPT: [&str; 2] = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// Refuses what the real one refuses.
pub(crate) fn check(request: &GenerateRequest, model: &str, is_vertex: bool) -> Result<(), Refusal> {
    check_turns(&request.contents, is_vertex)?;
    check_calls(&request.contents)?;
    check_signatures(&request.contents, model.contains("gemini-3"))?;
    for (position, offer) in request.declarations().enumerate() {
        check_declaration(offer, position)?;
    }
    check_calling(request)?;
    check_generation(&request.generation_config, model)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

fn check_turns(contents: &[Content], is_vertex: bool) -> Result<(), Refusal> {
    if contents.is_empty() {
        return Err(invalid("* GenerateContentRequest.contents: contents is not specified"));
    }
    for (position, content) in contents.iter().enumerate() {
        match content.role.as_deref() {
            None | Some("user" | "model" | "function") => {}
            Some(_) => return Err(invalid("Please use a valid role: user, model.")),
        }
        if content.parts.is_empty() {
            let at = format!(
                "* GenerateContentRequest.contents[{position}].parts: contents.parts must not be empty."
            );
            return Err(invalid(at));
        }
        for (index, part) in content.parts.iter().enumerate() {
            check_part(part, is_vertex).map_err(|reason| {
                invalid(format!("* GenerateContentRequest.contents[{position}].parts[{index}].{reason}"))
            })?;
        }
    }
    Ok(())
}

fn check_part(part: &Part, is_vertex: bool) -> Result<(), &'static str> {
    if !part.has_data() {
        return Err("data: required oneof field 'data' must have one initialized field");
    }
    if let Some(blob) = &part.inline_data {
        if blob.mime_type.is_none() {
            return Err("inline_data.mime_type: mime_type is required");
        }
        let is_base64 = |data: &String| STANDARD.decode(data).is_ok() || URL_SAFE.decode(data).is_ok();
        if !blob.data.as_ref().is_some_and(is_base64) {
            return Err("inline_data.data: Base64 decoding failed");
        }
    }
    let Some(file) = &part.file_data else { return Ok(()) };
    let uri = file.file_uri.as_deref().unwrap_or_default();
    let is_known = uri.contains("/files/") || uri.contains("youtube.com/") || uri.contains("youtu.be/");
    match (is_vertex, uri) {
        (_, "") => Err("file_data.file_uri: file_uri is required"),
        (true, uri) if uri.starts_with("gs://") && file.mime_type.is_none() => {
            Err("file_data.mime_type: mime_type is required for a gs:// URI")
        }
        (false, _) if !is_known => {
            Err("file_data.file_uri: Unsupported file URI: it is not one of the Files API")
        }
        _ => Ok(()),
    }
}

/// Calls follow the user or results; all their results, and nothing but as many, come in the very next turn.
fn check_calls(contents: &[Content]) -> Result<(), Refusal> {
    let calls = |content: &Content| content.parts.iter().filter(|part| part.function_call.is_some()).count();
    let results =
        |content: &Content| content.parts.iter().filter(|part| part.function_response.is_some()).count();
    let mut open = 0;
    let mut is_first = true;
    let mut before_is_model = false;
    for content in contents {
        let (called, answered) = (calls(content), results(content));
        if called > 0 && (is_first || before_is_model || !content.is_model()) {
            let message = "Please ensure that function call turn comes immediately after a user turn or after a function response turn.";
            return Err(invalid(message));
        }
        if answered > 0 && open == 0 {
            let message =
                "Please ensure that function response turn comes immediately after a function call turn.";
            return Err(invalid(message));
        }
        if answered != open {
            let message = "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.";
            return Err(invalid(message));
        }
        open = called;
        is_first = false;
        before_is_model = content.is_model();
    }
    Ok(())
}

/// The first call of each step since the user last spoke carries its signature.
fn check_signatures(contents: &[Content], is_demanded: bool) -> Result<(), Refusal> {
    let is_exempt = |signature: &str| {
        // The official client sends bytes, so these words come in base64 as well.
        let decoded =
            STANDARD.decode(signature).or_else(|_other| URL_SAFE.decode(signature)).unwrap_or_default();
        EXEMPT.iter().any(|word| signature == *word || decoded == word.as_bytes())
    };
    let known = |signature: &str| signature == SIGNATURE || is_exempt(signature);
    let parts = contents.iter().flat_map(|content| &content.parts);
    if parts.filter_map(|part| part.thought_signature.as_deref()).any(|signature| !known(signature)) {
        return Err(invalid("Corrupted thought signature."));
    }
    if !is_demanded {
        return Ok(());
    }
    let spoke =
        |content: &Content| !content.is_model() && content.parts.iter().any(|part| part.text.is_some());
    let start = contents.iter().rposition(spoke).unwrap_or(0);
    for (position, content) in contents.iter().enumerate().skip(start) {
        let first = content.parts.iter().find(|part| part.function_call.is_some());
        let Some(call) = first.filter(|part| part.thought_signature.is_none()) else { continue };
        let name = call.function_call.as_ref().map_or("", |call| call.name.as_str());
        return Err(invalid(format!(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:{name}` , position {}. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
            position + 1
        )));
    }
    Ok(())
}

fn check_declaration(offer: &Declaration, position: usize) -> Result<(), Refusal> {
    let mut letters = offer.name.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || "_.:-".contains(letter));
    let at = format!("GenerateContentRequest.tools[0].function_declarations[{position}]");
    if !begins || !goes_on || offer.name.len() > 128 {
        return Err(invalid(format!(
            "* {at}.name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128."
        )));
    }
    if offer.parameters.is_some() && offer.parameters_json_schema.is_some() {
        return Err(invalid(format!("* {at}: only one of parameters and parameters_json_schema may be set")));
    }
    match &offer.parameters {
        Some(schema) => check_schema(schema, &format!("{at}.parameters"), 0),
        None => Ok(()),
    }
}

/// All that Google's own kind of schema has.
const SCHEMA_FIELDS: [&str; 25] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "additionalProperties",
    "ref",
    "defs",
];

fn check_schema(schema: &Value, at: &str, depth: usize) -> Result<(), Refusal> {
    let Some(members) = schema.as_object().filter(|_| depth < 32) else {
        return Err(invalid(format!("Invalid value at '{at}': not a schema")));
    };
    let camel = |key: &str| {
        key.split('_')
            .enumerate()
            .map(|(n, word)| {
                if n == 0 {
                    word.to_owned()
                } else {
                    let mut letters = word.chars();
                    letters
                        .next()
                        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
                }
            })
            .collect::<String>()
    };
    if let Some(unknown) = members.keys().find(|key| !SCHEMA_FIELDS.contains(&camel(key).as_str())) {
        let message = format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\" at '{at}': Cannot find field."
        );
        return Err(Refusal::invalid(at, message));
    }
    let kind = match members.get("type") {
        None => String::new(),
        Some(Value::String(kind)) => kind.to_uppercase(),
        Some(_) => {
            let message = format!(
                "Invalid JSON payload received. Proto field is not repeating, cannot start list at '{at}.type'."
            );
            return Err(Refusal::invalid(at, message));
        }
    };
    if kind == "ARRAY" && !members.contains_key("items") {
        return Err(invalid(format!("* {at}.items: missing field.")));
    }
    if members.contains_key("enum") && kind != "STRING" {
        return Err(invalid(format!("* {at}.enum: only allowed for STRING type")));
    }
    match (kind.as_str(), members.get("format").and_then(Value::as_str)) {
        ("STRING", Some(format)) if !["enum", "date-time"].contains(&format) => {
            return Err(invalid(format!(
                "* {at}.format: only 'enum' and 'date-time' are supported for STRING type"
            )));
        }
        _ => {}
    }
    let properties = members.get("properties").and_then(Value::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        check_schema(inner, &format!("{at}.properties[{name}]"), depth + 1)?;
    }
    if let Some(items) = members.get("items") {
        check_schema(items, &format!("{at}.items"), depth + 1)?;
    }
    let options = members.get("anyOf").or_else(|| members.get("any_of")).and_then(Value::as_array);
    for option in options.into_iter().flatten() {
        check_schema(option, &format!("{at}.any_of"), depth + 1)?;
    }
    Ok(())
}

fn check_calling(request: &GenerateRequest) -> Result<(), Refusal> {
    let Some(calling) = request.calling() else { return Ok(()) };
    let mode = calling.mode.as_deref().unwrap_or("AUTO").to_uppercase();
    if !["AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"].contains(&mode.as_str()) {
        let message = format!("Invalid value at 'tool_config.function_calling_config.mode': \"{mode}\"");
        return Err(Refusal::invalid("tool_config.function_calling_config.mode", message));
    }
    if !calling.allowed_function_names.is_empty() && !["ANY", "VALIDATED"].contains(&mode.as_str()) {
        return Err(invalid("Allowed function names should only be set when function calling mode is ANY."));
    }
    let is_declared = |name: &&String| request.declarations().any(|offer| offer.name == **name);
    if let Some(name) = calling.allowed_function_names.iter().find(|name| !is_declared(name)) {
        return Err(invalid(format!(
            "* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names: {name} is not declared"
        )));
    }
    if mode == "ANY" && request.declarations().next().is_none() {
        return Err(invalid("Function calling config is set without function_declarations."));
    }
    Ok(())
}

fn check_generation(config: &GenerationConfig, model: &str) -> Result<(), Refusal> {
    let at = "* GenerateContentRequest.generation_config";
    if config.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(invalid(format!("{at}.temperature: temperature must be in the range [0.0, 2.0]")));
    }
    if config.top_p.is_some_and(|top_p| !(0.0..=1.0).contains(&top_p)) {
        return Err(invalid(format!("{at}.top_p: top_p must be in the range [0.0, 1.0]")));
    }
    if config.candidate_count.is_some_and(|count| !(1..=8).contains(&count)) {
        return Err(invalid(format!("{at}.candidate_count: candidate_count must be in the range [1, 8]")));
    }
    if config.max_output_tokens == Some(0) {
        return Err(invalid("max_output_tokens must be positive."));
    }
    if config.stop_sequences.len() > 5 {
        return Err(invalid(format!("{at}.stop_sequences: at most 5 stop sequences are supported")));
    }
    let is_json = matches!(config.response_mime_type.as_deref(), Some("application/json" | "text/x.enum"));
    if config.response_schema.is_some() || config.response_json_schema.is_some() {
        if !is_json {
            return Err(invalid(format!(
                "{at}.response_mime_type: response_schema needs application/json or text/x.enum"
            )));
        }
        if config.response_schema.is_some() && config.response_json_schema.is_some() {
            return Err(invalid(format!(
                "{at}: only one of response_schema and response_json_schema may be set"
            )));
        }
    }
    if let Some(schema) = &config.response_schema {
        check_schema(schema, "generation_config.response_schema", 0)?;
    }
    if config.logprobs.is_some() && config.response_logprobs != Some(true) {
        return Err(invalid("Logprobs is set but response_logprobs is not enabled."));
    }
    let Some(thinking) = &config.thinking_config else { return Ok(()) };
    if thinking.thinking_budget.is_some() && thinking.thinking_level.is_some() {
        return Err(invalid("You can only set only one of thinking budget and thinking level."));
    }
    if thinking.thinking_level.is_some() && (model.contains("gemini-2") || model.contains("gemini-1")) {
        return Err(invalid("Thinking level is not supported for this model."));
    }
    let levels = ["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"];
    match thinking.thinking_level.as_deref() {
        Some(level) if !levels.contains(&level.to_uppercase().as_str()) => Err(invalid(format!(
            "Invalid value at 'generation_config.thinking_config.thinking_level': \"{level}\""
        ))),
        _ => Ok(()),
    }
}
