//! The product of a tile of pixels in shared memory with weights, summed in the registers of each unit, and the weights'
//! order.

use cubecl::prelude::*;

use super::V4;

/// The size of the matrices that a device's matrix cores multiply: `pixels` x `channels` by `channels` x `outputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MatrixSize {
    pub(crate) pixels: usize,
    pub(crate) outputs: usize,
    pub(crate) channels: usize,
}

/// How the units of a cube share its pixels and outputs.
///
/// A cube is `columns` units wide and `rows` units high. A unit sums `vectors` vectors of outputs, `columns` apart, for
/// each of `pixels` pixels, `rows` apart. Where matrix cores multiply, a row of units is a plane, which sums `vectors`
/// matrices of outputs, side by side, for each of `pixels` matrices of pixels, one above another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Block {
    /// Units side by side, each with outputs of its own.
    pub(crate) columns: usize,
    /// Units one above another, each with pixels of its own.
    pub(crate) rows: usize,
    /// Pixels of a unit.
    pub(crate) pixels: usize,
    /// Vectors of outputs of a unit.
    pub(crate) vectors: usize,
    /// Vectors of input channels that are in shared memory at once.
    pub(crate) chunk: usize,
    /// Vectors in a row of weights: those of all outputs, padded to whole cubes.
    pub(crate) weight_vectors: usize,
    /// Vectors of shared memory from one pixel of a unit to the next.
    pub(crate) pixel_step: usize,
    /// The matrices, where matrix cores multiply.
    pub(crate) matrix: Option<MatrixSize>,
    /// Whether the loop over a chunk's vectors is written out. Compilers for processors take minutes over that.
    pub(crate) unrolled: bool,
}

impl Block {
    /// Units of a cube.
    pub(crate) fn units(&self) -> usize {
        self.columns * self.rows
    }

    /// Pixels of a cube.
    pub(crate) fn tile_pixels(&self) -> usize {
        self.rows * self.pixels * self.matrix.map_or(1, |matrix| matrix.pixels)
    }

    /// Vectors of outputs of a cube.
    pub(crate) fn tile_vectors(&self) -> usize {
        self.matrix.map_or(self.columns, |matrix| matrix.outputs / 4) * self.vectors
    }

    /// Vectors of shared memory for a pixel: one more than it holds, so that neighbours lie in different banks; two where
    /// matrix cores read them, which want rows to begin at multiples of 16 bytes.
    pub(crate) fn pixel_stride(&self) -> usize {
        self.chunk + if self.matrix.is_some() { 2 } else { 1 }
    }
}

/// Adds to `sums` the products of `block.chunk` vectors of channels, from `tile[tile_at]` on for the unit's first pixel,
/// with the rows of weights from `weights[weights_at]` on, one for each channel.
#[cube]
pub(crate) fn add_products<C: Float>(
    sums: &mut Array<V4<f32>>,
    tile: &SharedMemory<V4<C>>,
    weights: &Array<V4<C>>,
    tile_at: usize,
    weights_at: usize,
    #[comptime] block: Block,
) {
    #[unroll(block.unrolled)]
    for vector in 0..block.chunk {
        let mut values = Array::<V4<f32>>::new(block.pixels);
        #[unroll]
        for pixel in 0..block.pixels {
            values[pixel] = V4::<f32>::cast_from(tile[tile_at + vector + comptime!(pixel * block.pixel_step)]);
        }
        let rows_at = weights_at + vector * comptime!(4 * block.weight_vectors);
        #[unroll]
        for lane in 0..4usize {
            #[unroll]
            for output in 0..block.vectors {
                let offset = comptime!(lane * block.weight_vectors + output * block.columns);
                let weight = V4::<f32>::cast_from(weights[rows_at + offset]);
                #[unroll]
                for pixel in 0..block.pixels {
                    let value = values[pixel];
                    sums[comptime!(pixel * block.vectors + output)] += V4::<f32>::new(value[lane]) * weight;
                }
            }
        }
    }
}

/// Sets the sums of a unit to zero.
#[cube]
pub(crate) fn clear(sums: &mut Array<V4<f32>>, #[comptime] block: Block) {
    #[unroll]
    for i in 0..comptime!(block.pixels * block.vectors) {
        sums[i] = V4::<f32>::new(0.0f32);
    }
}
