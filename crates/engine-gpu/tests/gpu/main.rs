//! The engine against the reference, and whole networks against golden vectors, on the best device that there is: a card,
//! or else Mesa's software Vulkan. Without any device the tests say `SKIPPED`. The environment variable
//! `FRAMELIFT_TEST_DEVICE` names another one: `cuda:0`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and say what they measured"
)]

mod lanes;
mod memory;
mod networks;
mod operations;
mod stacks;
mod tuned;

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use framelift_engine::{Engine, Precision, Support};
use framelift_engine_gpu::{GpuOptions, Tuning, best_device, devices, matrix_cores_from_env, open};
use framelift_testkit::suite::Checked;

/// An engine within `memory_limit_bytes`; `None`, said aloud, where the machine has no device.
fn engine_within(memory_limit_bytes: Option<usize>) -> Option<Arc<dyn Engine>> {
    engine_with(memory_limit_bytes, Tuning::Off)
}

/// Likewise, and with `tuning`.
fn engine_with(memory_limit_bytes: Option<usize>, tuning: Tuning) -> Option<Arc<dyn Engine>> {
    // Whole runs are made with them and without.
    let matrix_cores = matrix_cores_from_env();
    let device = match std::env::var("FRAMELIFT_TEST_DEVICE") {
        Ok(name) if !name.is_empty() => Some(devices().into_iter().find(|device| device.to_string() == name).unwrap()),
        _ => best_device().or_else(|| devices().into_iter().next()),
    };
    let Some(device) = device else {
        let thread = std::thread::current();
        // A closed standard error is no reason to fail.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} (no Vulkan device)", thread.name().unwrap_or("a test"));
        return None;
    };
    Some(open(&GpuOptions { device, memory_limit_bytes, tuning, matrix_cores, assumed: None }).unwrap())
}

/// The engine that most tests share; `None`, said aloud, where the machine has no device.
fn engine() -> Option<Arc<dyn Engine>> {
    static ENGINE: OnceLock<Option<Arc<dyn Engine>>> = OnceLock::new();
    ENGINE.get_or_init(|| engine_within(None)).clone()
}

/// The precisions that the contract lets a GPU have.
const PRECISIONS: &[Precision] = &[Precision::F32, Precision::F16];

/// Those of `engine`.
fn precisions(engine: &dyn Engine) -> &'static [Precision] {
    if engine.support(Precision::F16) == Support::No { &PRECISIONS[..1] } else { PRECISIONS }
}

/// Rounding of f32 sums in another order than the reference's, of the largest sum of magnitudes.
fn checked(engine: &dyn Engine) -> [Checked<'_>; 1] {
    [Checked { engine, tolerance: 2e-6 }]
}
