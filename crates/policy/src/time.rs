//! Durations and moments as they are authored. There is no clock here: whoever knows the time compares.

use std::{fmt, str::FromStr, time::Duration};

use crate::{limits, text::text_newtype};

/// A duration, authored as `250ms`, `10s`, `2m` or `1h`. Invariant: 1 ms to 24 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// A span of so many milliseconds, brought between 1 ms and 24 h.
    pub const fn from_millis(milliseconds: u64) -> Span {
        match milliseconds {
            0 => Span(1),
            1..=limits::SPAN_MILLISECONDS => Span(milliseconds),
            _ => Span(limits::SPAN_MILLISECONDS),
        }
    }

    /// The number of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.duration()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write a duration as a whole number and a unit: `250ms`, `10s`, `2m` or `1h`";
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text.strip_prefix(digits).unwrap_or_default();
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(example.to_owned()),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(example.to_owned());
        }
        let milliseconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        match milliseconds {
            Some(0) => Err("a duration is at least 1ms".to_owned()),
            Some(milliseconds) if milliseconds <= limits::SPAN_MILLISECONDS => Ok(Span(milliseconds)),
            Some(_) | None => Err("a duration is at most 24h".to_owned()),
        }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that divides it, so that equal spans are written alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}ms", self.0)
    }
}

text_newtype!(Span, "Span", "a duration such as `250ms`, `10s` or `2m`", {
    "type": "string",
    "pattern": "^[0-9]+(ms|s|m|h)$",
    "description": "A duration: 250ms, 10s, 2m or 1h. At least 1ms, at most 24h."
});

/// A moment, authored as RFC 3339 and kept as milliseconds since 1970 in UTC. Invariant: not before 1970, year below 10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The first moment of the year 10000, which RFC 3339 cannot write.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

impl Timestamp {
    /// The moment so many milliseconds after 1970 began, if RFC 3339 can write it.
    pub const fn from_unix_millis(milliseconds: u64) -> Option<Timestamp> {
        if milliseconds < YEAR_10000_MS { Some(Timestamp(milliseconds)) } else { None }
    }

    /// Milliseconds since 1970 began.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a moment as RFC 3339, such as `2027-01-31T12:00:00Z`".to_owned();
        let moment = parse_rfc3339(text).ok_or_else(wrong)?;
        u64::try_from(moment)
            .ok()
            .and_then(Timestamp::from_unix_millis)
            .ok_or_else(|| "a moment lies between the years 1970 and 9999".to_owned())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, within) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (seconds, milliseconds) = (within / 1000, within % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T")?;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if milliseconds > 0 {
            write!(f, ".{milliseconds:03}")?;
        }
        f.write_str("Z")
    }
}

text_newtype!(Timestamp, "Timestamp", "a moment such as `2027-01-31T12:00:00Z`", {
    "type": "string",
    "format": "date-time"
});

/// Milliseconds since 1970; parts of a millisecond are cut off.
fn parse_rfc3339(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, offset_minutes) = if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else {
        let at = time.rfind(['+', '-'])?;
        let (clock, offset) = time.split_at_checked(at)?;
        let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
        let total = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
        (clock, if offset.starts_with('-') { -total } else { total })
    };
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, part)| (whole, Some(part)));
    let [hour, minute, second] = numbers(whole, ':', [2, 2, 2])?;
    let milliseconds = match fraction {
        None => 0,
        Some(part) if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) => {
            part.chars().chain("00".chars()).take(3).collect::<String>().parse::<i64>().ok()?
        }
        Some(_) => return None,
    };
    let is_date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
    Some(minutes * 60_000 + second * 1000 + milliseconds)
}

/// Reads numbers of exactly the given widths.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (slot, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *slot = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`] for days from 1970 on.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
