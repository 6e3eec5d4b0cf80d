//! Prices and costs in exact integers. Floating point appears only in how a decimal number is written.

use std::{fmt, ops::AddAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// Tokens to which a price per million refers.
const MILLION: u128 = 1_000_000;
const NANO: u64 = 1_000_000_000;

/// An amount of money in 10⁻⁹ USD. Arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: NanoUsd = NanoUsd(0);

    /// The sum, at most what 64 bits hold.
    pub const fn saturating_add(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: NanoUsd) {
        *self = self.saturating_add(other);
    }
}

impl fmt::Display for NanoUsd {
    /// In USD, as a decimal number without superfluous zeros: `0.00015`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        fmt_nano(self.0.unsigned_abs(), f)
    }
}

/// A price in USD for a million tokens: a decimal number with at most nine decimals, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsdPerMillion(u64);

/// An amount in USD: a decimal number with at most nine decimals, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u64);

impl UsdPerMillion {
    /// The price from 10⁻⁹ USD for a million tokens, if it is not beyond the limit.
    pub const fn from_nano_per_million(nano: u64) -> Option<Self> {
        if nano <= limits::USD * NANO { Some(UsdPerMillion(nano)) } else { None }
    }

    /// The price in 10⁻⁹ USD for a million tokens.
    pub const fn nano_per_million(self) -> u64 {
        self.0
    }

    /// What so many tokens cost, rounded half up once.
    pub fn times(self, tokens: u64) -> NanoUsd {
        let exact = u128::from(self.0) * u128::from(tokens);
        let rounded = (exact + MILLION / 2) / MILLION;
        NanoUsd(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl Usd {
    /// The amount from 10⁻⁹ USD, if it is not beyond the limit.
    pub const fn from_nano(nano: u64) -> Option<Self> {
        if nano <= limits::USD * NANO { Some(Usd(nano)) } else { None }
    }

    /// The amount.
    pub fn nano(self) -> NanoUsd {
        NanoUsd(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

/// Prints 10⁻⁹ units as a decimal number.
fn fmt_nano(nano: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (whole, fraction) = (nano / NANO, nano % NANO);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{fraction:09}");
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads a decimal number without sign and exponent into 10⁻⁹ units.
fn parse_nano(text: &str) -> Result<u64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 {
        return Err("an amount in USD has at most nine decimals".to_owned());
    }
    let too_much = || format!("an amount in USD lies between 0 and {}", limits::USD);
    let digits = format!("{whole}{fraction:0<9}");
    let nano = digits.parse::<u64>().map_err(|_overflow| too_much())?;
    if nano <= limits::USD * NANO { Ok(nano) } else { Err(too_much()) }
}

/// Writes whole amounts as integers. At most 15 significant digits are possible, which a double holds and prints exactly.
fn serialize_nano<S: Serializer>(nano: u64, serializer: S) -> Result<S::Ok, S::Error> {
    struct Text(u64);
    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt_nano(self.0, f)
        }
    }
    if nano.is_multiple_of(NANO) {
        return serializer.serialize_u64(nano / NANO);
    }
    let number = Text(nano).to_string().parse::<f64>().map_err(serde::ser::Error::custom)?;
    serializer.serialize_f64(number)
}

struct Decimal;

impl de::Visitor<'_> for Decimal {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in USD as a number, such as `0.15`")
    }

    fn visit_u64<E: de::Error>(self, whole: u64) -> Result<u64, E> {
        parse_nano(&whole.to_string()).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, whole: i64) -> Result<u64, E> {
        match u64::try_from(whole) {
            Ok(whole) => self.visit_u64(whole),
            Err(_) => Err(E::custom("an amount in USD is not negative")),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        if !number.is_finite() || number.is_sign_negative() {
            return Err(E::custom("an amount in USD is a number that is not negative"));
        }
        // The shortest decimal that means this double: what was written, for up to 15 digits.
        parse_nano(&number.to_string()).map_err(E::custom)
    }
}

macro_rules! decimal_newtype {
    ($type:ident, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_nano(self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_f64(Decimal).map($type)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_nano(self.0, f)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1_000_000,
                    "description": $description
                })
            }
        }
    };
}

decimal_newtype!(UsdPerMillion, "USD per million tokens, at most nine decimals.");
decimal_newtype!(Usd, "USD, at most nine decimals.");

/// What a target costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Uncached input tokens.
    pub input: UsdPerMillion,
    /// Output tokens.
    pub output: UsdPerMillion,
    /// Input tokens read from the provider's cache. Omitted: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<UsdPerMillion>,
    /// Input tokens written into the provider's cache. Omitted: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<UsdPerMillion>,
    /// Reasoning tokens, which are part of the output. Omitted: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<UsdPerMillion>,
    /// USD for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request: Option<Usd>,
}

/// Tokens by the classes that prices distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// Input that was not cached.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written into the provider's cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
}

impl Prices {
    /// What a request with so many tokens costs: each class is rounded half up once, the sum saturates.
    pub fn cost(&self, tokens: &TokenCounts) -> NanoUsd {
        let mut cost = self.per_request.map_or(NanoUsd::ZERO, Usd::nano);
        cost += self.input.times(tokens.input);
        cost += self.cache_read.unwrap_or(self.input).times(tokens.cache_read);
        cost += self.cache_write.unwrap_or(self.input).times(tokens.cache_write);
        match self.reasoning {
            None => cost += self.output.times(tokens.output),
            Some(reasoning) => {
                cost += self.output.times(tokens.output.saturating_sub(tokens.reasoning));
                cost += reasoning.times(tokens.reasoning);
            }
        }
        cost
    }
}

#[cfg(test)]
mod tests;
