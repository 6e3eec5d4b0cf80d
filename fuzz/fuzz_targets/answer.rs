#![no_main]
//! The law `answer` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("answer", input));
