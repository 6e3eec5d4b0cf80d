//! What Claude models ask of a call wherever they are hosted. It must not know how a dialect writes it.

use crate::{
    Dialect, Fault,
    canonical::{Part, PartBody, Request, Role},
    losses::Losses,
};

/// The least budget for thinking.
pub(crate) const LEAST_BUDGET: u32 = 1_024;

/// What a model wrote as arguments must be an object to be sent back.
pub(crate) fn check_arguments(arguments: &str, place: &str, target: Dialect) -> Result<(), Fault> {
    let is_object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok();
    if arguments.trim().is_empty() || is_object() {
        return Ok(());
    }
    Err(Fault::no_word(target, &format!("{place}.function.arguments"), "it must be a JSON object"))
}

/// No stop sequence may be blank.
pub(crate) fn fit_stop(request: &mut Request, losses: &mut Losses) -> Result<(), Fault> {
    let is_blank = |stop: &String| stop.trim().is_empty();
    if request.stop.iter().any(is_blank) {
        losses.refuse("stop", "a stop sequence of white space alone is not taken")?;
        request.stop.retain(|stop| !is_blank(stop));
    }
    Ok(())
}

/// A turn that called tools must begin with its own signed reasoning while thinking is on.
pub(crate) fn continues_unsigned(request: &Request) -> bool {
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

/// Keeps sampling within its bounds, and beside thinking at what it must be.
pub(crate) fn fit_sampling(request: &mut Request, target: Dialect, losses: &mut Losses) -> Result<(), Fault> {
    // The whole distribution is what there is without it, and newer models refuse it beside a temperature.
    request.top_p = request.top_p.filter(|top_p| *top_p != 1.0);
    if request.temperature.is_some_and(|temperature| temperature > 1.0) {
        if !losses.may_bend() {
            let why = "it goes from 0 to 1 there; send 1 or less";
            return Err(Fault::no_word(target, "temperature", why));
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
