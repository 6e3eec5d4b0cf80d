//! What a request must be before Anthropic takes it: nothing it has no word for, no value out of its range, and no
//! two fields that exclude each other.

use base64::Engine;

use crate::{
    Dialect, Fault, Signature, TargetShape,
    anthropic::effort,
    canonical::{
        Json, Message, OutputFormat, Part, PartBody, Reasoning, Request, Role, Source, Tool, ToolBody,
        ToolChoice,
    },
    claude,
    effort::budget,
    losses::{LONGEST_ID, Losses, Takes, fit_id, fit_options},
};

/// The request as far as Anthropic has words for it.
pub(super) fn fit(
    mut fit: Request,
    (target, cap): (&TargetShape<'_>, u32),
    losses: &mut Losses,
) -> Result<Request, Fault> {
    if losses.is_home() {
        drop_unsigned(&mut fit, losses);
        return Ok(fit);
    }
    losses.extra("", &fit.extra)?;
    fit_tools(&mut fit, losses)?;
    fit_messages(&mut fit, losses)?;
    claude::fit_stop(&mut fit, losses)?;
    fit_format(&mut fit, target.dialect, losses)?;
    fit_reasoning(&mut fit, (target, cap), losses)?;
    fit_options(&mut fit, Takes::default(), losses)?;
    claude::fit_sampling(&mut fit, target.dialect, losses)?;
    Ok(fit)
}

/// Reasoning of another model has no signature, and Anthropic refuses it.
fn drop_unsigned(request: &mut Request, losses: &mut Losses) {
    for message in &mut request.messages {
        let count = message.parts.len();
        message.parts.retain(|part| !is_foreign(part));
        if message.parts.len() < count {
            losses.drop("messages[].content[].thinking");
        }
    }
    request.messages.retain(|message| !message.parts.is_empty());
}

/// Reasoning without Anthropic's own seal: made by another model.
fn is_foreign(part: &Part) -> bool {
    let is_own = |signature: &Signature| signature.for_maker(Dialect::Anthropic).is_some();
    match &part.body {
        PartBody::Thinking { signature, .. } => !signature.as_ref().is_some_and(is_own),
        PartBody::RedactedThinking { data } => !is_own(data),
        _ => false,
    }
}

fn fit_tools(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    for (index, tool) in request.tools.iter().enumerate() {
        fit_tool(tool, &crate::json::nth("tools", index), losses)?;
    }
    request.tools.retain(|tool| matches!(tool.body, ToolBody::Function { .. }));
    if matches!(request.tool_choice, Some(ToolChoice::Opaque(_))) {
        losses.refuse("tool_choice", "there is no word for it")?;
        request.tool_choice = None;
    }
    Ok(())
}

fn fit_tool(tool: &Tool, place: &str, losses: &mut Losses) -> Result<(), Fault> {
    match &tool.body {
        ToolBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("tools of the type `{kind}` exist only in their own dialect"))
        }
        ToolBody::Function { .. } => losses.extra(place, &tool.extra),
    }
}

fn fit_messages(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    let mut spoken = false;
    for (index, message) in request.messages.iter_mut().enumerate() {
        let place = crate::json::nth("messages", index);
        if matches!(message.role, Role::System | Role::Developer) && spoken {
            losses.default(&place, "moved into the system prompt");
        }
        spoken |= matches!(message.role, Role::User | Role::Assistant);
        fit_message(message, &place, losses)?;
    }
    request.messages.retain(|message| !message.parts.is_empty());
    let is_turn = |message: &Message| matches!(message.role, Role::User | Role::Assistant);
    if !request.messages.iter().any(is_turn) {
        return Err(Fault::no_word(
            Dialect::Anthropic,
            "messages",
            "at least one turn with content is needed",
        ));
    }
    Ok(())
}

fn fit_message(message: &mut Message, place: &str, losses: &mut Losses) -> Result<(), Fault> {
    losses.extra(place, &message.extra)?;
    let mut fit = Vec::with_capacity(message.parts.len());
    for (index, part) in std::mem::take(&mut message.parts).into_iter().enumerate() {
        let place = match part.body {
            PartBody::ToolCall { .. } => format!("{place}.tool_calls"),
            PartBody::ToolResult { .. } => place.to_owned(),
            _ => format!("{place}.content[{index}]"),
        };
        fit.extend(fit_part(part, &place, losses)?);
    }
    message.parts = fit;
    Ok(())
}

