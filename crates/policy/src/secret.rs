//! Where a secret is to be found. The secret itself never enters policy.

use std::{fmt, str::FromStr};

use crate::{Name, text::text_newtype};

/// A reference to a secret, resolved by the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable of the proxy.
    Env(String),
    /// `file:/path`: a file that the proxy can read; its content without trailing line ends.
    File(String),
    /// `sealed:NAME`: a secret that the control plane keeps sealed.
    Sealed(Name),
}

impl FromStr for SecretRef {
    type Err = String;

    /// Never repeats the text: whoever wrote the secret itself here must not find it in a log.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) => {
                let mut chars = name.chars();
                let begins_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
                if begins_well && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= 256 {
                    Ok(SecretRef::Env(name.to_owned()))
                } else {
                    Err("after `env:` comes the name of an environment variable, such as `env:OPENAI_API_KEY`".to_owned())
                }
            }
            Some(("file", path)) => {
                if path.starts_with('/') && path.len() <= 4096 && !path.chars().any(char::is_control) {
                    Ok(SecretRef::File(path.to_owned()))
                } else {
                    Err("after `file:` comes an absolute path, such as `file:/run/secrets/openai`".to_owned())
                }
            }
            Some(("sealed", name)) => match name.parse::<Name>() {
                Ok(name) if !name.is_pattern() => Ok(SecretRef::Sealed(name)),
                Ok(_) | Err(_) => {
                    Err("after `sealed:` comes the name of a sealed secret, such as `sealed:openai`"
                        .to_owned())
                }
            },
            Some(_) | None => {
                Err("a secret is written as a reference: `env:NAME`, `file:/path` or `sealed:NAME`; \
                                   never write the secret itself into policy"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "env:{name}"),
            SecretRef::File(path) => write!(f, "file:{path}"),
            SecretRef::Sealed(name) => write!(f, "sealed:{name}"),
        }
    }
}

text_newtype!(SecretRef, "SecretRef", "a reference to a secret (`env:NAME`, `file:/path` or `sealed:NAME`)", {
    "type": "string",
    "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.*|sealed:[A-Za-z0-9][A-Za-z0-9._:/@-]*)$",
    "description": "Where a secret is found: env:NAME, file:/path or sealed:NAME. Never the secret itself."
});

#[cfg(test)]
mod tests {
    use super::SecretRef;

    #[test]
    fn a_reference_prints_as_it_was_written() {
        for text in ["env:OPENAI_API_KEY", "file:/run/secrets/a b", "sealed:openai"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_secret_written_by_mistake_is_not_repeated() {
        for text in
            ["sk-ant-planted", "env:sk-planted", "file:planted", "sealed:planted value", "vault:planted"]
        {
            assert!(!text.parse::<SecretRef>().unwrap_err().contains("planted"), "{text}");
        }
    }
}
