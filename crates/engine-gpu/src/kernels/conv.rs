//! The convolution as an implicit matrix product, with everything that comes after it.
//!
//! A cube makes a tile of pixels for some of the outputs. Chunk after chunk of the input's channels, the pixels under the
//! tile and its border come into shared memory, where every tap of the kernel finds them. There are two ways to multiply
//! them: [`conv`] in the arithmetic of each unit, and [`conv_in_matrices`] on matrix cores, for maps in f16.

use cubecl::prelude::*;
use half::f16;

use super::product::{Block, add_matrices, add_products, clear, cleared_matrices, stage};
use super::{Source, V4};

/// What is applied to each sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activation {
    None,
    Relu,
    /// A slope for each output, after the biases.
    Slopes,
}

/// What is added to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Added {
    None,
    Same,
    Nearest,
    Bilinear,
}

/// What a convolution kernel is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConvPlan {
    pub(crate) block: Block,
    /// Pixels of a tile's side; `tile_width` divides `block.rows`, and is the height of a matrix of pixels.
    pub(crate) tile_height: usize,
    pub(crate) tile_width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// The inputs, by their vectors.
    pub(crate) sources: Vec<Source>,
    pub(crate) activation: Activation,
    pub(crate) added: Added,
    pub(crate) scaled: bool,
    /// Factor of the pixel shuffle.
    pub(crate) shuffle: usize,
    /// Vectors of a pixel of the output.
    pub(crate) output_vectors: usize,
}

impl ConvPlan {
    /// Rows of pixels under a tile and its border.
    pub(crate) fn halo_height(&self) -> usize {
        (self.tile_height - 1) * self.stride + self.kernel
    }

    /// Columns likewise.
    pub(crate) fn halo_width(&self) -> usize {
        (self.tile_width - 1) * self.stride + self.kernel
    }

    /// Vectors of shared memory.
    pub(crate) fn shared_vectors(&self) -> usize {
        self.halo_height() * self.halo_width() * self.block.pixel_stride()
    }

    /// Vectors of all inputs.
    pub(crate) fn input_vectors(&self) -> usize {
        self.sources.iter().map(|source| source.count).sum()
    }

    /// Cubes that make the outputs of a tile.
    pub(crate) fn cubes_of_outputs(&self) -> usize {
        self.block.weight_vectors / self.block.tile_vectors()
    }

    /// Chunks of the input's channels.
    pub(crate) fn chunks(&self) -> usize {
        self.input_vectors().div_ceil(self.block.chunk)
    }
}

/// Sizes that a kernel is not made for anew, those of one map. Of several maps, each has cubes of its own.
#[derive(CubeLaunch, CubeType)]
pub(crate) struct ConvSizes {
    /// Of the inputs.
    pub(crate) height: u32,
    pub(crate) width: u32,
    /// Of the sums, before the pixel shuffle.
    pub(crate) sum_height: u32,
    pub(crate) sum_width: u32,
    /// Of the addend.
    pub(crate) added_height: u32,
    pub(crate) added_width: u32,
    /// Multiplies activated sums.
    pub(crate) scale: f32,
}

