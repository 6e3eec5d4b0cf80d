//! What is answered, whatever the dialect: an echo of the last words, a tool call when one is asked for, a quote of a tool's result.
//! The same request always gets the same reply. Pure; it must not know a wire format.

use serde_json::Value;

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
    pub(crate) reasoning_tokens: u64,
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
}

#[derive(Debug)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    StopSequence(String),
    Length,
    ToolCalls,
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

/// The longest echo, in words: an answer need not be as long as a book that was asked about.
const ECHOED_WORDS: usize = 200;

/// Makes the reply.
pub(crate) fn reply(ask: &Ask<'_>, behaviour: &Behaviour) -> Reply {
    let calls = calls(ask, behaviour);
    let (text, finish) =
        if calls.is_empty() { text(ask, behaviour) } else { (String::new(), Finish::ToolCalls) };
    let reasoning = behaviour.reasoning_tokens.unwrap_or(ask.reasoning_tokens);
    let spoken = pieces(&text) + calls.iter().map(ToolCall::tokens).sum::<u64>();
    let billed = Billed { output: spoken + reasoning, reasoning, ..input(ask.input_tokens, behaviour) };
    Reply { text, calls, finish, billed }
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
        tokens_of(&self.name) + tokens_of(&self.arguments.to_string())
    }
}

fn calls(ask: &Ask<'_>, behaviour: &Behaviour) -> Vec<ToolCall> {
    if behaviour.text.is_some() && behaviour.tool.is_none() {
        return Vec::new();
    }
    let named = |name: &str| ask.tools.iter().filter(|tool| tool.name == name).copied().collect::<Vec<_>>();
    let asked = || {
        ask.tools.iter().filter(|tool| is_asked_for(tool.name, &ask.last_text)).copied().collect::<Vec<_>>()
    };
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
    chosen.into_iter().take(ask.max_calls).map(|tool| call(&tool)).collect()
}

fn call(tool: &Tool<'_>) -> ToolCall {
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
    use serde_json::json;

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
