//! Canonical requests, written as OpenAI chat requests.

use crate::{
    Dialect, Fault, MaxTokensField, TargetShape,
    canonical::{
        Json, Message, OutputFormat, Part, PartBody, Reasoning, Request, Role, Source, Tool, ToolBody,
        ToolChoice,
    },
    effort,
    json::{ArrayWriter, ObjectWriter, object},
    losses::{Losses, Takes, fit_id, fit_options},
    openai::{parts, request::IN_FUNCTION},
    responses,
};

/// The longest id of a tool call: shorter here than elsewhere.
const LONGEST_ID: usize = 40;

/// The most stop sequences taken.
const MOST_STOPS: usize = 4;

/// Writes a body. Everything that may be refused is looked at first, so that writing itself cannot fail.
pub(crate) fn write(
    request: Request,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    let mut request = fit(request, target, losses)?;
    if target.quirks.is_some_and(|quirks| quirks.alternating_roles) {
        request.messages = alternating(request.messages);
    }
    let request = &request;
    let home = losses.is_home();
    Ok(object(|w| {
        w.string("model", target.model);
        w.array("messages", |array| {
            for message in &request.messages {
                write_message(array, message, home);
            }
        });
        write_tools(w, request, home);
        if let Some(cap) = request.max_output_tokens {
            let field = target.max_tokens_field.unwrap_or(MaxTokensField::MaxCompletionTokens);
            w.number(field.as_str(), u64::from(cap));
        }
        match request.stop.as_slice() {
            [] => {}
            [one] => w.string("stop", one),
            several => w.array("stop", |array| several.iter().for_each(|stop| array.string(stop))),
        }
        write_sampling(w, request);
        write_format(w, request.format.as_ref());
        if let Some(effort) = request.reasoning.as_ref().and_then(effort) {
            w.string("reasoning_effort", effort);
        }
        if let Some(user) = &request.user {
            w.string("user", user);
        }
        if request.stream {
            w.bool("stream", true);
        }
        if home {
            if let Some(cache) = &request.cache {
                w.raw("cache_control", cache.text());
            }
            w.extra(&request.extra);
        }
        let is_asked = home && request.extra.iter().any(|(name, _)| name == "stream_options");
        if request.stream && !is_asked {
            w.object("stream_options", |w| w.bool("include_usage", true));
        }
    }))
}

fn write_sampling(w: &mut ObjectWriter<'_>, request: &Request) {
    if let Some(temperature) = request.temperature {
        w.float("temperature", temperature);
    }
    if let Some(top_p) = request.top_p {
        w.float("top_p", top_p);
    }
    if let Some(top_k) = request.top_k {
        w.number("top_k", top_k);
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
        if let Some(top) = logprobs.top {
            w.number("top_logprobs", u64::from(top));
        }
    }
    if let Some(n) = request.n {
        w.number("n", u64::from(n));
    }
    if let Some(tier) = &request.service_tier {
        w.string("service_tier", tier);
    }
    if let Some(metadata) = &request.metadata {
        w.raw("metadata", metadata.text());
    }
}

