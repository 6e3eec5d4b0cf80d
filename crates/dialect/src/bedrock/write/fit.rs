//! What a request from elsewhere must be before Converse takes it: options, tools, and the form of the answer.

use super::{reason, turns};
use crate::{
    Dialect, Fault, TargetShape,
    bedrock::{
        family::{Family, keeps_schemas},
        request::IN_FIELDS,
    },
    canonical::{
        Extra, Json, Message, OutputFormat, Part, PartBody, Request, Role, Tool, ToolBody, ToolChoice,
    },
    claude,
    losses::{Losses, Takes, fit_options},
    names::ANSWER_TOOL,
};

/// The most pairs of metadata, and the longest key or value.
const MOST_PAIRS: usize = 16;
const LONGEST_PAIR: usize = 256;
/// The most marks for the cache.
const MOST_MARKS: usize = 4;

/// The request as far as Converse, and the model behind it, have words for it.
pub(super) fn fit(mut fit: Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<Request, Fault> {
    let family = Family::of(target.model);
    let asks_for_stop = !fit.stop.is_empty() && family == Family::Claude;
    turns::keep_citations(&mut fit);
    losses.extra("", &fit.extra)?;
    fit.extra.clear();
    fit_tools(&mut fit, target, losses)?;
    turns::fit(&mut fit, family, losses)?;
    let forbids = forbid_tools(&mut fit, losses)?;
    claude::fit_stop(&mut fit, losses)?;
    reason::fit(&mut fit, (target, family), losses)?;
    fit_format(&mut fit, (target, forbids), losses)?;
    define_gone(&mut fit);
    let takes = Takes { metadata: true, service_tier: true, ..Takes::default() };
    fit_options(&mut fit, takes, losses)?;
    claude::fit_sampling(&mut fit, Dialect::Bedrock, losses)?;
    fit_top_k(&mut fit, family, losses)?;
    fit_parallel(&mut fit, family, losses)?;
    fit_labels(&mut fit, losses);
    fit_marks(&mut fit, family, losses)?;
    if asks_for_stop && let Ok(paths) = Json::parse(r#"["/stop_sequence"]"#) {
        // Which of the sequences ended the answer is told only to who asks.
        fit.extra.push(("additionalModelResponseFieldPaths".to_owned(), paths));
    }
    Ok(fit)
}

/// Adds a field that only some models take.
pub(super) fn add_field(request: &mut Request, name: &str, json: &str) {
    if let Ok(value) = Json::parse(json) {
        request.extra.push((format!("{IN_FIELDS}{name}"), value));
    }
}

fn fit_tools(request: &mut Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<(), Fault> {
    for (index, tool) in request.tools.iter_mut().enumerate() {
        let place = crate::json::nth("tools", index);
        losses.extra(&place, &tool.extra)?;
        tool.extra.clear();
        match &mut tool.body {
            ToolBody::Opaque { kind, .. } => {
                let why = format!("tools of the type `{kind}` exist only in their own dialect");
                losses.refuse(&place, &why)?;
            }
            ToolBody::Function { description, strict, .. } => {
                *description = description.take().filter(|description| !description.is_empty());
                // What keeps to a schema in its answer keeps to one in its calls of tools.
                if strict.take_if(|strict| !*strict || !keeps_schemas(target.model)) == Some(true) {
                    losses.drop(&format!("{place}.strict"));
                }
            }
        }
    }
    request.tools.retain(|tool| matches!(tool.body, ToolBody::Function { .. }));
    if matches!(request.tool_choice, Some(ToolChoice::Opaque(_))) {
        losses.refuse("tool_choice", "there is no word for it")?;
        request.tool_choice = None;
    }
    Ok(())
}

/// Forbids tools, for which there is no word: they are left out, unless the conversation tells of some. Then they stay,
/// and true is given.
fn forbid_tools(request: &mut Request, losses: &mut Losses) -> Result<bool, Fault> {
    if request.tool_choice != Some(ToolChoice::None) || request.tools.is_empty() {
        return Ok(false);
    }
    request.tool_choice = None;
    if !tells_of_tools(request) {
        request.tools.clear();
        return Ok(false);
    }
    if !losses.may_bend() {
        let why = "there is no word for `none` while the conversation has calls of tools";
        return Err(Fault::no_word(Dialect::Bedrock, "tool_choice", why));
    }
    losses.default("tool_choice", "none, as an instruction");
    instruct(request, "Answer without calling any of the tools described before.");
    Ok(true)
}

fn tells_of_tools(request: &Request) -> bool {
    let mut parts = request.messages.iter().flat_map(|message| &message.parts);
    parts.any(|part| matches!(part.body, PartBody::ToolCall { .. } | PartBody::ToolResult { .. }))
}

/// A conversation that tells of tools needs definitions of some, even when none is offered any more.
fn define_gone(request: &mut Request) {
    if !request.tools.is_empty() {
        return;
    }
    request.tool_choice = None;
    if !tells_of_tools(request) {
        return;
    }
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut names: Vec<String> = parts.filter_map(called).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        names.push("unknown".to_owned());
    }
    request.tools = names.into_iter().map(gone).collect();
}

fn called(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::ToolCall { name, .. } => Some(name),
        _ => None,
    }
}

/// The definition of a tool that only history knows.
fn gone(name: String) -> Tool {
    let description = Some("No longer available; do not call it.".to_owned());
    let body = ToolBody::Function { name, description, parameters: None, strict: None };
    Tool { body, cache: None, extra: Extra::new() }
}

