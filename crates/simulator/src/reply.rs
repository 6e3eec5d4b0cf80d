//! What is answered, whatever the dialect: an echo of the last words, a tool call when one is asked for, a quote of a tool's result.
//! The same request always gets the same reply. Pure; it must not know a wire format.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::schema;

/// What a request asks for, in no dialect's terms.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    /// The last thing the user said.
    pub(crate) last_text: String,
    /// The result of a tool, when that is what the conversation ends with.
    pub(crate) tool_result: Option<String>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) choice: Choice,
    pub(crate) max_calls: usize,
    pub(crate) input_tokens: u64,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stops: &'a [String],
    /// A schema that the text has to satisfy as JSON.
    pub(crate) schema: Option<&'a Value>,
    /// What is spent on thinking that nobody sees.
    pub(crate) reasoning_tokens: u64,
    /// Whether thoughts were asked for.
    pub(crate) thinks: bool,
    /// How many alternatives of each token were asked for, if log probabilities were.
    pub(crate) logprobs: Option<usize>,
    /// Whether citations were asked for.
    pub(crate) cites: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool<'a> {
    pub(crate) name: &'a str,
    pub(crate) schema: &'a Value,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Auto,
    Never,
    Any,
    Named(String),
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) finish: Finish,
    pub(crate) billed: Billed,
    /// What was thought before, when that is shown.
    pub(crate) thought: Option<&'static str>,
    /// Whether the text cites [`SOURCE`].
    pub(crate) cites: bool,
    pub(crate) logprobs: Option<usize>,
    /// Whether there is no choice at all.
    pub(crate) is_empty: bool,
    /// Whether something that nobody knows comes first.
    pub(crate) has_unknown: bool,
}

#[derive(Debug)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// An object, unless scripted otherwise.
    pub(crate) arguments: Value,
}

/// What is thought when thinking was asked for.
pub(crate) const THOUGHT: &str = "Let me see what was asked and then answer it.";

/// What is said instead of an answer.
const REFUSAL: &str = "I cannot help with that.";

/// What every citation names.
pub(crate) const SOURCE: Source =
    Source { title: "A simulated source", url: "https://example.com/simulated", text: "As was simulated." };

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) title: &'static str,
    pub(crate) url: &'static str,
    pub(crate) text: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    StopSequence(String),
    Length,
    ToolCalls,
    Refused,
}

const LOREM: [&str; 16] = [
    "lorem ",
    "ipsum ",
    "dolor ",
    "sit ",
    "amet ",
    "consectetur ",
    "adipiscing ",
    "elit ",
    "sed ",
    "do ",
    "eiusmod ",
    "tempor ",
    "incididunt ",
    "ut ",
    "labore ",
    "magna ",
];

/// For requests that want JSON and name no schema: any object will do.
pub(crate) static ANY_OBJECT: LazyLock<Value> =
    LazyLock::new(|| json!({"properties": {"answer": {"type": "string"}}}));

/// The longest echo, in words: an answer need not be as long as a book that was asked about.
const ECHOED_WORDS: usize = 200;

/// Makes the reply.
pub(crate) fn reply(ask: &Ask<'_>, behaviour: &Behaviour) -> Reply {
    let is_empty = Behaviour::is_on(behaviour.empty_choices);
    let calls = if is_empty { Vec::new() } else { calls(ask, behaviour) };
    let (text, finish) = if is_empty {
        (String::new(), Finish::Stop)
    } else if Behaviour::is_on(behaviour.refusal) {
        (REFUSAL.to_owned(), Finish::Refused)
    } else if calls.is_empty() {
        text(ask, behaviour)
    } else {
        (String::new(), Finish::ToolCalls)
    };
    let thought = behaviour.thinking.unwrap_or(ask.thinks).then_some(THOUGHT).filter(|_| !is_empty);
    let unseen = if behaviour.thinking == Some(false) { 0 } else { ask.reasoning_tokens };
    let reasoning = behaviour.reasoning_tokens.unwrap_or_else(|| thought.map_or(unseen, pieces));
    let spoken = pieces(&text) + calls.iter().map(ToolCall::tokens).sum::<u64>();
    let billed = Billed { output: spoken + reasoning, reasoning, ..input(ask.input_tokens, behaviour) };
    let cites = behaviour.citations.unwrap_or(ask.cites) && !text.is_empty() && finish != Finish::Refused;
    let logprobs = match behaviour.logprobs {
        Some(true) => Some(ask.logprobs.unwrap_or(1)),
        Some(false) => None,
        None => ask.logprobs,
    };
    let has_unknown = Behaviour::is_on(behaviour.unknown_blocks);
    Reply { text, calls, finish, billed, thought, cites, logprobs, is_empty, has_unknown }
}

