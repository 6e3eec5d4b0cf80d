use proptest::prelude::*;

use super::{Span, Timestamp, YEAR_10000_MS};

#[test]
fn a_span_prints_in_its_largest_whole_unit() {
    for (written, printed) in
        [("250ms", "250ms"), ("1000ms", "1s"), ("90s", "90s"), ("120s", "2m"), ("60m", "1h"), ("007s", "7s")]
    {
        assert_eq!(written.parse::<Span>().unwrap().to_string(), printed);
    }
}

#[test]
fn a_span_without_unit_or_out_of_bounds_is_refused() {
    for text in ["", "10", "s", "-1s", "1.5s", "1 s", "0s", "25h", "99999999999999999999s", "1d", "٣s"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

#[test]
fn a_moment_is_read_with_offset_and_fraction() {
    for (written, milliseconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000),
        ("2024-02-29T14:00:00.123456+02:00", 1_709_208_000_123),
        ("2024-02-29t11:30:00.5-00:30", 1_709_208_000_500),
        ("9999-12-31T23:59:59.999Z", YEAR_10000_MS - 1),
    ] {
        assert_eq!(written.parse::<Timestamp>().unwrap().as_unix_millis(), milliseconds, "{written}");
    }
}

#[test]
fn what_is_no_moment_is_refused() {
    for text in [
        "",
        "2024-01-01",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.Z",
        "1969-12-31T23:59:59Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T+00:00",
        "1900-02-29T00:00:00Z",
        "é024-01-01T00:00:00Z",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_moment_is_read_back_as_it_was_printed(milliseconds in 0..YEAR_10000_MS) {
        let moment = Timestamp::from_unix_millis(milliseconds).unwrap();
        prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,30}", digits in "[0-9:.TZ+-]{0,30}") {
        let _ = (text.parse::<Timestamp>(), text.parse::<Span>());
        let _ = (digits.parse::<Timestamp>(), digits.parse::<Span>());
    }
}
