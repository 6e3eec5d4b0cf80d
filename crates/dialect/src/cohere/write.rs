//! Canonical requests, written as Cohere's chat requests.

mod fit;

use crate::{
    Fault, TargetShape,
    canonical::{Message, OutputFormat, Part, PartBody, Request, Role, Tool, ToolBody, ToolChoice},
    cohere::parts,
    json::{ArrayWriter, ObjectWriter, object},
    losses::Losses,
};

/// Writes a body. Everything that may be refused is looked at first, so that writing itself cannot fail.
pub(crate) fn write(
    request: Request,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let request = &if losses.is_home() { request } else { fit::fit(request, target, losses)? };
    Ok(object(|w| {
        w.string("model", target.model);
        w.array("messages", |array| {
            request.messages.iter().for_each(|message| write_message(array, message));
        });
        write_tools(w, request);
        if let Some(cap) = request.max_output_tokens {
            w.number("max_tokens", u64::from(cap));
        }
        if !request.stop.is_empty() {
            w.array("stop_sequences", |array| request.stop.iter().for_each(|stop| array.string(stop)));
        }
        write_sampling(w, request);
        write_format(w, request.format.as_ref());
        write_thinking(w, request);
        w.bool("stream", request.stream);
        w.extra(&request.extra);
    }))
}

fn write_message(array: &mut ArrayWriter<'_>, message: &Message) {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => {
            return array.object(|w| {
                w.string("role", "assistant");
                parts::write_assistant(w, &message.parts);
                w.extra(&message.extra);
            });
        }
        Role::User => "user",
    };
    let mut said: Vec<&Part> = Vec::new();
    for part in &message.parts {
        match &part.body {
            PartBody::ToolResult { id, content, .. } => array.object(|w| {
                w.string("role", "tool");
                w.string("tool_call_id", id);
                if content.is_empty() {
                    w.string("content", "");
                } else {
                    parts::write_content(w, &content.iter().collect::<Vec<_>>());
                }
                w.extra(&message.extra);
            }),
            _ => said.push(part),
        }
    }
    if said.is_empty() && !message.parts.is_empty() {
        return;
    }
    array.object(|w| {
        w.string("role", role);
        parts::write_content(w, &said);
        w.extra(&message.extra);
    });
}

fn write_tools(w: &mut ObjectWriter<'_>, request: &Request) {
    if !request.tools.is_empty() {
        w.array("tools", |array| request.tools.iter().for_each(|tool| write_tool(array, tool)));
        let strict = |tool: &Tool| match &tool.body {
            ToolBody::Function { strict, .. } => *strict,
            ToolBody::Opaque { .. } => None,
        };
        if let Some(strict) = request.tools.first().and_then(strict) {
            w.bool("strict_tools", strict);
        }
    }
    match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_)) => w.string("tool_choice", "REQUIRED"),
        Some(ToolChoice::None) => w.string("tool_choice", "NONE"),
        Some(ToolChoice::Auto | ToolChoice::Opaque(_)) | None => {}
    }
}

fn write_tool(array: &mut ArrayWriter<'_>, tool: &Tool) {
    let ToolBody::Function { name, description, parameters, .. } = &tool.body else { return };
    array.object(|w| {
        w.string("type", "function");
        w.object("function", |w| {
            w.string("name", name);
            if let Some(description) = description {
                w.string("description", description);
            }
            let none = r#"{"type":"object","properties":{}}"#;
            w.raw("parameters", parameters.as_ref().map_or(none, |schema| schema.text()));
            w.extra(&tool.extra);
        });
    });
}

fn write_sampling(w: &mut ObjectWriter<'_>, request: &Request) {
    if let Some(temperature) = request.temperature {
        w.float("temperature", temperature);
    }
    if let Some(top_p) = request.top_p {
        w.float("p", top_p);
    }
    if let Some(top_k) = request.top_k {
        w.number("k", top_k);
    }
    if let Some(seed) = request.seed {
        w.raw("seed", &seed.to_string());
    }
    if let Some(penalty) = request.frequency_penalty {
        w.float("frequency_penalty", penalty);
    }
    if let Some(penalty) = request.presence_penalty {
        w.float("presence_penalty", penalty);
    }
    if let Some(logprobs) = request.logprobs {
        w.bool("logprobs", logprobs.enabled);
    }
}

fn write_format(w: &mut ObjectWriter<'_>, format: Option<&OutputFormat>) {
    match format {
        None => {}
        Some(OutputFormat::JsonObject) => w.object("response_format", |w| w.string("type", "json_object")),
        Some(OutputFormat::Opaque(format)) => w.raw("response_format", format.text()),
        Some(OutputFormat::JsonSchema { schema, .. }) => w.object("response_format", |w| {
            w.string("type", "json_object");
            w.raw("json_schema", schema.text());
        }),
    }
}

fn write_thinking(w: &mut ObjectWriter<'_>, request: &Request) {
    let Some(reasoning) = &request.reasoning else { return };
    w.object("thinking", |w| {
        let is_off = reasoning.effort.as_deref() == Some("none");
        w.string("type", if is_off { "disabled" } else { "enabled" });
        if let Some(budget) = reasoning.budget {
            w.number("token_budget", u64::from(budget));
        }
    });
}

#[cfg(test)]
mod tests;
