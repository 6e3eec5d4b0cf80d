//! How a call goes out: spliced on the same dialect, through the canonical form otherwise.

use bytes::Bytes;

use crate::{
    Call, Dialect, Fault, MaxTokensField, Operation, Outbound, Platform, Request, TargetShape, ToolChoice,
    anthropic, bedrock, cohere, count, embeddings,
    envelope::Places,
    gemini, hosted,
    losses::{Losses, distinct_ids, unseal_ids},
    names::Names,
    openai,
    quirks::{self, StreamUsage},
    rerank, responses,
    scan::Span,
    schema,
    words::Words,
};

/// Writes a call for a target.
///
/// On the same dialect every byte stays, but for the model's name, a usage report asked for at the end of a stream, and
/// the name of the cap on output where the provider has its own.
///
/// # Errors
/// The target has no word for something in the call; the fault names the field.
pub fn encode_call(call: &Call, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    if call.operation.is_raw() && call.dialect != target.dialect {
        let message = format!("this operation is not translated, and the target speaks {}", target.dialect);
        return Err(Fault::unsupported(message));
    }
    if call.operation == Operation::Rerank && !rerank::is_passed(call, target) {
        return finish(rerank::encode(call, target)?, target);
    }
    let is_home = call.dialect == target.dialect;
    if call.operation == Operation::Embeddings && (!is_home || embeddings::is_rewritten(call, target)) {
        return finish(embeddings::encode_call(call, target)?, target);
    }
    if call.operation.is_raw() || !is_rewritten(call, target) {
        let body = splice(&call.body, edits(call, target));
        let is_hosted = target.dialect == Dialect::Anthropic && hosted::envelope(target).is_some();
        // Vertex AI has Gemini's questions without an object around the call.
        let is_vertex =
            target.dialect == Dialect::Gemini && matches!(target.platform, Platform::Vertex { .. });
        // The Gemini API takes nothing beside contents but inside one.
        let is_beside = call.envelope.places.counts_beside;
        if call.operation == Operation::CountTokens && (is_hosted || is_vertex || is_beside) {
            let body = count::wrap(&count::inner(call.dialect, &body)?, target)?;
            return Ok(Outbound { body, dropped: Vec::new(), defaulted: Vec::new() });
        }
        let outbound = Outbound { body, dropped: Vec::new(), defaulted: Vec::new() };
        return if call.envelope.places.is_form { Ok(outbound) } else { finish(outbound, target) };
    }
    let request = call.request()?;
    match call.operation {
        Operation::CountTokens => Words::of(&request).tell(count::encode_request(request, target)),
        _ => encode_request(request, target),
    }
}

/// Whether a call goes through the canonical form.
fn is_rewritten(call: &Call, target: &TargetShape<'_>) -> bool {
    let places = &call.envelope.places;
    let is_home = call.dialect == target.dialect;
    let alternates = target.quirks.is_some_and(|quirks| quirks.alternating_roles);
    let is_chat = call.operation == Operation::Chat;
    !is_home || places.unsigned_thinking || is_chat && (alternates || places.sealed_ids)
}

/// What a provider's quirks leave of a body.
fn finish(call: Outbound, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    match target.quirks {
        Some(quirks) => quirks::apply(call, quirks, target.on_unsupported),
        None => Ok(call),
    }
}

/// Writes a canonical request for a target, in its own dialect or in another.
///
/// # Errors
/// The target has no word for something in the call; the fault names the field.
pub fn encode_request(request: Request, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    Words::of(&request).tell(write(request, target))
}

fn write(mut request: Request, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    if target.dialect != Dialect::Gemini {
        unseal_ids(&mut request);
    }
    if request.origin != target.dialect {
        responses::allowed::narrow(&mut request);
        Names::of(&request, target.dialect).apply(&mut request);
        // Gemini goes by place, and its ids may carry seals.
        if target.dialect != Dialect::Gemini {
            distinct_ids(&mut request);
        }
    }
    if target.dialect != Dialect::Responses && !think_usually(&mut request, target) {
        // Elsewhere reasoning is shown unasked, so that nothing is left to say.
        request.reasoning.take_if(|reasoning| reasoning.is_free());
    }
    let mut losses = Losses::new(request.origin, target);
    schema::fit(&mut request, target, &mut losses)?;
    let body = match target.dialect {
        Dialect::OpenAi => openai::write::write(request, target, &mut losses)?,
        Dialect::Responses => responses::write::write(request, target, &mut losses)?,
        Dialect::Anthropic => anthropic::write::write(request, target, &mut losses)?,
        Dialect::Gemini => gemini::write::write(request, target, &mut losses)?,
        Dialect::Bedrock => bedrock::write::write(request, target, &mut losses)?,
        Dialect::Cohere => cohere::write::write(request, target, &mut losses)?,
    };
    finish(Outbound { body: body.into(), dropped: losses.dropped, defaulted: losses.defaulted }, target)
}

