//! What Converse refuses, in AWS's words as far as they are known.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::answer::Refusal;
use crate::anthropic::messages::SIGNATURE;
use crate::bedrock::converse::{Block, ConverseRequest, Message};

/// Refuses what the real one refuses. Yields the schema of a structured answer, which comes as a text.
pub(crate) fn check(request: &ConverseRequest) -> Result<Option<Value>, Refusal> {
    check_roles(&request.messages)?;
    for (position, message) in request.messages.iter().enumerate() {
        for (index, block) in message.content.iter().enumerate() {
            check_block(block, &format!("messages.{position}.content.{index}"))?;
        }
    }
    check_tools(request)?;
    check_results(&request.messages)?;
    check_documents(request)?;
    check_settings(request)?;
    let Some(format) = request.output_config.as_ref().and_then(|output| output.get("textFormat")) else {
        return Ok(None);
    };
    let schema = format.pointer("/structure/jsonSchema/schema").and_then(Value::as_str).unwrap_or_default();
    serde_json::from_str(schema).map(Some).map_err(|error| {
        invalid(format!(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema is not JSON: {error}"
        ))
    })
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

/// What the service's own model of a request says of one of its members.
fn constraint(value: &str, at: &str, rule: &str) -> Refusal {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: {rule}"
    ))
}

fn check_roles(messages: &[Message]) -> Result<(), Refusal> {
    let mut wanted = "user";
    if messages.is_empty() {
        return Err(invalid("The messages field is empty. Add a message and try again."));
    }
    for (position, message) in messages.iter().enumerate() {
        if !["user", "assistant"].contains(&message.role.as_str()) {
            let at = format!("messages.{}.member.role", position + 1);
            return Err(constraint(
                &message.role,
                &at,
                "Member must satisfy enum value set: [user, assistant]",
            ));
        }
        if message.role != wanted {
            return Err(invalid(if position == 0 {
                "A conversation must start with a user message. Try again with a conversation that starts with a user message."
            } else {
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again."
            }));
        }
        if message.content.is_empty() {
            return Err(invalid(format!(
                "The content field in the Message object at messages.{position} is empty. Add a ContentBlock object to the content field and try again."
            )));
        }
        wanted = if wanted == "user" { "assistant" } else { "user" };
    }
    Ok(())
}

fn check_block(block: &Block, at: &str) -> Result<(), Refusal> {
    if block.text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(invalid(format!(
            "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
        )));
    }
    if let Some(call) = &block.tool_use {
        check_name(&call.name, &format!("{at}.toolUse.name"))?;
        check_id(&call.tool_use_id, &format!("{at}.toolUse.toolUseId"))?;
        if !call.input.is_object() {
            return Err(invalid(format!(
                "The format of the value at {at}.toolUse.input is invalid. Provide a json object for the field and try again."
            )));
        }
    }
    if let Some(result) = &block.tool_result {
        check_id(&result.tool_use_id, &format!("{at}.toolResult.toolUseId"))?;
    }
    if let Some(image) = &block.image {
        check_media(image, &["png", "jpeg", "gif", "webp"], &format!("{at}.image"))?;
    }
    if let Some(document) = &block.document {
        let formats = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];
        check_media(document, &formats, &format!("{at}.document"))?;
    }
    let text = block.reasoning_content.as_ref().and_then(|reasoning| reasoning.get("reasoningText"));
    if text.is_some_and(|text| text.get("signature").and_then(Value::as_str) != Some(SIGNATURE)) {
        return Err(invalid(format!(
            "The model returned the following errors: {at}: Invalid `signature` in `thinking` block"
        )));
    }
    if is_empty(block) {
        return Err(invalid(format!(
            "ContentBlock object at {at} must set one of the following keys: text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent, citationsContent, searchResult."
        )));
    }
    Ok(())
}

fn is_empty(block: &Block) -> bool {
    let others = [
        &block.image,
        &block.document,
        &block.video,
        &block.audio,
        &block.guard_content,
        &block.cache_point,
        &block.reasoning_content,
        &block.citations_content,
        &block.search_result,
    ];
    block.text.is_none()
        && block.tool_use.is_none()
        && block.tool_result.is_none()
        && others.iter().all(|other| other.is_none())
}

fn check_media(media: &Value, formats: &[&str], at: &str) -> Result<(), Refusal> {
    let format = media.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !formats.contains(&format)) {
        let rule = format!("Member must satisfy enum value set: [{}]", formats.join(", "));
        return Err(constraint(format.unwrap_or_default(), &format!("{at}.format"), &rule));
    }
    let source = media.get("source").unwrap_or(&Value::Null);
    let bytes = source.get("bytes").and_then(Value::as_str);
    if bytes.is_some_and(|bytes| STANDARD.decode(bytes).is_err()) {
        return Err(invalid(format!("The value at {at}.source.bytes is not base64.")));
    }
    if ["bytes", "s3Location", "text", "content"].iter().all(|key| source.get(key).is_none()) {
        return Err(invalid(format!(
            "The source field at {at} must set one of the following keys: bytes, s3Location."
        )));
    }
    Ok(())
}

fn check_name(name: &str, at: &str) -> Result<(), Refusal> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if name.is_empty() || !name.chars().all(is_known) {
        return Err(constraint(name, at, "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"));
    }
    if name.len() > 64 {
        return Err(constraint(name, at, "Member must have length less than or equal to 64"));
    }
    Ok(())
}

