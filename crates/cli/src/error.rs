//! Why a verb did not do what was asked, and which exit status that is.

use std::io::{self, Write};

use policy::Diagnostic;

/// The ways a verb can end badly. The exit status is part of the contract with scripts.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The input or the control plane said no. Exit status 1.
    #[error("{message}")]
    Refused { message: String, diagnostics: Vec<Diagnostic> },
    /// The call itself was wrong. Exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Nobody answered. Exit status 3.
    #[error(
        "no control plane answers at {server}: {reason}\nis it running? `frontdoor up` starts one; --server names another"
    )]
    Unreachable { server: String, reason: String },
    /// Standard output went away.
    #[error("writing the output failed: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// A refusal without diagnostics.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), diagnostics: Vec::new() }
    }

    /// 1 refused, 2 usage, 3 unreachable.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
        }
    }

    /// Writes the message and every diagnostic, one a line with its place, for people.
    pub fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "frontdoor: {self}")?;
        if let Self::Refused { diagnostics, .. } = self {
            for diagnostic in diagnostics {
                writeln!(to, "  {}", line(diagnostic))?;
            }
        }
        Ok(())
    }
}

/// One diagnostic as a line: where it stands, what is wrong, what to write instead.
pub(crate) fn line(diagnostic: &Diagnostic) -> String {
    let mut place = Vec::new();
    if let Some(location) = &diagnostic.location {
        place.push(location.clone());
    }
    if !diagnostic.resource.is_empty() {
        place.push(diagnostic.resource.clone());
    }
    if !diagnostic.path.is_empty() {
        place.push(diagnostic.path.clone());
    }
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(" ")) };
    format!("{place}{} [{}]", diagnostic.message, diagnostic.code)
}
