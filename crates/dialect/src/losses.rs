//! What a translation leaves out or makes up, and when it refuses instead.
//!
//! Losing what decides the answer is refused unless the target is allowed to drop it; losing a hint is always told.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    Dialect, Fault, OnUnsupported, TargetShape, anthropic, bedrock,
    canonical::{Extra, Json, Logprobs, PartBody, Request},
    cohere, gemini, openai, responses,
    signature::unseal_id,
};

/// What is lost when a field without a canonical word is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its value says what would hold anyway.
    Nothing,
    /// Speed, price or bookkeeping, but not the answer.
    Hint,
    /// The answer would be another one.
    Meaning,
    /// A promise about where or how data is kept: never dropped.
    Duty,
    /// What the call is about, kept by another provider: never dropped.
    Kept,
}

/// The account of one translation.
#[derive(Debug)]
pub(crate) struct Losses {
    pub(crate) origin: Dialect,
    target: Dialect,
    on_unsupported: OnUnsupported,
    pub(crate) dropped: Vec<String>,
    pub(crate) defaulted: Vec<(String, String)>,
}

impl Losses {
    pub(crate) fn new(origin: Dialect, target: &TargetShape<'_>) -> Self {
        Self {
            origin,
            target: target.dialect,
            on_unsupported: target.on_unsupported,
            dropped: Vec::new(),
            defaulted: Vec::new(),
        }
    }

    /// Whether the target speaks the dialect that the request came in.
    pub(crate) fn is_home(&self) -> bool {
        self.origin == self.target
    }

    /// Tells that a field was left out; places lose their numbers, so that the list stays short.
    pub(crate) fn drop(&mut self, place: &str) {
        let place = without_numbers(place);
        if !self.dropped.contains(&place) {
            self.dropped.push(place);
        }
    }

    /// Tells that a field has a value the caller did not choose.
    pub(crate) fn default(&mut self, place: &str, value: impl Into<String>) {
        self.defaulted.push((place.to_owned(), value.into()));
    }

    /// Refuses, or where dropping is allowed, drops.
    pub(crate) fn refuse(&mut self, place: &str, why: &str) -> Result<(), Fault> {
        match self.on_unsupported {
            OnUnsupported::Refuse => Err(Fault::no_word(self.target, place, why)),
            OnUnsupported::Drop => {
                self.drop(place);
                Ok(())
            }
        }
    }

    /// Whether a value that does not fit may be bent until it does.
    pub(crate) fn may_bend(&self) -> bool {
        self.on_unsupported == OnUnsupported::Drop
    }

    /// Accounts for fields without a canonical word that do not go home.
    pub(crate) fn extra(&mut self, place: &str, extra: &Extra) -> Result<(), Fault> {
        for (name, value) in extra {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            match self.loss(name, value) {
                Loss::Nothing => {}
                Loss::Hint => self.drop(&place),
                Loss::Meaning => self.refuse(&place, "there is no word for it")?,
                Loss::Duty => {
                    return Err(Fault::no_word(self.target, &place, "it is a promise that would be broken"));
                }
                Loss::Kept => {
                    let why =
                        "what it names is kept by the provider that made it; send the whole conversation";
                    return Err(Fault::no_word(self.target, &place, why));
                }
            }
        }
        Ok(())
    }

    fn loss(&self, name: &str, value: &Json) -> Loss {
        match self.origin {
            Dialect::OpenAi => openai::request::loss(name, value.text()),
            Dialect::Responses => responses::request::loss(name, value.text()),
            Dialect::Anthropic => anthropic::request::loss(name, value.text()),
            Dialect::Gemini => gemini::request::loss(name, value.text()),
            Dialect::Bedrock => bedrock::request::loss(name, value.text()),
            Dialect::Cohere => cohere::request::loss(name, value.text()),
        }
    }
}

