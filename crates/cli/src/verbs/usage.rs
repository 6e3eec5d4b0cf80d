//! `usage`: calls, tokens and cost by whatever is asked.

use serde_json::Value;

use crate::{
    client::{AdminClient, escape},
    error::CliError,
    output::{Out, cell, items, table},
    settings::Usage,
};

/// The columns after the dimensions, with the field each is read from.
const COLUMNS: [(&str, &str); 6] = [
    ("calls", "/calls"),
    ("errors", "/errors"),
    ("input", "/input_tokens"),
    ("cached", "/cache_read_tokens"),
    ("output", "/output_tokens"),
    ("cost usd", "/cost_usd"),
];

pub(super) async fn show(client: &AdminClient, out: &mut Out, usage: &Usage) -> Result<(), CliError> {
    let mut path = format!("/v1/usage?by={}", escape(&usage.by.join(",")));
    for (name, value) in [("since", &usage.since), ("until", &usage.until)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(&instant(name, value)?)));
        }
    }
    let answer = client.get(&path).await?;
    out.show(&answer, |_, answer| {
        let mut header: Vec<&str> = usage.by.iter().map(String::as_str).collect();
        header.extend(COLUMNS.iter().map(|(name, _)| *name));
        let rows = items(answer, "/rows").iter().map(|row| cells(row, &usage.by)).collect();
        table(&header, rows)
    })
}

fn cells(row: &Value, by: &[String]) -> Vec<String> {
    let mut cells: Vec<String> = by.iter().map(|dimension| cell(row, &format!("/{dimension}"))).collect();
    cells.extend(COLUMNS.iter().map(|(_, pointer)| cell(row, pointer)));
    // A cost that leaves calls out says so.
    let unpriced = row.pointer("/unpriced_calls").and_then(Value::as_u64).unwrap_or(0);
    if unpriced > 0
        && let Some(cost) = cells.last_mut()
    {
        cost.push_str(&format!(" + {unpriced} unpriced"));
    }
    cells
}

/// RFC 3339 as given, or an age such as `7d` as the time that long ago.
fn instant(name: &str, value: &str) -> Result<String, CliError> {
    if value.parse::<jiff::Timestamp>().is_ok() {
        return Ok(value.to_owned());
    }
    let age: jiff::SignedDuration = hours(value).ok_or_else(|| {
        CliError::Usage(format!(
            "--{name} `{value}`: write a time (2026-03-01T00:00:00Z) or an age (90m, 24h, 7d)"
        ))
    })?;
    let at = jiff::Timestamp::now()
        .checked_sub(age)
        .map_err(|error| CliError::Usage(format!("--{name}: {error}")))?;
    Ok(at.to_string())
}

fn hours(age: &str) -> Option<jiff::SignedDuration> {
    let (number, unit) = age.split_at_checked(age.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(jiff::SignedDuration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        assert_eq!(hours("90m"), Some(jiff::SignedDuration::from_secs(5_400)));
        assert_eq!(hours("7d"), Some(jiff::SignedDuration::from_secs(7 * 86_400)));
        for bad in ["", "d", "7", "-1h", "1w", "7é"] {
            assert_eq!(hours(bad), None, "{bad}");
        }
    }

    #[test]
    fn calls_without_a_price_are_told_beside_the_cost() {
        let row = serde_json::json!({"team": "a", "calls": 3, "cost_usd": "0.5", "unpriced_calls": 2});
        assert_eq!(cells(&row, &["team".to_owned()]).last().unwrap(), "0.5 + 2 unpriced");
    }
}
