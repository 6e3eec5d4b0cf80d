//! AWS's binary event stream: each message is its lengths, a checksum of those, headers, a payload and a checksum of it all.
//! Written from the format's description, so that the proxy's decoder is not compared with itself.

use bytes::Bytes;

use crate::crc32::Crc32;

/// The content type of a stream.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// An event.
pub(crate) fn event(kind: &str, payload: &str) -> Bytes {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, payload.as_bytes())
}

/// An exception, which ends the stream.
pub(crate) fn exception(kind: &str, payload: &str) -> Bytes {
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    message(&headers, payload.as_bytes())
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend_from_slice(name.as_bytes());
        head.push(TEXT);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    // Twelve bytes of prelude before, four of checksum after.
    let mut out = Vec::with_capacity(head.len() + payload.len() + 16);
    out.extend_from_slice(&length(head.len() + payload.len() + 16));
    out.extend_from_slice(&length(head.len()));
    out.extend_from_slice(&Crc32::of(&out).to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(&Crc32::of(&out).to_be_bytes());
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_message_is_byte_for_byte_what_bedrock_sent() {
        let recorded = "AAAAmQAAAFI8UarQCzpldmVudC10eXBlBwAMbWVzc2FnZVN0YXJ0DTpjb250ZW50LXR5cGUHABBhcHBsaWNhdGlvbi9qc29uDTptZXNzYWdlLXR5cGUHAAVldmVudHsicCI6ImFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUIiLCJyb2xlIjoiYXNzaXN0YW50In3SL1jN";
        let payload = r#"{"p":"abcdefghijklmnopqrstuvwxyzAB","role":"assistant"}"#;
        assert_eq!(event("messageStart", payload), STANDARD.decode(recorded).unwrap());
    }
}
