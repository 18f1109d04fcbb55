//! The modulated deformable convolution (DCNv2: Zhu et al. 2019; layout of mmcv's `modulated_deform_conv2d`).

use super::{misfit, sample_bilinear};
use crate::{EngineError, HostTensor, Shape};

/// The fixed part of a deformable 3×3 convolution of stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeformSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Consecutive groups of input channels, each with offsets and masks of its own.
    pub groups: usize,
}

/// Taps of the kernel.
const TAPS: usize = 9;

/// `bias + Σ weight · mask · input(position + tap + offset)`, bilinear, zero outside.
///
/// `offsets` has `groups * 9 * 2` channels, for group `g` and tap `k` (row by row) `dy` in channel `(g * 9 + k) * 2`
/// and `dx` in the next; `masks` has `groups * 9`, in channel `g * 9 + k`. Weights are `[out][in][3][3]`.
///
/// # Errors
/// [`EngineError::Shape`] where tensors or lengths do not fit.
pub fn deform_conv(
    spec: &DeformSpec,
    weights: &[f32],
    bias: &[f32],
    input: &HostTensor,
    offsets: &HostTensor,
    masks: &HostTensor,
) -> Result<HostTensor, EngineError> {
    let DeformSpec { in_channels, out_channels, groups } = *spec;
    let Shape { height, width, channels } = input.shape();
    if groups == 0 || !in_channels.is_multiple_of(groups) || channels != in_channels {
        return misfit(format!("{channels} channels in {groups} groups for a convolution of {in_channels}"));
    }
    if weights.len() != out_channels * in_channels * TAPS || bias.len() != out_channels {
        return misfit(format!("{} weights and {} biases for {spec:?}", weights.len(), bias.len()));
    }
    for (what, tensor, due) in [("offsets", offsets, groups * TAPS * 2), ("masks", masks, groups * TAPS)] {
        if tensor.shape() != Shape::new(height, width, due) {
            return misfit(format!("{what} of {} for {height}x{width} in {groups} groups", tensor.shape()));
        }
    }

    let per_group = in_channels / groups;
    let mut data = Vec::with_capacity(height * width * out_channels);
    for y in 0..height {
        for x in 0..width {
            // [in][tap], as the weights.
            let mut samples = Vec::with_capacity(in_channels * TAPS);
            for channel in 0..in_channels {
                for tap in 0..TAPS {
                    let at = channel / per_group * TAPS + tap;
                    let row = (y + tap / 3) as f64 - 1.0 + f64::from(offsets.at(y, x, at * 2));
                    let column = (x + tap % 3) as f64 - 1.0 + f64::from(offsets.at(y, x, at * 2 + 1));
                    samples.push(f64::from(masks.at(y, x, at)) * sample_bilinear(input, row, column, channel));
                }
            }
            for (out, &b) in bias.iter().enumerate() {
                let weights = &weights[out * samples.len()..][..samples.len()];
                let sum: f64 = weights.iter().zip(&samples).map(|(&w, s)| f64::from(w) * s).sum();
                data.push((f64::from(b) + sum) as f32);
            }
        }
    }
    HostTensor::new(Shape::new(height, width, out_channels), data)
}
