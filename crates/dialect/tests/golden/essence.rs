//! What a call says, whatever dialect it was written in.

use base64::{Engine, engine::general_purpose::STANDARD};
use frontdoor_dialect::{Dialect, Part, PartBody, Request, Role, Source, ToolBody, ToolChoice};
use serde_json::Value;

/// Makes the difference that a target's forms make, and tells of, between a call and what was written of it.
pub(crate) fn allow(before: &mut Request, after: &mut Request, (target, dropped): (Dialect, &[String])) {
    if dropped.iter().any(|field| field.starts_with("stop")) {
        before.stop.clear();
    }
    if dropped.iter().any(|field| field == "user") {
        before.user = None;
    }
    let name = |body: &ToolBody| match body {
        ToolBody::Function { name, .. } => name.clone(),
        ToolBody::Opaque { .. } => String::new(),
    };
    match (target, before.tool_choice.clone()) {
        // Without a word for none, no tools are offered.
        (Dialect::Bedrock, Some(ToolChoice::None)) if after.tools.is_empty() => {
            before.tools.clear();
        }
        // Without a word for one of several, only that one is offered.
        (Dialect::Cohere, Some(ToolChoice::Named(wanted))) => {
            before.tools.retain(|tool| name(&tool.body) == wanted);
            before.tool_choice = Some(ToolChoice::Required);
        }
        _ => {}
    }
    // Bedrock wants definitions of tools that only the conversation knows.
    if target == Dialect::Bedrock && before.tools.is_empty() {
        after.tools.clear();
    }
    // What may be left out may be a picture or a document.
    if dropped.iter().any(|field| field.contains("content") || field.starts_with("messages")) {
        for request in [before, after] {
            for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
                if let PartBody::ToolResult { content, .. } = &mut part.body {
                    content.retain(|part| !is_shown(part));
                }
            }
            request.messages.iter_mut().for_each(|message| message.parts.retain(|part| !is_shown(part)));
        }
    }
}

fn is_shown(part: &Part) -> bool {
    matches!(part.body, PartBody::Image { .. } | PartBody::Document { .. })
}

/// What a call says, whoever says it: the lines of the conversation, and the tools.
pub(crate) fn essence(request: &Request) -> Vec<String> {
    let mut system = String::new();
    let mut lines: Vec<String> = Vec::new();
    for message in &request.messages {
        let mut said = String::new();
        let mut rest = Vec::new();
        for part in &message.parts {
            describe(part, &mut said, &mut rest);
        }
        match message.role {
            Role::System | Role::Developer => {
                system += &said;
                continue;
            }
            Role::User => lines.append(&mut rest),
            Role::Assistant => {}
        }
        if !said.is_empty() {
            lines.push(format!("{:?}: {said}", message.role));
        }
        lines.append(&mut rest);
    }
    lines.insert(0, system);
    rename(&mut lines);
    for tool in &request.tools {
        if let ToolBody::Function { name, description, parameters, .. } = &tool.body {
            // Not everywhere a description may be empty.
            let description = description.as_deref().filter(|text| !text.is_empty());
            let parameters = parameters.as_ref().map(|json| open(serde_json::from_str(json.text()).unwrap()));
            lines.push(format!("tool {name} {description:?} {parameters:?}"));
        }
    }
    let has_functions = request.tools.iter().any(|tool| matches!(tool.body, ToolBody::Function { .. }));
    lines.push(format!("{:?} {:?} {:?}", request.stop, request.stream, request.user));
    let choice = request.tool_choice.as_ref().filter(|choice| has_functions && **choice != ToolChoice::Auto);
    lines.extend(choice.map(|choice| format!("{choice:?}")));
    joined(lines)
}

fn describe(part: &Part, said: &mut String, rest: &mut Vec<String>) {
    match &part.body {
        PartBody::Text(text) | PartBody::Document { source: Source::Text(text), .. } if !is_ours(text) => {
            *said += text
        }
        PartBody::Document { source: Source::Base64 { media_type, data }, .. }
            if media_type == "text/plain" =>
        {
            *said += &String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
        }
        PartBody::ToolCall { id, name, arguments } => {
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            rest.push(format!("call {id}\n{name} {arguments}"));
        }
        PartBody::ToolResult { id, content, .. } => {
            let (mut text, mut shown) = (String::new(), Vec::new());
            for part in content {
                describe(part, &mut text, &mut shown);
            }
            rest.push(format!("result {id}\n{text}"));
            rest.append(&mut shown);
        }
        // Left out where it is allowed to: nobody else has the file, or fetches documents.
        PartBody::Image { source: Source::File(_), .. }
        | PartBody::Document { source: Source::File(_) | Source::Url(_), .. } => {}
        PartBody::Image { source, .. } | PartBody::Document { source, .. } => {
            rest.push(format!("shown {source:?}"))
        }
        _ => {}
    }
}

/// What a translation says about where it put an image.
fn is_ours(text: &str) -> bool {
    text.starts_with("Shown by the tool call")
        || ["The result is shown in the next message.", "See the documents."].contains(&text)
}

/// Neighbouring lines of one speaker are one; pictures stand apart.
fn joined(lines: Vec<String>) -> Vec<String> {
    let (shown, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("shown"));
    let mut joined: Vec<String> = Vec::new();
    for line in lines {
        let speaker = line.split(": ").next().filter(|speaker| ["User", "Assistant"].contains(speaker));
        match (joined.last_mut(), speaker) {
            (Some(last), Some(speaker)) if last.starts_with(&format!("{speaker}: ")) => {
                *last += line.strip_prefix(&format!("{speaker}: ")).unwrap();
            }
            _ => joined.push(line),
        }
    }
    joined.extend(shown);
    joined
}

/// Ids of calls by the order of their first mention: what they are called does not matter.
fn rename(lines: &mut [String]) {
    let mut ids: Vec<String> = Vec::new();
    for line in lines {
        let Some((head, said)) = line.split_once('\n') else { continue };
        let Some((what @ ("call" | "result"), id)) = head.split_once(' ') else { continue };
        let place = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        *line = format!("{what} {place} {said}");
    }
}

/// A schema without what a strict target wants to be told of every object, and with `null` said in one way.
fn open(schema: Value) -> Value {
    match schema {
        Value::Object(mut fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                let kind = fields["type"].take();
                fields.insert("type".to_owned(), serde_json::json!([kind, "null"]));
            }
            Value::Object(fields.into_iter().map(|(name, value)| (name, open(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(open).collect()),
        other => other,
    }
}
