//! Each operation as a plain, slow, obviously right loop, and an engine made of them.
//!
//! The functions take and give [`HostTensor`]s. Arithmetic is f64 and is rounded once, to f32: an engine that sums
//! in f32, in whatever order, stays within a few units of the last place of the sum of magnitudes. Conventions
//! (coordinates, borders, channel order) are PyTorch's, and mmcv's for the deformable convolution, because
//! checkpoints were trained with these.

mod avg_pool;
mod conv;
mod deform_conv;
mod engine;
mod flow_warp;
mod pointwise;
mod resize;
mod shuffle;

pub use avg_pool::avg_pool;
pub use conv::conv;
pub use deform_conv::{deform_conv, deform_offsets};
pub use engine::ReferenceEngine;
pub use flow_warp::flow_warp;
pub use pointwise::{add_scaled, mean_abs, scale_channels};
pub use resize::{resize, resize_taps};
pub use shuffle::{pixel_shuffle, pixel_unshuffle};

use crate::{EngineError, HostTensor, Precision, Shape};

/// `value` as `precision` stores it: to nearest, ties to even.
#[must_use]
pub fn round(value: f32, precision: Precision) -> f32 {
    match precision {
        Precision::F32 => value,
        Precision::Bf16 => half::bf16::from_f32(value).to_f32(),
        Precision::F16 => half::f16::from_f32(value).to_f32(),
    }
}

/// Every value of `tensor` as `precision` stores it.
#[must_use]
pub fn rounded(mut tensor: HostTensor, precision: Precision) -> HostTensor {
    if precision != Precision::F32 {
        tensor.data_mut().iter_mut().for_each(|v| *v = round(*v, precision));
    }
    tensor
}

/// The bilinear value of `channel` at row `y`, column `x`; samples outside the tensor are zero.
fn sample_bilinear(tensor: &HostTensor, y: f64, x: f64, channel: usize) -> f64 {
    let Shape { height, width, .. } = tensor.shape();
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let value = |row: f64, column: f64| {
        let inside = row >= 0.0 && row < height as f64 && column >= 0.0 && column < width as f64;
        if inside { f64::from(tensor.at(row as usize, column as usize, channel)) } else { 0.0 }
    };
    (1.0 - down) * ((1.0 - right) * value(top, left) + right * value(top, left + 1.0))
        + down * ((1.0 - right) * value(top + 1.0, left) + right * value(top + 1.0, left + 1.0))
}

/// A refusal of shapes that do not fit.
fn misfit<T>(what: String) -> Result<T, EngineError> {
    Err(EngineError::Shape(what))
}
