//! Seals that providers put on reasoning, so that it can be sent back to them unchanged.
//!
//! A seal is good only at its maker. In the format of another dialect it is carried as `MAKER#SEAL`; whoever writes a
//! request takes only its own. It must not know what is sealed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

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

/// What stands between an id of a tool call and the seal that it carries.
const SEALED: &str = "__sig_";

/// An id of a tool call that carries the seal on the call: the dialects of most callers have no other place for it, and
/// their SDKs send ids back as they are.
#[must_use]
pub(crate) fn seal_id(id: &str, signature: Option<&Signature>) -> String {
    match signature.filter(|signature| !signature.data.is_empty()) {
        Some(signature) => {
            let seal = URL_SAFE_NO_PAD.encode(format!("{}#{}", signature.by, signature.data));
            format!("{id}{SEALED}{seal}")
        }
        None => id.to_owned(),
    }
}

/// Whether an id may carry a seal.
#[must_use]
pub(crate) fn is_sealed(id: &[u8]) -> bool {
    id.windows(SEALED.len()).any(|window| window == SEALED.as_bytes())
}

/// An id of a tool call and the seal it carries. What only looks like a seal is part of the id.
#[must_use]
pub(crate) fn unseal_id(id: &str) -> (&str, Option<Signature>) {
    let read = |seal: &str| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(seal).ok()?).ok()?;
        let (by, data) = text.split_once('#')?;
        Some(Signature::new(Dialect::named(by)?, data))
    };
    match id.rsplit_once(SEALED).and_then(|(id, seal)| Some((id, read(seal)?))) {
        Some((id, signature)) => (id, Some(signature)),
        None => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Signature, seal_id, unseal_id};
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
    fn an_id_of_a_tool_call_carries_a_seal_there_and_back() {
        let seal = Signature::new(Gemini, "CiQ/+=");
        let carrier = seal_id("call_1", Some(&seal));
        assert!(carrier.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')), "{carrier}");
        assert_eq!(unseal_id(&carrier), ("call_1", Some(seal)));
        for id in ["call_1", "call__sig_x", "__sig_", ""] {
            assert_eq!(unseal_id(id), (id, None));
            assert_eq!(seal_id(id, None), id);
        }
    }

    #[test]
    fn nobody_but_its_maker_gets_a_seal() {
        let seal = Signature::new(Gemini, "x");
        assert_eq!(seal.for_maker(Gemini), Some("x"));
        assert_eq!(seal.for_maker(Anthropic), None);
    }
}