/// `addend + scale * pixel_shuffle(activation(bias + Σ weight · input))`.
///
/// `weights` are `[chunk][tap][channel of the chunk][output]` (see [`Block::weight_at`]), with the outputs in the order of the shuffled pixel:
/// `[row offset][column offset][channel]`. `channels` holds biases, then slopes, in that order.
#[cube(launch_unchecked)]
pub(crate) fn conv<C: Float, D: Float, O: Float>(
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    weights: &Array<V4<C>>,
    channels: &Array<V4<f32>>,
    addend: &Array<V4<D>>,
    output: &mut Array<V4<O>>,
    sizes: ConvSizes,
    #[comptime] plan: ConvPlan,
    #[define(C, D, O)] _types: [StorageType; 3],
) {
    let block = comptime!(plan.block);
    let taps = comptime!(plan.kernel * plan.kernel);
    let halo_width = comptime!(plan.halo_width());
    let pixel_stride = comptime!(block.pixel_stride());

    let mut tile = SharedMemory::<V4<C>>::new(comptime!(plan.shared_vectors()));
    let mut sums = Array::<V4<f32>>::new(comptime!(block.pixels * block.vectors));
    clear(&mut sums, block);

    // The first pixel of the tile, and that of the unit within it.
    let tile_row = CUBE_POS_Y as usize * comptime!(plan.tile_height);
    let tile_column = CUBE_POS_X as usize * comptime!(plan.tile_width);
    let unit_row = UNIT_POS_Y as usize / comptime!(plan.tile_width);
    let unit_column = UNIT_POS_Y as usize % comptime!(plan.tile_width);
    let unit_at =
        (unit_row * comptime!(plan.stride * halo_width) + unit_column * comptime!(plan.stride)) * pixel_stride;
    let first_output = cube_of_outputs(comptime!(plan.clone())) * comptime!(block.tile_vectors()) + UNIT_POS_X as usize;

    for chunk in 0..comptime!(plan.chunks()) {
        load_tile::<C>(&mut tile, singles, halves, &sizes, chunk, comptime!(plan.clone()));
        sync_cube();

        for tap in 0..taps {
            let offset = (tap / comptime!(plan.kernel) * halo_width + tap % comptime!(plan.kernel)) * pixel_stride;
            let weights_at = (chunk * taps + tap) * comptime!(block.chunk * 4 * block.weight_vectors) + first_output;
            add_products::<C>(&mut sums, &tile, weights, unit_at + offset, weights_at, block);
        }
        sync_cube();
    }

    #[unroll]
    for pixel in 0..block.pixels {
        let row = (tile_row + unit_row + comptime!(pixel * (block.rows / plan.tile_width))) as u32;
        let column = (tile_column + unit_column) as u32;
        #[unroll]
        for n in 0..block.vectors {
            let vector = first_output + comptime!(n * block.columns);
            let sum = sums[comptime!(pixel * block.vectors + n)];
            finish::<D, O>(sum, row, column, vector, channels, addend, output, &sizes, comptime!(plan.clone()));
        }
    }
}

/// [`conv`] for maps in f16, whose products are summed in f32 on matrix cores.
///
/// A plane sums `block.vectors` matrices of outputs for each of `block.pixels` rows of pixels, and a cube has `block.rows`
/// planes. A driver may run planes of another size than the plan counts on: what they do not reach at first, they do in
/// further rounds.
#[cube(launch_unchecked)]
pub(crate) fn conv_in_matrices<D: Float, O: Float>(
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    weights: &Array<V4<f16>>,
    channels: &Array<V4<f32>>,
    addend: &Array<V4<D>>,
    output: &mut Array<V4<O>>,
    sizes: ConvSizes,
    #[comptime] plan: ConvPlan,
    #[define(D, O)] _types: [StorageType; 2],
) {
    let block = comptime!(plan.block);
    let taps = comptime!(plan.kernel * plan.kernel);
    let halo_width = comptime!(plan.halo_width());
    let pixel_stride = comptime!(block.pixel_stride());
    let staged_stride = comptime!(block.staged_stride());
    let tile_vectors = comptime!(block.tile_vectors());

    let mut tile = SharedMemory::<V4<f16>>::new(comptime!(plan.shared_vectors()));
    let mut staged = SharedMemory::<V4<f32>>::new(comptime!(block.staged_vectors()));

    let tile_row = CUBE_POS_Y as usize * comptime!(plan.tile_height);
    let tile_column = CUBE_POS_X as usize * comptime!(plan.tile_width);
    let first_output = cube_of_outputs(comptime!(plan.clone())) * tile_vectors;
    let planes = (CUBE_DIM / PLANE_DIM) as usize;

    for round in 0..(comptime!(block.rows - 1) + planes) / planes {
        let plane = round * planes + PLANE_POS as usize;
        let plane_at = plane * comptime!(block.pixels * block.pixel_step);
        let sums = cleared_matrices(block);
        for chunk in 0..comptime!(plan.chunks()) {
            load_tile::<f16>(&mut tile, singles, halves, &sizes, chunk, comptime!(plan.clone()));
            sync_cube();
            if plane < comptime!(block.rows) {
                for tap in 0..taps {
                    let offset =
                        (tap / comptime!(plan.kernel) * halo_width + tap % comptime!(plan.kernel)) * pixel_stride;
                    let weights_at = (chunk * taps + tap) * comptime!(block.chunk * 4 * block.weight_vectors)
                        + first_output * comptime!(block.matrix_channels());
                    let across = comptime!(plan.stride * pixel_stride);
                    add_matrices(&sums, &tile, weights, plane_at + offset, weights_at, across, block);
                }
            }
            sync_cube();
        }

        #[unroll]
        for pixel in 0..block.pixels {
            if plane < comptime!(block.rows) {
                stage(&mut staged, &sums, plane, pixel, block);
            }
            sync_cube();
            let items = comptime!(block.rows * plan.tile_width * tile_vectors);
            for step in 0..comptime!(items.div_ceil(block.units())) {
                let item = step * comptime!(block.units()) + UNIT_POS as usize;
                let vector = item % tile_vectors;
                let across = item / tile_vectors % comptime!(plan.tile_width);
                let by = item / comptime!(tile_vectors * plan.tile_width);
                if item < items && by / planes == round {
                    let row = (tile_row + by * block.pixels + pixel) as u32;
                    let column = (tile_column + across) as u32;
                    let sum = staged[item / tile_vectors * staged_stride + vector];
                    finish::<D, O>(
                        sum,
                        row,
                        column,
                        first_output + vector,
                        channels,
                        addend,
                        output,
                        &sizes,
                        comptime!(plan.clone()),
                    );
                }
            }
            sync_cube();
        }
    }
}

