//! Finds things by exact name or pattern without going through all of them.

use std::collections::HashMap;

use crate::{Pattern, Patterns};

/// Positions by exact name and by the beginning before a `*`.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    exact: HashMap<Box<str>, Vec<usize>>,
    prefixes: HashMap<Box<str>, Vec<usize>>,
    /// The lengths that prefixes have, longest first.
    lengths: Vec<usize>,
}

impl NameIndex {
    /// Adds one thing under a pattern.
    pub(crate) fn insert(&mut self, pattern: &Pattern, position: usize) {
        let (map, name) = match pattern.prefix() {
            Some(prefix) => (&mut self.prefixes, prefix),
            None => (&mut self.exact, pattern.as_str()),
        };
        map.entry(Box::from(name)).or_default().push(position);
        if let Some(prefix) = pattern.prefix()
            && let Err(at) = self.lengths.binary_search_by(|length| prefix.len().cmp(length))
        {
            self.lengths.insert(at, prefix.len());
        }
    }

    /// Adds one thing under patterns, or under every name if there are none.
    pub(crate) fn insert_all(&mut self, patterns: Option<&Patterns>, position: usize) {
        let every = Patterns::all();
        for pattern in patterns.unwrap_or(&every) {
            self.insert(pattern, position);
        }
    }

    /// The positions under exactly this name.
    pub(crate) fn exact(&self, name: &str) -> &[usize] {
        self.exact.get(name).map_or(&[], Vec::as_slice)
    }

    /// The positions under the longest beginning of this name, and what its `*` stands for.
    pub(crate) fn longest<'n>(&self, name: &'n str) -> Option<(&[usize], &'n str)> {
        self.matching_prefixes(name).next()
    }

    /// All positions under this name and its beginnings, ascending, each once.
    pub(crate) fn all(&self, name: &str) -> Vec<usize> {
        let mut found = self.exact(name).to_vec();
        for (positions, _) in self.matching_prefixes(name) {
            found.extend_from_slice(positions);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn matching_prefixes<'s, 'n>(&'s self, name: &'n str) -> impl Iterator<Item = (&'s [usize], &'n str)> {
        let at = move |length: &usize| {
            let (prefix, star) = name.split_at_checked(*length)?;
            Some((self.prefixes.get(prefix)?.as_slice(), star))
        };
        self.lengths.iter().filter_map(at)
    }
}
