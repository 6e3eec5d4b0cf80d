//! Numbers for people: the Markdown table, and its place in bench/README.md.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

const BEGIN: &str = "<!-- table: written by `make bench` -->";
const END: &str = "<!-- end of table -->";

/// What one contender showed in one scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) contender: &'static str,
    pub(crate) cpu_us: f64,
    /// To the floor's CPU.
    pub(crate) ratio: f64,
    /// Microseconds on top of the direct call; negative when lost in noise.
    pub(crate) added_p50_us: i64,
    pub(crate) added_p99_us: i64,
    pub(crate) resident_mib: f64,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    // Nobody to tell when stdout is closed.
    let _closed = writeln!(std::io::stdout(), "{line}").is_err();
}

/// The rows as Markdown.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | | CPU µs/call | × floor | added p50 µs | added p99 µs | RSS MiB | calls | failed |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        text.push_str(&format!(
            "| {} | {} | {:.1} | {:.2} | {} | {} | {:.1} | {} | {} |\n",
            row.scenario,
            row.contender,
            row.cpu_us,
            row.ratio,
            added(row.added_p50_us),
            added(row.added_p99_us),
            row.resident_mib,
            row.calls,
            row.failed
        ));
    }
    text
}

/// Nothing answers earlier through something than without it: a negative difference is noise that is larger than the difference.
fn added(us: i64) -> String {
    if us < 0 { "noise".to_owned() } else { us.to_string() }
}

/// Replaces what is between the markers of `readme`.
pub(crate) fn write_into(readme: &Path, content: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let replaced = between_markers(&text, content)
        .with_context(|| format!("{} lacks the markers `{BEGIN}` and `{END}`", readme.display()))?;
    std::fs::write(readme, replaced).with_context(|| format!("cannot write {}", readme.display()))
}

fn between_markers(text: &str, content: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{content}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        assert_eq!(between_markers(&text, "new").unwrap(), format!("above\n{BEGIN}\n\nnew\n{END}\nbelow\n"));
        assert_eq!(between_markers("no markers", "new"), None);
    }

    #[test]
    fn a_row_shows_every_number_with_its_unit_in_the_head() {
        let row = Row {
            scenario: "whole",
            contender: "floor",
            cpu_us: 13.84,
            ratio: 1.0,
            added_p50_us: 40,
            added_p99_us: -9,
            resident_mib: 5.25,
            calls: 1_000,
            failed: 0,
        };
        let table = render(&[row]);
        assert!(
            table.ends_with("| whole | floor | 13.8 | 1.00 | 40 | noise | 5.2 | 1000 | 0 |\n"),
            "{table}"
        );
    }
}
