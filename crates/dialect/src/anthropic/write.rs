//! Canonical requests, written as Anthropic messages requests.

mod fit;

use crate::{
    Fault, Platform, TargetShape,
    anthropic::{
        parts,
        request::{IN_METADATA, IN_OUTPUT},
    },
    canonical::{Extra, OutputFormat, Part, PartBody, Reasoning, Request, Role, Tool, ToolBody, ToolChoice},
    hosted,
    json::{ArrayWriter, ObjectWriter, object},
    losses::Losses,
};

/// The cap on output when neither the caller nor the model tells one; Anthropic cannot do without.
const USUAL_CAP: u32 = 4_096;

/// Writes a body. Everything that may be refused is looked at first, so that writing itself cannot fail.
pub(crate) fn write(
    request: Request,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let home = losses.is_home();
    let cap = request.max_output_tokens.unwrap_or_else(|| {
        let cap = target.max_output_tokens.unwrap_or(USUAL_CAP);
        losses.default("max_tokens", cap.to_string());
        cap
    });
    let request = &fit::fit(request, (target, cap), losses)?;
    let (system, turns) = turns(request, home);
    Ok(object(|w| {
        match hosted::envelope(target) {
            Some(envelope) => w.extra(&envelope),
            None => w.string("model", target.model),
        }
        w.number("max_tokens", u64::from(cap));
        write_system(w, &system, home);
        w.array("messages", |array| {
            for turn in &turns {
                write_turn(array, turn, home);
            }
        });
        write_tools(w, request, home);
        if !request.stop.is_empty() {
            w.array("stop_sequences", |array| request.stop.iter().for_each(|stop| array.string(stop)));
        }
        if let Some(temperature) = request.temperature {
            w.float("temperature", temperature);
        }
        if let Some(top_p) = request.top_p {
            w.float("top_p", top_p);
        }
        if let Some(top_k) = request.top_k {
            w.number("top_k", top_k);
        }
        if let Some(tier) = &request.service_tier {
            w.string("service_tier", tier);
        }
        write_thinking(w, request.reasoning.as_ref());
        write_output(w, request, home);
        write_metadata(w, request, home);
        if let Some(cache) = &request.cache {
            w.raw("cache_control", cache.text());
        }
        if request.stream && target.platform != Platform::Bedrock {
            w.bool("stream", true);
        }
        if home {
            for (name, value) in outer(&request.extra) {
                w.raw(name, value);
            }
        }
    }))
}

fn outer(extra: &Extra) -> impl Iterator<Item = (&str, &str)> {
    let is_outer = |name: &str| !name.starts_with(IN_METADATA) && !name.starts_with(IN_OUTPUT);
    extra.iter().filter(move |(name, _)| is_outer(name)).map(|(name, value)| (name.as_str(), value.text()))
}

fn inner<'a>(extra: &'a Extra, prefix: &'a str, home: bool) -> Vec<(&'a str, &'a str)> {
    let extra = if home { extra.as_slice() } else { &[] };
    extra.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.text()))).collect()
}

/// A turn as it is sent: who speaks, what, and the fields without a word when it goes home.
struct Turn<'a> {
    role: &'static str,
    parts: Vec<&'a Part>,
    extra: Option<&'a Extra>,
}

