#![no_main]

#[allow(dead_code, reason = "each target calls one of the functions")]
#[path = "../../tests/it/strangers.rs"]
mod strangers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| strangers::answer(input));
