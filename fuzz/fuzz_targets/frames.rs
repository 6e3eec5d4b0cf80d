//! The law `frames` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("frames", input));