fn instruct(request: &mut Request, text: &str) {
    let part = Part::from(PartBody::Text(text.to_owned()));
    match request.messages.iter_mut().find(|message| message.role == Role::System) {
        Some(system) => system.parts.push(part),
        None => {
            let system = Message { role: Role::System, parts: vec![part], extra: Extra::new() };
            request.messages.insert(0, system);
        }
    }
}

fn fit_format(
    request: &mut Request,
    (target, forbids): (&TargetShape<'_>, bool),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let refuse = |why: &str| Err(Fault::no_word(Dialect::Bedrock, "response_format", why));
    match &mut request.format {
        None => return Ok(()),
        // An answer that is not JSON would break the caller, so this is never dropped.
        Some(OutputFormat::JsonObject) => {
            return refuse("`json_object` cannot be kept; use `json_schema`, which can");
        }
        Some(OutputFormat::Opaque(_)) => return refuse("there is no word for it"),
        Some(OutputFormat::JsonSchema { .. }) if keeps_schemas(target.model) => return Ok(()),
        Some(OutputFormat::JsonSchema { .. }) => {}
    }
    let Some(OutputFormat::JsonSchema { description, schema, .. }) = request.format.take() else {
        return Ok(());
    };
    // A call of a tool of that form is the answer; whoever reads it knows the name of the tool.
    if request.reasoning.as_ref().is_some_and(|reasoning| reasoning.effort.as_deref() != Some("none")) {
        return refuse(
            "this model keeps to a schema only by a forced call of a tool, which excludes reasoning",
        );
    }
    if matches!(request.tool_choice, Some(ToolChoice::Named(_))) {
        return Ok(());
    }
    request.tool_choice = Some(if forbids || request.tools.is_empty() {
        ToolChoice::Named(ANSWER_TOOL.to_owned())
    } else {
        ToolChoice::Required
    });
    let body = ToolBody::Function {
        name: ANSWER_TOOL.to_owned(),
        description: Some(description.unwrap_or_else(|| "Give the final answer in this form.".to_owned())),
        parameters: Some(schema),
        strict: None,
    };
    request.tools.push(Tool { body, cache: None, extra: Extra::new() });
    losses.default("response_format", "as a tool");
    Ok(())
}

fn fit_top_k(request: &mut Request, family: Family, losses: &mut Losses) -> Result<(), Fault> {
    match (family, request.top_k) {
        (_, None) | (Family::Claude | Family::Mistral, _) => Ok(()),
        (Family::Nova | Family::Nova2, Some(top_k)) => {
            request.top_k = None;
            add_field(request, "inferenceConfig", &format!(r#"{{"topK":{top_k}}}"#));
            Ok(())
        }
        _ => {
            request.top_k = None;
            losses.refuse("top_k", "this model has no word for it")
        }
    }
}

/// One call at a time can be asked only of Claude, and only where it chooses freely.
fn fit_parallel(request: &mut Request, family: Family, losses: &mut Losses) -> Result<(), Fault> {
    if request.parallel_tool_calls.take() != Some(false) || request.tools.is_empty() {
        return Ok(());
    }
    if family != Family::Claude || matches!(request.tool_choice, Some(ToolChoice::Required)) {
        return losses.refuse("parallel_tool_calls", "there is no word for one call at a time");
    }
    if !matches!(request.tool_choice, Some(ToolChoice::Named(_))) {
        request.tool_choice = None;
        add_field(request, "tool_choice", r#"{"type":"auto","disable_parallel_tool_use":true}"#);
    }
    Ok(())
}

/// Labels and tiers are told where they fit, and reported where not.
fn fit_labels(request: &mut Request, losses: &mut Losses) {
    if request.user.take().is_some() {
        losses.drop("user");
    }
    if request
        .metadata
        .take_if(|labels| !are_labels(labels.text()))
        .is_some_and(|labels| labels.text() != "{}")
    {
        losses.drop("metadata");
    }
    request.service_tier = match request.service_tier.take().as_deref() {
        Some(tier @ ("priority" | "flex" | "reserved" | "default")) => Some(tier.to_owned()),
        Some("standard" | "standard_only") => Some("default".to_owned()),
        None | Some("auto") => None,
        Some(_) => {
            losses.drop("service_tier");
            None
        }
    };
}

fn are_labels(json: &str) -> bool {
    let Ok(labels) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(json) else {
        return false;
    };
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    let fits = |text: &String| text.len() <= LONGEST_PAIR && text.chars().all(is_plain);
    (1..=MOST_PAIRS).contains(&labels.len())
        && labels.iter().all(|(key, value)| !key.is_empty() && fits(key) && fits(value))
}

/// Marks for the cache, where the model has one.
fn fit_marks(request: &mut Request, family: Family, losses: &mut Losses) -> Result<(), Fault> {
    if let Some(mark) = request.cache.take() {
        // A mark for the whole call is one at its end.
        let last = request.messages.iter_mut().rev().find(|message| message.role != Role::System);
        if let Some(last) = last.and_then(|message| message.parts.last_mut()) {
            last.cache.get_or_insert(mark);
        }
    }
    let keeps_tools = family == Family::Claude;
    let mut count = 0;
    for tool in &mut request.tools {
        if tool.cache.is_some() && !keeps_tools {
            tool.cache = None;
            losses.drop("tools[].cache_control");
        }
        count += usize::from(tool.cache.is_some());
    }
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if part.cache.is_some() && !family.caches() {
            part.cache = None;
            losses.drop("messages[].content[].cache_control");
        }
        count += usize::from(part.cache.is_some());
    }
    if count > MOST_MARKS {
        return Err(Fault::no_word(
            Dialect::Bedrock,
            "cache_control",
            "at most 4 marks for the cache are taken",
        ));
    }
    Ok(())
}
