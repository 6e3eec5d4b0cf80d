//! What a request must be before Cohere takes it: nothing it has no word for, no value out of its range.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Dialect, Fault, TargetShape,
    canonical::{
        Message, OutputFormat, Part, PartBody, Reasoning, Request, Role, Source, ToolBody, ToolChoice,
    },
    effort::budget,
    losses::{LONGEST_ID, Losses, Takes, fit_id, fit_options},
};

/// The most stop sequences taken.
const MOST_STOPS: usize = 5;
/// The greatest share of nucleus sampling.
const MOST_TOP_P: f64 = 0.99;

/// The request as far as Cohere has words for it.
pub(super) fn fit(mut fit: Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<Request, Fault> {
    losses.extra("", &fit.extra)?;
    fit.extra.clear();
    let takes = Takes { seed: true, penalties: true, ..Takes::default() };
    fit_options(&mut fit, takes, losses)?;
    if fit.cache.take().is_some() {
        losses.drop("cache_control");
    }
    if fit.user.take().is_some() {
        losses.drop("user");
    }
    fit_tools(&mut fit, losses)?;
    fit_choice(&mut fit, losses)?;
    for (index, message) in fit.messages.iter_mut().enumerate() {
        fit_message(message, &crate::json::nth("messages", index), losses)?;
    }
    fit.messages.retain(|message| !message.parts.is_empty());
    if fit.messages.is_empty() {
        return Err(Fault::no_word(
            Dialect::Cohere,
            "messages",
            "at least one message with content is needed",
        ));
    }
    if fit.stop.len() > MOST_STOPS {
        losses.refuse("stop", "at most 5 stop sequences are taken")?;
        fit.stop.truncate(MOST_STOPS);
    }
    fit_format(&mut fit, losses)?;
    fit_reasoning(&mut fit, target, losses)?;
    fit_sampling(&mut fit, losses)?;
    Ok(fit)
}

fn fit_tools(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    let is_strict = |tool: &crate::Tool| matches!(tool.body, ToolBody::Function { strict: Some(true), .. });
    let are_strict = !request.tools.is_empty() && request.tools.iter().all(is_strict);
    for (index, tool) in request.tools.iter_mut().enumerate() {
        let place = crate::json::nth("tools", index);
        losses.extra(&place, &tool.extra)?;
        tool.extra.clear();
        if tool.cache.take().is_some() {
            losses.drop(&format!("{place}.cache_control"));
        }
        match &mut tool.body {
            ToolBody::Opaque { kind, .. } => {
                let why = format!("tools of the type `{kind}` exist only in their own dialect");
                losses.refuse(&place, &why)?;
            }
            // All tools are strict, or none is.
            ToolBody::Function { strict, .. } => {
                if strict.take() == Some(true) && !are_strict {
                    losses.drop(&format!("{place}.strict"));
                }
                *strict = are_strict.then_some(true);
            }
        }
    }
    request.tools.retain(|tool| matches!(tool.body, ToolBody::Function { .. }));
    if request.parallel_tool_calls.take() == Some(false) && !request.tools.is_empty() {
        losses.refuse("parallel_tool_calls", "there is no word for one call at a time")?;
    }
    Ok(())
}

/// There is no word for one tool among several: then it is the only one.
fn fit_choice(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    match request.tool_choice.take().filter(|_| !request.tools.is_empty()) {
        Some(ToolChoice::Opaque(_)) => losses.refuse("tool_choice", "there is no word for it")?,
        Some(ToolChoice::Named(wanted)) => {
            let is_wanted =
                |tool: &crate::Tool| matches!(&tool.body, ToolBody::Function { name, .. } if *name == wanted);
            if !request.tools.iter().any(is_wanted) {
                let why = format!("no tool is called `{wanted}`");
                return Err(Fault::no_word(Dialect::Cohere, "tool_choice", &why));
            }
            if request.tools.len() > 1 {
                request.tools.retain(is_wanted);
                losses.default("tools", "only the one that is chosen");
            }
            request.tool_choice = Some(ToolChoice::Required);
        }
        choice => request.tool_choice = choice,
    }
    Ok(())
}

fn fit_message(message: &mut Message, place: &str, losses: &mut Losses) -> Result<(), Fault> {
    losses.extra(place, &message.extra)?;
    message.extra.clear();
    if message.role == Role::Developer {
        message.role = Role::System;
    }
    let role = message.role;
    let mut fit = Vec::with_capacity(message.parts.len());
    for (index, part) in std::mem::take(&mut message.parts).into_iter().enumerate() {
        fit.extend(fit_part(part, role, &format!("{place}.content[{index}]"), losses)?);
    }
    message.parts = fit;
    Ok(())
}

fn fit_part(mut part: Part, role: Role, place: &str, losses: &mut Losses) -> Result<Option<Part>, Fault> {
    losses.extra(place, &part.extra)?;
    part.extra.clear();
    part.signature = None;
    if part.cache.take().is_some() {
        losses.drop(&format!("{place}.cache_control"));
    }
    if !part.citations.is_empty() {
        // The words stay; where they came from is for readers.
        part.citations.clear();
        losses.drop(&format!("{place}.citations"));
    }
    match &mut part.body {
        PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty() => return Ok(None),
        PartBody::Text(_) | PartBody::Refusal(_) => {}
        PartBody::Image { source, .. } => {
            let why = match source {
                Source::File(_) => "an uploaded file is known only to the provider that has it",
                _ if role != Role::User => "only a turn of the user shows images",
                _ => return Ok(Some(part)),
            };
            losses.refuse(place, why)?;
            return Ok(None);
        }
        PartBody::Document { source, .. } => match plain_text(source) {
            Some(text) => part.body = PartBody::Text(text),
            None => {
                losses.refuse(place, "documents are taken as text only")?;
                return Ok(None);
            }
        },
        PartBody::Audio { .. } | PartBody::Video { .. } => {
            losses.refuse(place, "sound and moving pictures are not understood")?;
            return Ok(None);
        }
        PartBody::ToolCall { id, .. } => fit_id(id, LONGEST_ID),
        PartBody::ToolResult { id, content, is_error } => {
            fit_id(id, LONGEST_ID);
            if std::mem::take(is_error) {
                losses.drop(&format!("{place}.is_error"));
            }
            let mut fit = Vec::with_capacity(content.len());
            for part in std::mem::take(content) {
                // A result holds text.
                fit.extend(fit_part(part, Role::Assistant, &format!("{place}.content"), losses)?);
            }
            *content = fit;
        }
        // Reasoning of another model, or sealed by one, is nothing to this one.
        PartBody::Thinking { .. } | PartBody::RedactedThinking { .. } => {
            losses.drop(&format!("{place}.reasoning_content"));
            return Ok(None);
        }
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("parts of the type `{kind}` exist only in their own dialect"))?;
            return Ok(None);
        }
    }
    Ok(Some(part))
}

