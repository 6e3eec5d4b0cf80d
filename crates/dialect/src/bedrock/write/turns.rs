//! The conversation as Converse takes it: system prompts apart, turns that alternate, blocks it has a form for.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Dialect, Fault, Signature,
    bedrock::{family::Family, media::Kind},
    canonical::{Extra, Message, Part, PartBody, Request, Role, Source},
    claude,
    losses::{LONGEST_ID, Losses, fit_id},
};

/// The most documents in a turn, and the longest name of one.
const MOST_DOCUMENTS: usize = 5;
const LONGEST_NAME: usize = 200;

/// Anthropic's words for a document are Converse's too: they stay.
const SHARED: [&str; 2] = ["citations", "context"];

/// Takes the fields that are shared out of the sight of whoever accounts for losses.
pub(super) fn keep_citations(request: &mut Request) {
    if request.origin != Dialect::Anthropic {
        return;
    }
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if matches!(part.body, PartBody::Document { .. }) {
            for (name, _) in part.extra.iter_mut().filter(|(name, _)| SHARED.contains(&name.as_str())) {
                name.insert(0, KEPT);
            }
        }
    }
}

/// Marks a field that is kept.
const KEPT: char = '=';

/// Makes the conversation one that Converse takes.
pub(super) fn fit(request: &mut Request, family: Family, losses: &mut Losses) -> Result<(), Fault> {
    let mut system: Vec<Part> = Vec::new();
    let mut turns: Vec<Message> = Vec::new();
    for (index, message) in std::mem::take(&mut request.messages).into_iter().enumerate() {
        let place = crate::json::nth("messages", index);
        let is_system = matches!(message.role, Role::System | Role::Developer);
        if is_system && !turns.is_empty() {
            losses.default(&place, "moved into the system prompt");
        }
        losses.extra(&place, &message.extra)?;
        let role = message.role;
        let mut parts = Vec::with_capacity(message.parts.len());
        for (index, part) in message.parts.into_iter().enumerate() {
            let place = match part.body {
                PartBody::ToolCall { .. } => format!("{place}.tool_calls"),
                PartBody::ToolResult { .. } => place.clone(),
                _ => format!("{place}.content[{index}]"),
            };
            parts.extend(fit_part(part, (role, family), &place, losses)?);
        }
        if is_system {
            system.append(&mut parts);
            continue;
        }
        match turns.last_mut().filter(|last| last.role == role) {
            Some(last) => last.parts.append(&mut parts),
            None if parts.is_empty() => {}
            None => turns.push(Message { role, parts, extra: Extra::new() }),
        }
    }
    match turns.first() {
        None => {
            return Err(Fault::no_word(
                Dialect::Bedrock,
                "messages",
                "at least one turn with content is needed",
            ));
        }
        Some(first) if first.role == Role::Assistant => {
            return Err(Fault::no_word(Dialect::Bedrock, "messages", "the first turn must be the user's"));
        }
        Some(_) => {}
    }
    fit_documents(&mut turns, losses)?;
    for turn in &mut turns {
        turn.parts.sort_by_key(|part| !matches!(part.body, PartBody::ToolResult { .. }));
    }
    if !system.is_empty() {
        request.messages.push(Message { role: Role::System, parts: system, extra: Extra::new() });
    }
    request.messages.append(&mut turns);
    Ok(())
}

fn fit_part(
    mut part: Part,
    (role, family): (Role, Family),
    place: &str,
    losses: &mut Losses,
) -> Result<Option<Part>, Fault> {
    let mut kept = Extra::new();
    for (name, value) in std::mem::take(&mut part.extra) {
        match name.strip_prefix(KEPT) {
            Some(shared) => kept.push((shared.to_owned(), value)),
            None => losses.extra(place, &vec![(name, value)])?,
        }
    }
    part.extra = kept;
    part.signature = None;
    if !part.citations.is_empty() {
        // The words stay; where they came from is for readers.
        part.citations.clear();
        losses.drop(&format!("{place}.citations"));
    }
    let is_shown = matches!(
        part.body,
        PartBody::Image { .. } | PartBody::Document { .. } | PartBody::Audio { .. } | PartBody::Video { .. }
    );
    if is_shown && role != Role::User {
        losses.refuse(place, "only a turn of the user shows images, documents, sound or pictures")?;
        return Ok(None);
    }
    match &mut part.body {
        // Empty text is refused, and says nothing.
        PartBody::Text(text) | PartBody::Refusal(text) if text.trim().is_empty() => return Ok(None),
        PartBody::Text(_) | PartBody::Refusal(_) => {}
        PartBody::Image { source, detail } => {
            if detail.take().is_some_and(|detail| detail != "auto") {
                losses.drop(&format!("{place}.image_url.detail"));
            }
            return Ok(fits(source, Kind::Image, place, losses)?.then_some(part));
        }
        PartBody::Document { source, .. } => {
            if let Source::Text(text) = source {
                *source = Source::Base64 { media_type: "text/plain".to_owned(), data: STANDARD.encode(text) };
            }
            return Ok(fits(source, Kind::Document, place, losses)?.then_some(part));
        }
        PartBody::Audio { source } => return Ok(fits(source, Kind::Audio, place, losses)?.then_some(part)),
        PartBody::Video { source } => return Ok(fits(source, Kind::Video, place, losses)?.then_some(part)),
        PartBody::ToolCall { id, arguments, .. } => {
            fit_id(id, LONGEST_ID);
            claude::check_arguments(arguments, place, Dialect::Bedrock)?;
        }
        PartBody::ToolResult { id, content, .. } => {
            fit_id(id, LONGEST_ID);
            part.cache = fit_result(content, part.cache.take(), family, place, losses)?;
        }
        PartBody::Thinking { signature, .. } => {
            if !signature.as_ref().is_some_and(|signature| is_known(signature, family)) {
                losses.drop(&format!("{place}.reasoning_content"));
                return Ok(None);
            }
        }
        PartBody::RedactedThinking { data } => {
            if !is_known(data, family) {
                losses.drop(&format!("{place}.reasoning_content"));
                return Ok(None);
            }
        }
        PartBody::Opaque { kind, .. } => {
            losses.refuse(place, &format!("parts of the type `{kind}` exist only in their own dialect"))?;
            return Ok(None);
        }
    }
    Ok(Some(part))
}