/// The request as far as OpenAI has words for it.
fn fit(mut fit: Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<Request, Fault> {
    if losses.is_home() {
        return Ok(fit);
    }
    losses.extra("", &fit.extra)?;
    let is_response = losses.origin == Dialect::Responses;
    if is_response {
        responses::strict::spell_out(&mut fit.tools);
    }
    // Labels are taken only with answers that are kept.
    let metadata = !is_response;
    let takes = Takes { seed: true, penalties: true, logprobs: true, n: true, metadata, ..Takes::default() };
    fit_options(&mut fit, takes, losses)?;
    if fit.cache.take().is_some() {
        losses.drop("cache_control");
    }
    if fit.top_k.take().is_some() {
        losses.refuse("top_k", "there is no word for it")?;
    }
    if fit.stop.len() > MOST_STOPS {
        losses.refuse("stop_sequences", "at most 4 stop sequences are taken")?;
        fit.stop.truncate(MOST_STOPS);
    }
    let has_word = |reasoning: &Reasoning| target.reasoning != Some(false) && effort(reasoning).is_some();
    let is_off = |thinking: &Json| thinking.text().contains(r#""disabled""#);
    if let Some(lost) = fit.reasoning.take_if(|reasoning| !has_word(reasoning))
        && !lost.thinking.as_ref().is_some_and(is_off)
    {
        losses.drop("thinking");
    }
    if let Some(ToolChoice::Opaque(_)) = fit.tool_choice {
        losses.refuse("tool_choice", "there is no word for it")?;
        fit.tool_choice = None;
    }
    if let Some(OutputFormat::Opaque(_)) = fit.format {
        return Err(Fault::no_word(target.dialect, "output_config.format", "there is no word for it"));
    }
    for (index, tool) in fit.tools.iter().enumerate() {
        fit_tool(tool, &crate::json::nth("tools", index), losses)?;
    }
    fit.tools.retain(|tool| matches!(tool.body, ToolBody::Function { .. }));
    for (index, message) in fit.messages.iter_mut().enumerate() {
        fit_message(message, &crate::json::nth("messages", index), losses)?;
    }
    fit.messages.retain(|message| !message.parts.is_empty());
    Ok(fit)
}

/// Neighbouring turns of one speaker as one; results of tools are turns of their own.
fn alternating(messages: Vec<Message>) -> Vec<Message> {
    let is_plain = |message: &Message| {
        matches!(message.role, Role::User | Role::Assistant)
            && !message
                .parts
                .iter()
                .any(|part| matches!(part.body, PartBody::ToolResult { .. } | PartBody::ToolCall { .. }))
    };
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match joined.last_mut() {
            Some(last) if last.role == message.role && is_plain(last) && is_plain(&message) => {
                last.parts.extend(message.parts);
            }
            _ => joined.push(message),
        }
    }
    joined
}

fn fit_tool(tool: &Tool, place: &str, losses: &mut Losses) -> Result<(), Fault> {
    if let ToolBody::Opaque { kind, .. } = &tool.body {
        return losses.refuse(place, &format!("tools of the type `{kind}` exist only in their own dialect"));
    }
    if tool.cache.is_some() {
        losses.drop(&format!("{place}.cache_control"));
    }
    losses.extra(place, &tool.extra)
}

fn fit_message(message: &mut Message, place: &str, losses: &mut Losses) -> Result<(), Fault> {
    losses.extra(place, &message.extra)?;
    let mut fit = Vec::with_capacity(message.parts.len());
    let mut shown = Vec::new();
    for (index, mut part) in std::mem::take(&mut message.parts).into_iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        if !fits(&part, &place, losses)? {
            continue;
        }
        part.signature = None;
        if let PartBody::ToolCall { id, .. } = &mut part.body {
            fit_id(id, LONGEST_ID);
        }
        if let PartBody::ToolResult { id, content, is_error } = &mut part.body {
            fit_id(id, LONGEST_ID);
            if *is_error {
                losses.drop(&format!("{place}.is_error"));
            }
            fit_result(id, content, &place, (losses, &mut shown))?;
        }
        fit.push(part);
    }
    // What a tool showed follows its result at once: a `tool` message holds only text.
    let rest =
        fit.iter().position(|part| !matches!(part.body, PartBody::ToolResult { .. })).unwrap_or(fit.len());
    fit.splice(rest..rest, shown);
    message.parts = fit;
    Ok(())
}

/// Keeps the text of a tool's result and moves its images and documents into the turn around it.
fn fit_result(
    id: &str,
    content: &mut Vec<Part>,
    place: &str,
    (losses, shown): (&mut Losses, &mut Vec<Part>),
) -> Result<(), Fault> {
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for (index, part) in std::mem::take(content).into_iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        if !fits(&part, &place, losses)? {
            continue;
        }
        match part.body {
            PartBody::Text(_) | PartBody::Document { source: Source::Text(_), .. } => texts.push(part),
            _ => others.push(part),
        }
    }
    if !others.is_empty() {
        shown.push(PartBody::Text(format!("Shown by the tool call {id}:")).into());
        shown.append(&mut others);
        if texts.is_empty() {
            texts.push(PartBody::Text("The result is shown in the next message.".to_owned()).into());
        }
    }
    *content = texts;
    Ok(())
}

/// Whether a piece has a place in an OpenAI message.
fn fits(part: &Part, place: &str, losses: &mut Losses) -> Result<bool, Fault> {
    if part.cache.is_some() {
        losses.drop(&format!("{place}.cache_control"));
    }
    losses.extra(place, &part.extra)?;
    match &part.body {
        PartBody::Thinking { .. } | PartBody::RedactedThinking { .. } => {
            losses.drop(&format!("{place}.thinking"));
            Ok(false)
        }
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("blocks of the type `{kind}` exist only in their own dialect"))?;
            Ok(false)
        }
        PartBody::Image { source: Source::File(_), .. }
        | PartBody::Document { source: Source::File(_), .. } => {
            losses.refuse(place, "an uploaded file is known only to the provider that has it")?;
            Ok(false)
        }
        PartBody::Audio { source } => fits_audio(source, place, losses),
        PartBody::Video { .. } => {
            losses.refuse(place, "moving pictures are not understood")?;
            Ok(false)
        }
        PartBody::Document { source: Source::Url(_), .. } => {
            losses.refuse(place, "documents are taken only with their bytes, not by URL")?;
            Ok(false)
        }
        _ => Ok(true),
    }
}

