//! Numbers for people: the Markdown table, and its place in bench/README.md.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Between what the table of calls stands in bench/README.md.
pub(crate) const CALLS: (&str, &str) = ("<!-- table: written by `make bench` -->", "<!-- end of table -->");

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

/// The machine, and what else it was doing: anything but a load near 0 makes latencies doubtful, and CPU a little.
pub(crate) fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().filter(|first| !first.is_empty()).unwrap_or("unknown");
    format!("{model}, {cores} cores, load average {load}")
}

/// Replaces what is between two markers of `readme`.
pub(crate) fn write_into(readme: &Path, markers: (&str, &str), content: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let replaced = between_markers(&text, markers, content)
        .with_context(|| format!("{} lacks the markers {markers:?}", readme.display()))?;
    std::fs::write(readme, replaced).with_context(|| format!("cannot write {}", readme.display()))
}

fn between_markers(text: &str, (begin, end): (&str, &str), content: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{content}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let (begin, end) = CALLS;
        let text = format!("above\n{begin}\nold\n{end}\nbelow\n");
        let new = between_markers(&text, CALLS, "new").unwrap();
        assert_eq!(new, format!("above\n{begin}\n\nnew\n{end}\nbelow\n"));
        assert_eq!(between_markers("no markers", CALLS, "new"), None);
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