/// Gemini thinks unasked, and its callers only ask to see it. Claude does not think unasked: it is asked to think as usual,
/// unless something else in the call excludes that.
fn think_usually(request: &mut Request, target: &TargetShape<'_>) -> bool {
    let is_claude = target.dialect == Dialect::Anthropic
        || target.dialect == Dialect::Bedrock && target.model.contains("claude");
    let excludes = request.temperature.is_some_and(|temperature| temperature != 1.0)
        || request.top_p.is_some_and(|top_p| top_p < 0.95)
        || request.top_k.is_some()
        || matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    let may = request.origin == Dialect::Gemini && is_claude && target.reasoning != Some(false) && !excludes;
    match request.reasoning.as_mut().filter(|reasoning| may && reasoning.is_free() && reasoning.shown) {
        Some(reasoning) => {
            reasoning.effort = Some("medium".to_owned());
            true
        }
        None => false,
    }
}

/// What is put in place of a span; an empty span is an insertion.
pub(crate) type Edit = (Span, String);

fn edits(call: &Call, target: &TargetShape<'_>) -> Vec<Edit> {
    let places = &call.envelope.places;
    let mut edits = Vec::new();
    if call.dialect == Dialect::Anthropic
        && call.operation == Operation::Chat
        && let Some(envelope) = hosted::envelope(target)
    {
        return hosted::edits(&call.body, places, (envelope, target.platform));
    }
    let is_unnamed = places.model == Span::default();
    if call.envelope.model != target.model || is_unnamed {
        edits.extend(name_model(call, target));
    }
    if !places.inner_models.is_empty() {
        // Inside a Gemini body the model stands with its path, which differs with the platform.
        let is_vertex = matches!(target.platform, Platform::Vertex { .. });
        let path = if is_vertex { "publishers/google/models/" } else { "models/" };
        let inner = quoted(&format!("{path}{}", target.model));
        edits.extend(places.inner_models.iter().map(|span| (*span, inner.clone())));
    }
    let is_openai_chat = call.dialect == Dialect::OpenAi && call.operation == Operation::Chat;
    let asks = target.quirks.is_none_or(|quirks| quirks.stream_usage == StreamUsage::Option);
    if is_openai_chat && call.envelope.stream && !call.envelope.wants_usage && asks {
        edits.push(ask_for_usage(places, &call.body));
    }
    if is_openai_chat {
        edits.extend(target.max_tokens_field.and_then(|field| rename_cap(places, field)));
    }
    edits
}

/// The target's name for the model in place of the caller's.
fn name_model(call: &Call, target: &TargetShape<'_>) -> Option<Edit> {
    let places = &call.envelope.places;
    if places.is_form {
        return (places.model != Span::default()).then(|| (places.model, target.model.to_owned()));
    }
    if places.model != Span::default() {
        return Some((places.model, quoted(target.model)));
    }
    // The caller named the model in the path. So does the target, or else the body has to say it.
    let is_in_path = matches!(target.dialect, Dialect::Gemini | Dialect::Bedrock)
        || matches!(target.platform, Platform::Vertex { .. } | Platform::Bedrock);
    let start = call.body.iter().position(|byte| *byte == b'{')? + 1;
    let is_empty = call.body.get(start..)?.trim_ascii_start().starts_with(b"}");
    let comma = if is_empty { "" } else { "," };
    let edit = || (Span { start, end: start }, format!("\"model\":{}{comma}", quoted(target.model)));
    (!is_in_path).then(edit)
}

fn ask_for_usage(places: &Places, body: &[u8]) -> Edit {
    let insertion = |at: usize| Span { start: at, end: at };
    match (places.include_usage, places.stream_options) {
        (Some(value), _) => (value, "true".to_owned()),
        (None, Some(options)) if places.has_stream_options => {
            (insertion(options.start + 1), r#""include_usage":true,"#.to_owned())
        }
        (None, Some(empty)) => (empty, r#"{"include_usage":true}"#.to_owned()),
        (None, None) if places.model == Span::default() => {
            // Before the first field, of which there is one: a chat without messages is none.
            let start = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
            (insertion(start), r#""stream_options":{"include_usage":true},"#.to_owned())
        }
        (None, None) => {
            (insertion(places.model.end), r#","stream_options":{"include_usage":true}"#.to_owned())
        }
    }
}

/// The caller's cap under the provider's name for it, unless that is there already.
fn rename_cap(places: &Places, field: MaxTokensField) -> Option<Edit> {
    let other = match (field, places.max_tokens, places.max_completion_tokens) {
        (MaxTokensField::MaxTokens, None, Some(other))
        | (MaxTokensField::MaxCompletionTokens, Some(other), None) => other,
        _ => return None,
    };
    Some((other, quoted(field.as_str())))
}

pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Puts edits into a body; without edits the body is not copied.
pub(crate) fn splice(body: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut from = 0;
    for (span, text) in edits {
        out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests;
