//! Seals that providers put on reasoning, so that it can be sent back to them unchanged.
//!
//! A seal is good only at its maker. In the format of another dialect it is carried as `MAKER#SEAL`; whoever writes a
//! request takes only its own. It must not know what is sealed.

use crate::Dialect;

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who made it.
    pub by: Dialect,
    /// The seal, opaque.
    pub data: String,
}

impl Signature {
    /// A seal of a dialect.
    #[must_use]
    pub fn new(by: Dialect, data: impl Into<String>) -> Self {
        Self { by, data: data.into() }
    }

    /// Reads a seal in a field of a dialect, which may carry that of another one.
    #[must_use]
    pub fn read(dialect: Dialect, text: &str) -> Self {
        let carried = text.split_once('#').and_then(|(name, data)| Some((Dialect::named(name)?, data)));
        match carried {
            Some((by, data)) => Self::new(by, data),
            None => Self::new(dialect, text),
        }
    }

    /// The seal for a field of a dialect.
    #[must_use]
    pub fn carry(&self, dialect: Dialect) -> String {
        if self.by == dialect { self.data.clone() } else { format!("{}#{}", self.by, self.data) }
    }

    /// The seal, for its maker alone.
    #[must_use]
    pub fn for_maker(&self, dialect: Dialect) -> Option<&str> {
        (self.by == dialect && !self.data.is_empty()).then_some(self.data.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Signature;
    use crate::Dialect::{Anthropic, Gemini};

    #[test]
    fn a_seal_survives_the_format_of_another_dialect() {
        let seal = Signature::new(Gemini, "CiQ/+=");
        assert_eq!(seal.carry(Gemini), "CiQ/+=");
        assert_eq!(Signature::read(Gemini, "CiQ/+="), seal);
        assert_eq!(seal.carry(Anthropic), "gemini#CiQ/+=");
        assert_eq!(Signature::read(Anthropic, "gemini#CiQ/+="), seal);
    }

    #[test]
    fn nobody_but_its_maker_gets_a_seal() {
        let seal = Signature::new(Gemini, "x");
        assert_eq!(seal.for_maker(Gemini), Some("x"));
        assert_eq!(seal.for_maker(Anthropic), None);
    }
}
