#![no_main]

#[path = "../src/arguments.rs"]
mod arguments;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| arguments::run(bytes));
