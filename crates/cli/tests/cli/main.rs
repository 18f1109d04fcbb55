//! The command `framelift`, run as a user runs it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells what it measured"
)]

mod bad_input;
mod batch;
mod common;
mod devices;
mod faults;
mod formats;
mod golden;
mod measure;
mod models;
mod preview;
mod resume;
mod stops;
mod upscale;
mod windows;
