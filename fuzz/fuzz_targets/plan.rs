#![no_main]

#[path = "../src/plan.rs"]
mod plan;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plan::run(bytes));
