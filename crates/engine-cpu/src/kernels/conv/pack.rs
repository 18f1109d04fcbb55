//! Weights in the order in which the kernels read them.

use std::sync::Arc;

use framelift_engine::EngineError;

use super::winograd;
use crate::kernels::Kernels;
use crate::kernels::gemm::column_blocks;
use crate::map::{BLOCK, pixel_stride};
use crate::pool::{Buffer, Pool};
use crate::simd::bf16_bits;

/// Weights as the contract has them, `[out][in][ky][kx]`.
pub(super) struct Source<'a> {
    pub(super) weights: &'a [f32],
    pub(super) kernel: usize,
    pub(super) in_channels: &'a [usize],
    /// For each sum, its output channel; none for padding, whose weights are zero.
    pub(super) order: &'a [Option<usize>],
}

impl Source<'_> {
    fn total_in(&self) -> usize {
        self.in_channels.iter().sum()
    }

    /// The weights of one pair of channels, `[ky][kx]`; none for padding.
    fn taps(&self, sum: usize, channel: usize) -> Option<&[f32]> {
        let area = self.kernel * self.kernel;
        let out = self.order[sum]?;
        let start = (out * self.total_in() + channel) * area;
        (channel < self.total_in()).then(|| &self.weights[start..start + area])
    }

    fn weight(&self, sum: usize, channel: usize, ky: usize, kx: usize) -> f32 {
        self.taps(sum, channel).map_or(0.0, |taps| taps[ky * self.kernel + kx])
    }

    /// The sums of each block of outputs.
    fn blocks(&self, kernels: &Kernels) -> impl Iterator<Item = std::ops::Range<usize>> {
        let lanes = kernels.lanes;
        column_blocks(self.order.len() / lanes, kernels.max_columns)
            .map(move |(start, count)| start * lanes..(start + count) * lanes)
    }
}

/// For [`direct`](super::direct): `[block][ky][kx][in][sum of the block]`.
pub(super) fn direct(source: &Source<'_>, kernels: &Kernels, pool: &Arc<Pool>) -> Result<Buffer, EngineError> {
    let (kernel, total_in) = (source.kernel, source.total_in());
    let mut packed = Vec::with_capacity(source.order.len() * total_in * kernel * kernel);
    for block in source.blocks(kernels) {
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
            for channel in 0..total_in {
                packed.extend(block.clone().map(|sum| source.weight(sum, channel, ky, kx)));
            }
        }
    }
    store(&packed, pool)
}

/// For [`direct`](super::direct) on pairs of bf16: `[block][ky][kx][in / 2][sum of the block][in % 2]`, each pair of
/// bf16 in the place of an f32. An odd number of channels gets one more, whose weights are zero.
pub(super) fn direct_pairs(source: &Source<'_>, kernels: &Kernels, pool: &Arc<Pool>) -> Result<Buffer, EngineError> {
    let (kernel, total_in) = (source.kernel, source.total_in());
    let mut packed = Vec::with_capacity(source.order.len() * total_in.div_ceil(2) * kernel * kernel);
    for block in source.blocks(kernels) {
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
            for channel in (0..total_in).step_by(2) {
                packed.extend(block.clone().map(|sum| {
                    let [even, odd] = [channel, channel + 1].map(|c| bf16_bits(source.weight(sum, c, ky, kx)));
                    f32::from_bits(u32::from(odd) << 16 | u32::from(even))
                }));
            }
        }
    }
    store(&packed, pool)
}

/// For [`winograd`](mod@super::winograd): `[point of the 6×6][block][in][sum of the block]`, inputs as in [`depths`].
pub(super) fn winograd(source: &Source<'_>, kernels: &Kernels, pool: &Arc<Pool>) -> Result<Buffer, EngineError> {
    let depths = depths(source.in_channels);
    let sums = source.order.len();
    let mut packed = vec![0.0; winograd::POINTS * depths.len() * sums];
    for block in source.blocks(kernels) {
        for sum in block.clone() {
            for (depth, channel) in depths.iter().enumerate() {
                let Some(taps) = channel.and_then(|channel| source.taps(sum, channel)) else { continue };
                for (point, weight) in winograd::transform_weights(taps).into_iter().enumerate() {
                    let start = depths.len() * (point * sums + block.start);
                    packed[start + depth * block.len() + sum - block.start] = weight;
                }
            }
        }
    }
    store(&packed, pool)
}

/// Which channel of the concatenated inputs stands at each depth of the transformed input: padded inputs first, their
/// padding (none) included, then the narrow ones, packed.
pub(super) fn depths(in_channels: &[usize]) -> Vec<Option<usize>> {
    let mut depths = Vec::new();
    for narrow in [false, true] {
        let mut first = 0;
        for &channels in in_channels {
            if (pixel_stride(channels) < BLOCK) == narrow {
                depths.extend((0..pixel_stride(channels)).map(|c| (c < channels).then_some(first + c)));
            }
            first += channels;
        }
    }
    // Trailing padding need not be multiplied.
    while depths.last() == Some(&None) {
        depths.pop();
    }
    depths
}

fn store(packed: &[f32], pool: &Arc<Pool>) -> Result<Buffer, EngineError> {
    let buffer = pool.allocate(size_of_val(packed))?;
    // SAFETY: the buffer is new, holds as many bytes, and is aligned.
    unsafe { std::slice::from_raw_parts_mut(buffer.start().cast::<f32>(), packed.len()) }.copy_from_slice(packed);
    Ok(buffer)
}
