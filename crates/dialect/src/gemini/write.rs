//! Canonical requests, written as Gemini requests.

mod fit;
mod results;
mod think;

use crate::{
    Fault, Platform, Request, TargetShape,
    canonical::{Extra, Message, OutputFormat, Part, PartBody, Role, Tool, ToolBody, ToolChoice},
    gemini::{
        models::{Ability, ability},
        parts::{self, Style},
        request::IN_CONFIG,
    },
    json::{ArrayWriter, ObjectWriter, object},
    losses::Losses,
};

/// Writes a body. Everything that may be refused is looked at first, so that writing itself cannot fail.
pub(crate) fn write(
    request: Request,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let home = losses.is_home();
    let ability = ability(target.model, target.reasoning);
    let request = &fit::fit(request, (target, ability), losses)?;
    // Vertex refuses ids: there, calls and results go by place alone.
    let style = Style { home, ids: !matches!(target.platform, Platform::Vertex { .. }) };
    let (system, turns) = turns(request);
    Ok(object(|w| {
        w.array("contents", |array| {
            // A result has the name of the last call before it with its id.
            let mut names = Vec::new();
            for turn in &turns {
                write_turn(array, turn, &names, style);
                names.extend(turn.parts.iter().copied().filter_map(results::call));
            }
        });
        if !system.is_empty() {
            w.object("systemInstruction", |w| {
                w.array("parts", |array| {
                    system.iter().for_each(|part| parts::write(array, part, None, style))
                });
            });
        }
        write_tools(w, request, (ability, home));
        write_choice(w, request, (ability, home));
        w.object("generationConfig", |w| write_config(w, request, (ability, home)));
        if let Some(tier) = request.service_tier.as_ref().filter(|_| home) {
            w.string("serviceTier", tier);
        }
        if let Some(labels) = request.metadata.as_ref().filter(|_| home) {
            w.raw("labels", labels.text());
        }
        if home {
            let is_outer = |name: &str| {
                !name.starts_with(IN_CONFIG) && !name.starts_with("toolConfig.") && name != "toolConfig"
            };
            for (name, value) in request.extra.iter().filter(|(name, _)| is_outer(name)) {
                w.raw(name, value.text());
            }
        }
    }))
}

/// A turn as it is sent.
struct Turn<'a> {
    role: &'static str,
    parts: Vec<&'a Part>,
    extra: Option<&'a Extra>,
    results: bool,
}

