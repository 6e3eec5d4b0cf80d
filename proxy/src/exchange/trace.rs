//! The call's place in a distributed trace, by W3C Trace Context. It must not know what is exported, or where.

/// Ids of the span that the call becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace {
    /// Shared by everything that belongs together.
    pub trace_id: u128,
    /// The caller's span; 0 when the call began the trace.
    pub parent_id: u64,
    /// The call's own span.
    pub span_id: u64,
    /// Whether the caller wants the trace recorded.
    pub is_sampled: bool,
}

impl Trace {
    /// A trace that begins with this call.
    pub fn fresh() -> Self {
        Self { trace_id: fastrand::u128(1..), parent_id: 0, span_id: fastrand::u64(1..), is_sampled: true }
    }

    /// This span as a part of the caller's trace; unchanged when the header is not a `traceparent`, as the standard asks.
    #[must_use]
    pub fn continuing(self, traceparent: &str) -> Self {
        parse(traceparent).map_or(self, |(trace_id, parent_id, is_sampled)| Self {
            trace_id,
            parent_id,
            is_sampled,
            ..self
        })
    }

    /// The header that a next hop would get.
    pub fn to_traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

fn parse(header: &str) -> Option<(u128, u64, bool)> {
    let mut parts = header.trim().split('-');
    let version = hex_field(parts.next()?, 2)?;
    let trace_id = hex_field(parts.next()?, 32)?;
    let parent_id = u64::try_from(hex_field(parts.next()?, 16)?).ok()?;
    let flags = hex_field(parts.next()?, 2)?;
    // Version 00 has four fields; later versions may append some; ff is forbidden.
    let has_tail = parts.next().is_some();
    let is_valid = version != 0xff && (version != 0 || !has_tail) && trace_id != 0 && parent_id != 0;
    is_valid.then_some((trace_id, parent_id, flags & 1 == 1))
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

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_callers_trace_goes_on_with_a_span_of_our_own() {
        let fresh = Trace::fresh();
        let trace = fresh.continuing(GIVEN);
        assert_eq!(trace.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(trace.parent_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(trace.span_id, fresh.span_id);
        assert!(trace.is_sampled);
        assert!(trace.to_traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    }

    #[test]
    fn what_is_not_a_traceparent_begins_a_new_trace() {
        let fresh = Trace::fresh();
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
            assert_eq!(fresh.continuing(broken), fresh, "{broken}");
        }
    }
}
