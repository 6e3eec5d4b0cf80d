//! What a request must be before Gemini takes it: nothing it has no word for, no value out of its range, results in the
//! order of their calls, and seals where a model wants them.

use super::{results, think};
use crate::{
    Dialect, Fault, Platform, Request, Signature, TargetShape,
    canonical::{Message, OutputFormat, Part, PartBody, Role, Source, Tool, ToolBody, ToolChoice},
    gemini::{
        models::Ability,
        parts::{is_youtube, media_type_of},
    },
    losses::{Losses, Takes, fit_options},
    signature::unseal_id,
};

/// The most stop sequences taken.
const MOST_STOPS: usize = 5;

/// What Google tells to send in the place of a seal that another model could not make.
const NO_SEAL: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// The request as far as Gemini has words for it.
pub(super) fn fit(
    mut fit: Request,
    (target, ability): (&TargetShape<'_>, Ability),
    losses: &mut Losses,
) -> Result<Request, Fault> {
    unseal(&mut fit);
    if losses.is_home() {
        drop_foreign(&mut fit, losses);
        return Ok(fit);
    }
    losses.extra("", &fit.extra)?;
    fit_tools(&mut fit, losses)?;
    fit_messages(&mut fit, (target, ability), losses)?;
    fit_sampling(&mut fit, losses)?;
    if let Some(OutputFormat::Opaque(_)) = fit.format {
        return Err(Fault::no_word(target.dialect, "response_format", "there is no word for it"));
    }
    think::fit(&mut fit, ability, losses)?;
    if fit.cache.take().is_some() {
        losses.drop("cache_control");
    }
    if fit.user.take().is_some() {
        losses.drop("user");
    }
    if ability.wants_seals {
        seal(&mut fit, losses);
    }
    Ok(fit)
}

/// Takes the seals on calls out of the ids that carried them.
fn unseal(request: &mut Request) {
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        let (PartBody::ToolCall { id, .. } | PartBody::ToolResult { id, .. }) = &mut part.body else {
            continue;
        };
        if let (bare, Some(signature)) = unseal_id(id) {
            *id = bare.to_owned();
            if matches!(part.body, PartBody::ToolCall { .. }) {
                part.signature = Some(signature);
            }
        }
    }
}

/// Reasoning and seals of other models are not understood here.
fn drop_foreign(request: &mut Request, losses: &mut Losses) {
    let is_foreign = |signature: &Signature| signature.by != Dialect::Gemini;
    for message in &mut request.messages {
        let count = message.parts.len();
        message.parts.retain(|part| match &part.body {
            PartBody::Thinking { signature, .. } => !signature.as_ref().is_some_and(is_foreign),
            PartBody::RedactedThinking { data } => !is_foreign(data),
            _ => true,
        });
        if message.parts.len() < count {
            losses.drop("contents[].parts[].thought");
        }
        for part in &mut message.parts {
            part.signature = part.signature.take().filter(|signature| !is_foreign(signature));
        }
    }
    request.messages.retain(|message| !message.parts.is_empty());
}

fn fit_tools(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    for (index, tool) in request.tools.iter().enumerate() {
        let place = crate::json::nth("tools", index);
        if let ToolBody::Opaque { kind, .. } = &tool.body {
            losses.refuse(&place, &format!("tools of the type `{kind}` exist only in their own dialect"))?;
            continue;
        }
        if tool.cache.is_some() {
            losses.drop(&format!("{place}.cache_control"));
        }
        losses.extra(&place, &tool.extra)?;
    }
    request.tools.retain(|tool| matches!(tool.body, ToolBody::Function { .. }));
    for tool in &mut request.tools {
        drop_empty(tool);
    }
    if matches!(request.tool_choice, Some(ToolChoice::Opaque(_))) {
        losses.refuse("tool_choice", "there is no word for it")?;
        request.tool_choice = None;
    }
    if request.parallel_tool_calls.take() == Some(false) && !request.tools.is_empty() {
        losses.refuse("parallel_tool_calls", "several calls in one answer cannot be forbidden")?;
    }
    Ok(())
}

/// A function without parameters has none rather than an empty object of them.
fn drop_empty(tool: &mut Tool) {
    let ToolBody::Function { parameters, .. } = &mut tool.body else { return };
    if parameters.as_ref().is_some_and(|schema| schema.text().trim() == "{}") {
        *parameters = None;
    }
}

