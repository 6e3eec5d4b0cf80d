#![no_main]
//! The law `quirks` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("quirks", input));
