//! The operations of the [`Engine`] contract against the reference, on any engine: cases, and what each must hold.
//!
//! An engine's own tests make the engines, say in which precisions, and call these.

mod conv;
mod deform;
mod frames;
mod maps;
mod memory;
mod motion;
mod short;

pub use conv::{ConvCase, conv_cases};
pub use deform::{DeformCase, deform_cases, nan_flows_show};
pub use frames::{broken_values_are_found, frames_come_back};
pub use maps::{
    MapCase, bytes_are_the_references, check_pointwise, check_resize, check_shuffle, check_warp, map_cases,
    misfits_are_refused, rows_are_cut_and_stacked,
};

pub use memory::memory_is_counted_recycled_and_limited;
pub use motion::motions_are_the_references;
pub use short::{Loss, losses};

use framelift_engine::{Engine, HostTensor, Precision, Shape, reference};

/// An engine, and how far its sums may be off, as a share of the largest sum of magnitudes.
#[derive(Clone, Copy)]
pub struct Checked<'a> {
    /// The engine.
    pub engine: &'a dyn Engine,
    /// Rounding of f32 sums in another order than the reference's, by another method.
    pub tolerance: f32,
}

/// Numbers in [−1, 1) that follow from `seed`.
pub fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A tensor of [`noise`].
#[must_use]
pub fn noise_tensor(shape: Shape, seed: u64) -> HostTensor {
    let mut next = noise(seed);
    HostTensor::from_fn(shape, |_, _, _| next())
}

/// Each value `by` times as large.
fn scaled(mut tensor: HostTensor, by: f32) -> HostTensor {
    tensor.data_mut().iter_mut().for_each(|value| *value *= by);
    tensor
}

/// What the engine made must be `expected`, give or take `slack`, as `stored` holds it.
///
/// # Panics
/// Where it is not.
#[track_caller]
fn assert_close(what: &dyn std::fmt::Debug, got: &HostTensor, expected: &HostTensor, slack: f32, stored: Precision) {
    assert_eq!(got.shape(), expected.shape(), "{what:?}");
    let shape = got.shape();
    for (i, (&got, &expected)) in got.data().iter().zip(expected.data()).enumerate() {
        let [low, high] = [expected - slack, expected + slack].map(|bound| reference::round(bound, stored));
        let (pixel, channel) = (i / shape.channels, i % shape.channels);
        let (row, column) = (pixel / shape.width, pixel % shape.width);
        assert!(
            (low..=high).contains(&got),
            "{what:?}: {got} for {expected} at row {row}, column {column}, channel {channel}"
        );
    }
}
