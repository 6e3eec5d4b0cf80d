use std::borrow::Cow;

use bytes::Bytes;
use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::{LARGEST_RECORD, Record, Records, parse, write};

/// All records of a stream given in these chunks, and what is left.
fn cut(chunks: &[&[u8]]) -> (Vec<Bytes>, Bytes) {
    let mut records = Records::new(LARGEST_RECORD);
    let mut whole = Vec::new();
    for chunk in chunks {
        records.feed(Bytes::copy_from_slice(chunk));
        while let Some(record) = records.next().unwrap() {
            whole.push(record);
        }
    }
    (whole, records.rest())
}

fn data(record: &[u8]) -> Option<String> {
    parse(record).data.map(|data| String::from_utf8(data.into_owned()).unwrap())
}

#[test]
fn each_kind_of_line_end_ends_a_record() {
    for text in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
        let (records, rest) = cut(&[text.as_bytes()]);
        let read: Vec<_> = records.iter().filter_map(|record| data(record)).collect();
        assert_eq!(read, ["a", "b"], "{text:?}");
        assert!(rest.is_empty());
    }
}

#[test]
fn an_open_record_is_kept_back() {
    let (records, rest) = cut(&[b"data: a\n\ndata: b\n"]);
    assert_eq!(records, [Bytes::from_static(b"data: a\n\n")]);
    assert_eq!(rest, Bytes::from_static(b"data: b\n"));
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(data(b"\xef\xbb\xbfdata: x\n\n"), Some("x".into()));
    assert_eq!(data(b"data:x\n\n"), Some("x".into()));
    assert_eq!(data(b"data:  x\n\n"), Some(" x".into()));
    assert_eq!(data(b"data: a\ndata: b\n\n"), Some("a\nb".into()));
    assert_eq!(data(b"data\n\n"), Some(String::new()));
    assert_eq!(data(b": comment\nid: 4\nretry: 5\n\n"), None);
    assert_eq!(data(b"database: x\n\n"), None);
    let record = parse(b"event: ping\r\ndata: {}\r\n\r\n");
    assert_eq!(record, Record { event: b"ping", data: Some(Cow::Borrowed(b"{}")) });
}

#[test]
fn a_record_within_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut records = Records::new(LARGEST_RECORD);
    records.feed(chunk.clone());
    let first = records.next().unwrap().unwrap();
    assert_eq!(first.as_ptr(), chunk.as_ptr());
}

#[test]
fn a_record_without_end_is_refused_at_the_cap() {
    let mut records = Records::new(10);
    records.feed(Bytes::from_static(b"data: 1234567890"));
    assert_eq!(records.next().unwrap_err().code, "record_too_large");
}

#[test]
fn a_written_record_is_read_back() {
    let mut out = Vec::new();
    write(&mut out, Some("ping"), b"{}");
    write(&mut out, None, b"[DONE]");
    assert_eq!(out, b"event: ping\ndata: {}\n\ndata: [DONE]\n\n");
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_records_and_loses_no_byte(
        pieces in prop::collection::vec(prop::sample::select(
            vec!["data: é🙂", "data:", "\n", "\r", "\r\n", "\n\n", "event: x", ":", "\u{feff}"]), 0..30),
        cuts in prop::collection::vec(1..8_usize, 0..60),
    ) {
        let text = pieces.concat().into_bytes();
        let mut chunks = Vec::new();
        let mut rest = text.as_slice();
        for cut in cuts {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        chunks.push(rest);
        let (whole, left) = cut(&[&text]);
        let (pieced, pieced_left) = cut(&chunks);
        let read = |records: &[Bytes], left: &Bytes| {
            let all = records.iter().chain([left]).map(|record| data(record));
            all.filter(|data| data.is_some()).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(&whole, &left), read(&pieced, &pieced_left));
        let mut joined = pieced.concat();
        joined.extend_from_slice(&pieced_left);
        prop_assert_eq!(joined, text);
    }
}