/// Which of those that share a tile's outputs the cube is.
#[cube]
fn cube_of_outputs(#[comptime] plan: ConvPlan) -> usize {
    CUBE_POS_Z as usize % comptime!(plan.cubes_of_outputs())
}

/// The map that the cube is at.
#[cube]
fn map_of_cube(#[comptime] plan: ConvPlan) -> u32 {
    CUBE_POS_Z / comptime!(plan.cubes_of_outputs() as u32)
}

/// Fills the tile in shared memory with chunk `chunk` of the channels; zeros beyond the edges and the last channel.
#[cube]
fn load_tile<C: Float>(
    tile: &mut SharedMemory<V4<C>>,
    singles: &Sequence<Array<V4<f32>>>,
    halves: &Sequence<Array<V4<f16>>>,
    sizes: &ConvSizes,
    chunk: usize,
    #[comptime] plan: ConvPlan,
) {
    let block = comptime!(plan.block);
    let halo_width = comptime!(plan.halo_width());
    let halo_pixels = comptime!(plan.halo_height() * plan.halo_width());
    let pixel_stride = comptime!(block.pixel_stride());
    let tile_row = CUBE_POS_Y as usize * comptime!(plan.tile_height);
    let tile_column = CUBE_POS_X as usize * comptime!(plan.tile_width);
    let items = comptime!(halo_pixels * block.chunk);
    for step in 0..comptime!(items.div_ceil(block.units())) {
        let item = step * comptime!(block.units()) + UNIT_POS as usize;
        if item < items {
            let pixel = item / comptime!(block.chunk);
            let vector = item % comptime!(block.chunk);
            let row = i32::cast_from(tile_row * comptime!(plan.stride) + pixel / halo_width)
                - comptime!((plan.kernel / 2) as i32);
            let column = i32::cast_from(tile_column * comptime!(plan.stride) + pixel % halo_width)
                - comptime!((plan.kernel / 2) as i32);
            let mut value = V4::<C>::cast_from(V4::<f32>::new(0.0f32));
            if row >= 0 && column >= 0 && row < i32::cast_from(sizes.height) && column < i32::cast_from(sizes.width) {
                let row = map_of_cube(comptime!(plan.clone())) * sizes.height + u32::cast_from(row);
                let position = row as usize * sizes.width as usize + column as usize;
                let global = chunk * comptime!(block.chunk) + vector;
                #[unroll]
                for n in 0..comptime!(plan.sources.len()) {
                    let source = comptime!(plan.sources[n]);
                    if global >= comptime!(source.first) && global < comptime!(source.first + source.count) {
                        let at = position * comptime!(source.count) + (global - comptime!(source.first));
                        if comptime!(source.half) {
                            value = V4::<C>::cast_from(halves.index(comptime!(source.slot))[at]);
                        } else {
                            value = V4::<C>::cast_from(singles.index(comptime!(source.slot))[at]);
                        }
                    }
                }
            }
            tile[pixel * pixel_stride + vector] = value;
        }
    }
}

