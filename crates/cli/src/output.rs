//! How answers are printed: a table for people, JSON or YAML for programs; colours only on a terminal.

use std::io::{self, IsTerminal, Write};

use comfy_table::Table;
use serde_json::Value;

use crate::error::CliError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
    Yaml,
}

/// Where a verb writes its answer.
pub struct Out {
    format: Format,
    colour: bool,
    writer: Box<dyn Write + Send>,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out")
            .field("format", &self.format)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

impl Out {
    pub fn stdout(format: Format) -> Self {
        let stdout = io::stdout();
        Self { format, colour: stdout.is_terminal(), writer: Box::new(stdout) }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints `value` as asked for; `table` says how people see it.
    pub fn show(
        &mut self,
        value: &Value,
        table: impl FnOnce(&Self, &Value) -> String,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Table => {
                let text = table(self, value);
                self.line(text.trim_end())
            }
            Format::Json => self.line(&format!("{value:#}")),
            Format::Yaml => {
                let yaml = serde_saphyr::to_string(value).map_err(|error| {
                    CliError::refused(format!("the answer cannot be written as YAML: {error}"))
                })?;
                self.line(yaml.trim_end())
            }
        }
    }

    /// Prints one line as it is.
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.writer, "{text}")?;
        self.writer.flush()?;
        Ok(())
    }

    pub fn good(&self, text: &str) -> String {
        self.painted("32", text)
    }

    pub fn bad(&self, text: &str) -> String {
        self.painted("31", text)
    }

    pub fn strong(&self, text: &str) -> String {
        self.painted("1", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A plain table: a header line and rows, columns two spaces apart.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// The text at `pointer` for a table cell: strings bare, numbers as they are, nothing as `-`.
pub(crate) fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        // Never `7.5e-6`.
        Some(Value::Number(number)) if number.is_f64() => {
            number.as_f64().map_or_else(String::new, |n| n.to_string())
        }
        Some(other) => other.to_string(),
    }
}

/// The array at `pointer`; a missing one is empty, because the server leaves empty parts out.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Unix milliseconds as local-independent text, for tables.
pub(crate) fn time(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::Number(number)) => number
            .as_i64()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map_or_else(|| number.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        _ => cell(value, pointer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_strings_bare_and_nothing_as_a_dash() {
        let value = serde_json::json!({"name": "a", "count": 3, "none": null, "empty": ""});
        assert_eq!(cell(&value, "/name"), "a");
        assert_eq!(cell(&value, "/count"), "3");
        assert_eq!(cell(&value, "/none"), "-");
        assert_eq!(cell(&value, "/empty"), "-");
        assert_eq!(cell(&value, "/missing"), "-");
        assert_eq!(cell(&serde_json::json!({"usd": 7.5e-6}), "/usd"), "0.0000075");
    }

    #[test]
    fn a_table_has_an_upper_case_header_and_no_borders() {
        let text = table(&["kind", "name"], vec![vec!["Model".into(), "demo".into()]]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("KIND") && lines[0].contains("NAME"), "{text}");
        assert!(lines[1].contains("Model") && lines[1].contains("demo"), "{text}");
        assert!(!text.contains('|') && !text.contains('+'), "{text}");
    }
}