/// The input side of the bill. Scripted cache counts are part of the input, which grows when they say so.
pub(crate) fn input(counted: u64, behaviour: &Behaviour) -> Billed {
    let cached = behaviour.cached_tokens.unwrap_or(0);
    let cache_write = behaviour.cache_write_tokens.unwrap_or(0);
    let input = behaviour.input_tokens.unwrap_or(counted).max(cached.saturating_add(cache_write));
    Billed { input, cached, cache_write, output: 0, reasoning: 0 }
}

/// Tokens of a text that is read: a quarter of its characters, rounded up.
pub(crate) fn tokens_of(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX)
}

/// Tokens of a text that is written: its words.
pub(crate) fn pieces(text: &str) -> u64 {
    u64::try_from(text.split_inclusive(' ').count()).unwrap_or(u64::MAX)
}

impl ToolCall {
    /// Counted as what is written: name and arguments.
    pub(crate) fn tokens(&self) -> u64 {
        tokens_of(&self.name) + tokens_of(&self.written())
    }

    /// The arguments as a text. Bad ones break off.
    pub(crate) fn written(&self) -> String {
        match &self.arguments {
            Value::String(bad) => bad.clone(),
            arguments => arguments.to_string(),
        }
    }
}

/// What a log probability is, whatever the token: the first alternative is the token itself, each further one half as likely.
pub(crate) fn logprob(alternative: usize) -> f64 {
    let alternative = u32::try_from(alternative).unwrap_or(u32::MAX);
    -0.25 - std::f64::consts::LN_2 * f64::from(alternative)
}

/// The tokens of a text and, for each, its alternatives with their log probabilities, itself first.
pub(crate) fn alternatives(text: &str, count: usize) -> Vec<(&str, Vec<(String, f64)>)> {
    let of = |token: &str| {
        let others = (1..count).map(|other| (format!("other{other} "), logprob(other)));
        std::iter::once((token.to_owned(), logprob(0))).take(count).chain(others).collect()
    };
    text.split_inclusive(' ').map(|token| (token, of(token))).collect()
}

fn calls(ask: &Ask<'_>, behaviour: &Behaviour) -> Vec<ToolCall> {
    let is_scripted = behaviour.tool.is_some() || behaviour.parallel_tools.is_some();
    if Behaviour::is_on(behaviour.refusal)
        || ((behaviour.text.is_some() || behaviour.huge_chunk.is_some()) && !is_scripted)
    {
        return Vec::new();
    }
    let named = |name: &str| ask.tools.iter().filter(|tool| tool.name == name).copied().collect::<Vec<_>>();
    let asked = || {
        ask.tools.iter().filter(|tool| is_asked_for(tool.name, &ask.last_text)).copied().collect::<Vec<_>>()
    };
    if let Some(count) = behaviour.parallel_tools {
        let offered = behaviour.tool.as_ref().map_or_else(|| ask.tools.clone(), |name| named(name));
        let count = usize::try_from(count.get()).unwrap_or(usize::MAX).min(MOST_CALLS).min(ask.max_calls);
        return offered.iter().cycle().take(count).map(|tool| call(tool, behaviour)).collect();
    }
    let chosen = match (&behaviour.tool, &ask.choice) {
        (Some(name), _) => named(name),
        (None, Choice::Never) => Vec::new(),
        (None, Choice::Named(name)) => named(name),
        (None, Choice::Auto) if ask.tool_result.is_some() => Vec::new(),
        (None, Choice::Auto) => asked(),
        (None, Choice::Any) => {
            let asked = asked();
            if asked.is_empty() { ask.tools.first().copied().into_iter().collect() } else { asked }
        }
    };
    chosen.into_iter().take(ask.max_calls).map(|tool| call(&tool, behaviour)).collect()
}

/// The most that `parallel_tools` gets.
const MOST_CALLS: usize = 128;

fn call(tool: &Tool<'_>, behaviour: &Behaviour) -> ToolCall {
    if Behaviour::is_on(behaviour.bad_arguments) {
        return ToolCall { name: tool.name.to_owned(), arguments: Value::from("{\"broken\": ") };
    }
    let arguments = match schema::sample(tool.schema, "value") {
        arguments @ Value::Object(_) => arguments,
        _ => Value::Object(serde_json::Map::new()),
    };
    ToolCall { name: tool.name.to_owned(), arguments }
}

/// A text asks for a tool when it says its name, or a word of four letters or more out of it.
fn is_asked_for(name: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let name = name.to_lowercase();
    text.contains(&name)
        || name
            .split(['_', '-', '.'])
            .filter(|word| word.chars().count() >= 4)
            .any(|word| text.contains(word))
}

