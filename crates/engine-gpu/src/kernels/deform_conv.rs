//! The modulated deformable convolution: sampled tile by tile into shared memory, multiplied from there.
//!
//! An item is what one tap of one group sees of one pixel. A chunk is `items` of them for each pixel of the tile. As with
//! convolutions, units multiply them in [`deform_conv`] and matrix cores in [`deform_conv_in_matrices`].

use cubecl::prelude::*;
use half::f16;

use super::product::{Block, add_matrices, add_products, clear, cleared_matrices, stage};
use super::sample::{bilinear, part, whole};
use super::{Source, V4};

/// Taps of the kernel.
const TAPS: usize = 9;

/// What a deformable convolution's kernel is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeformPlan {
    pub(crate) block: Block,
    /// The inputs, by their groups.
    pub(crate) sources: Vec<Source>,
    pub(crate) groups: usize,
    pub(crate) group_channels: usize,
    /// Items of a pixel that are in shared memory at once.
    pub(crate) items: usize,
    /// Whether each input has a flow.
    pub(crate) flows: bool,
    /// Vectors of a pixel of the output.
    pub(crate) output_vectors: usize,
}

impl DeformPlan {
    /// Vectors of an item.
    pub(crate) fn group_vectors(&self) -> usize {
        self.group_channels.div_ceil(4)
    }

    /// Chunks of the items.
    pub(crate) fn chunks(&self) -> usize {
        (self.groups * TAPS).div_ceil(self.items)
    }
}

/// `bias + Σ weight · mask · input(position + tap + offset)`.
///
/// `weights` are `[chunk][item][channel of the group, padded][output]` (see [`Block::weight_at`]); `residues` are single values, `residue_stride` a
/// pixel. There are `all` pixels in maps of `height` and `width`.
#[cube(launch_unchecked)]
pub(crate) fn deform_conv<C: Float, R: Float, O: Float>(
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    flows: &Sequence<Array<V4<f32>>>,
    residues: &Array<R>,
    weights: &Array<V4<C>>,
    bias: &Array<V4<f32>>,
    output: &mut Array<V4<O>>,
    height: u32,
    width: u32,
    all: u32,
    residue_stride: u32,
    max_residue: f32,
    #[comptime] plan: DeformPlan,
    #[define(C, R, O)] _types: [StorageType; 3],
) {
    let block = comptime!(plan.block);
    let pixels = comptime!(block.tile_pixels());
    let pixel_stride = comptime!(block.pixel_stride());

    let mut tile = SharedMemory::<V4<C>>::new(comptime!(pixels * pixel_stride));
    let mut sums = Array::<V4<f32>>::new(comptime!(block.pixels * block.vectors));
    clear(&mut sums, block);

    let first_position = (CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) * comptime!(pixels as u32);
    let first_output = CUBE_POS_Y as usize * comptime!(block.tile_vectors()) + UNIT_POS_X as usize;

    for chunk in 0..comptime!(plan.chunks()) {
        sample_tile::<C, R>(
            &mut tile,
            singles,
            halves,
            flows,
            residues,
            height,
            width,
            all,
            residue_stride,
            max_residue,
            first_position,
            chunk,
            comptime!(plan.clone()),
        );
        sync_cube();
        let weights_at = chunk * comptime!(block.chunk * 4 * block.weight_vectors) + first_output;
        add_products::<C>(&mut sums, &tile, weights, UNIT_POS_Y as usize * pixel_stride, weights_at, block);
        sync_cube();
    }

    #[unroll]
    for pixel in 0..block.pixels {
        let position = first_position + UNIT_POS_Y + comptime!((pixel * block.rows) as u32);
        if position < all {
            #[unroll]
            for n in 0..block.vectors {
                let vector = first_output + comptime!(n * block.columns);
                if vector < comptime!(plan.output_vectors) {
                    let value = sums[comptime!(pixel * block.vectors + n)] + bias[vector];
                    output[position as usize * comptime!(plan.output_vectors) + vector] = V4::<O>::cast_from(value);
                }
            }
        }
    }
}

