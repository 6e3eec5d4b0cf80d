#![no_main]
//! The law `stream` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("stream", input));