fn check_id(id: &str, at: &str) -> Result<(), Refusal> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
    if id.is_empty() || !id.chars().all(is_known) {
        return Err(constraint(id, at, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+"));
    }
    if id.len() > 64 {
        return Err(constraint(id, at, "Member must have length less than or equal to 64"));
    }
    Ok(())
}

fn check_tools(request: &ConverseRequest) -> Result<(), Refusal> {
    let has_tool_blocks =
        request.blocks().any(|block| block.tool_use.is_some() || block.tool_result.is_some());
    let Some(config) = &request.tool_config else {
        if has_tool_blocks {
            return Err(invalid(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            ));
        }
        return Ok(());
    };
    if config.tools.is_empty() {
        let rule = "Member must have length greater than or equal to 1";
        return Err(constraint("[]", "toolConfig.tools", rule));
    }
    let mut names = BTreeSet::new();
    for (position, spec) in request.specs().enumerate() {
        check_name(&spec.name, &format!("toolConfig.tools.{}.member.toolSpec.name", position + 1))?;
        if spec.schema().get("type").and_then(Value::as_str) != Some("object") {
            return Err(invalid(format!(
                "The value at toolConfig.tools.{position}.toolSpec.inputSchema.json.type must be one of the following: object."
            )));
        }
        if !names.insert(spec.name.as_str()) {
            return Err(invalid(format!("The tool name {} is not unique in toolConfig.tools.", spec.name)));
        }
    }
    let Some(choice) = &config.tool_choice else { return Ok(()) };
    let name = choice.pointer("/tool/name").and_then(Value::as_str);
    if name.is_some_and(|name| !names.contains(name)) {
        return Err(invalid("The tool in toolConfig.toolChoice is not one of toolConfig.tools."));
    }
    if choice
        .as_object()
        .is_none_or(|choice| !["auto", "any", "tool"].iter().any(|key| choice.contains_key(*key)))
    {
        return Err(invalid("ToolChoice object must set one of the following keys: auto, any, tool."));
    }
    if request.thinks() && choice.get("auto").is_none() {
        let message = "The model returned the following errors: Thinking may not be enabled when tool_choice forces tool use.";
        return Err(invalid(message));
    }
    Ok(())
}

/// The results of a message's calls stand in the very next message, all of them and no others.
fn check_results(messages: &[Message]) -> Result<(), Refusal> {
    let mut open: Vec<&str> = Vec::new();
    for (position, message) in messages.iter().enumerate() {
        // What the provider's own tools gave stands beside their calls.
        let within = |id: &str| {
            message
                .content
                .iter()
                .any(|block| block.tool_result.as_ref().is_some_and(|result| result.tool_use_id == id))
        };
        if message.role == "assistant" {
            let calls = message.content.iter().filter_map(|block| block.tool_use.as_ref());
            let calls: Vec<&str> =
                calls.map(|call| call.tool_use_id.as_str()).filter(|id| !within(id)).collect();
            refuse_missing(position, &open)?;
            open = calls;
            continue;
        }
        let results: Vec<&str> = message
            .content
            .iter()
            .filter_map(|block| block.tool_result.as_ref())
            .map(|result| result.tool_use_id.as_str())
            .collect();
        if results.len() > open.len() || results.iter().any(|id| !open.contains(id)) {
            return Err(invalid(format!(
                "The number of toolResult blocks at messages.{position}.content exceeds the number of toolUse blocks of previous turn."
            )));
        }
        open.retain(|id| !results.contains(id));
        refuse_missing(position, &open)?;
    }
    Ok(())
}

fn refuse_missing(position: usize, open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "Expected toolResult blocks at messages.{position}.content for the following Ids: {}",
        open.join(", ")
    )))
}

fn check_documents(request: &ConverseRequest) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for document in request.blocks().filter_map(|block| block.document.as_ref()) {
        let name = document.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_known = |letter: char| letter.is_alphanumeric() || " -()[]".contains(letter);
        if name.is_empty() || name.len() > 200 || !name.chars().all(is_known) || name.contains("  ") {
            return Err(invalid(
                "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.",
            ));
        }
        if !names.insert(name) {
            return Err(invalid(format!("Messages contain documents with the same name: {name}")));
        }
    }
    if names.len() > 5 {
        return Err(invalid("You can include up to 5 documents in a request."));
    }
    Ok(())
}

fn check_settings(request: &ConverseRequest) -> Result<(), Refusal> {
    let config = &request.inference_config;
    for (value, name) in [(config.temperature, "temperature"), (config.top_p, "topP")] {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            let rule = "Member must have value less than or equal to 1";
            return Err(constraint(&value.to_string(), &format!("inferenceConfig.{name}"), rule));
        }
    }
    if config.max_tokens == Some(0) {
        let rule = "Member must have value greater than or equal to 1";
        return Err(constraint("0", "inferenceConfig.maxTokens", rule));
    }
    if request.thinks() && config.temperature.is_some_and(|temperature| temperature < 1.0) {
        let message = "The model returned the following errors: `temperature` may only be set to 1 when thinking is enabled.";
        return Err(invalid(message));
    }
    let points =
        request.system.iter().chain(request.blocks()).filter(|block| block.cache_point.is_some()).count();
    let tools = request.tool_config.iter().flat_map(|config| &config.tools);
    if points + tools.filter(|tool| tool.cache_point.is_some()).count() > 4 {
        return Err(invalid("You can include up to 4 cache points in a request."));
    }
    let pairs = request.request_metadata.as_ref().and_then(Value::as_object);
    if pairs.is_some_and(|pairs| pairs.is_empty() || pairs.len() > 16) {
        let rule = "Member must have length less than or equal to 16";
        return Err(constraint("{}", "requestMetadata", rule));
    }
    Ok(())
}
