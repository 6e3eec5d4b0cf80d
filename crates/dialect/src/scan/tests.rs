use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::{DEEPEST, ScanError, Scanner, Token, plain};

fn check(text: &[u8]) -> Result<usize, ScanError> {
    let mut scanner = Scanner::new(text);
    let mut count = 0;
    while scanner.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn tokens_come_in_order_with_their_places() {
    let text = br#" {"a" : [1, -2.5e3, "x\n\u00e9"], "b":{}, "c":null,"d":true ,"e":false} "#;
    let mut scanner = Scanner::new(text);
    let mut seen = Vec::new();
    while let Some(token) = scanner.next().unwrap() {
        seen.push(match token {
            Token::Key(text) => format!("key {}", scanner.read(text).unwrap()),
            Token::String(text) => format!("string {:?} {}", scanner.read(text).unwrap(), text.chars),
            Token::Number(span) => format!("number {}", std::str::from_utf8(scanner.bytes(span)).unwrap()),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            "BeginObject",
            "key a",
            "BeginArray",
            "number 1",
            "number -2.5e3",
            "string \"x\\né\" 4",
            "EndArray",
            "key b",
            "BeginObject",
            "EndObject",
            "key c",
            "Null",
            "key d",
            "True",
            "key e",
            "False",
            "EndObject"
        ]
    );
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, at) in [
        (&b""[..], 0),
        (b"{", 1),
        (b"{]", 1),
        (b"[}", 1),
        (b"[1,]", 3),
        (b"{\"a\":1,}", 7),
        (b"{\"a\" 1}", 5),
        (b"{a:1}", 1),
        (b"[1 2]", 3),
        (b"01", 1),
        (b"1.", 2),
        (b"1e", 2),
        (b"-", 1),
        (b"nul", 0),
        (b"\"\x01\"", 1),
        (b"\"\\x\"", 1),
        (b"\"\\u12g4\"", 1),
        (b"\"abc", 4),
        (b"{} {}", 3),
        (b"\xef\xbb\xbf{}", 0),
    ] {
        let error = check(text).unwrap_err();
        assert_eq!(error.at, at, "{:?}: {}", String::from_utf8_lossy(text), error.what);
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(check(&nested(DEEPEST as usize)).is_ok());
    assert!(check(&nested(DEEPEST as usize + 1)).is_err());
    assert!(check(&b"[".repeat(1_000_000)).is_err());
}

#[test]
fn skipping_passes_over_exactly_one_value() {
    let mut scanner = Scanner::new(br#"{"a": {"b":[1,{}]} ,"c":2}"#);
    scanner.next().unwrap();
    scanner.next().unwrap();
    let span = scanner.skip().unwrap();
    assert_eq!(scanner.bytes(span), br#"{"b":[1,{}]}"#);
    assert!(matches!(scanner.next().unwrap(), Some(Token::Key(_))));
}

#[test]
fn the_length_of_a_string_is_that_of_what_it_stands_for() {
    for text in ["plain", "tab\tquote\"", "é", "日本", "🙂", "\u{1}"] {
        for json in [serde_json::to_string(text).unwrap(), ascii(text)] {
            let mut scanner = Scanner::new(json.as_bytes());
            let Some(Token::String(token)) = scanner.next().unwrap() else { panic!("no string") };
            assert_eq!(token.chars, text.len() as u64, "{json}");
            assert_eq!(scanner.read(token).unwrap(), text);
        }
    }
}

fn ascii(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

fn jsonish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\"", "1", "-", "0", ".", "e", "true", "false",
            "null", " ", "\\u00", "\\n", "\n", "\u{1}", "é",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_tokenizer_takes_what_serde_takes(text in jsonish()) {
        if std::str::from_utf8(&text).is_ok() {
            let serde = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
            assert_eq!(check(&text).is_ok(), serde, "{:?}", String::from_utf8_lossy(&text));
        } else {
            let _ = check(&text);
        }
    }

    #[test]
    fn plain_bytes_are_counted_exactly(text in prop::collection::vec(prop_oneof![
        40 => 0x20..0x7f_u8, 1 => any::<u8>()], 0..120)) {
        let expected = text.iter().take_while(|b| !matches!(**b, b'"' | b'\\' | 0..0x20)).count();
        assert_eq!(plain(&text), expected);
    }
}
