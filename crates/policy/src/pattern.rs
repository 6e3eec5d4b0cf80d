//! Which names are meant: one exact name, or all that begin alike.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Name, limits, text::text_newtype};

/// A name, or a beginning followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Name);

impl Pattern {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        self.star(name).is_some() || self.0.as_str() == name
    }

    /// What the `*` stands for in `name`; nothing if this is an exact name or does not match.
    pub fn star<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.prefix()?)
    }

    /// The part before the `*`; nothing for an exact name.
    pub fn prefix(&self) -> Option<&str> {
        self.0.as_str().strip_suffix('*')
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether some name could match both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(mine), Some(theirs)) => mine.starts_with(theirs) || theirs.starts_with(mine),
            (Some(_), None) => self.matches(other.as_str()),
            (None, Some(_) | None) => other.matches(self.as_str()),
        }
    }
}

impl From<Name> for Pattern {
    fn from(name: Name) -> Self {
        Pattern(name)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if let Some((before, _)) = stem.split_once('*') {
            return Err(format!("a pattern holds at most one `*`, at its end: `{before}*` would be one"));
        }
        text.parse::<Name>().map(Pattern).map_err(|error| error.replacen("a name", "a pattern", 1))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_newtype!(Pattern, "Pattern", "a name or a pattern such as `gpt-*`", {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": "^([A-Za-z0-9][A-Za-z0-9._:/@-]*)?\\*?$",
    "description": "An exact model name, or a beginning followed by *."
});

/// Several patterns; a name is meant if any of them means it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Every name.
    pub fn all() -> Self {
        Patterns("*".parse().map(Pattern).into_iter().collect())
    }

    /// Whether any pattern means `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// The patterns in the order in which they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, Pattern> {
        self.0.iter()
    }

    /// Whether there is no pattern, so that no name is meant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the list as such.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("the list is empty and means no model; write `[\"*\"]` for every model".to_owned());
        }
        if self.0.len() > limits::PATTERNS {
            return Err(format!("at most {} patterns in one list", limits::PATTERNS));
        }
        Ok(())
    }
}

impl FromIterator<Pattern> for Patterns {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        Patterns(patterns.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Patterns {
    type Item = &'a Pattern;
    type IntoIter = std::slice::Iter<'a, Pattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