/// [`deform_conv`] for maps in f16, whose products are summed in f32 on matrix cores; planes as in
/// [`conv_in_matrices`](super::conv::conv_in_matrices).
#[cube(launch_unchecked)]
pub(crate) fn deform_conv_in_matrices<R: Float, O: Float>(
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    flows: &Sequence<Array<V4<f32>>>,
    residues: &Array<R>,
    weights: &Array<V4<f16>>,
    bias: &Array<V4<f32>>,
    output: &mut Array<V4<O>>,
    height: u32,
    width: u32,
    all: u32,
    residue_stride: u32,
    max_residue: f32,
    #[comptime] plan: DeformPlan,
    #[define(R, O)] _types: [StorageType; 2],
) {
    let block = comptime!(plan.block);
    let pixels = comptime!(block.tile_pixels());
    let matrix_pixels = comptime!(pixels / (block.rows * block.pixels));
    let pixel_stride = comptime!(block.pixel_stride());
    let tile_vectors = comptime!(block.tile_vectors());

    let mut tile = SharedMemory::<V4<f16>>::new(comptime!(pixels * pixel_stride));
    let mut staged = SharedMemory::<V4<f32>>::new(comptime!(block.staged_vectors()));

    let first_position = (CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) * comptime!(pixels as u32);
    let first_output = CUBE_POS_Y as usize * tile_vectors;
    let planes = (CUBE_DIM / PLANE_DIM) as usize;

    for round in 0..(comptime!(block.rows - 1) + planes) / planes {
        let plane = round * planes + PLANE_POS as usize;
        let plane_at = plane * comptime!(block.pixels * block.pixel_step);
        let sums = cleared_matrices(block);
        for chunk in 0..comptime!(plan.chunks()) {
            sample_tile::<f16, R>(
                &mut tile,
                singles,
                halves,
                flows,
                residues,
                height,
                width,
                all,
                residue_stride,
                max_residue,
                first_position,
                chunk,
                comptime!(plan.clone()),
            );
            sync_cube();
            if plane < comptime!(block.rows) {
                let weights_at = chunk * comptime!(block.chunk * 4 * block.weight_vectors)
                    + first_output * comptime!(block.matrix_channels());
                add_matrices(&sums, &tile, weights, plane_at, weights_at, pixel_stride, block);
            }
            sync_cube();
        }

        #[unroll]
        for pixel in 0..block.pixels {
            if plane < comptime!(block.rows) {
                stage(&mut staged, &sums, plane, pixel, block);
            }
            sync_cube();
            let items = comptime!(block.rows * matrix_pixels * tile_vectors);
            for step in 0..comptime!(items.div_ceil(block.units())) {
                let item = step * comptime!(block.units()) + UNIT_POS as usize;
                let vector = first_output + item % tile_vectors;
                let along = item / tile_vectors;
                let by = along / matrix_pixels;
                let position =
                    first_position + ((by * block.pixels + pixel) * matrix_pixels + along % matrix_pixels) as u32;
                if item < items && by / planes == round && position < all && vector < comptime!(plan.output_vectors) {
                    let value = staged[along * comptime!(block.staged_stride()) + item % tile_vectors] + bias[vector];
                    output[position as usize * comptime!(plan.output_vectors) + vector] = V4::<O>::cast_from(value);
                }
            }
            sync_cube();
        }
    }
}

