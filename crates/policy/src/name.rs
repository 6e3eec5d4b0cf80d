//! What a resource is called.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use crate::{limits, text::text_newtype};

/// The name of a resource.
///
/// Invariant: 1 to 253 characters, letters, digits and `. _ : / @ -`, begins with a letter or digit (or is a pattern), and has at
/// most one `*`, at the end. Only a `Model` may use the whole set; [`crate::Resource::check`] narrows it for the other kinds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the group that exists without being authored.
    pub fn default_group() -> Name {
        Name(Arc::from("default"))
    }

    /// Whether the name stands for every name that begins like it.
    pub fn is_pattern(&self) -> bool {
        self.0.ends_with('*')
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name must not be empty".to_owned());
        }
        if text.chars().count() > limits::NAME_CHARS {
            return Err(format!("a name has at most {} characters", limits::NAME_CHARS));
        }
        let stem = text.strip_suffix('*').unwrap_or(text);
        if stem.contains('*') {
            return Err("a name holds at most one `*`, at its end".to_owned());
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
        if let Some(odd) = stem.chars().find(|c| !is_allowed(*c)) {
            return Err(format!("a name holds letters, digits and `. _ : / @ -`, not {odd:?}"));
        }
        if stem.chars().next().is_some_and(|first| !first.is_ascii_alphanumeric()) {
            return Err("a name begins with a letter or a digit".to_owned());
        }
        Ok(Name(Arc::from(text)))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

text_newtype!(Name, "Name", "a name", {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": "^([A-Za-z0-9][A-Za-z0-9._:/@-]*)?\\*?$",
    "description": "Letters, digits and . _ : / @ -; a Model may end in * to stand for every name that begins like it."
});

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("a*b*", "at most one `*`"),
            ("*a", "at most one `*`"),
            ("grüße", "'ü'"),
            ("a b", "' '"),
            ("-a", "begins with"),
            (&"a".repeat(254), "253"),
        ] {
            let error = text.parse::<Name>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_names_of_real_models_are_names() {
        for text in ["gpt-5.2", "openai/*", "meta-llama/Llama-3.3-70B@v1:free", "*", "k_0a"] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }
}
