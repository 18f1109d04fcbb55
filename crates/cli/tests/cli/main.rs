//! The command `framelift`, run as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod common;
mod formats;
mod measure;
mod upscale;
mod windows;