/// The system prompt and the turns. From elsewhere, all system prompts go above all turns, and neighbouring turns of
/// one speaker become one: results of tools must all stand first in the turn that follows their calls.
fn turns(request: &Request, home: bool) -> (Vec<&Part>, Vec<Turn<'_>>) {
    let (mut system, mut turns): (Vec<&Part>, Vec<Turn<'_>>) = (Vec::new(), Vec::new());
    for message in &request.messages {
        let role = match message.role {
            Role::System => {
                system.extend(&message.parts);
                continue;
            }
            Role::Developer if home => "system",
            Role::Developer => {
                system.extend(&message.parts);
                continue;
            }
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        match turns.last_mut().filter(|last| !home && last.role == role) {
            Some(last) => last.parts.extend(&message.parts),
            None => {
                turns.push(Turn { role, parts: message.parts.iter().collect(), extra: Some(&message.extra) })
            }
        }
    }
    for turn in &mut turns {
        turn.parts.sort_by_key(|part| !matches!(part.body, PartBody::ToolResult { .. }));
    }
    (system, turns)
}

fn write_system(w: &mut ObjectWriter<'_>, system: &[&Part], home: bool) {
    match system {
        [] => {}
        [Part { body: PartBody::Text(text), cache: None, extra, .. }] if extra.is_empty() || !home => {
            w.string("system", text);
        }
        parts => w.array("system", |array| {
            for part in parts {
                parts::write(array, part, home);
            }
        }),
    }
}

fn write_turn(array: &mut ArrayWriter<'_>, turn: &Turn<'_>, home: bool) {
    array.object(|w| {
        w.string("role", turn.role);
        match turn.parts.as_slice() {
            [Part { body: PartBody::Text(text), cache: None, extra, .. }] if extra.is_empty() || !home => {
                w.string("content", text);
            }
            parts => w.array("content", |array| {
                for part in parts {
                    parts::write(array, part, home);
                }
            }),
        }
        if let Some(extra) = turn.extra.filter(|_| home) {
            w.extra(extra);
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
    let choice = match (&request.tool_choice, request.parallel_tool_calls) {
        // A choice among no tools is refused.
        _ if request.tools.is_empty() && !home => return,
        (Some(choice), _) => choice,
        (None, Some(false)) => &ToolChoice::Auto,
        (None, _) => return,
    };
    if let ToolChoice::Opaque(choice) = choice {
        return w.raw("tool_choice", choice.text());
    }
    w.object("tool_choice", |w| {
        match choice {
            ToolChoice::Auto | ToolChoice::Opaque(_) => w.string("type", "auto"),
            ToolChoice::None => return w.string("type", "none"),
            ToolChoice::Required => w.string("type", "any"),
            ToolChoice::Named(name) => {
                w.string("type", "tool");
                w.string("name", name);
            }
        }
        match request.parallel_tool_calls {
            Some(false) => w.bool("disable_parallel_tool_use", true),
            Some(true) if home => w.bool("disable_parallel_tool_use", false),
            _ => {}
        }
    });
}

fn write_tool(array: &mut ArrayWriter<'_>, tool: &Tool, home: bool) {
    let (name, description, parameters, strict) = match &tool.body {
        ToolBody::Function { name, description, parameters, strict } => {
            (name, description, parameters, strict)
        }
        ToolBody::Opaque { value, .. } => return array.raw(value.text()),
    };
    array.object(|w| {
        w.string("name", name);
        if let Some(description) = description {
            w.string("description", description);
        }
        w.raw(
            "input_schema",
            parameters.as_ref().map_or(r#"{"type":"object","properties":{}}"#, |schema| schema.text()),
        );
        if let Some(strict) = strict.filter(|strict| *strict || home) {
            w.bool("strict", strict);
        }
        if let Some(cache) = &tool.cache {
            w.raw("cache_control", cache.text());
        }
        if home {
            w.extra(&tool.extra);
        }
    });
}

/// From elsewhere, a budget was worked out before.
fn write_thinking(w: &mut ObjectWriter<'_>, reasoning: Option<&Reasoning>) {
    let Some(reasoning) = reasoning else { return };
    match (&reasoning.thinking, reasoning.budget) {
        (Some(thinking), _) => w.raw("thinking", thinking.text()),
        (None, Some(budget)) => w.object("thinking", |w| {
            w.string("type", "enabled");
            w.number("budget_tokens", u64::from(budget));
        }),
        (None, None) => {}
    }
}

fn write_output(w: &mut ObjectWriter<'_>, request: &Request, home: bool) {
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    let rest = inner(&request.extra, IN_OUTPUT, home);
    if effort.is_none() && request.format.is_none() && rest.is_empty() {
        return;
    }
    w.object("output_config", |w| {
        if let Some(effort) = effort {
            w.string("effort", effort);
        }
        match &request.format {
            Some(OutputFormat::JsonSchema { schema, .. }) => w.object("format", |w| {
                w.string("type", "json_schema");
                w.raw("schema", schema.text());
            }),
            Some(OutputFormat::Opaque(format)) => w.raw("format", format.text()),
            Some(OutputFormat::JsonObject) | None => {}
        }
        for (name, value) in rest {
            w.raw(name, value);
        }
    });
}

fn write_metadata(w: &mut ObjectWriter<'_>, request: &Request, home: bool) {
    let rest = inner(&request.extra, IN_METADATA, home);
    if request.user.is_none() && rest.is_empty() {
        return;
    }
    w.object("metadata", |w| {
        if let Some(user) = &request.user {
            w.string("user_id", user);
        }
        for (name, value) in rest {
            w.raw(name, value);
        }
    });
}
