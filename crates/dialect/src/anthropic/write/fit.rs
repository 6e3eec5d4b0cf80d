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
    effort::budget,
    losses::{Losses, Takes, fit_id, fit_options},
};

/// The least budget for thinking.
const LEAST_BUDGET: u32 = 1_024;

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
    fit_stop(&mut fit, losses)?;
    fit_format(&mut fit, target.dialect, losses)?;
    fit_reasoning(&mut fit, (target, cap), losses)?;
    fit_options(&mut fit, Takes::default(), losses)?;
    fit_sampling(&mut fit, losses)?;
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
        fit_tool(tool, &format!("tools[{index}]"), losses)?;
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
        let place = format!("messages[{index}]");
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
            fit_id(id);
            check_arguments(arguments, place)?;
        }
        PartBody::ToolResult { id, content, .. } => {
            fit_id(id);
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

/// What a model wrote as arguments must be an object to be sent back.
fn check_arguments(arguments: &str, place: &str) -> Result<(), Fault> {
    let is_object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok();
    if arguments.trim().is_empty() || is_object() {
        return Ok(());
    }
    Err(Fault::no_word(
        Dialect::Anthropic,
        &format!("{place}.function.arguments"),
        "it must be a JSON object",
    ))
}

fn fit_stop(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    let is_blank = |stop: &String| stop.trim().is_empty();
    if request.stop.iter().any(is_blank) {
        losses.refuse("stop", "a stop sequence of white space alone is not taken")?;
        request.stop.retain(|stop| !is_blank(stop));
    }
    Ok(())
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
    let fits = (is_adaptive || budget >= LEAST_BUDGET) && target.reasoning != Some(false);
    if !fits || continues_unsigned(request) {
        losses.drop("reasoning_effort");
        return Ok(());
    }
    if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) {
        return losses.refuse("reasoning_effort", "it cannot be joined with a forced choice of tool");
    }
    request.reasoning = Some(if is_adaptive {
        let thinking = Json::parse(r#"{"type":"adaptive"}"#).ok();
        Reasoning { effort: Some(word.to_owned()), budget: None, thinking }
    } else {
        Reasoning { effort: None, budget: Some(budget), thinking: None }
    });
    Ok(())
}

/// A turn that called tools must begin with its own signed reasoning while thinking is on.
fn continues_unsigned(request: &Request) -> bool {
    let turns = || request.messages.iter().rev();
    let continues = turns().next().is_some_and(|last| {
        last.role == Role::User
            && last.parts.iter().any(|part| matches!(part.body, PartBody::ToolResult { .. }))
    });
    let is_signed = |part: &Part| {
        matches!(part.body, PartBody::Thinking { signature: Some(_), .. } | PartBody::RedactedThinking { .. })
    };
    let last = turns().find(|message| message.role == Role::Assistant);
    continues && last.is_some_and(|message| !message.parts.first().is_some_and(is_signed))
}

fn fit_sampling(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    // The whole distribution is what there is without it, and newer models refuse it beside a temperature.
    request.top_p = request.top_p.filter(|top_p| *top_p != 1.0);
    if request.temperature.is_some_and(|temperature| temperature > 1.0) {
        if !losses.may_bend() {
            let why = "it goes from 0 to 1 there; send 1 or less";
            return Err(Fault::no_word(Dialect::Anthropic, "temperature", why));
        }
        request.temperature = Some(1.0);
        losses.default("temperature", "1");
    }
    let thinks = request
        .reasoning
        .as_ref()
        .is_some_and(|reasoning| reasoning.budget.is_some() || reasoning.thinking.is_some());
    if !thinks {
        return Ok(());
    }
    let why = "it cannot be joined with reasoning";
    if request.temperature.take().is_some_and(|temperature| temperature != 1.0) {
        losses.refuse("temperature", why)?;
    }
    if request.top_p.take_if(|top_p| *top_p < 0.95).is_some() {
        losses.refuse("top_p", why)?;
    }
    if request.top_k.take().is_some() {
        losses.refuse("top_k", why)?;
    }
    Ok(())
}