/// The system prompt and the turns: neighbouring turns of one speaker become one, but results of tools stand alone.
fn turns(request: &Request) -> (Vec<&Part>, Vec<Turn<'_>>) {
    let (mut system, mut turns): (Vec<&Part>, Vec<Turn<'_>>) = (Vec::new(), Vec::new());
    for message in &request.messages {
        let role = match message.role {
            Role::System | Role::Developer => {
                system.extend(&message.parts);
                continue;
            }
            Role::User => "user",
            Role::Assistant => "model",
        };
        for part in &message.parts {
            let results = matches!(part.body, PartBody::ToolResult { .. });
            match turns.last_mut().filter(|last| last.role == role && last.results == results) {
                Some(last) => last.parts.push(part),
                None => turns.push(Turn { role, parts: vec![part], extra: extra_of(message), results }),
            }
        }
    }
    (system, turns)
}

fn extra_of(message: &Message) -> Option<&Extra> {
    (!message.extra.is_empty()).then_some(&message.extra)
}

fn write_turn(array: &mut ArrayWriter<'_>, turn: &Turn<'_>, names: &[(&str, &str)], style: Style) {
    let name_of = |part: &Part| match &part.body {
        PartBody::ToolResult { id, .. } => {
            names.iter().rev().find(|(known, _)| known == id).map(|(_, name)| *name)
        }
        _ => None,
    };
    array.object(|w| {
        w.string("role", turn.role);
        w.array("parts", |array| {
            for part in &turn.parts {
                parts::write(array, part, name_of(part), style);
            }
        });
        if let Some(extra) = turn.extra.filter(|_| style.home) {
            w.extra(extra);
        }
    });
}

fn write_tools(w: &mut ObjectWriter<'_>, request: &Request, (ability, home): (Ability, bool)) {
    if request.tools.is_empty() {
        return;
    }
    let is_function = |tool: &&Tool| matches!(tool.body, ToolBody::Function { .. });
    w.array("tools", |array| {
        if request.tools.iter().any(|tool| is_function(&tool)) {
            let functions = request.tools.iter().filter(is_function);
            array.object(|w| {
                w.array("functionDeclarations", |array| {
                    functions.for_each(|tool| write_function(array, tool, (ability, home)));
                });
            });
        }
        for tool in &request.tools {
            if let ToolBody::Opaque { value, .. } = &tool.body {
                array.raw(value.text());
            }
        }
    });
}

fn write_function(array: &mut ArrayWriter<'_>, tool: &Tool, (ability, home): (Ability, bool)) {
    let ToolBody::Function { name, description, parameters, .. } = &tool.body else { return };
    let older = tool.extra.iter().any(|(name, _)| name == "parameters");
    array.object(|w| {
        w.string("name", name);
        if let Some(description) = description {
            w.string("description", description);
        }
        if let Some(parameters) = parameters.as_ref().filter(|_| !(home && older)) {
            let field = if ability.json_schema || home { "parametersJsonSchema" } else { "parameters" };
            w.raw(field, parameters.text());
        }
        if home {
            w.extra(&tool.extra);
        }
    });
}

fn write_choice(w: &mut ObjectWriter<'_>, request: &Request, (ability, home): (Ability, bool)) {
    if home {
        if let Some((name, config)) = request.extra.iter().find(|(name, _)| name == "toolConfig") {
            w.raw(name, config.text());
        }
        return;
    }
    let is_strict = |tool: &Tool| {
        matches!(&tool.body, ToolBody::Function { strict: Some(true), .. }) && ability.json_schema
    };
    let (mode, only) = match &request.tool_choice {
        // A choice among no tools is refused.
        _ if request.tools.is_empty() => return,
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Required) => ("ANY", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some(name)),
        // Arguments are held to their schema in this mode.
        None | Some(ToolChoice::Auto | ToolChoice::Opaque(_)) if request.tools.iter().any(is_strict) => {
            ("VALIDATED", None)
        }
        Some(ToolChoice::Auto | ToolChoice::Opaque(_)) => ("AUTO", None),
        None => return,
    };
    w.object("toolConfig", |w| {
        w.object("functionCallingConfig", |w| {
            w.string("mode", mode);
            if let Some(name) = only {
                w.array("allowedFunctionNames", |array| array.string(name));
            }
        });
    });
}

fn write_config(w: &mut ObjectWriter<'_>, request: &Request, (ability, home): (Ability, bool)) {
    if let Some(cap) = request.max_output_tokens {
        w.number("maxOutputTokens", u64::from(cap));
    }
    if !request.stop.is_empty() {
        w.array("stopSequences", |array| request.stop.iter().for_each(|stop| array.string(stop)));
    }
    let floats = [
        ("temperature", request.temperature),
        ("topP", request.top_p),
        ("presencePenalty", request.presence_penalty),
        ("frequencyPenalty", request.frequency_penalty),
    ];
    for (name, value) in floats {
        if let Some(value) = value {
            w.float(name, value);
        }
    }
    if let Some(top_k) = request.top_k {
        w.number("topK", top_k);
    }
    if let Some(seed) = request.seed {
        w.raw("seed", &seed.to_string());
    }
    if let Some(n) = request.n.filter(|n| home || *n > 1) {
        w.number("candidateCount", u64::from(n));
    }
    if let Some(logprobs) = request.logprobs.filter(|logprobs| home || logprobs.enabled) {
        w.bool("responseLogprobs", logprobs.enabled);
        if let Some(top) = logprobs.top {
            w.number("logprobs", u64::from(top));
        }
    }
    write_format(w, request, (ability, home));
    let extra = if home { request.extra.as_slice() } else { &[] };
    for (name, value) in extra.iter().filter_map(|(name, value)| Some((name.strip_prefix(IN_CONFIG)?, value)))
    {
        w.raw(name, value.text());
    }
    if !home {
        think::write(w, request.reasoning.as_ref(), ability);
    }
}

fn write_format(w: &mut ObjectWriter<'_>, request: &Request, (ability, home): (Ability, bool)) {
    match &request.format {
        None => {}
        Some(OutputFormat::Opaque(media_type)) => w.raw("responseMimeType", media_type.text()),
        Some(OutputFormat::JsonObject) => w.string("responseMimeType", "application/json"),
        Some(OutputFormat::JsonSchema { schema, .. }) => {
            w.string("responseMimeType", "application/json");
            // On the way home the schema is among the fields kept as written.
            if !home {
                w.raw(
                    if ability.json_schema { "responseJsonSchema" } else { "responseSchema" },
                    schema.text(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