fn text(ask: &Ask<'_>, behaviour: &Behaviour) -> (String, Finish) {
    let mut text = said(ask, behaviour);
    if let Some(tokens) = behaviour.tokens {
        text = of_length(&text, u64::from(tokens.get()));
    }
    let mut finish = Finish::Stop;
    let stop = ask
        .stops
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| Some((text.find(stop.as_str())?, stop)));
    if let Some((position, stop)) = stop.min_by_key(|(position, _)| *position) {
        finish = Finish::StopSequence(stop.clone());
        text.truncate(position);
    }
    if let Some(most) = ask.max_tokens.filter(|most| pieces(&text) > *most) {
        finish = Finish::Length;
        text = of_length(&text, most);
    }
    (text, finish)
}

fn said(ask: &Ask<'_>, behaviour: &Behaviour) -> String {
    if let Some(size) = behaviour.huge_chunk {
        return "x".repeat(usize::try_from(size.get()).unwrap_or(usize::MAX));
    }
    if let Some(text) = &behaviour.text {
        return text.clone();
    }
    if let Some(result) = &ask.tool_result {
        return format!("The tool answered: {}", first_words(result));
    }
    if let Some(schema) = ask.schema {
        return schema::sample(schema, "value").to_string();
    }
    if ask.last_text.is_empty() {
        return "You said nothing.".to_owned();
    }
    format!("You said: {}", first_words(&ask.last_text))
}

fn first_words(text: &str) -> String {
    text.split_inclusive(' ').take(ECHOED_WORDS).collect()
}

/// The first words of `text`, filled up to `tokens` words.
fn of_length(text: &str, tokens: u64) -> String {
    let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
    let have = text.split_inclusive(' ').count();
    if have >= tokens {
        return text.split_inclusive(' ').take(tokens).collect();
    }
    let gap = if text.is_empty() || text.ends_with(' ') { "" } else { " " };
    [text, gap].into_iter().chain(LOREM.into_iter().cycle().take(tokens - have)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Ask<'static> {
        Ask { last_text: text.to_owned(), max_calls: usize::MAX, ..Ask::default() }
    }

    #[test]
    fn a_plain_reply_echoes_and_counts_its_words() {
        let reply = reply(&ask("good day"), &Behaviour::default());
        assert_eq!(reply.text, "You said: good day");
        assert_eq!((reply.billed.output, reply.finish), (4, Finish::Stop));
    }

    #[test]
    fn a_scripted_length_is_met_exactly() {
        for tokens in ["1", "3", "50"] {
            let behaviour = Behaviour::parse(&format!("tokens={tokens}")).unwrap();
            let reply = reply(&ask("good day"), &behaviour);
            assert_eq!(reply.billed.output.to_string(), tokens);
            assert_eq!(reply.text.split_inclusive(' ').count().to_string(), tokens);
        }
    }

    #[test]
    fn the_limit_and_stop_sequences_end_a_reply() {
        let limited = reply(&Ask { max_tokens: Some(2), ..ask("good day") }, &Behaviour::default());
        assert_eq!((limited.text.as_str(), limited.finish), ("You said: ", Finish::Length));

        let stops = ["day".to_owned(), "goo".to_owned()];
        let stopped = reply(&Ask { stops: &stops, ..ask("good day") }, &Behaviour::default());
        assert_eq!(
            (stopped.text.as_str(), stopped.finish),
            ("You said: ", Finish::StopSequence("goo".to_owned()))
        );
    }

    #[test]
    fn a_tool_is_called_when_asked_for_or_forced_and_not_after_its_result() {
        let schema = json!({"properties": {"city": {"type": "string"}}});
        let with = |text: &str, choice: Choice, result: Option<&str>| {
            let tools = vec![Tool { name: "get_weather", schema: &schema }];
            let ask = Ask { tools, choice, tool_result: result.map(str::to_owned), ..ask(text) };
            reply(&ask, &Behaviour::default())
        };
        assert_eq!(
            with("How is the weather?", Choice::Auto, None).calls[0].arguments,
            json!({"city": "city"})
        );
        assert!(with("How are you?", Choice::Auto, None).calls.is_empty());
        assert_eq!(with("How are you?", Choice::Any, None).finish, Finish::ToolCalls);
        assert_eq!(with("Hi", Choice::Named("get_weather".into()), None).calls[0].name, "get_weather");
        assert!(with("weather", Choice::Never, None).calls.is_empty());
        assert_eq!(with("weather", Choice::Auto, Some("12 degrees")).text, "The tool answered: 12 degrees");
    }

    #[test]
    fn scripted_cache_counts_are_part_of_the_input() {
        let billed = input(10, &Behaviour::parse("cached_tokens=30,cache_write_tokens=5").unwrap());
        assert_eq!((billed.input, billed.cached, billed.cache_write), (35, 30, 5));
    }
}
