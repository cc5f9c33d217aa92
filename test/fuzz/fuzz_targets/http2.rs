//! libFuzzer's door to the reader of this name.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nestless_hostile::attack("http2", input));