/// Turns a sum into the output: vector `vector` of the pixel at `row` and `column`, where there is such a one.
#[cube]
fn finish<D: Float, O: Float>(
    sum: V4<f32>,
    row: u32,
    column: u32,
    vector: usize,
    channels: &Array<V4<f32>>,
    addend: &Array<V4<D>>,
    output: &mut Array<V4<O>>,
    sizes: &ConvSizes,
    #[comptime] plan: ConvPlan,
) {
    let block = comptime!(plan.block);
    let shuffle = comptime!(plan.shuffle as u32);
    let output_vectors = comptime!(plan.output_vectors);
    let output_width = sizes.sum_width * shuffle;
    let output_height = sizes.sum_height * shuffle;
    let vectors = comptime!(plan.shuffle * plan.shuffle * plan.output_vectors);
    if row < sizes.sum_height && column < sizes.sum_width && vector < vectors {
        let zero = V4::<f32>::new(0.0f32);
        let mut value = sum + channels[vector];
        if comptime!(plan.activation == Activation::Relu) {
            value = select_many(value.less_than(zero), zero, value);
        }
        if comptime!(plan.activation == Activation::Slopes) {
            let slope = channels[comptime!(block.weight_vectors) + vector];
            value = select_many(value.less_than(zero), slope * value, value);
        }
        if comptime!(plan.scaled) {
            value *= V4::<f32>::new(sizes.scale);
        }
        let part = (vector / output_vectors) as u32;
        let channel = vector % output_vectors;
        let y = row * shuffle + part / shuffle;
        let x = column * shuffle + part % shuffle;
        let map = map_of_cube(comptime!(plan.clone()));
        let at = ((map * output_height + y) * output_width + x) as usize * output_vectors + channel;
        if comptime!(plan.added == Added::Same) {
            value += V4::<f32>::cast_from(addend[at]);
        }
        if comptime!(plan.added == Added::Nearest) {
            let from_y = y / (output_height / sizes.added_height);
            let from_x = x / (output_width / sizes.added_width);
            let from_row = map * sizes.added_height + from_y;
            let from = (from_row * sizes.added_width + from_x) as usize * output_vectors + channel;
            value += V4::<f32>::cast_from(addend[from]);
        }
        if comptime!(plan.added == Added::Bilinear) {
            let factor = output_height / sizes.added_height;
            let (top, bottom, down) = between(y, factor, sizes.added_height);
            let (left, right, across) = between(x, factor, sizes.added_width);
            let width = sizes.added_width;
            let first = map * sizes.added_height;
            let upper = line::<D>(addend, (first + top) * width, left, right, across, output_vectors, channel);
            let lower = line::<D>(addend, (first + bottom) * width, left, right, across, output_vectors, channel);
            value += upper * V4::<f32>::new(1.0f32 - down) + lower * V4::<f32>::new(down);
        }
        output[at] = V4::<O>::cast_from(value);
    }
}

/// The samples beside sample `at` of an output `factor` times as large as the input of `count` samples, and how far it
/// lies from the first to the second; half-pixel centres, edges clamped.
#[cube]
fn between(at: u32, factor: u32, count: u32) -> (u32, u32, f32) {
    let twice = at * 2 + 1;
    let mut first = 0u32;
    let mut way = 0.0f32;
    if twice > factor {
        let past = twice - factor;
        first = past / (factor * 2);
        way = f32::cast_from(past % (factor * 2)) / f32::cast_from(factor * 2);
    }
    let second = min(first + 1, count - 1);
    (first, second, way)
}

/// The value `across` the way from pixel `left` to pixel `right` of the row that begins with pixel `start`.
#[cube]
fn line<D: Float>(
    map: &Array<V4<D>>,
    start: u32,
    left: u32,
    right: u32,
    across: f32,
    #[comptime] vectors: usize,
    vector: usize,
) -> V4<f32> {
    let first = V4::<f32>::cast_from(map[(start + left) as usize * vectors + vector]);
    let second = V4::<f32>::cast_from(map[(start + right) as usize * vectors + vector]);
    first * V4::<f32>::new(1.0f32 - across) + second * V4::<f32>::new(across)
}
