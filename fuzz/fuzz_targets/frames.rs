#![no_main]
//! The law `frames` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("frames", input));
