//! Canonical requests, written as Converse requests.

mod fit;
mod reason;
mod turns;

use crate::{
    Fault, TargetShape,
    bedrock::{
        parts,
        request::{IN_FIELDS, IN_INFERENCE, IN_OUTPUT},
    },
    canonical::{Message, OutputFormat, Request, Role, Tool, ToolBody, ToolChoice},
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
        w.array("messages", |array| {
            for message in request.messages.iter().filter(|message| message.role != Role::System) {
                write_turn(array, message);
            }
        });
        write_system(w, request);
        write_inference(w, request);
        write_tools(w, request);
        write_output(w, request);
        write_fields(w, request);
        if let Some(metadata) = &request.metadata {
            w.raw("requestMetadata", metadata.text());
        }
        if let Some(tier) = &request.service_tier {
            w.object("serviceTier", |w| w.string("type", tier));
        }
        let is_outer =
            |name: &str| ![IN_INFERENCE, IN_FIELDS, IN_OUTPUT].iter().any(|inner| name.starts_with(inner));
        for (name, value) in request.extra.iter().filter(|(name, _)| is_outer(name)) {
            w.raw(name, value.text());
        }
    }))
}

/// The extra fields that stand inside an object.
fn inner<'a>(request: &'a Request, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    request.extra.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.text())))
}

fn write_turn(array: &mut ArrayWriter<'_>, message: &Message) {
    array.object(|w| {
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        w.string("role", role);
        w.array("content", |array| message.parts.iter().for_each(|part| parts::write(array, part)));
        w.extra(&message.extra);
    });
}

fn write_system(w: &mut ObjectWriter<'_>, request: &Request) {
    let mut system = request.messages.iter().filter(|message| message.role == Role::System).peekable();
    if system.peek().is_some() {
        w.array("system", |array| {
            system.flat_map(|message| &message.parts).for_each(|part| parts::write(array, part));
        });
    }
}

fn write_inference(w: &mut ObjectWriter<'_>, request: &Request) {
    let mut rest = inner(request, IN_INFERENCE).peekable();
    let is_plain = request.max_output_tokens.is_none()
        && request.temperature.is_none()
        && request.top_p.is_none()
        && request.stop.is_empty();
    if is_plain && rest.peek().is_none() {
        return;
    }
    w.object("inferenceConfig", |w| {
        if let Some(cap) = request.max_output_tokens {
            w.number("maxTokens", u64::from(cap));
        }
        if let Some(temperature) = request.temperature {
            w.float("temperature", temperature);
        }
        if let Some(top_p) = request.top_p {
            w.float("topP", top_p);
        }
        if !request.stop.is_empty() {
            w.array("stopSequences", |array| request.stop.iter().for_each(|stop| array.string(stop)));
        }
        rest.for_each(|(name, value)| w.raw(name, value));
    });
}

fn write_tools(w: &mut ObjectWriter<'_>, request: &Request) {
    if request.tools.is_empty() && request.tool_choice.is_none() {
        return;
    }
    w.object("toolConfig", |w| {
        w.array("tools", |array| request.tools.iter().for_each(|tool| write_tool(array, tool)));
        match &request.tool_choice {
            // There is no word for none: then no tools are sent.
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => w.object("toolChoice", |w| w.object("auto", |_| {})),
            Some(ToolChoice::Required) => w.object("toolChoice", |w| w.object("any", |_| {})),
            Some(ToolChoice::Named(name)) => {
                w.object("toolChoice", |w| w.object("tool", |w| w.string("name", name)));
            }
            Some(ToolChoice::Opaque(choice)) => w.raw("toolChoice", choice.text()),
        }
    });
}

fn write_tool(array: &mut ArrayWriter<'_>, tool: &Tool) {
    match &tool.body {
        ToolBody::Opaque { value, .. } => array.raw(value.text()),
        ToolBody::Function { name, description, parameters, strict } => array.object(|w| {
            w.object("toolSpec", |w| {
                w.string("name", name);
                if let Some(description) = description {
                    w.string("description", description);
                }
                let none = r#"{"type":"object","properties":{}}"#;
                let schema = parameters.as_ref().map_or(none, |schema| schema.text());
                w.object("inputSchema", |w| w.raw("json", schema));
                if let Some(strict) = strict {
                    w.bool("strict", *strict);
                }
                w.extra(&tool.extra);
            });
        }),
    }
    if let Some(mark) = &tool.cache {
        parts::write_cache_point(array, mark);
    }
}

fn write_output(w: &mut ObjectWriter<'_>, request: &Request) {
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    let mut rest = inner(request, IN_OUTPUT).peekable();
    if effort.is_none() && request.format.is_none() && rest.peek().is_none() {
        return;
    }
    w.object("outputConfig", |w| {
        write_format(w, request.format.as_ref());
        if let Some(effort) = effort {
            w.string("effort", effort);
        }
        rest.for_each(|(name, value)| w.raw(name, value));
    });
}

fn write_format(w: &mut ObjectWriter<'_>, format: Option<&OutputFormat>) {
    let (name, description, schema) = match format {
        Some(OutputFormat::JsonSchema { name, description, schema, .. }) => (name, description, schema),
        Some(OutputFormat::Opaque(format)) => return w.raw("textFormat", format.text()),
        Some(OutputFormat::JsonObject) | None => return,
    };
    let write_schema = |w: &mut ObjectWriter<'_>| {
        w.string("schema", schema.text());
        if let Some(name) = name {
            w.string("name", name);
        }
        if let Some(description) = description {
            w.string("description", description);
        }
    };
    w.object("textFormat", |w| {
        w.string("type", "json_schema");
        w.object("structure", |w| w.object("jsonSchema", write_schema));
    });
}

/// The fields that only some models take.
fn write_fields(w: &mut ObjectWriter<'_>, request: &Request) {
    let reasoning = request.reasoning.as_ref();
    let thinking = reasoning.and_then(|reasoning| reasoning.thinking.as_ref());
    let budget = reasoning.and_then(|reasoning| reasoning.budget);
    let mut rest = inner(request, IN_FIELDS).peekable();
    if thinking.is_none() && budget.is_none() && request.top_k.is_none() && rest.peek().is_none() {
        return;
    }
    w.object("additionalModelRequestFields", |w| {
        match (thinking, budget) {
            (Some(thinking), _) => w.raw("thinking", thinking.text()),
            (None, Some(budget)) => w.object("thinking", |w| {
                w.string("type", "enabled");
                w.number("budget_tokens", u64::from(budget));
            }),
            (None, None) => {}
        }
        if let Some(top_k) = request.top_k {
            w.number("top_k", top_k);
        }
        rest.for_each(|(name, value)| w.raw(name, value));
    });
}

#[cfg(test)]
mod tests;
