//! What a condition can ask about a call, and how the CEL interpreter reads it: borrowed, and only what is asked for.

use std::{any::Any, collections::BTreeMap, fmt};

use cel::{
    ExecutionError,
    common::{
        traits::{Container, Indexer},
        types::{self, CelBool, CelInt, CelString, Type},
        value::{CowVal, StaticVal, Val},
    },
    context::VariableResolver,
};

/// Texts by name, such as headers. Names of headers are in lower case.
pub trait Lookup: Send + Sync {
    /// The text under this name.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Lookup for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

/// What is known about a call when it is routed.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Who calls: `caller.team`.
    pub caller: CallerFacts<'a>,
    /// The call's tags: `tags.project`.
    pub tags: &'a dyn Lookup,
    /// The model asked for: `model`.
    pub model: &'a str,
    /// The call's headers: `headers['x-feature']`. Those that carry credentials are hidden here, whatever is passed.
    pub headers: &'a dyn Lookup,
    /// `text`, `image` or `embedding`: `modality`.
    pub modality: &'a str,
    /// The number of tools offered: `tools`.
    pub tools: u32,
    /// Whether the answer is to be streamed: `stream`.
    pub stream: bool,
    /// The estimate of the input's tokens: `tokens`.
    pub tokens: u64,
}

/// Who calls.
#[derive(Clone, Copy)]
pub struct CallerFacts<'a> {
    /// `caller.organisation`.
    pub organisation: &'a str,
    /// `caller.team`.
    pub team: &'a str,
    /// `caller.application`.
    pub application: &'a str,
    /// The key's id: `caller.key`.
    pub key: &'a str,
    /// The consumer's labels: `caller.labels.tier`.
    pub labels: &'a dyn Lookup,
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("model", &self.model)
            .field("modality", &self.modality)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallerFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerFacts").field("team", &self.team).finish_non_exhaustive()
    }
}

impl Lookup for CallerFacts<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "organisation" => Some(self.organisation),
            "team" => Some(self.team),
            "application" => Some(self.application),
            "key" => Some(self.key),
            _ => None,
        }
    }
}

/// Headers that carry credentials: no condition sees them.
const HIDDEN_HEADERS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie"];

pub(crate) fn is_hidden_header(name: &str) -> bool {
    HIDDEN_HEADERS.contains(&name)
}

/// Answers the interpreter's questions for names. It asks for `caller.team` before it asks for `caller`, so most questions end in
/// a borrowed text without a map being made.
pub(super) struct Resolver<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) regexes: &'a [RegexValue],
}

/// What a regular expression is called in a prepared condition.
pub(super) fn regex_name(index: usize) -> String {
    format!("@regex{index}")
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let facts = self.facts;
        let whole = match variable {
            "model" => return Some(text(facts.model)),
            "modality" => return Some(text(facts.modality)),
            "stream" => return Some(CowVal::owned(CelBool::from(facts.stream))),
            "tools" => return Some(CowVal::owned(CelInt::from(i64::from(facts.tools)))),
            // The interpreter's unsigned numbers do not add to the literals people write.
            "tokens" => {
                return Some(CowVal::owned(CelInt::from(i64::try_from(facts.tokens).unwrap_or(i64::MAX))));
            }
            "tags" => Texts { texts: facts.tags, hides: false },
            "headers" => Texts { texts: facts.headers, hides: true },
            "caller" => Texts { texts: &facts.caller, hides: false },
            "caller.labels" => Texts { texts: facts.caller.labels, hides: false },
            _ => return self.resolve_part(variable),
        };
        Some(CowVal::owned(whole))
    }
}

impl<'a> Resolver<'a> {
    fn resolve_part<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(index) = variable.strip_prefix("@regex") {
            let regex = self.regexes.get(index.parse::<usize>().ok()?)?;
            return Some(CowVal::Borrowed(regex));
        }
        let (whole, name) = variable.split_once('.')?;
        let found = match (whole, name.strip_prefix("labels.")) {
            ("caller", Some(label)) => self.facts.caller.labels.get(label),
            ("caller", None) => self.facts.caller.get(name),
            ("tags", _) => self.facts.tags.get(name),
            ("headers", _) => Texts { texts: self.facts.headers, hides: true }.find(name),
            _ => None,
        };
        found.map(text)
    }
}

fn text<'b>(text: &'b str) -> CowVal<'b, 'b> {
    CowVal::owned(CelString::from(text))
}

/// Texts by name as a CEL map that answers without being copied. It cannot be iterated, which bounds what a condition costs.
#[derive(Clone, Copy)]
struct Texts<'a> {
    texts: &'a dyn Lookup,
    /// Whether names that carry credentials are hidden.
    hides: bool,
}

impl<'a> Texts<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        if self.hides && is_hidden_header(name) { None } else { self.texts.get(name) }
    }
}

impl fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts")
    }
}

impl Val for Texts<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &types::MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Texts<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(name) = index.downcast_ref::<CelString>() else {
            return Err(ExecutionError::no_such_key("a name that is not a text"));
        };
        match self.find(name.inner()) {
            // A copy: the trait does not let a text that lives as long as the call be told from one that lives for `'v`.
            Some(found) => Ok(CowVal::owned(CelString::from(found.to_owned()))),
            None => Err(ExecutionError::no_such_key(name.inner())),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Indexer::get(self.as_ref(), index).map(CowVal::into_owned)
    }
}

impl Container for Texts<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(value.downcast_ref::<CelString>().is_some_and(|name| self.find(name.inner()).is_some()))
    }
}

/// The type of prepared regular expressions.
pub(super) static REGEX: Type = Type::new_unspecified_type("frontdoor.regex");

/// A regular expression prepared once: the interpreter's own `matches` would compile it for every call.
#[derive(Debug, Clone)]
pub(super) struct RegexValue(pub(super) regex::Regex);

impl Val for RegexValue {
    fn get_type(&self) -> &Type {
        &REGEX
    }

    fn cel_type() -> &'static Type {
        &REGEX
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for RegexValue {}

/// `text.matches('…')` with a prepared regular expression.
#[expect(clippy::needless_pass_by_value, reason = "the interpreter calls functions of this type")]
pub(super) fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, regex] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    match (text.downcast_ref::<CelString>(), regex.downcast_ref::<RegexValue>()) {
        (Some(text), Some(regex)) => Ok(CowVal::owned(CelBool::from(regex.0.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error("matches", "it takes a text and a regular expression")),
    }
}

/// Calls `ask` with the facts of calls that have nothing and of calls that have a bit of everything.
pub(super) fn with_samples<E>(mut ask: impl FnMut(&Facts<'_>) -> Result<(), E>) -> Result<(), E> {
    struct Same(Option<&'static str>);
    impl Lookup for Same {
        fn get(&self, _: &str) -> Option<&str> {
            self.0
        }
    }
    for (texts, number) in [(Same(None), 0), (Same(Some("1")), 1)] {
        let word = if number == 0 { "" } else { "sample" };
        let caller =
            CallerFacts { organisation: word, team: word, application: word, key: word, labels: &texts };
        ask(&Facts {
            caller,
            tags: &texts,
            model: word,
            headers: &texts,
            modality: "text",
            tools: number,
            stream: number > 0,
            tokens: u64::from(number),
        })?;
    }
    Ok(())
}