fn fit_messages(
    request: &mut Request,
    (target, ability): (&TargetShape<'_>, Ability),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let mut spoken = false;
    for (index, message) in request.messages.iter_mut().enumerate() {
        let place = crate::json::nth("messages", index);
        if matches!(message.role, Role::System | Role::Developer) && spoken {
            losses.default(&place, "moved into the system prompt");
        }
        spoken |= matches!(message.role, Role::User | Role::Assistant);
        losses.extra(&place, &message.extra)?;
        let mut fit = Vec::with_capacity(message.parts.len());
        for (index, part) in std::mem::take(&mut message.parts).into_iter().enumerate() {
            fit.extend(fit_part(part, &format!("{place}.content[{index}]"), target, losses)?);
        }
        message.parts = fit;
        results::show(message, ability, losses)?;
    }
    let messages = std::mem::take(&mut request.messages);
    request.messages = messages.into_iter().filter(|message| !message.parts.is_empty()).collect();
    join(&mut request.messages);
    results::order(&mut request.messages)?;
    let is_turn = |message: &Message| matches!(message.role, Role::User | Role::Assistant);
    if !request.messages.iter().any(is_turn) {
        return Err(Fault::no_word(target.dialect, "messages", "at least one turn with content is needed"));
    }
    Ok(())
}

/// Makes neighbouring turns of one speaker one, with the results of tools first.
fn join(messages: &mut Vec<Message>) {
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    let (system, turns): (Vec<Message>, Vec<Message>) =
        messages.drain(..).partition(|message| matches!(message.role, Role::System | Role::Developer));
    for message in turns {
        match joined.last_mut().filter(|last| last.role == message.role) {
            Some(last) => last.parts.extend(message.parts),
            None => joined.push(message),
        }
    }
    for message in &mut joined {
        message.parts.sort_by_key(|part| !matches!(part.body, PartBody::ToolResult { .. }));
    }
    messages.extend(system);
    messages.extend(joined);
}

fn fit_part(
    mut part: Part,
    place: &str,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Option<Part>, Fault> {
    losses.extra(place, &part.extra)?;
    if part.cache.take().is_some() {
        losses.drop(&format!("{place}.cache_control"));
    }
    part.signature = part.signature.take().filter(|signature| signature.by == Dialect::Gemini);
    match &mut part.body {
        // Empty text is refused, and says nothing.
        PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty() && part.signature.is_none() => {
            return Ok(None);
        }
        PartBody::Thinking { signature: Some(signature), .. }
        | PartBody::RedactedThinking { data: signature }
            if signature.by == Dialect::Gemini => {}
        PartBody::Thinking { .. } | PartBody::RedactedThinking { .. } => {
            losses.drop(&format!("{place}.thinking"));
            return Ok(None);
        }
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("parts of the type `{kind}` exist only in their own dialect"))?;
            return Ok(None);
        }
        PartBody::Image { detail, .. } if detail.as_deref().is_some_and(|detail| detail != "auto") => {
            losses.drop(&format!("{place}.image_url.detail"));
        }
        PartBody::ToolCall { arguments, .. } => check_arguments(arguments, place)?,
        PartBody::ToolResult { content, .. } => {
            let mut fit = Vec::with_capacity(content.len());
            for part in std::mem::take(content) {
                // Empty text is a result all the same.
                match &part.body {
                    PartBody::Text(text) if text.is_empty() => fit.push(part),
                    _ => fit.extend(fit_part(part, &format!("{place}.content"), target, losses)?),
                }
            }
            *content = fit;
        }
        _ => {}
    }
    fit_source(part, place, target, losses)
}

/// Bytes are taken everywhere; what is to be fetched only where somebody fetches, and only when its type can be told.
fn fit_source(
    part: Part,
    place: &str,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<Option<Part>, Fault> {
    let source = match &part.body {
        PartBody::Image { source, .. }
        | PartBody::Document { source, .. }
        | PartBody::Audio { source }
        | PartBody::Video { source } => source,
        _ => return Ok(Some(part)),
    };
    let fetches = matches!(target.platform, Platform::Vertex { .. });
    let why = match source {
        Source::Base64 { .. } | Source::Text(_) => return Ok(Some(part)),
        Source::File(_) => "an uploaded file is known only to the provider that has it",
        Source::Url(url) if !fetches && !is_youtube(url) => "it does not fetch from the web; send the bytes",
        Source::Url(url) if media_type_of(url).is_none() => "its name does not tell its type; send the bytes",
        Source::Url(_) => return Ok(Some(part)),
    };
    losses.refuse(place, why)?;
    Ok(None)
}

/// What a model wrote as arguments must be an object to be sent back.
fn check_arguments(arguments: &str, place: &str) -> Result<(), Fault> {
    let is_object = || serde_json::from_str::<crate::json::Object<'_>>(arguments).is_ok();
    if arguments.trim().is_empty() || is_object() {
        return Ok(());
    }
    Err(Fault::no_word(Dialect::Gemini, &format!("{place}.function.arguments"), "it must be a JSON object"))
}

fn fit_sampling(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    if request.stop.len() > MOST_STOPS {
        losses.refuse("stop", "at most 5 stop sequences are taken")?;
        request.stop.truncate(MOST_STOPS);
    }
    request.stop.retain(|stop| !stop.is_empty());
    let takes = Takes { seed: true, penalties: true, logprobs: true, n: true, ..Takes::default() };
    fit_options(request, takes, losses)?;
    if request.seed.take_if(|seed| i32::try_from(*seed).is_err()).is_some() {
        losses.refuse("seed", "it must fit into 32 bits there")?;
    }
    if request.temperature.is_some_and(|temperature| temperature > 2.0) {
        losses.refuse("temperature", "it goes from 0 to 2 there")?;
        request.temperature = Some(2.0);
    }
    Ok(())
}

/// Marks the first call of each turn that has no seal: it was another model's, or another dialect lost it.
fn seal(request: &mut Request, losses: &mut Losses) {
    for message in request.messages.iter_mut().filter(|message| message.role == Role::Assistant) {
        let first = message.parts.iter_mut().find(|part| matches!(part.body, PartBody::ToolCall { .. }));
        if let Some(part) = first.filter(|part| part.signature.is_none()) {
            part.signature = Some(Signature::new(Dialect::Gemini, NO_SEAL));
            losses.default("thoughtSignature", "skip_thought_signature_validator");
        }
    }
}
