use proptest::prelude::*;

use super::{NanoUsd, Prices, TokenCounts, UsdPerMillion};

fn price(text: &str) -> UsdPerMillion {
    serde_json::from_str(text).unwrap()
}

fn prices(input: &str, output: &str) -> Prices {
    Prices {
        input: price(input),
        output: price(output),
        cache_read: None,
        cache_write: None,
        reasoning: None,
        per_request: None,
    }
}

#[test]
fn a_decimal_price_is_exact() {
    assert_eq!(price("0.15").nano_per_million(), 150_000_000);
    assert_eq!(price("0.0375").nano_per_million(), 37_500_000);
    assert_eq!(price("15").nano_per_million(), 15_000_000_000);
    assert_eq!(price("1e-9").nano_per_million(), 1);
    assert_eq!(price("999999.999999999").nano_per_million(), 999_999_999_999_999);
}

#[test]
fn a_price_that_is_negative_too_fine_or_too_large_is_refused() {
    for text in ["-1", "-0.5", "0.0000000001", "1000000.1", "1e300", "\"0.15\"", "null"] {
        assert!(serde_json::from_str::<UsdPerMillion>(text).is_err(), "{text}");
    }
}

#[test]
fn each_class_is_charged_at_its_own_price() {
    let mut prices = prices("2", "10");
    let tokens = TokenCounts { input: 100, cache_read: 50, cache_write: 10, output: 40, reasoning: 30 };
    assert_eq!(prices.cost(&tokens), NanoUsd(160 * 2000 + 40 * 10_000));

    prices.cache_read = Some(price("0.2"));
    prices.cache_write = Some(price("2.5"));
    prices.reasoning = Some(price("20"));
    prices.per_request = Some(serde_json::from_str("0.01").unwrap());
    let expected = 10_000_000 + 100 * 2000 + 50 * 200 + 10 * 2500 + 10 * 10_000 + 30 * 20_000;
    assert_eq!(prices.cost(&tokens), NanoUsd(expected));
}

#[test]
fn half_a_nano_is_rounded_up_and_less_is_dropped() {
    assert_eq!(price("0.0005").times(1), NanoUsd(1));
    assert_eq!(price("0.0004").times(1), NanoUsd(0));
    assert_eq!(price("0.0005").times(3), NanoUsd(2));
}

#[test]
fn a_cost_beyond_64_bits_saturates() {
    let tokens = TokenCounts {
        input: u64::MAX,
        cache_read: u64::MAX,
        cache_write: u64::MAX,
        output: u64::MAX,
        reasoning: u64::MAX,
    };
    assert_eq!(prices("1000000", "1000000").cost(&tokens), NanoUsd(i64::MAX));
}

#[test]
fn money_prints_as_usd() {
    assert_eq!(NanoUsd(150_000).to_string(), "0.00015");
    assert_eq!(NanoUsd(2_000_000_000).to_string(), "2");
    assert_eq!(NanoUsd(-1).to_string(), "-0.000000001");
    assert_eq!(NanoUsd(i64::MIN).to_string(), "-9223372036.854775808");
}

proptest! {
    #[test]
    fn a_price_is_read_back_as_it_was_written(nano in 0..=1_000_000_000_000_000u64) {
        let price = UsdPerMillion::from_nano_per_million(nano).unwrap();
        let text = serde_json::to_string(&price).unwrap();
        prop_assert_eq!(serde_json::from_str::<UsdPerMillion>(&text).unwrap(), price);
        let value = serde_json::to_value(price).unwrap();
        prop_assert_eq!(serde_json::from_value::<UsdPerMillion>(value).unwrap(), price);
    }

    #[test]
    fn more_tokens_never_cost_less(nano in 0..=1_000_000_000_000_000u64, few: u64, more: u64) {
        let price = UsdPerMillion::from_nano_per_million(nano).unwrap();
        prop_assert!(price.times(few) <= price.times(few.saturating_add(more)));
    }
}
