//! Where answers will be found without a provider. Nothing is cached yet: every call is a miss, and says so in its headers.

use crate::guard::Inspected;

/// What the caller is told in `x-frontdoor-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A provider has to answer.
    Miss,
}

impl Lookup {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
        }
    }
}

/// Looks for an answer: there is none.
pub fn look_up(_call: &Inspected) -> Lookup {
    Lookup::Miss
}
