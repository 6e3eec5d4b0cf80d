//! Vectors, as numbers or as base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::{Fault, canonical::Json, json::is_string};

/// A vector as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// An array of numbers.
    Numbers(Json),
    /// 32-bit floats, the lowest byte first, in base64.
    Base64(String),
}

impl Vector {
    /// Reads a vector: an array, or base64 in a string.
    pub(super) fn read(value: &RawValue) -> Result<Self, Fault> {
        if is_string(value) {
            let text = serde_json::from_str(value.get());
            return text.map(Self::Base64).map_err(|error| wrong(&error.to_string()));
        }
        if !value.get().starts_with('[') {
            return Err(wrong("it is no array"));
        }
        Ok(Self::Numbers(Json::new(value)))
    }

    /// An array of numbers.
    pub(super) fn numbers(&self) -> Result<String, Fault> {
        let text = match self {
            Self::Numbers(numbers) => return Ok(numbers.text().to_owned()),
            Self::Base64(text) => text,
        };
        let bytes = STANDARD.decode(text).map_err(|error| wrong(&error.to_string()))?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong("its length is no multiple of four"));
        }
        let floats: Vec<f32> = floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        serde_json::to_string(&floats).map_err(|error| wrong(&error.to_string()))
    }

    /// Base64 of 32-bit floats.
    pub(super) fn base64(&self) -> Result<String, Fault> {
        let numbers = match self {
            Self::Base64(text) => return Ok(text.clone()),
            Self::Numbers(numbers) => numbers,
        };
        let floats: Vec<f32> =
            serde_json::from_str(numbers.text()).map_err(|error| wrong(&error.to_string()))?;
        let bytes: Vec<u8> = floats.into_iter().flat_map(f32::to_le_bytes).collect();
        Ok(STANDARD.encode(bytes))
    }
}

fn wrong(why: &str) -> Fault {
    Fault::bad_answer("invalid_answer", format!("a vector of the provider's answer is not understood: {why}"))
}

#[cfg(test)]
mod tests {
    use super::Vector;
    use crate::canonical::Json;

    #[test]
    fn numbers_and_base64_are_the_same_vector() {
        let numbers = Vector::Numbers(Json::parse("[0.5,-1.25,3e-5]").unwrap());
        let packed = Vector::Base64(numbers.base64().unwrap());
        assert_eq!(packed.base64().unwrap(), "AAAAPwAAoL+CqPs3");
        let floats: Vec<f32> = serde_json::from_str(&packed.numbers().unwrap()).unwrap();
        assert_eq!(floats, [0.5, -1.25, 3e-5]);
    }

    #[test]
    fn a_vector_that_is_none_is_the_providers_fault() {
        for broken in ["AAA", "AAAAPwA=", "?"] {
            assert!(Vector::Base64(broken.to_owned()).numbers().is_err(), "{broken}");
        }
        assert!(Vector::Numbers(Json::parse(r#"["x"]"#).unwrap()).base64().is_err());
    }
}
