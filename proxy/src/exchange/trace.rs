//! The caller's place in a distributed trace, by W3C Trace Context. It must not know what is exported, or where.

/// The trace and the span that the caller is in. All zero: the caller is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace {
    /// Shared by everything that belongs together.
    pub trace_id: u128,
    /// The caller's span.
    pub parent_id: u64,
    /// Whether the caller wants the trace recorded.
    pub is_sampled: bool,
}

impl Trace {
    /// What a `traceparent` header says. `None` when it is not one: the standard asks to begin a new trace then.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = hex_field(parts.next()?, 2)?;
        let trace_id = hex_field(parts.next()?, 32)?;
        let parent_id = u64::try_from(hex_field(parts.next()?, 16)?).ok()?;
        let flags = hex_field(parts.next()?, 2)?;
        // Version 00 has four fields; later versions may append some; ff is forbidden.
        let has_tail = parts.next().is_some();
        let is_valid = version != 0xff && (version != 0 || !has_tail) && trace_id != 0 && parent_id != 0;
        is_valid.then_some(Self { trace_id, parent_id, is_sampled: flags & 1 == 1 })
    }
}

fn hex_field(text: &str, length: usize) -> Option<u128> {
    let is_lower_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != length || !is_lower_hex {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_says_trace_span_and_whether_it_is_recorded() {
        let trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(trace.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(trace.parent_id, 0x00f0_67aa_0ba9_02b7);
        assert!(trace.is_sampled);
        let later = Trace::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more").unwrap();
        assert!(!later.is_sampled);
    }

    #[test]
    fn what_is_not_a_traceparent_is_none() {
        for broken in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(broken), None, "{broken}");
        }
    }
}
