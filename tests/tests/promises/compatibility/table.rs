//! The document: a summary, then one table per caller, then what does not work and why.

use std::collections::BTreeMap;

use super::{Behind, Cell, Feature, Outcome};

const HEAD: &str = "\
# Compatibility

Which SDK works with which provider behind the proxy. `make compatibility` prints this document: it starts a control plane, a proxy and
the simulated providers, runs the real client libraries against the proxy, and writes down what came of each call. `make test` fails when
what is written here is not what a run gives.

The application's calls are the same in every column: only the policy says who serves them.

- **yes**: what the library's own objects show is what it must be: text, tool names and arguments, stop reason, and tokens equal to the provider's bill.
- **refused**: this provider has no word for it. The call is refused before it is sent, with the field named.
  With `on_unsupported: drop` in the policy the field is left out instead, and a header says so.
- **no**: it does not work; the last section lists such cells.
- **–**: the library has no way to ask for it, or the provider nothing to answer it with, such as embeddings.

Libraries are as pinned in `tests/sdk`. Bedrock's own SDK speaks to the proxy's pass-through (`/providers/NAME`), so it has one column; it sends
API keys over HTTPS alone, so that without TLS in front of the proxy the key goes into a header by an event hook, as in
`tests/sdk/matrix/bedrock_runtime.py`.
";

/// The whole document.
pub(super) fn document(cells: &[Cell], features: &[Feature], providers: &[Behind]) -> String {
    let mut callers: Vec<&str> = Vec::new();
    for cell in cells {
        if !callers.contains(&cell.caller.as_str()) {
            callers.push(&cell.caller);
        }
    }
    let found: BTreeMap<(&str, &str, &str), &Outcome> = cells
        .iter()
        .map(|cell| ((cell.caller.as_str(), cell.provider.as_str(), cell.feature.as_str()), &cell.outcome))
        .collect();
    let mut text = HEAD.to_owned();
    text += "\n## Summary\n\nFeatures that work, of those that the library can ask for; the others are refused by name (R) or do not work (N).\n\n";
    text += &head("caller", providers);
    for caller in &callers {
        let row = providers.iter().map(|provider| summary(cells, caller, provider.name));
        text += &line(caller, row);
    }
    for caller in &callers {
        text += &format!("\n## {caller}\n\n");
        text += &head("feature", providers);
        for feature in features {
            let outcomes: Vec<Option<&&Outcome>> = providers
                .iter()
                .map(|provider| found.get(&(*caller, provider.name, feature.id.as_str())))
                .collect();
            if outcomes.iter().any(Option::is_some) {
                text += &line(&feature.title, outcomes.into_iter().map(|outcome| shown(outcome.copied())));
            }
        }
    }
    text + &reasons(cells, features, providers)
}

fn head(first: &str, providers: &[Behind]) -> String {
    let titles = providers.iter().map(|provider| provider.title.to_owned());
    line(first, titles) + &line("---", providers.iter().map(|_| "---".to_owned()))
}

fn line(first: &str, rest: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = rest.collect();
    format!("| {first} | {} |\n", cells.join(" | "))
}

fn shown(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "–".to_owned(),
        Some(Outcome::Yes) => "yes".to_owned(),
        Some(Outcome::Refused(what)) if what.contains(' ') => format!("refused: {what}"),
        Some(Outcome::Refused(field)) => format!("refused: `{field}`"),
        Some(Outcome::No(_)) => "**no**".to_owned(),
    }
}

fn summary(cells: &[Cell], caller: &str, provider: &str) -> String {
    let of: Vec<&Cell> =
        cells.iter().filter(|cell| cell.caller == caller && cell.provider == provider).collect();
    let count = |is: fn(&Outcome) -> bool| of.iter().filter(|cell| is(&cell.outcome)).count();
    let yes = count(|outcome| *outcome == Outcome::Yes);
    let refused = count(|outcome| matches!(outcome, Outcome::Refused(_)));
    let no = count(|outcome| matches!(outcome, Outcome::No(_)));
    let mut text = format!("{yes} of {}", of.len());
    for (number, letter) in [(refused, "R"), (no, "N")] {
        if number > 0 {
            text += &format!(", {number} {letter}");
        }
    }
    if of.is_empty() { "–".to_owned() } else { text }
}

fn reasons(cells: &[Cell], features: &[Feature], providers: &[Behind]) -> String {
    let title =
        |id: &str| features.iter().find(|feature| feature.id == id).map_or("", |feature| &feature.title);
    let behind = |name: &str| providers.iter().find(|one| one.name == name).map_or("", |one| one.title);
    let mut text = String::new();
    for cell in cells {
        if matches!(cell.outcome, Outcome::No(_)) {
            text += &format!("- {}, {}: {}\n", cell.caller, behind(&cell.provider), title(&cell.feature));
        }
    }
    if text.is_empty() { text } else { format!("\n## What does not work\n\n{text}") }
}

/// Lines of one that the other has not.
pub(super) fn differences(published: &str, found: &str) -> String {
    let only = |of: &str, other: &str, sign: &str| {
        let lines = of.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(|line| format!("{sign}{line}\n")).collect::<String>()
    };
    if published == found {
        String::new()
    } else {
        only(published, found, "-") + &only(found, published, "+") + "."
    }
}
