#![no_main]
//! The law `form` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("form", input));
