//! Where in a document something is: `spec.rules[0].when`.

use std::{fmt, str::FromStr};

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A way from a document's root to one of its parts. Displays as `a.b[0]["odd key"]`; `FromStr` is the inverse.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Path(pub(crate) Vec<Step>);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if is_plain(key) => f.write_str(key),
            Step::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str())),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            if position > 0 && matches!(step, Step::Key(key) if is_plain(key)) {
                f.write_str(".")?;
            }
            fmt::Display::fmt(step, f)?;
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a path");
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(bracket) = rest.strip_prefix('[') {
                let mut reader = serde_json::Deserializer::from_str(bracket).into_iter::<serde_json::Value>();
                let step = match reader.next() {
                    Some(Ok(serde_json::Value::String(key))) => Step::Key(key),
                    Some(Ok(serde_json::Value::Number(number))) => {
                        let index = number.as_u64().and_then(|index| usize::try_from(index).ok());
                        Step::Index(index.ok_or_else(wrong)?)
                    }
                    _ => return Err(wrong()),
                };
                steps.push(step);
                rest = bracket
                    .get(reader.byte_offset()..)
                    .and_then(|rest| rest.strip_prefix(']'))
                    .ok_or_else(wrong)?;
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(end).ok_or_else(wrong)?;
            if !is_plain(key) {
                return Err(wrong());
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        Ok(Path(steps))
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Path, Step};

    #[test]
    fn a_path_reads_like_code() {
        let steps = vec![
            Step::Key("spec".into()),
            Step::Key("rules".into()),
            Step::Index(0),
            Step::Key("x.y".into()),
        ];
        assert_eq!(Path(steps).to_string(), "spec.rules[0][\"x.y\"]");
    }

    proptest! {
        #[test]
        fn a_path_is_read_back_as_it_was_printed(keys in proptest::collection::vec("\\PC{0,6}", 0..5), index: usize) {
            let mut steps: Vec<Step> = keys.into_iter().map(Step::Key).collect();
            steps.insert(steps.len() / 2, Step::Index(index));
            let path = Path(steps);
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,20}", brackets in "[\\[\\]a\".0-9]{0,12}") {
            let _ = (text.parse::<Path>(), brackets.parse::<Path>());
        }
    }
}