/// Whether the model takes a seal. Those of Claude models are good on every platform that has them, as their maker says;
/// a seal that came from Converse may be of any model, so it goes back to Converse alone.
fn is_known(signature: &Signature, family: Family) -> bool {
    signature.for_maker(Dialect::Bedrock).is_some()
        || family == Family::Claude && signature.for_maker(Dialect::Anthropic).is_some()
}

/// The parts of a tool's result; a mark for the cache stands after the whole result.
fn fit_result(
    content: &mut Vec<Part>,
    mut mark: Option<crate::Json>,
    family: Family,
    place: &str,
    losses: &mut Losses,
) -> Result<Option<crate::Json>, Fault> {
    let mut fit = Vec::with_capacity(content.len());
    for part in std::mem::take(content) {
        let place = format!("{place}.content");
        if matches!(part.body, PartBody::Audio { .. }) {
            losses.refuse(&place, "the result of a tool holds no sound")?;
            continue;
        }
        if let Some(mut part) = fit_part(part, (Role::User, family), &place, losses)? {
            mark = mark.or(part.cache.take());
            fit.push(part);
        }
    }
    *content = fit;
    Ok(mark)
}

/// Whether bytes are there and of a format with a word.
fn fits(source: &Source, kind: Kind, place: &str, losses: &mut Losses) -> Result<bool, Fault> {
    let why = match source {
        Source::Base64 { media_type, .. } if kind.format(media_type).is_some() => return Ok(true),
        Source::Base64 { media_type, .. } => format!("`{media_type}` is not a format it takes"),
        Source::Url(url) if url.starts_with("s3://") => return Ok(true),
        Source::Url(_) => "only bytes are taken, not addresses".to_owned(),
        Source::File(_) => "an uploaded file is known only to the provider that has it".to_owned(),
        Source::Text(_) => return Ok(true),
    };
    losses.refuse(place, &why)?;
    Ok(false)
}

/// Documents have unique names of few letters, are five at most in a turn, and need a text beside them.
fn fit_documents(turns: &mut [Message], losses: &mut Losses) -> Result<(), Fault> {
    let mut used: Vec<String> = Vec::new();
    for turn in turns {
        let (mut count, mut shown, mut says) = (0, false, false);
        for part in &mut turn.parts {
            says |= matches!(part.body, PartBody::Text(_));
            shown |= matches!(part.body, PartBody::Document { .. });
            match &mut part.body {
                PartBody::ToolResult { content, .. } => {
                    content.iter_mut().for_each(|part| count += name_document(part, &mut used));
                }
                _ => count += name_document(part, &mut used),
            }
        }
        if count > MOST_DOCUMENTS {
            let why = "at most 5 documents are taken in one turn";
            return Err(Fault::no_word(Dialect::Bedrock, "messages", why));
        }
        if shown && !says {
            losses.default("messages", "a text beside the documents");
            turn.parts.push(PartBody::Text("See the documents.".to_owned()).into());
        }
    }
    Ok(())
}

/// Gives a document a name; tells how many documents that was.
fn name_document(part: &mut Part, used: &mut Vec<String>) -> usize {
    let PartBody::Document { name, .. } = &mut part.body else { return 0 };
    let wanted = plain_name(name.as_deref().unwrap_or_default());
    let wanted = if wanted.is_empty() { format!("Document {}", used.len() + 1) } else { wanted };
    let mut unique = wanted.clone();
    let mut number = 2;
    while used.contains(&unique) {
        unique = format!("{wanted} ({number})");
        number += 1;
    }
    used.push(unique.clone());
    *name = Some(unique);
    1
}

/// A name of letters, digits, single spaces, hyphens, parentheses and brackets.
fn plain_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let spaced: String = name.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(LONGEST_NAME - 8).collect::<String>().trim_end().to_owned()
}
