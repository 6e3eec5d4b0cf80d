//! What a request must be before it goes out as a response: nothing that there is no word for.

use crate::{
    Dialect, Fault, TargetShape,
    canonical::{
        Extra, Json, Message, OutputFormat, Part, PartBody, Reasoning, Request, Source, Tool, ToolBody,
        ToolChoice,
    },
    losses::{LONGEST_ID, Losses, Takes, fit_id, fit_options},
};

/// Fields that OpenAI chat and responses have in common, beside those of the canonical form.
const SHARED: [&str; 6] = [
    "store",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "moderation",
];

const WHY: &str = "there is no word for it";

/// The request as far as there are words for it.
pub(super) fn fit(mut fit: Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<Request, Fault> {
    if losses.is_home() {
        drop_foreign(&mut fit, losses);
        return Ok(fit);
    }
    let is_openai = losses.origin == Dialect::OpenAi;
    let (shared, rest) = split(std::mem::take(&mut fit.extra), is_openai);
    losses.extra("", &rest)?;
    fit.extra = shared;
    let takes = Takes { logprobs: true, metadata: true, service_tier: is_openai, ..Takes::default() };
    fit_options(&mut fit, takes, losses)?;
    if fit.cache.take().is_some() {
        losses.drop("cache_control");
    }
    if fit.top_k.take().is_some() {
        losses.refuse("top_k", WHY)?;
    }
    if !fit.stop.is_empty() {
        losses.refuse(if is_openai { "stop" } else { "stop_sequences" }, WHY)?;
        fit.stop.clear();
    }
    fit_reasoning(&mut fit, target, losses);
    if let Some(ToolChoice::Opaque(_)) = fit.tool_choice {
        losses.refuse("tool_choice", WHY)?;
        fit.tool_choice = None;
    }
    if let Some(OutputFormat::Opaque(_)) = fit.format {
        return Err(Fault::no_word(target.dialect, "response_format", WHY));
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

/// Reasoning that another dialect sealed must not go to this one.
fn drop_foreign(request: &mut Request, losses: &mut Losses) {
    let is_foreign = |part: &Part| match &part.body {
        PartBody::Thinking { signature: Some(seal), .. } | PartBody::RedactedThinking { data: seal } => {
            seal.by != Dialect::Responses
        }
        _ => false,
    };
    for message in &mut request.messages {
        let count = message.parts.len();
        message.parts.retain(|part| !is_foreign(part));
        if message.parts.len() < count {
            losses.drop("input[].encrypted_content");
        }
    }
    request.messages.retain(|message| !message.parts.is_empty() || !message.extra.is_empty());
}

/// The fields that OpenAI's two dialects share, under their names here, and the others.
fn split(extra: Extra, is_openai: bool) -> (Extra, Extra) {
    if !is_openai {
        return (Extra::new(), extra);
    }
    let (mut shared, mut rest) = (Extra::new(), Extra::new());
    for (name, value) in extra {
        match name.as_str() {
            "verbosity" => shared.push(("text.verbosity".to_owned(), value)),
            name if SHARED.contains(&name) => shared.push((name.to_owned(), value)),
            _ => rest.push((name, value)),
        }
    }
    (shared, rest)
}

fn fit_reasoning(request: &mut Request, target: &TargetShape<'_>, losses: &mut Losses) {
    let is_off = |thinking: &Json| thinking.text().contains(r#""disabled""#);
    // Where the model decides by itself how much to think, no word is needed.
    let is_free = |thinking: &Json| thinking.text().contains(r#""adaptive""#);
    let has_word = |reasoning: &Reasoning| {
        target.reasoning != Some(false)
            && (crate::openai::write::effort(reasoning).is_some()
                || reasoning.is_free()
                || reasoning.thinking.as_ref().is_some_and(is_free))
    };
    if let Some(lost) = request.reasoning.take_if(|reasoning| !has_word(reasoning))
        && !lost.thinking.as_ref().is_some_and(is_off)
    {
        losses.drop("thinking");
    }
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
    message.extra.clear();
    let mut fit = Vec::with_capacity(message.parts.len());
    for (index, part) in std::mem::take(&mut message.parts).into_iter().enumerate() {
        fit.extend(fit_part(part, &format!("{place}.content[{index}]"), losses)?);
    }
    message.parts = fit;
    Ok(())
}

fn fit_part(mut part: Part, place: &str, losses: &mut Losses) -> Result<Option<Part>, Fault> {
    if part.cache.take().is_some() {
        losses.drop(&format!("{place}.cache_control"));
    }
    losses.extra(place, &part.extra)?;
    part.extra.clear();
    match &mut part.body {
        PartBody::Thinking { signature: Some(seal), .. } | PartBody::RedactedThinking { data: seal }
            if seal.for_maker(Dialect::Responses).is_some() => {}
        PartBody::Thinking { .. } | PartBody::RedactedThinking { .. } => {
            losses.drop(&format!("{place}.thinking"));
            return Ok(None);
        }
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("parts of the type `{kind}` exist only in their own dialect"))?;
            return Ok(None);
        }
        PartBody::Audio { .. } | PartBody::Video { .. } => {
            losses.refuse(place, "sound and moving pictures are not understood")?;
            return Ok(None);
        }
        PartBody::Image { source: Source::File(_), .. }
        | PartBody::Document { source: Source::File(_), .. }
            if losses.origin != Dialect::OpenAi =>
        {
            losses.refuse(place, "an uploaded file is known only to the provider that has it")?;
            return Ok(None);
        }
        PartBody::ToolCall { id, .. } => fit_id(id, LONGEST_ID),
        PartBody::ToolResult { id, content, is_error } => {
            fit_id(id, LONGEST_ID);
            if *is_error {
                losses.drop(&format!("{place}.is_error"));
            }
            let mut fit = Vec::with_capacity(content.len());
            for (index, part) in std::mem::take(content).into_iter().enumerate() {
                fit.extend(fit_part(part, &format!("{place}.content[{index}]"), losses)?);
            }
            *content = fit;
        }
        _ => {}
    }
    Ok(Some(part))
}
