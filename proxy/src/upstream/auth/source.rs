//! What the sources of credentials have in common: where they look on this machine, and how they say what is missing.
//!
//! The texts of [`SourceError`] are for the log: they name variables and paths, and never hold a secret or what a server has sent
//! in prose, because a server could send a secret back.

use std::fmt;
use std::fs::File;
use std::io::Read;

use policy::SecretRef;
use zeroize::Zeroizing;

use crate::upstream::credential::ReadEnv;

/// No key, token or credential file is larger.
const LARGEST_FILE: u64 = 256 << 10;

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::upstream) enum SourceError {
    /// There is nothing here to use; another source may have something.
    #[error("{0}")]
    Absent(String),
    /// There is something, and it does not work.
    #[error("{0}")]
    Broken(String),
}

impl SourceError {
    pub(super) fn absent(what: impl Into<String>) -> Self {
        Self::Absent(what.into())
    }

    pub(super) fn broken(what: impl Into<String>) -> Self {
        Self::Broken(what.into())
    }

    /// The same, with where it happened before it.
    pub(super) fn within(self, place: &str) -> Self {
        match self {
            Self::Absent(what) => Self::Absent(format!("{place}: {what}")),
            Self::Broken(what) => Self::Broken(format!("{place}: {what}")),
        }
    }

    /// Once somebody asked for this very thing, its absence is an error.
    pub(super) fn required(self) -> Self {
        match self {
            Self::Absent(what) | Self::Broken(what) => Self::Broken(what),
        }
    }
}

/// The environment and the files of this machine.
#[derive(Clone)]
pub(super) struct Places {
    read_env: ReadEnv,
}

impl Places {
    pub(super) const fn new(read_env: ReadEnv) -> Self {
        Self { read_env }
    }

    /// A variable that is set to something.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.read_env.get(name).filter(|value| !value.trim().is_empty())
    }

    /// A variable without which it does not go on. `or` says what else could be done.
    pub(super) fn need_env(&self, name: &str, or: &str) -> Result<String, SourceError> {
        self.env(name).ok_or_else(|| SourceError::absent(format!("`{name}` is not set; set it{or}")))
    }

    /// What is authored, or else the variable that the cloud's own tools read.
    pub(super) fn authored_or_env(
        &self,
        authored: Option<&str>,
        field: &str,
        name: &str,
    ) -> Result<String, SourceError> {
        match authored {
            Some(authored) => Ok(authored.to_owned()),
            None => self.need_env(name, &format!(", or write `{field}` in the provider's `auth`")),
        }
    }

    /// The text of a file.
    pub(super) fn file(&self, path: &str) -> Result<Zeroizing<String>, SourceError> {
        let unreadable = |error: std::io::Error| {
            let what = format!("the file `{path}` cannot be read: {}", error.kind());
            match error.kind() {
                std::io::ErrorKind::NotFound => SourceError::absent(what),
                _ => SourceError::broken(what),
            }
        };
        let mut text = Zeroizing::new(String::new());
        let file = File::open(path).map_err(unreadable)?;
        let length = file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
        if u64::try_from(length).is_ok_and(|length| length <= LARGEST_FILE) {
            Ok(text)
        } else {
            Err(SourceError::broken(format!("the file `{path}` is larger than {LARGEST_FILE} bytes")))
        }
    }

    /// A token in a file: one line.
    pub(super) fn token_file(&self, path: &str) -> Result<Zeroizing<String>, SourceError> {
        let token = Zeroizing::new(self.file(path)?.trim().to_owned());
        if token.is_empty() {
            return Err(SourceError::broken(format!("the file `{path}` is empty")));
        }
        Ok(token)
    }

    /// The secret behind a reference.
    pub(super) fn secret(&self, reference: &SecretRef) -> Result<Zeroizing<String>, SourceError> {
        let secret = match reference {
            SecretRef::Env(name) => Zeroizing::new(self.need_env(name, " for the proxy")?),
            SecretRef::File(path) => self.file(path)?,
            SecretRef::Sealed(_) => {
                return Err(SourceError::broken(format!(
                    "`{reference}` cannot be opened by this proxy; use `env:NAME` or `file:/path`"
                )));
            }
        };
        let secret = Zeroizing::new(secret.trim_end_matches(['\n', '\r']).to_owned());
        if secret.trim().is_empty() {
            return Err(SourceError::broken(format!("`{reference}` is empty")));
        }
        Ok(secret)
    }

    /// A file below the home directory.
    pub(super) fn below_home(&self, path: &str) -> Result<String, SourceError> {
        let home = self.need_env("HOME", ", or name the file itself")?;
        Ok(format!("{}/{path}", home.trim_end_matches('/')))
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

/// Writes `key=value&…`, percent-encoded: a form's body, or a query.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        percent_encode(name, &mut text);
        text.push('=');
        percent_encode(value, &mut text);
    }
    text
}

/// Everything but letters, digits and `-._~`.
pub(super) fn percent_encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push_str(&hex::encode_upper([byte]));
        }
    }
}
