//! Names of tools that not every provider takes: they differ in length and letters. Others are bent, and in the answer the
//! caller's own come back. Both directions are worked out from the call alone, so nothing need be kept.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{
    Call, Dialect,
    canonical::{Part, PartBody, Request, Tool, ToolBody, ToolChoice},
};

/// The longest name that everybody takes, and what tells one name from another that is bent alike.
const LONGEST: usize = 64;
const MARK: usize = 17;

/// The tool by which a model gives an answer of a given form when it has no other way. It is nobody's own.
pub(crate) const ANSWER_TOOL: &str = "answer_in_this_form";

/// The names that are bent: the caller's and the one sent.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Names {
    bent: Vec<(String, String)>,
}

impl Names {
    /// The names of a call as a provider takes them. Definitions come before history, and a name that fits is never taken
    /// from its owner.
    pub(crate) fn of(request: &Request, provider: Dialect) -> Self {
        let mut names: Vec<&str> = request.tools.iter().filter_map(defined).collect();
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        names.extend(parts.filter_map(called));
        let mut bent: Vec<(String, String)> = Vec::new();
        for name in &names {
            if fits(name, provider) || bent.iter().any(|(known, _)| known == name) {
                continue;
            }
            let simple = bend(name);
            let is_taken = |wanted: &str| {
                names.contains(&wanted)
                    || wanted == ANSWER_TOOL
                    || bent.iter().any(|(_, known)| known == wanted)
            };
            // Where names are seldom bent, a bent one is known by its looks.
            let is_plain = provider == Dialect::Bedrock && !is_taken(&simple);
            let sent = if is_plain { simple } else { distinct(name, &simple) };
            bent.push(((*name).to_owned(), sent));
        }
        Self { bent }
    }

    /// Bends all names of a call.
    pub(crate) fn apply(&self, request: &mut Request) {
        if self.bent.is_empty() {
            return;
        }
        for tool in &mut request.tools {
            if let ToolBody::Function { name, .. } = &mut tool.body {
                self.replace(name);
            }
        }
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let PartBody::ToolCall { name, .. } = &mut part.body {
                self.replace(name);
            }
        }
        if let Some(ToolChoice::Named(name)) = &mut request.tool_choice {
            self.replace(name);
        }
    }

    fn replace(&self, name: &mut String) {
        if let Some((_, sent)) = self.bent.iter().find(|(known, _)| known == name) {
            name.clone_from(sent);
        }
    }
}

fn defined(tool: &Tool) -> Option<&str> {
    match &tool.body {
        ToolBody::Function { name, .. } => Some(name),
        ToolBody::Opaque { .. } => None,
    }
}

fn called(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::ToolCall { name, .. } => Some(name),
        _ => None,
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn fits(name: &str, provider: Dialect) -> bool {
    match provider {
        Dialect::OpenAi | Dialect::Responses => (1..=64).contains(&name.len()) && name.chars().all(is_plain),
        Dialect::Anthropic => (1..=128).contains(&name.len()) && name.chars().all(is_plain),
        Dialect::Bedrock => {
            (1..=64).contains(&name.len()) && name.chars().all(is_plain) && name != ANSWER_TOOL
        }
        Dialect::Gemini => {
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            begins && name.len() <= 128 && name.chars().all(|c| is_plain(c) || matches!(c, '.' | ':'))
        }
        // It does not say what it takes.
        Dialect::Cohere => true,
    }
}

/// Whether a name ends as one does that is bent and told apart.
fn looks_bent(name: &str) -> bool {
    let mark = name.len().checked_sub(MARK).and_then(|at| name.get(at..));
    mark.and_then(|mark| mark.strip_prefix('-'))
        .is_some_and(|mark| mark.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn bend(name: &str) -> String {
    let bent: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(LONGEST).collect();
    // Not everybody takes a name that begins with a digit or a hyphen.
    if bent.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        bent
    } else {
        format!("_{bent}").chars().take(LONGEST).collect()
    }
}

fn distinct(name: &str, simple: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let start: String = simple.chars().take(LONGEST - MARK).collect();
    format!("{start}-{:016x}", hasher.finish())
}

/// Gives the caller its own names back. The call is read again only when the model calls a tool.
#[derive(Debug)]
pub(crate) struct Restore {
    call: Call,
    provider: Dialect,
    names: Option<Names>,
}

impl Restore {
    pub(crate) fn new(call: &Call, provider: Dialect) -> Self {
        // A call of the provider's own dialect was sent as it is.
        let names = (call.dialect == provider).then(Names::default);
        Self { call: call.clone(), provider, names }
    }

    /// The caller's name for one that was sent.
    pub(crate) fn name(&mut self, sent: String) -> String {
        if self.provider != Dialect::Bedrock && !looks_bent(&sent) {
            return sent;
        }
        let (call, provider) = (&self.call, self.provider);
        let names = self.names.get_or_insert_with(|| match call.request() {
            Ok(request) => Names::of(&request, provider),
            Err(_) => Names::default(),
        });
        match names.bent.iter().find(|(_, known)| *known == sent) {
            Some((own, _)) => own.clone(),
            None => sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Restore;
    use crate::{Call, Dialect, Operation, TargetShape, encode_call};

    fn tools(names: &[&str]) -> Call {
        let tools: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({"type": "function", "function": {"name": name}}))
            .collect();
        let body = serde_json::json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "old/tool", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "done"},
            ],
            "tools": tools,
        });
        Call::decode((Dialect::OpenAi, Operation::Chat), body.to_string().into()).unwrap()
    }

    fn sent(call: &Call) -> Vec<String> {
        let body = encode_call(call, &TargetShape::new(Dialect::Bedrock, "m")).unwrap().body;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let tools = body["toolConfig"]["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["toolSpec"]["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn names_outside_the_charset_are_bent_and_come_back() {
        let long = "x".repeat(80);
        let own = ["get weather", "fs.read", &long, "fits-as_it_is"];
        let call = tools(&own);
        let mut restore = Restore::new(&call, Dialect::Bedrock);
        for (sent, own) in sent(&call).into_iter().zip(own) {
            assert!(sent.len() <= 64 && sent.chars().all(super::is_plain), "{sent}");
            assert_eq!(restore.name(sent), own);
        }
    }

    #[test]
    fn a_name_that_fits_keeps_its_owner_and_definitions_win_over_history() {
        let own = ["fs.read", "fs_read", "fs:read", "old_tool"];
        let call = tools(&own);
        let sent = sent(&call);
        assert_eq!(sent[1], "fs_read");
        assert_eq!(sent[3], "old_tool");
        assert_eq!(sent.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let mut restore = Restore::new(&call, Dialect::Bedrock);
        let back: Vec<String> = sent.into_iter().map(|name| restore.name(name)).collect();
        assert_eq!(back, own);
    }
}
