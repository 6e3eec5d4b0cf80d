//! Encrypted reasoning on its way through another dialect: the id of the item and its seal in one text.
//!
//! A reasoning item is known by both, and a field for signatures has room for one text.

use crate::{Dialect, Signature};

/// The longest id taken for one.
const LONGEST_ID: usize = 128;

/// The seal of an item that leaves this dialect.
pub(super) fn join(id: &str, sealed: &str) -> Signature {
    Signature::new(Dialect::Responses, format!("{id}:{sealed}"))
}

/// The id and the seal of an item that comes back; what was sealed never holds a colon.
pub(super) fn split(data: &str) -> (Option<&str>, &str) {
    match data.split_once(':') {
        Some((id, sealed)) if id.len() <= LONGEST_ID => (Some(id).filter(|id| !id.is_empty()), sealed),
        _ => (None, data),
    }
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn the_id_and_the_seal_of_an_item_come_back_as_they_were() {
        assert_eq!(split(&join("rs_1", "gAAA=").data), (Some("rs_1"), "gAAA="));
        assert_eq!(split(&join("", "gAAA=").data), (None, "gAAA="));
        assert_eq!(split("gAAA="), (None, "gAAA="));
    }
}