fn fits_audio(source: &Source, place: &str, losses: &mut Losses) -> Result<bool, Fault> {
    let is_known = |media_type: &str| matches!(parts::audio_format(media_type), "mp3" | "wav");
    if matches!(source, Source::Base64 { media_type, .. } if losses.is_home() || is_known(media_type)) {
        return Ok(true);
    }
    losses.refuse(place, "sound is taken as MP3 or WAV, with its bytes")?;
    Ok(false)
}

fn write_message(array: &mut ArrayWriter<'_>, message: &Message, home: bool) {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => {
            array.object(|w| {
                w.string("role", "assistant");
                parts::write_assistant(w, &message.parts, home);
                if home {
                    parts::write_reasoning(w, &message.parts);
                    w.extra(&message.extra);
                }
            });
            return;
        }
        Role::User => "user",
    };
    let mut said = Vec::new();
    for part in &message.parts {
        match &part.body {
            PartBody::ToolResult { id, content, .. } => {
                array.object(|w| write_result(w, id, content, (part, home)))
            }
            _ => said.push(part),
        }
    }
    if said.is_empty() && !message.parts.is_empty() {
        return;
    }
    array.object(|w| {
        w.string("role", role);
        parts::write_content(w, &said, home);
        if home {
            w.extra(&message.extra);
        }
    });
}

fn write_result(w: &mut ObjectWriter<'_>, id: &str, content: &[Part], (part, home): (&Part, bool)) {
    w.string("role", "tool");
    w.string("tool_call_id", id);
    let content: Vec<&Part> = content.iter().collect();
    if content.is_empty() {
        w.string("content", "");
    } else {
        parts::write_content(w, &content, home);
    }
    if home {
        if let Some(cache) = &part.cache {
            w.raw("cache_control", cache.text());
        }
        w.extra(&part.extra);
    }
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
            w.object("function", |w| w.string("name", name));
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
    let extra = if home { tool.extra.as_slice() } else { &[] };
    array.object(|w| {
        w.string("type", "function");
        w.object("function", |w| {
            w.string("name", name);
            if let Some(description) = description {
                w.string("description", description);
            }
            if let Some(parameters) = parameters {
                w.raw("parameters", parameters.text());
            }
            if let Some(strict) = strict {
                w.bool("strict", *strict);
            }
            for (name, value) in
                extra.iter().filter_map(|(name, v)| Some((name.strip_prefix(IN_FUNCTION)?, v)))
            {
                w.raw(name, value.text());
            }
        });
        if let Some(cache) = tool.cache.as_ref().filter(|_| home) {
            w.raw("cache_control", cache.text());
        }
        for (name, value) in extra.iter().filter(|(name, _)| !name.starts_with(IN_FUNCTION)) {
            w.raw(name, value.text());
        }
    });
}

fn write_format(w: &mut ObjectWriter<'_>, format: Option<&OutputFormat>) {
    match format {
        None => {}
        Some(OutputFormat::JsonObject) => w.object("response_format", |w| w.string("type", "json_object")),
        Some(OutputFormat::Opaque(format)) => w.raw("response_format", format.text()),
        Some(OutputFormat::JsonSchema { name, description, schema, strict }) => {
            w.object("response_format", |w| {
                w.string("type", "json_schema");
                w.object("json_schema", |w| {
                    w.string("name", name.as_deref().unwrap_or("answer"));
                    if let Some(description) = description {
                        w.string("description", description);
                    }
                    w.raw("schema", schema.text());
                    if let Some(strict) = strict {
                        w.bool("strict", *strict);
                    }
                });
            })
        }
    }
}

/// The word for an amount of reasoning; a budget becomes the nearest word below it.
pub(crate) fn effort(reasoning: &Reasoning) -> Option<&str> {
    if let Some(effort) = &reasoning.effort {
        return Some(effort);
    }
    // OpenAI's models take no word for more than `high` everywhere.
    Some(match effort::of_budget(reasoning.budget?) {
        "xhigh" | "max" => "high",
        word => word,
    })
}
