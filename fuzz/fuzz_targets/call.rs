//! The law `call` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| frontdoor_fuzz::hold("call", input));
