//! The command `framelift`, run as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod common;
mod measure;
mod resume;
mod upscale;
mod windows;
