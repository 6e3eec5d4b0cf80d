//! Calls of tools and their results, paired: here they go by place, elsewhere by id.

use crate::{
    Dialect, Signature,
    canonical::{Message, Part, PartBody, Role},
    gemini::parts::thought,
};

/// Reasoning that came in pieces as one: whoever sealed it sealed the whole.
pub(super) fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if let PartBody::Thinking { text, signature } = &part.body
            && let Some(PartBody::Thinking { text: before, signature: seal @ None }) =
                joined.last_mut().map(|part| &mut part.body)
        {
            before.push_str(text);
            seal.clone_from(signature);
            continue;
        }
        if let Some(seal) = foreign_seal(&part) {
            unseal(&mut joined, seal);
        }
        let signature = part.signature.filter(|seal| seal.by == Dialect::Gemini);
        joined.push(Part { signature, ..part });
    }
    joined
}

/// The seal of another dialect on a call of a tool: that of the reasoning before it.
fn foreign_seal(part: &Part) -> Option<Signature> {
    let is_call = matches!(part.body, PartBody::ToolCall { .. });
    part.signature.clone().filter(|seal| is_call && seal.by != Dialect::Gemini)
}

/// Gives a seal back to the reasoning that it was taken from.
fn unseal(parts: &mut Vec<Part>, seal: Signature) {
    let reasoning = thought(String::new(), Some(seal));
    let brings = |part: &Part| match (&part.body, &reasoning) {
        (PartBody::Thinking { signature: own, .. }, PartBody::Thinking { signature, .. }) => own == signature,
        (own, reasoning) => own == reasoning,
    };
    if parts.iter().any(brings) {
        return;
    }
    if let PartBody::Thinking { signature: own, .. } = &reasoning
        && let Some(PartBody::Thinking { signature: signature @ None, .. }) =
            parts.last_mut().map(|part| &mut part.body)
    {
        signature.clone_from(own);
        return;
    }
    parts.push(reasoning.into());
}

/// Gives every call without an id one by its place in the conversation, and every result without one that of the first open
/// call of its name, or else of the first open call.
pub(super) fn name_calls(messages: &mut [Message]) {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut count = 0_usize;
    for message in messages {
        if message.role == Role::Assistant {
            open.clear();
        }
        for part in &mut message.parts {
            let named = match part.extra.iter().find(|(field, _)| field == "functionResponse.name") {
                Some((_, name)) => serde_json::from_str(name.text()).unwrap_or_default(),
                None => String::new(),
            };
            match &mut part.body {
                PartBody::ToolCall { id, name, .. } => {
                    if id.is_empty() {
                        *id = format!("call_{count}");
                    }
                    count += 1;
                    open.push((name.clone(), id.clone()));
                }
                PartBody::ToolResult { id, .. } => settle(&mut open, id, &named),
                _ => {}
            }
        }
        message.parts.sort_by_key(|part| !matches!(part.body, PartBody::ToolResult { .. }));
    }
}

fn settle(open: &mut Vec<(String, String)>, id: &mut String, named: &str) {
    let by_id = open.iter().position(|(_, known)| !id.is_empty() && known == id);
    let by_name = || open.iter().position(|(name, _)| name == named);
    let first = || (!open.is_empty()).then_some(0);
    let place = if id.is_empty() { by_name().or_else(first) } else { by_id };
    match place.map(|place| open.remove(place)) {
        Some((_, known)) => *id = known,
        None if id.is_empty() => *id = format!("call_of_{named}"),
        None => {}
    }
}
