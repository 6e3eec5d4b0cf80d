//! Results of tools, in the order of their calls: Gemini tells by place which belongs to which.

use crate::{
    Dialect, Fault,
    canonical::{Message, Part, PartBody, Role, Source},
    gemini::models::Ability,
    losses::Losses,
};

/// The id of a call and the name of its function.
pub(super) fn call(part: &Part) -> Option<(&str, &str)> {
    match &part.body {
        PartBody::ToolCall { id, name, .. } => Some((id, name)),
        _ => None,
    }
}

/// Puts the results of each round into the order of their calls, and refuses a round that is not whole.
pub(super) fn order(messages: &mut [Message]) -> Result<(), Fault> {
    let mut calls: Vec<String> = Vec::new();
    for message in messages {
        match message.role {
            Role::Assistant => calls.extend(message.parts.iter().filter_map(|part| match &part.body {
                PartBody::ToolCall { id, .. } => Some(id.clone()),
                _ => None,
            })),
            Role::User => order_turn(message, &mut calls)?,
            Role::System | Role::Developer => {}
        }
    }
    Ok(())
}

fn order_turn(message: &mut Message, calls: &mut Vec<String>) -> Result<(), Fault> {
    let answered: Vec<&str> = message.parts.iter().filter_map(result_id).collect();
    if answered.is_empty() && calls.is_empty() {
        return Ok(());
    }
    let refuse = |why: String| Err(Fault::no_word(Dialect::Gemini, "messages", &why));
    if let Some(id) = answered.iter().find(|id| !calls.iter().any(|call| call == *id)) {
        return refuse(format!("no call before it has the id `{id}` of the result"));
    }
    if let Some(id) = calls.iter().find(|id| !answered.contains(&id.as_str())) {
        return refuse(format!("the result of the call `{id}` is missing; results go by place"));
    }
    message.parts.sort_by_key(|part| match result_id(part) {
        Some(id) => calls.iter().position(|call| call == id).unwrap_or(usize::MAX),
        None => usize::MAX,
    });
    calls.clear();
    Ok(())
}

fn result_id(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::ToolResult { id, .. } => Some(id),
        _ => None,
    }
}

/// Moves what the model would not see inside the results of a turn behind them.
pub(super) fn show(message: &mut Message, ability: Ability, losses: &mut Losses) -> Result<(), Fault> {
    let mut shown: Vec<Part> = Vec::new();
    for part in &mut message.parts {
        let PartBody::ToolResult { id, content, .. } = &mut part.body else { continue };
        let (inside, others): (Vec<Part>, Vec<Part>) =
            std::mem::take(content).into_iter().partition(|part| is_seen(part, ability));
        *content = inside;
        if others.is_empty() {
            continue;
        }
        if !content.iter().any(|part| matches!(part.body, PartBody::Text(_))) {
            content.push(PartBody::Text("The result is shown in the next message.".to_owned()).into());
        }
        shown.push(PartBody::Text(format!("Shown by the tool call {id}:")).into());
        shown.extend(others);
    }
    if !shown.is_empty() {
        losses.default("tool_result.content", "shown after the result");
    }
    let rest = message.parts.iter().position(|part| result_id(part).is_none()).unwrap_or(message.parts.len());
    message.parts.splice(rest..rest, shown);
    Ok(())
}

fn is_seen(part: &Part, ability: Ability) -> bool {
    let kinds = ["image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"];
    match &part.body {
        PartBody::Text(_) | PartBody::Document { source: Source::Text(_), .. } => true,
        PartBody::Image { source: Source::Base64 { media_type, .. }, .. }
        | PartBody::Document { source: Source::Base64 { media_type, .. }, .. } => {
            ability.sees_results && kinds.contains(&media_type.as_str())
        }
        _ => false,
    }
}