/// Fills the tile in shared memory with chunk `chunk` of the items of its pixels; zeros beyond the last.
#[cube]
fn sample_tile<C: Float, R: Float>(
    tile: &mut SharedMemory<V4<C>>,
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    flows: &Sequence<Array<V4<f32>>>,
    residues: &Array<R>,
    height: u32,
    width: u32,
    all: u32,
    residue_stride: u32,
    max_residue: f32,
    first_position: u32,
    chunk: usize,
    #[comptime] plan: DeformPlan,
) {
    let block = comptime!(plan.block);
    let items = comptime!(plan.items);
    let pixels = comptime!(block.tile_pixels());
    let pixel_stride = comptime!(block.pixel_stride());
    let group_vectors = comptime!(plan.group_vectors());
    for step in 0..comptime!((pixels * items).div_ceil(block.units())) {
        let work = step * comptime!(block.units()) + UNIT_POS as usize;
        if work < comptime!(pixels * items) {
            let pixel = work / items;
            let item = (chunk * items + work % items) as u32;
            let at = pixel * pixel_stride + work % items * group_vectors;
            let position = first_position + pixel as u32;
            if position < all && item < comptime!((plan.groups * TAPS) as u32) {
                let group = item / comptime!(TAPS as u32);
                let tap = item % comptime!(TAPS as u32);
                let first = position * residue_stride;
                let mask_at = first + comptime!((plan.groups * TAPS * 2) as u32) + item;
                let mask = 1.0f32 / (1.0f32 + f32::exp(-f32::cast_from(residues[mask_at as usize])));
                let mut dy = max_residue * tanh(f32::cast_from(residues[(first + item * 2) as usize]));
                let mut dx = max_residue * tanh(f32::cast_from(residues[(first + item * 2 + 1) as usize]));
                if comptime!(plan.flows) {
                    #[unroll]
                    for n in 0..comptime!(plan.sources.len()) {
                        let source = comptime!(plan.sources[n]);
                        if group >= comptime!(source.first as u32)
                            && group < comptime!((source.first + source.count) as u32)
                        {
                            let flow = flows.index(n)[position as usize];
                            dy += flow[1];
                            dx += flow[0];
                        }
                    }
                }
                let map = position / (height * width);
                let row = i32::cast_from(position / width % height + tap / 3) - 1 + whole(dy);
                let column = i32::cast_from(position % width + tap % 3) - 1 + whole(dx);
                let (down, right) = (part(dy), part(dx));
                for vector in 0..group_vectors {
                    let mut value = V4::<f32>::new(0.0f32);
                    #[unroll]
                    for n in 0..comptime!(plan.sources.len()) {
                        let source = comptime!(plan.sources[n]);
                        if group >= comptime!(source.first as u32)
                            && group < comptime!((source.first + source.count) as u32)
                        {
                            let group = group - comptime!(source.first as u32);
                            let slot = comptime!(source.slot);
                            if comptime!(source.half) {
                                value = sampled::<f16>(
                                    halves.index(slot),
                                    map,
                                    row,
                                    column,
                                    down,
                                    right,
                                    height,
                                    width,
                                    group,
                                    vector as u32,
                                    source.count,
                                    plan.group_channels,
                                );
                            } else {
                                value = sampled::<f32>(
                                    singles.index(slot),
                                    map,
                                    row,
                                    column,
                                    down,
                                    right,
                                    height,
                                    width,
                                    group,
                                    vector as u32,
                                    source.count,
                                    plan.group_channels,
                                );
                            }
                        }
                    }
                    tile[at + vector] = V4::<C>::cast_from(value * V4::<f32>::new(mask));
                }
            } else {
                for vector in 0..group_vectors {
                    tile[at + vector] = V4::<C>::cast_from(V4::<f32>::new(0.0f32));
                }
            }
        }
    }
}

/// `tanh` that neither overflows nor loses what is small beside one.
#[cube]
fn tanh(x: f32) -> f32 {
    let shrunk = f32::exp(-2.0f32 * f32::abs(x));
    let magnitude = (1.0f32 - shrunk) / (1.0f32 + shrunk);
    select(x < 0.0f32, -magnitude, magnitude)
}

/// Vector `vector` of the channels of `group` between the pixels, the last one filled up with zeros.
#[cube]
fn sampled<F: Float>(
    maps: &Array<V4<F>>,
    map: u32,
    row: i32,
    column: i32,
    down: f32,
    right: f32,
    height: u32,
    width: u32,
    group: u32,
    vector: u32,
    #[comptime] groups: usize,
    #[comptime] group_channels: usize,
) -> V4<f32> {
    let vectors = comptime!((groups * group_channels).div_ceil(4) as u32);
    let mut value = V4::<f32>::new(0.0f32);
    if comptime!(group_channels % 4 == 0) {
        let at = group * comptime!((group_channels / 4) as u32) + vector;
        value = bilinear::<F>(maps, map, row, column, down, right, height, width, vectors, at);
    } else {
        // Groups that do not begin with a vector: each channel out of the vector that it lies in.
        #[unroll]
        for lane in 0..4usize {
            let channel = vector * 4 + lane as u32;
            if channel < comptime!(group_channels as u32) {
                let channel = group * comptime!(group_channels as u32) + channel;
                let whole = bilinear::<F>(maps, map, row, column, down, right, height, width, vectors, channel / 4);
                value[lane] = whole[(channel % 4) as usize];
            }
        }
    }
    value
}
