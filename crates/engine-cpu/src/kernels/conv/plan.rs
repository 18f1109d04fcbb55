//! A convolution prepared: method chosen, weights arranged, everything that does not depend on the size of the maps.

use std::sync::Arc;

use framelift_engine::{Activation, ConvSpec, EngineError, Precision};

use super::pack;
use crate::kernels::Kernels;
use crate::map::{BLOCK, View, pixel_stride};
use crate::pool::{Buffer, Pool};
use crate::values;

/// How a convolution is computed. Each has its own rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvMethod {
    /// Products and sums as the definition has them.
    Direct,
    /// Winograd's F(4×4, 3×3), for 3×3 kernels of stride 1.
    Winograd,
}

/// Channels of inputs from which on Winograd's transforms cost less than the multiplications they save, on every
/// instruction set. That holds against the bf16 dot product too, which does at most twice the work of f32.
const WINOGRAD_MIN_INPUTS: usize = 8;

/// A prepared convolution.
pub(crate) struct Plan {
    pub(crate) method: ConvMethod,
    pub(crate) kernels: &'static Kernels,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Channels of all inputs together.
    pub(crate) in_channels: usize,
    /// What inputs are rounded to before they are multiplied.
    pub(crate) precision: Precision,
    /// Whether the direct method multiplies pairs of bf16.
    pub(crate) pairs: bool,
    /// Factor of the pixel shuffle.
    pub(crate) shuffle: usize,
    /// Values from a pixel of the output to the next.
    pub(crate) out_stride: usize,
    /// Sums for each position, padding included. Their order is that of the output after the shuffle:
    /// `[row offset][column offset][channel]`.
    pub(crate) sums: usize,
    /// For each sum.
    pub(crate) bias: Vec<f32>,
    /// For each sum, what it is multiplied by where it is negative.
    pub(crate) slopes: Vec<f32>,
    pub(crate) scale: f32,
    pub(crate) weights: Buffer,
}

impl Plan {
    /// Arranges `weights` and `bias` for `kernels`. The spec must have been checked.
    pub(crate) fn new(
        spec: &ConvSpec,
        weights: &[f32],
        bias: &[f32],
        kernels: &'static Kernels,
        method: Option<ConvMethod>,
        pool: &Arc<Pool>,
    ) -> Result<Self, EngineError> {
        let winograd_fits = spec.kernel == 3 && spec.stride == 1;
        let suitable =
            if spec.total_in_channels() < WINOGRAD_MIN_INPUTS { ConvMethod::Direct } else { ConvMethod::Winograd };
        let method = method.unwrap_or(suitable);
        let method = if winograd_fits { method } else { ConvMethod::Direct };
        let pairs = method == ConvMethod::Direct && spec.precision == Precision::Bf16 && kernels.pairs;

        let shuffle = spec.pixel_shuffle;
        let out_channels = spec.out_channels / (shuffle * shuffle);
        let out_stride = pixel_stride(out_channels);
        let sums = (shuffle * shuffle * out_stride).next_multiple_of(BLOCK);
        // The channel of the spec that a sum is of; none for padding.
        let channel = |sum: usize| {
            let (offset, c) = (sum / out_stride, sum % out_stride);
            (offset < shuffle * shuffle && c < out_channels).then_some(c * shuffle * shuffle + offset)
        };
        let order: Vec<Option<usize>> = (0..sums).map(channel).collect();
        let arranged = |of: &dyn Fn(usize) -> f32| order.iter().map(|c| c.map_or(0.0, of)).collect::<Vec<f32>>();
        let slopes = match &spec.activation {
            Activation::None => vec![1.0; sums],
            Activation::Relu => vec![0.0; sums],
            Activation::Leaky(slope) => vec![*slope; sums],
            Activation::Prelu(slopes) => arranged(&|c| slopes[c]),
        };

        let weights: Vec<f32> = weights.iter().map(|&weight| values::rounded(spec.precision, weight)).collect();
        let source =
            pack::Source { weights: &weights, kernel: spec.kernel, in_channels: &spec.in_channels, order: &order };
        let weights = match method {
            ConvMethod::Winograd => pack::winograd(&source, kernels, pool)?,
            ConvMethod::Direct if pairs => pack::direct_pairs(&source, kernels, pool)?,
            ConvMethod::Direct => pack::direct(&source, kernels, pool)?,
        };
        Ok(Self {
            method,
            kernels,
            kernel: spec.kernel,
            stride: spec.stride,
            in_channels: spec.total_in_channels(),
            precision: spec.precision,
            pairs,
            shuffle,
            out_stride,
            sums,
            bias: arranged(&|c| bias[c]),
            slopes,
            scale: spec.scale,
            weights,
        })
    }

    /// Whether values of `input` must be rounded before they are multiplied.
    #[inline(always)]
    pub(crate) fn rounds(&self, input: &View) -> bool {
        ![Precision::F32, input.precision].contains(&self.precision)
    }
}
