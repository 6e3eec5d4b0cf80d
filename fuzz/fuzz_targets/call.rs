#![no_main]
//! The law `call` under libFuzzer.

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("call", input));
