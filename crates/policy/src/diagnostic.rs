//! What is wrong with policy, where, and what to write instead.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// Whether something must or should be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The change is refused.
    Error,
    /// The change is accepted, but probably not meant like this.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// Whether it refuses the change.
    pub severity: Severity,
    /// `Kind/name`, as far as known.
    pub resource: String,
    /// The part of the resource: `spec.rules[0].when`. Empty for the whole.
    pub path: String,
    /// `file:line:column`, where the text is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Stable and of few values, to branch on and to look up.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: ", self.code)?;
        for part in [&self.resource, &self.path] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Collects the findings about one resource.
#[derive(Debug)]
pub(crate) struct Report {
    resource: String,
    found: Vec<Diagnostic>,
}

impl Report {
    pub(crate) fn new(resource: impl fmt::Display) -> Self {
        Report { resource: resource.to_string(), found: Vec::new() }
    }

    pub(crate) fn error(&mut self, path: impl fmt::Display, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Error, path, code, message.into());
    }

    pub(crate) fn warning(
        &mut self,
        path: impl fmt::Display,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.push(Severity::Warning, path, code, message.into());
    }

    fn push(&mut self, severity: Severity, path: impl fmt::Display, code: &'static str, message: String) {
        let path = path.to_string();
        let resource = self.resource.clone();
        self.found.push(Diagnostic {
            severity,
            resource,
            path,
            location: None,
            code: Cow::Borrowed(code),
            message,
        });
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found
    }
}

/// Whether any finding refuses the change.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// The up to `n` known words most like `word`, best first; only such as a slip of the keyboard explains.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, n: usize) -> Vec<&'a str> {
    let word = fold(word);
    let bound = (word.len() / 3).clamp(1, 8);
    let mut found: Vec<(usize, &str)> = Vec::new();
    for candidate in known {
        let folded = fold(candidate);
        if folded.len().abs_diff(word.len()) > bound {
            continue;
        }
        let distance = edit_distance(&word, &folded);
        if distance <= bound {
            found.push((distance, candidate));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, candidate)| candidate).take(n).collect()
}

/// Case and the choice of separators are not what distinguishes names.
fn fold(word: &str) -> Vec<char> {
    word.chars().take(256).map(|c| if "-_. ".contains(c) { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) that lead from one word to the other.
fn edit_distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_from = None;
    for (row, &a) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(to.len() + 1);
        let mut left = row + 1;
        current.push(left);
        let mut previous_to = None;
        for (column, &b) in to.iter().enumerate() {
            let above = last.get(column + 1).copied().unwrap_or(usize::MAX - 1);
            let diagonal = last.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = (left + 1).min(above + 1).min(diagonal + usize::from(a != b));
            if previous_from == Some(b) && previous_to == Some(a) {
                let swapped = column.checked_sub(1).and_then(|at| before_last.get(at)).copied();
                best = best.min(swapped.map_or(best, |cost| cost + 1));
            }
            left = best;
            current.push(best);
            previous_to = Some(b);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_from = Some(a);
    }
    last.last().copied().unwrap_or_default()
}

/// ``; did you mean `x`?`` for the nearest known word, or the list of all if they are few, or nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const FEW: usize = 12;
    let mut known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied(), 1).first() {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() || known.len() > FEW => String::new(),
        None => {
            known.sort_unstable();
            format!("; known: `{}`", known.join("`, `"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{edit_distance, hint, nearest};

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("modle", ["model", "targets"], 1), ["model"]);
        assert_eq!(nearest("gpt_5", ["gpt-5", "gpt-4"], 2), ["gpt-5", "gpt-4"]);
        assert_eq!(nearest("zzz", ["model"], 3), Vec::<&str>::new());
        assert_eq!(hint("zzz", ["b", "a"]), "; known: `a`, `b`");
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_only_for_equals(a in "[ab]{0,6}", b in "[ab]{0,6}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(edit_distance(&a, &b), edit_distance(&b, &a));
            prop_assert_eq!(edit_distance(&a, &b) == 0, a == b);
            prop_assert!(edit_distance(&a, &b) <= a.len().max(b.len()));
        }
    }
}
