use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::{Kind, Message, Messages, aws_event, aws_exception};
use crate::Fault;

fn read(bytes: &[u8], size: usize) -> (Vec<Message>, Result<(), Fault>) {
    let mut messages = Messages::default();
    let mut read = Vec::new();
    for chunk in bytes.chunks(size.max(1)) {
        messages.feed(Bytes::copy_from_slice(chunk));
        loop {
            match messages.next() {
                Ok(Some(message)) => read.push(message),
                Ok(None) => break,
                Err(fault) => return (read, Err(fault)),
            }
        }
    }
    (read, Ok(()))
}

fn said(messages: &[Message]) -> Vec<(Kind, &str, &[u8])> {
    messages.iter().map(|m| (m.kind, m.name.as_str(), m.payload.as_ref())).collect()
}

#[test]
fn messages_are_the_same_in_any_chunking() {
    let stream = [
        aws_event("messageStart", br#"{"role":"assistant"}"#),
        aws_event("empty", b""),
        aws_exception("throttlingException", br#"{"message":"slow down"}"#),
    ]
    .concat();
    for size in 1..=stream.len() {
        let (messages, ending) = read(&stream, size);
        assert_eq!(ending, Ok(()));
        assert_eq!(
            said(&messages),
            [
                (Kind::Event, "messageStart", br#"{"role":"assistant"}"#.as_slice()),
                (Kind::Event, "empty", b""),
                (Kind::Exception, "throttlingException", br#"{"message":"slow down"}"#),
            ]
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_is_a_checksum_fault() {
    let good = aws_event("contentBlockDelta", br#"{"delta":{"text":"hi"}}"#);
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        let (messages, ending) = read(&bad, 7);
        assert!(messages.is_empty());
        assert_eq!(ending.unwrap_err().code, "checksum_mismatch", "at {place}");
    }
}

#[test]
fn a_length_is_bounded_before_anything_is_kept() {
    let mut prelude = Vec::new();
    prelude.extend_from_slice(&u32::MAX.to_be_bytes());
    prelude.extend_from_slice(&0_u32.to_be_bytes());
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    assert_eq!(read(&prelude, 100).1.unwrap_err().code, "record_too_large");
    let mut short = Vec::new();
    short.extend_from_slice(&20_u32.to_be_bytes());
    short.extend_from_slice(&16_u32.to_be_bytes());
    short.extend_from_slice(&crc32fast::hash(&short).to_be_bytes());
    assert_eq!(read(&short, 100).1.unwrap_err().code, "invalid_answer");
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut headers = Vec::new();
    for (kind, width) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
        headers.extend_from_slice(&[1, b'x', kind]);
        headers.extend(std::iter::repeat_n(7_u8, width));
    }
    headers.extend_from_slice(&[1, b'b', 6, 0, 2, 1, 2]);
    headers.extend_from_slice(&[11]);
    headers.extend_from_slice(b":event-type");
    headers.extend_from_slice(&[7, 0, 1, b'e']);
    let mut message = Vec::new();
    message.extend_from_slice(&u32::try_from(16 + headers.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    assert_eq!(said(&read(&message, 9).0), [(Kind::Event, "e", b"".as_slice())]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..40_usize) {
        let whole = read(&bytes, usize::MAX);
        prop_assert_eq!(read(&bytes, size), whole);
    }

    #[test]
    fn damaged_messages_never_panic(payload in prop::collection::vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut message = aws_event("e", &payload);
        let place = place.index(message.len());
        message[place] = byte;
        let _ = read(&message, 5);
    }
}