/// Which of the options that not every dialect has a target takes.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts about a dialect")]
pub(crate) struct Takes {
    pub(crate) seed: bool,
    pub(crate) penalties: bool,
    pub(crate) logprobs: bool,
    pub(crate) n: bool,
    pub(crate) metadata: bool,
    pub(crate) service_tier: bool,
}

/// Refuses or leaves out the options that the target does not take. What asks for the usual loses nothing.
pub(crate) fn fit_options(request: &mut Request, takes: Takes, losses: &mut Losses) -> Result<(), Fault> {
    const WHY: &str = "there is no word for it";
    if !takes.seed && request.seed.take().is_some() {
        losses.refuse("seed", WHY)?;
    }
    if !takes.penalties {
        if request.frequency_penalty.take().is_some_and(|penalty| penalty != 0.0) {
            losses.refuse("frequency_penalty", WHY)?;
        }
        if request.presence_penalty.take().is_some_and(|penalty| penalty != 0.0) {
            losses.refuse("presence_penalty", WHY)?;
        }
    }
    let asks = |logprobs: Logprobs| logprobs.enabled || logprobs.top.is_some_and(|top| top > 0);
    if !takes.logprobs && request.logprobs.take().is_some_and(asks) {
        losses.refuse("logprobs", WHY)?;
    }
    if !takes.n && request.n.take().is_some_and(|n| n != 1) {
        losses.refuse("n", "one answer is given")?;
    }
    if !takes.metadata && request.metadata.take().is_some_and(|metadata| metadata.text() != "{}") {
        losses.drop("metadata");
    }
    if !takes.service_tier && request.service_tier.take().is_some() {
        losses.drop("service_tier");
    }
    Ok(())
}

/// The longest id of a tool call that most providers take.
pub(crate) const LONGEST_ID: usize = 64;

/// Makes an id of a tool call one that every provider takes: so many letters, digits, `_` and `-` at most. The same id becomes
/// the same one in a call and in its result, and different ids stay different. A provider looks for nothing but such pairs.
pub(crate) fn fit_id(id: &mut String, longest: usize) {
    // A seal in the id is for the maker of the seal alone.
    if let (bare, Some(_)) = unseal_id(id) {
        *id = bare.to_owned();
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=longest).contains(&id.len()) && id.chars().all(is_plain) {
        return;
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let start: String =
        id.chars().map(|c| if is_plain(c) { c } else { '_' }).take(longest.saturating_sub(17)).collect();
    *id = format!("{start}-{:016x}", hasher.finish());
}

/// Takes the seals out of all ids of tool calls: they are for their makers alone.
pub(crate) fn unseal_ids(request: &mut Request) {
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let PartBody::ToolCall { id, .. } | PartBody::ToolResult { id, .. } = &mut part.body
            && let (bare, Some(_)) = unseal_id(id)
        {
            *id = bare.to_owned();
        }
    }
}

/// `messages[3].content[0].x` as `messages[].content[].x`.
pub(crate) fn without_numbers(place: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        !inside || *c == '['
    };
    place.chars().filter(keep).collect()
}

/// Makes ids of calls distinct over the whole conversation, each with its results: some servers begin anew with every answer,
/// and other providers refuse that.
pub(crate) fn distinct_ids(request: &mut Request) {
    let mut times: HashMap<String, u32> = HashMap::new();
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        let (id, seen) = match &mut part.body {
            PartBody::ToolCall { id, .. } => {
                let seen = times.entry(id.clone()).or_default();
                *seen += 1;
                (id, *seen)
            }
            PartBody::ToolResult { id, .. } => {
                let seen = times.get(id.as_str()).copied().unwrap_or_default();
                (id, seen)
            }
            _ => continue,
        };
        if seen > 1 {
            *id = format!("{id}--{seen}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn places_lose_their_numbers() {
        assert_eq!(without_numbers("messages[13].content[0].x"), "messages[].content[].x");
        assert_eq!(without_numbers("seed"), "seed");
    }
}
