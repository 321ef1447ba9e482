//! See `inputs::letter`.

#![no_main]

#[path = "../inputs.rs"]
#[allow(dead_code, reason = "each target runs one of them")]
mod inputs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| inputs::letter(data));
