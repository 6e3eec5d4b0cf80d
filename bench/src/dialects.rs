//! What translation costs, as a table: reads what `cargo bench` measured, and writes it into bench/README.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use crate::table;

const BEGIN: &str = "<!-- dialects: written by `make bench` -->";
const END: &str = "<!-- end of dialects -->";

/// The most microseconds a call and its answer, a chunk, and a kilobyte of envelope should take.
const AIMS: [(&str, f64); 4] =
    [("call and answer", 5.0), ("with tools", 5.0), ("chunk", 1.5), ("envelope", 0.4)];

/// The order of rows and columns.
const NAMES: [&str; 10] = [
    "openai",
    "responses",
    "anthropic",
    "anthropic at bedrock",
    "gemini",
    "bedrock",
    "cohere",
    "1 KB",
    "1 KB with tools",
    "70 KB with tools",
];

/// What to make a table of.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where `cargo bench` left its measurements
    #[arg(long, default_value = "target/criterion")]
    from: PathBuf,
    /// The document that gets the table; printed only when left out
    #[arg(long)]
    readme: Option<PathBuf>,
}

/// A measurement as criterion describes it.
#[derive(Debug, Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Debug, Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<f64>,
}

/// What criterion made of it.
#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Microseconds by group, row and column.
type Measured = BTreeMap<(String, String, String), f64>;

/// Prints the table, and writes it where it belongs.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let measured = read(&arguments.from)?;
    let machine = format!("{}; processor time of one thread, medians.", table::machine());
    let text = format!("{machine}\n\n{}", render(&measured));
    table::say(&text);
    match &arguments.readme {
        Some(readme) => table::write_into(readme, (BEGIN, END), &text),
        None => Ok(()),
    }
}

fn read(from: &Path) -> anyhow::Result<Measured> {
    let mut measured = Measured::new();
    let mut open = vec![from.to_owned()];
    while let Some(directory) = open.pop() {
        let entries =
            std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == "new") {
                let ((group, row, column), us) = measurement(&path)?;
                measured.insert((group, row, column), us);
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    anyhow::ensure!(!measured.is_empty(), "nothing was measured: run `cargo bench -p frontdoor-bench` first");
    Ok(measured)
}

fn measurement(directory: &Path) -> anyhow::Result<((String, String, String), f64)> {
    let text = |name: &str| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let benchmark: Benchmark = serde_json::from_str(&text("benchmark.json")?)?;
    let estimates: Estimates = serde_json::from_str(&text("estimates.json")?)?;
    let pieces = benchmark.throughput.and_then(|throughput| throughput.elements).unwrap_or(1.0);
    let us = estimates.median.point_estimate / pieces / 1_000.0;
    let name = |name: Option<String>| name.unwrap_or_default();
    Ok(((benchmark.group_id, name(benchmark.function_id), name(benchmark.value_str)), us))
}

fn render(measured: &Measured) -> String {
    let mut text = String::new();
    let get = |group: &str, row: &str, column: &str| {
        measured.get(&(group.to_owned(), row.to_owned(), column.to_owned())).copied()
    };
    for (group, head) in [
        (
            "call and answer",
            "**µs for a call of 1 KB and its answer**, caller by provider (the diagonal passes bytes through)",
        ),
        (
            "with tools",
            "**µs for the same with tools**: one offered with a strict schema, called, answered, and called again",
        ),
        ("chunk", "**µs for a streamed chunk**, caller by provider"),
        ("envelope", "**µs for the envelope, by the KB of a call**"),
    ] {
        let aim = AIMS.iter().find(|(known, _)| *known == group).map_or(f64::MAX, |(_, aim)| *aim);
        let tree = get("tree", group, "");
        let unit = tree.map(|tree| format!("; as trees of JSON and back, nothing translated: {tree:.2}"));
        text.push_str(&format!("{head}; aim {aim}{}\n\n", unit.unwrap_or_default()));
        matrix(&mut text, (group, aim), &get);
    }
    for (row, what) in [
        ("event-stream frame", "a frame of AWS's event stream"),
        ("server-sent event", "a server-sent event"),
    ] {
        if let Some(us) = get("meter", row, "") {
            text.push_str(&format!("Looking into {what} that passes through natively: {us:.2} µs.\n"));
        }
    }
    text
}

/// One table; what misses its aim stands in bold.
fn matrix(text: &mut String, (group, aim): (&str, f64), get: &dyn Fn(&str, &str, &str) -> Option<f64>) {
    let columns: Vec<&str> = NAMES
        .into_iter()
        .filter(|column| NAMES.iter().any(|row| get(group, row, column).is_some()))
        .collect();
    text.push_str(&format!("| | {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len())));
    for row in NAMES {
        let cells: Vec<Option<f64>> = columns.iter().map(|column| get(group, row, column)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let shown = cells.into_iter().map(|cell| match cell {
            Some(us) if us > aim => format!("**{us:.2}**"),
            Some(us) => format!("{us:.2}"),
            None => "–".to_owned(),
        });
        text.push_str(&format!("| {row} | {} |\n", shown.collect::<Vec<_>>().join(" | ")));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misses_its_aim_stands_in_bold_and_what_was_not_measured_is_no_number() {
        let key =
            |group: &str, row: &str, column: &str| (group.to_owned(), row.to_owned(), column.to_owned());
        let measured = Measured::from([
            (key("chunk", "openai", "gemini"), 0.5),
            (key("chunk", "anthropic", "gemini"), 1.75),
            (key("chunk", "anthropic", "cohere"), 1.0),
            (key("tree", "chunk", ""), 1.25),
        ]);
        let text = render(&measured);
        assert!(text.contains("| | gemini | cohere |\n|---|---:|---:|\n"), "{text}");
        assert!(text.contains("| openai | 0.50 | – |\n| anthropic | **1.75** | 1.00 |\n"), "{text}");
        assert!(text.contains("aim 1.5; as trees of JSON and back, nothing translated: 1.25\n"), "{text}");
    }
}
