//! A deformable convolution prepared: weights arranged, everything that does not depend on the size of the maps.

use std::sync::Arc;

use framelift_engine::{DeformSpec, EngineError, Precision};

use super::TAPS;
use crate::kernels::Kernels;
use crate::kernels::gemm::column_blocks;
use crate::map::BLOCK;
use crate::pool::{Buffer, Pool};
use crate::simd::bf16_bits;
use crate::values;

/// Where the channels of a group are.
pub(super) struct GroupPlace {
    /// Number of the input.
    pub(super) input: usize,
    /// Their first channel there.
    pub(super) channel: usize,
}

/// A prepared deformable convolution.
pub(crate) struct Plan {
    pub(super) groups: Vec<GroupPlace>,
    /// Channels of a group.
    pub(super) group_channels: usize,
    /// From the samples of a pixel and group to the next, in units of 32 bits: one f32, or a pair of bf16.
    pub(super) depth: usize,
    pub(super) max_residue: f32,
    /// What samples are rounded to before they are multiplied.
    pub(super) precision: Precision,
    /// Whether pairs of bf16 are multiplied.
    pub(crate) pairs: bool,
    /// Sums for each position, padding included.
    pub(super) sums: usize,
    /// For each sum.
    pub(super) bias: Vec<f32>,
    /// `[group][block of sums][tap][channel][sum of the block]`, pairs of channels where pairs are multiplied.
    pub(super) weights: Buffer,
}

impl Plan {
    /// Arranges `weights` and `bias` for `kernels`. The spec must have been checked.
    pub(crate) fn new(
        spec: &DeformSpec,
        weights: &[f32],
        bias: &[f32],
        kernels: &Kernels,
        pool: &Arc<Pool>,
    ) -> Result<Self, EngineError> {
        let group_channels = spec.group_channels();
        let pairs = spec.precision == Precision::Bf16 && kernels.pairs && group_channels.is_multiple_of(2);
        let sums = spec.out_channels.next_multiple_of(BLOCK);
        let total_in = spec.total_in_channels();
        let weight = |sum: usize, channel: usize, tap: usize| {
            if sum >= spec.out_channels {
                return 0.0;
            }
            values::rounded(spec.precision, weights[(sum * total_in + channel) * TAPS + tap])
        };

        let mut packed = Vec::with_capacity(spec.groups * group_channels * TAPS * sums);
        for group in 0..spec.groups {
            for (first, count) in column_blocks(sums / kernels.lanes, kernels.max_columns) {
                let block = first * kernels.lanes..(first + count) * kernels.lanes;
                for tap in 0..TAPS {
                    for channel in (0..group_channels).step_by(if pairs { 2 } else { 1 }) {
                        let channel = group * group_channels + channel;
                        packed.extend(block.clone().map(|sum| {
                            if !pairs {
                                return weight(sum, channel, tap);
                            }
                            let [even, odd] = [channel, channel + 1].map(|c| bf16_bits(weight(sum, c, tap)));
                            f32::from_bits(u32::from(odd) << 16 | u32::from(even))
                        }));
                    }
                }
            }
        }
        let buffer = pool.allocate(size_of_val(packed.as_slice()))?;
        // SAFETY: the buffer is new, holds as many bytes, and is aligned.
        unsafe { std::slice::from_raw_parts_mut(buffer.start().cast::<f32>(), packed.len()) }.copy_from_slice(&packed);

        let inputs = spec.in_channels.iter().enumerate();
        let groups = inputs.flat_map(|(input, &channels)| {
            (0..channels).step_by(group_channels).map(move |channel| GroupPlace { input, channel })
        });
        let mut bias = bias.to_vec();
        bias.resize(sums, 0.0);
        Ok(Self {
            groups: groups.collect(),
            group_channels,
            depth: if pairs { TAPS * group_channels / 2 } else { TAPS * group_channels },
            max_residue: spec.max_residue,
            precision: spec.precision,
            pairs,
            sums,
            bias,
            weights: buffer,
        })
    }
}
