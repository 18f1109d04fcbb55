//! What framelift's tests share: golden vectors, synthetic checkpoints, the operations' golden cases and
//! the cases that every engine is held to the reference by, a memory meter.
//!
//! Helpers of tests panic where a test would: a broken golden file is a failed test.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

pub mod golden;
pub mod memory;
pub mod ops;
pub mod pth;
pub mod suite;
pub mod synth;

use std::io::Write as _;
use std::path::PathBuf;

use framelift_engine::HostTensor;

/// The folder of real clips, weights and large golden vectors, named by `FRAMELIFT_TEST_DATA`.
///
/// `None` where the variable is unset, after saying `SKIPPED: …` on standard error, past the capture of the test runner.
///
/// # Panics
/// Where the variable is set but names no folder: then somebody meant these tests to run.
#[must_use]
pub fn test_data() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("FRAMELIFT_TEST_DATA").map(PathBuf::from) else {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // A closed standard error is no reason to fail.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} (FRAMELIFT_TEST_DATA is not set)");
        return None;
    };
    assert!(folder.is_dir(), "FRAMELIFT_TEST_DATA names no folder: {}", folder.display());
    Some(folder)
}

/// The largest absolute difference between two tensors; infinite where a value of either is NaN.
///
/// # Panics
/// Where the shapes differ.
#[must_use]
pub fn max_abs_diff(a: &HostTensor, b: &HostTensor) -> f32 {
    assert_eq!(a.shape(), b.shape(), "tensors of two shapes cannot be compared");
    let diff = |(x, y): (&f32, &f32)| if x == y { 0.0 } else { (x - y).abs() };
    let worst = |worst: f32, diff: f32| if diff.is_nan() { f32::INFINITY } else { worst.max(diff) };
    a.data().iter().zip(b.data()).map(diff).fold(0.0, worst)
}

/// [`max_abs_diff`] over sequences of frames.
///
/// # Panics
/// Where the lengths or the shapes differ.
#[must_use]
pub fn max_abs_diff_of_frames(a: &[HostTensor], b: &[HostTensor]) -> f32 {
    assert_eq!(a.len(), b.len(), "sequences of two lengths cannot be compared");
    a.iter().zip(b).map(|(a, b)| max_abs_diff(a, b)).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use framelift_engine::Shape;

    use super::*;

    #[test]
    fn a_nan_is_never_close() {
        let tensor = |v| HostTensor::new(Shape::new(1, 1, 2), vec![1.0, v]).unwrap();
        assert_eq!(max_abs_diff(&tensor(1.0), &tensor(3.5)), 2.5);
        assert_eq!(max_abs_diff(&tensor(f32::NAN), &tensor(1.0)), f32::INFINITY);
        assert_eq!(max_abs_diff(&tensor(f32::NAN), &tensor(f32::NAN)), f32::INFINITY);
        assert_eq!(max_abs_diff(&tensor(f32::INFINITY), &tensor(f32::INFINITY)), 0.0);
    }
}