fn fit_part(mut part: Part, place: &str, losses: &mut Losses) -> Result<Option<Part>, Fault> {
    losses.extra(place, &part.extra)?;
    part.signature = None;
    if is_foreign(&part) {
        losses.drop(&format!("{place}.reasoning_content"));
        return Ok(None);
    }
    match &mut part.body {
        PartBody::Audio { .. } | PartBody::Video { .. } => {
            losses.refuse(place, "sound and moving pictures are not understood")?;
            return Ok(None);
        }
        // Empty text is refused, and says nothing.
        PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty() => return Ok(None),
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("parts of the type `{kind}` exist only in their own dialect"))?;
            return Ok(None);
        }
        PartBody::Image { source: Source::File(_), .. }
        | PartBody::Document { source: Source::File(_), .. } => {
            losses.refuse(place, "an uploaded file is known only to the provider that has it")?;
            return Ok(None);
        }
        PartBody::Image { detail, .. } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                losses.drop(&format!("{place}.image_url.detail"));
            }
        }
        PartBody::Document { source, .. } => return fit_document(source.clone(), part, place, losses),
        PartBody::ToolCall { id, arguments, .. } => {
            fit_id(id, LONGEST_ID);
            claude::check_arguments(arguments, place, Dialect::Anthropic)?;
        }
        PartBody::ToolResult { id, content, .. } => {
            fit_id(id, LONGEST_ID);
            let mut fit = Vec::with_capacity(content.len());
            for part in std::mem::take(content) {
                fit.extend(fit_part(part, &format!("{place}.content"), losses)?);
            }
            *content = fit;
        }
        PartBody::Text(_)
        | PartBody::Refusal(_)
        | PartBody::Thinking { .. }
        | PartBody::RedactedThinking { .. } => {}
    }
    Ok(Some(part))
}

/// PDF goes as it is and text as text; other kinds are not read.
fn fit_document(
    source: Source,
    mut part: Part,
    place: &str,
    losses: &mut Losses,
) -> Result<Option<Part>, Fault> {
    let Source::Base64 { media_type, data } = source else { return Ok(Some(part)) };
    if media_type == "application/pdf" {
        return Ok(Some(part));
    }
    let text =
        media_type.starts_with("text/").then(|| base64::engine::general_purpose::STANDARD.decode(&data).ok());
    if let Some(text) = text.flatten().and_then(|bytes| String::from_utf8(bytes).ok()) {
        if let PartBody::Document { source, .. } = &mut part.body {
            *source = Source::Text(text);
        }
        return Ok(Some(part));
    }
    losses.refuse(place, &format!("documents of the type `{media_type}` are not read; PDF and text are"))?;
    Ok(None)
}

fn fit_format(request: &mut Request, target: Dialect, losses: &mut Losses) -> Result<(), Fault> {
    match &request.format {
        // An answer that is not JSON would break the caller, so this is never dropped.
        Some(OutputFormat::JsonObject) => Err(Fault::no_word(
            target,
            "response_format",
            "`json_object` cannot be kept; use `json_schema`, which can",
        )),
        Some(OutputFormat::Opaque(_)) => {
            Err(Fault::no_word(target, "response_format", "there is no word for it"))
        }
        Some(OutputFormat::JsonSchema { description: Some(_), .. }) => {
            losses.drop("response_format.json_schema.description");
            Ok(())
        }
        Some(OutputFormat::JsonSchema { .. }) | None => Ok(()),
    }
}

/// Turns effort into a budget, where the model, the cap and the history allow for one.
fn fit_reasoning(
    request: &mut Request,
    (target, cap): (&TargetShape<'_>, u32),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let Some(effort) = request.reasoning.take().and_then(|reasoning| reasoning.effort) else { return Ok(()) };
    let (wanted, word) = match (effort.as_str(), budget(&effort), effort::word(&effort)) {
        ("none", ..) => return Ok(()),
        (_, Some(budget), Some(word)) => (budget, word),
        _ => return losses.refuse("reasoning_effort", "the value is not known"),
    };
    let is_adaptive = effort::is_adaptive(target.model);
    let budget = wanted.min(cap.saturating_sub(1));
    let fits = (is_adaptive || budget >= claude::LEAST_BUDGET) && target.reasoning != Some(false);
    if !fits || claude::continues_unsigned(request) {
        losses.drop("reasoning_effort");
        return Ok(());
    }
    if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) {
        return losses.refuse("reasoning_effort", "it cannot be joined with a forced choice of tool");
    }
    request.reasoning = Some(if is_adaptive {
        let thinking = Json::parse(r#"{"type":"adaptive"}"#).ok();
        Reasoning { effort: Some(word.to_owned()), budget: None, thinking, ..Reasoning::default() }
    } else {
        Reasoning { budget: Some(budget), ..Reasoning::default() }
    });
    Ok(())
}
