//! Canonical requests, written in this dialect.

use crate::{
    Fault, TargetShape,
    canonical::{Extra, OutputFormat, Part, PartBody, Request, Role, Tool, ToolBody, ToolChoice},
    json::{ArrayWriter, ObjectWriter, object},
    losses::Losses,
    openai::write::effort,
    responses::{
        fit, items,
        request::{IN_REASONING, IN_TEXT, LOGPROBS, SEALED},
    },
};

/// Writes a body. Everything that may be refused is looked at first, so that writing itself cannot fail.
pub(crate) fn write(
    request: Request,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let request = &fit::fit(request, target, losses)?;
    let home = losses.is_home();
    Ok(object(|w| {
        w.string("model", target.model);
        write_input(w, request, home);
        write_tools(w, request, home);
        if let Some(cap) = request.max_output_tokens {
            w.number("max_output_tokens", u64::from(cap));
        }
        if let Some(temperature) = request.temperature {
            w.float("temperature", temperature);
        }
        if let Some(top_p) = request.top_p {
            w.float("top_p", top_p);
        }
        if let Some(top) = request.logprobs.and_then(|logprobs| logprobs.top) {
            w.number("top_logprobs", u64::from(top));
        }
        write_text(w, request);
        write_reasoning(w, request, home);
        if let Some(tier) = &request.service_tier {
            w.string("service_tier", tier);
        }
        if let Some(metadata) = &request.metadata {
            w.raw("metadata", metadata.text());
        }
        if let Some(user) = &request.user {
            w.string("user", user);
        }
        if request.stream {
            w.bool("stream", true);
        }
        if !home {
            write_include(w, request, target);
            // Nobody but a caller of this dialect can ask for what is kept, so nothing is.
            if !request.extra.iter().any(|(name, _)| name == "store") {
                w.bool("store", false);
            }
        }
        for (name, value) in request.extra.iter().filter(|(name, _)| !is_inner(name)) {
            w.raw(name, value.text());
        }
    }))
}

fn is_inner(name: &str) -> bool {
    name.starts_with(IN_TEXT) || name.starts_with(IN_REASONING)
}

fn inner<'a>(extra: &'a Extra, prefix: &'static str) -> Vec<(&'a str, &'a str)> {
    extra.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.text()))).collect()
}

fn write_input(w: &mut ObjectWriter<'_>, request: &Request, home: bool) {
    let instructions = request.messages.first().filter(|first| {
        if home {
            items::is_instructions(first)
        } else {
            first.role == Role::System && first.parts.len() == 1
        }
    });
    let text = instructions.and_then(|message| match message.parts.as_slice() {
        [Part { body: PartBody::Text(text), .. }] => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        w.string("instructions", text);
    }
    let rest = request.messages.get(usize::from(text.is_some())..).unwrap_or_default();
    // Without it a stored prompt or an earlier response is continued.
    if rest.is_empty() && home {
        return;
    }
    w.array("input", |array| {
        for message in rest {
            items::write(array, message, home);
        }
    });
}

fn write_tools(w: &mut ObjectWriter<'_>, request: &Request, home: bool) {
    if !request.tools.is_empty() {
        w.array("tools", |array| {
            for tool in &request.tools {
                write_tool(array, tool, home);
            }
        });
    }
    match &request.tool_choice {
        // A choice among no tools is refused.
        _ if request.tools.is_empty() && !home => return,
        None => {}
        Some(ToolChoice::Auto) => w.string("tool_choice", "auto"),
        Some(ToolChoice::None) => w.string("tool_choice", "none"),
        Some(ToolChoice::Required) => w.string("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => w.object("tool_choice", |w| {
            w.string("type", "function");
            w.string("name", name);
        }),
        Some(ToolChoice::Opaque(choice)) => w.raw("tool_choice", choice.text()),
    }
    if let Some(parallel) = request.parallel_tool_calls {
        w.bool("parallel_tool_calls", parallel);
    }
}

fn write_tool(array: &mut ArrayWriter<'_>, tool: &Tool, home: bool) {
    let (name, description, parameters, strict) = match &tool.body {
        ToolBody::Function { name, description, parameters, strict } => {
            (name, description, parameters, strict)
        }
        ToolBody::Opaque { value, .. } => return array.raw(value.text()),
    };
    array.object(|w| {
        w.string("type", "function");
        w.string("name", name);
        if let Some(description) = description {
            w.string("description", description);
        }
        match parameters {
            Some(parameters) => w.raw("parameters", parameters.text()),
            None if home => {}
            None => w.raw("parameters", r#"{"type":"object","properties":{}}"#),
        }
        match strict {
            Some(strict) => w.bool("strict", *strict),
            None if home => {}
            // Unsaid it is strict here and lax everywhere else.
            None => w.bool("strict", false),
        }
        if home {
            w.extra(&tool.extra);
        }
    });
}

fn write_text(w: &mut ObjectWriter<'_>, request: &Request) {
    let rest = inner(&request.extra, IN_TEXT);
    if request.format.is_none() && rest.is_empty() {
        return;
    }
    w.object("text", |w| {
        match &request.format {
            None => {}
            Some(OutputFormat::JsonObject) => w.object("format", |w| w.string("type", "json_object")),
            Some(OutputFormat::Opaque(format)) => w.raw("format", format.text()),
            Some(OutputFormat::JsonSchema { name, description, schema, strict }) => w.object("format", |w| {
                w.string("type", "json_schema");
                w.string("name", name.as_deref().unwrap_or("answer"));
                if let Some(description) = description {
                    w.string("description", description);
                }
                w.raw("schema", schema.text());
                if let Some(strict) = strict {
                    w.bool("strict", *strict);
                }
            }),
        }
        for (name, value) in rest {
            w.raw(name, value);
        }
    });
}

fn write_reasoning(w: &mut ObjectWriter<'_>, request: &Request, home: bool) {
    let effort = request.reasoning.as_ref().and_then(effort);
    let rest = inner(&request.extra, IN_REASONING);
    let shows = !home
        && effort != Some("none")
        && request.reasoning.as_ref().is_some_and(|reasoning| reasoning.shown);
    if effort.is_none() && rest.is_empty() && !shows {
        return;
    }
    w.object("reasoning", |w| {
        if let Some(effort) = effort {
            w.string("effort", effort);
        }
        if shows {
            w.string("summary", "auto");
        }
        for (name, value) in rest {
            w.raw(name, value);
        }
    });
}

/// Asks for what a caller of another dialect needs: odds of tokens, and reasoning that can be sent back.
fn write_include(w: &mut ObjectWriter<'_>, request: &Request, target: &TargetShape<'_>) {
    let logprobs = request.logprobs.is_some_and(|logprobs| logprobs.enabled);
    let is_sealed = |part: &Part| {
        part.signature.is_some()
            || matches!(
                part.body,
                PartBody::Thinking { signature: Some(_), .. } | PartBody::RedactedThinking { .. }
            )
    };
    let reasons = target.reasoning == Some(true)
        || request.reasoning.is_some()
        || request.messages.iter().any(|message| message.parts.iter().any(is_sealed));
    if !logprobs && !reasons {
        return;
    }
    w.array("include", |array| {
        if logprobs {
            array.string(LOGPROBS);
        }
        if reasons {
            array.string(SEALED);
        }
    });
}

#[cfg(test)]
mod tests;