/// The text of a document that is one.
fn plain_text(source: &mut Source) -> Option<String> {
    match source {
        Source::Text(text) => Some(std::mem::take(text)),
        Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
            String::from_utf8(STANDARD.decode(data).ok()?).ok()
        }
        Source::Base64 { .. } | Source::Url(_) | Source::File(_) => None,
    }
}

fn fit_format(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    match &request.format {
        None => return Ok(()),
        Some(OutputFormat::Opaque(_)) => {
            return Err(Fault::no_word(Dialect::Cohere, "response_format", "there is no word for it"));
        }
        Some(OutputFormat::JsonSchema { description: Some(_), .. }) => {
            losses.drop("response_format.json_schema.description");
        }
        Some(OutputFormat::JsonSchema { .. } | OutputFormat::JsonObject) => {}
    }
    // An answer that is not JSON would break the caller, so this is never dropped.
    if !request.tools.is_empty() {
        return Err(Fault::no_word(Dialect::Cohere, "response_format", "it cannot be joined with tools"));
    }
    Ok(())
}

/// Reasoning is asked of models that are made for it.
fn fit_reasoning(request: &mut Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<(), Fault> {
    let Some(reasoning) = request.reasoning.take() else { return Ok(()) };
    let is_off = reasoning.effort.as_deref() == Some("none")
        || reasoning.thinking.as_ref().is_some_and(|thinking| thinking.text().contains(r#""disabled""#));
    let reasons = target.reasoning.unwrap_or_else(|| target.model.contains("reasoning"));
    let asked = match &reasoning.effort {
        Some(effort) if !is_off => match budget(effort) {
            Some(budget) => Some(budget),
            None => return losses.refuse("reasoning_effort", "the value is not known"),
        },
        _ => reasoning.budget,
    };
    match (reasons, is_off) {
        (false, true) => {}
        (false, false) => losses.drop("reasoning_effort"),
        (true, true) => {
            request.reasoning = Some(Reasoning { effort: Some("none".to_owned()), ..Reasoning::default() });
        }
        (true, false) => {
            let budget = asked.filter(|budget| *budget > 0);
            request.reasoning = Some(Reasoning { budget, ..Reasoning::default() });
        }
    }
    Ok(())
}

fn fit_sampling(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    // The whole distribution is what there is without it.
    request.top_p = request.top_p.filter(|top_p| *top_p != 1.0);
    if let Some(top_p) = request.top_p.filter(|top_p| *top_p > MOST_TOP_P || *top_p < 0.01) {
        if !losses.may_bend() {
            return Err(Fault::no_word(Dialect::Cohere, "top_p", "it goes from 0.01 to 0.99 there"));
        }
        let bent = top_p.clamp(0.01, MOST_TOP_P);
        request.top_p = Some(bent);
        losses.default("top_p", bent.to_string());
    }
    for (name, penalty) in [
        ("frequency_penalty", &mut request.frequency_penalty),
        ("presence_penalty", &mut request.presence_penalty),
    ] {
        if penalty.take_if(|penalty| !(0.0..=1.0).contains(penalty)).is_some() {
            losses.refuse(name, "it goes from 0 to 1 there")?;
        }
    }
    Ok(())
}
