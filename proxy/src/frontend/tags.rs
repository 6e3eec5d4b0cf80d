//! The caller's own attribution, `x-frontdoor-tags: k=v,…`, parsed strictly and with bounds.
//! It must not know what tags are used for.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;

use crate::failure::{Failure, code};

/// The header.
pub const HEADER: &str = "x-frontdoor-tags";
const MAX_TAGS: usize = 16;
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 128;

static NONE: BTreeMap<String, String> = BTreeMap::new();

/// Names and values that the caller attached to a call. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<BTreeMap<String, String>>>);

impl Tags {
    /// What a call's headers say.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut tags = BTreeMap::new();
        for line in headers.get_all(HEADER) {
            let line = line.to_str().map_err(|_opaque| wrong("is not plain text"))?;
            for pair in line.split(',') {
                let (key, value) = parse_pair(pair.trim())?;
                if tags.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(wrong(&format!("names `{key}` twice")));
                }
            }
        }
        if tags.len() > MAX_TAGS {
            return Err(wrong(&format!("holds {} tags; at most {MAX_TAGS} are allowed", tags.len())));
        }
        Ok(Self((!tags.is_empty()).then(|| Arc::new(tags))))
    }

    /// The tags by name.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Tags {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let tags: BTreeMap<_, _> =
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self((!tags.is_empty()).then(|| Arc::new(tags)))
    }
}

fn parse_pair(pair: &str) -> Result<(&str, &str), Failure> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(wrong(&format!("holds `{}`, which is not of the form `name=value`", shown(pair))));
    };
    let is_key = !key.is_empty()
        && key.len() <= MAX_KEY
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !is_key {
        let message = format!(
            "holds the name `{}`; names have 1 to {MAX_KEY} letters, digits or any of `_.-`",
            shown(key)
        );
        return Err(wrong(&message));
    }
    let is_value =
        !value.is_empty() && value.len() <= MAX_VALUE && value.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_value {
        let message =
            format!("gives `{key}` a value that is empty, over {MAX_VALUE} characters or not plain ASCII");
        return Err(wrong(&message));
    }
    Ok((key, value))
}

fn wrong(what: &str) -> Failure {
    Failure::caller(code::INVALID_REQUEST, 400, format!("header `{HEADER}` {what}")).with_param(HEADER)
}

/// A start of what was given, so that an error stays short.
fn shown(text: &str) -> String {
    text.chars().take(MAX_KEY).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(lines: &[&str]) -> Result<Tags, Failure> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Tags::parse(&headers)
    }

    #[test]
    fn tags_are_read_from_one_line_or_several() {
        let expected = Tags::from([("cost-centre", "4711"), ("env", "prod=eu")]);
        assert_eq!(parse(&["cost-centre=4711, env=prod=eu"]).unwrap(), expected);
        assert_eq!(parse(&["cost-centre=4711", "env=prod=eu"]).unwrap(), expected);
        assert!(parse(&[]).unwrap().as_map().is_empty());
    }

    #[test]
    fn a_tag_that_is_not_understood_is_refused_by_name() {
        let long_key = format!("{}=1", "k".repeat(65));
        let long_value = format!("k={}", "v".repeat(129));
        let many = (0..17).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        for line in
            ["", "k", "=v", "k=", "a b=c", "k=a b", "k=1,k=2", "k=1,", "k=ü", &long_key, &long_value, &many]
        {
            let failure = parse(&[line]).unwrap_err();
            assert_eq!((failure.code, failure.status), (code::INVALID_REQUEST, 400), "{line}");
            assert!(failure.message.contains(HEADER), "{line}");
            assert!(failure.message.len() < 300, "{line}");
        }
    }
}
