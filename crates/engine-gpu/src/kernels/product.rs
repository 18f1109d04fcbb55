//! The product of a tile of pixels in shared memory with weights, summed in the registers of each unit or in matrices of
//! each plane, and the weights' order.

use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::prelude::*;
use half::f16;

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
    /// Vectors of shared memory from one pixel of a unit, or matrix of a plane, to the next.
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

    /// Vectors of shared memory in which sums lie between matrices and units: a matrix's pixels for each plane.
    pub(crate) fn staged_vectors(&self) -> usize {
        self.matrix.map_or(0, |matrix| self.rows * matrix.pixels * self.staged_stride())
    }

    /// Vectors there from one pixel to the next: one more than it holds, so that neighbours lie in different banks.
    pub(crate) fn staged_stride(&self) -> usize {
        self.tile_vectors() + 1
    }

    /// Where the weight of an output is by which what is in row `row` of the rows of all chunks is multiplied. Matrices of
    /// weights lie one after another, the channels of an output next to each other, as cores for them take them.
    pub(crate) fn weight_at(&self, row: usize, output: usize) -> usize {
        let outputs = 4 * self.weight_vectors;
        match self.matrix {
            Some(MatrixSize { outputs: n, channels: k, .. }) => {
                (row / k * (outputs / n) + output / n) * n * k + output % n * k + row % k
            }
            None => row * outputs + output,
        }
    }

    /// Channels of a matrix; zero where there are none.
    pub(crate) fn matrix_channels(&self) -> usize {
        self.matrix_sides().2
    }

    /// Pixels, outputs and channels of a matrix; zeros where there are none.
    fn matrix_sides(&self) -> (usize, usize, usize) {
        self.matrix.map_or((0, 0, 0), |matrix| (matrix.pixels, matrix.outputs, matrix.channels))
    }

    /// Bytes of shared memory of a cube with `tile_vectors` vectors in its tile, of values of `value_bytes`.
    pub(crate) fn shared_bytes(&self, tile_vectors: usize, value_bytes: usize) -> usize {
        4 * (tile_vectors * value_bytes + self.staged_vectors() * size_of::<f32>())
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

/// The sums of a plane in matrices, all zero.
#[cube]
pub(crate) fn cleared_matrices(#[comptime] block: Block) -> Sequence<Matrix<f32>> {
    let (m, n, k) = comptime!(block.matrix_sides());
    let mut sums = Sequence::<Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(block.pixels * block.vectors) {
        sums.push(Matrix::<f32>::from_value(MatrixIdent::Accumulator, m, n, k, MatrixLayout::Undefined, 0.0f32));
    }
    sums
}

/// [`add_products`] in matrices: `tile_at` is of the plane's first pixel, `across` vectors lie from one pixel of a matrix to
/// the next, and `weights_at` is of the plane's first matrix of weights.
#[cube]
pub(crate) fn add_matrices(
    sums: &Sequence<Matrix<f32>>,
    tile: &SharedMemory<V4<f16>>,
    weights: &Array<V4<f16>>,
    tile_at: usize,
    weights_at: usize,
    #[comptime] across: usize,
    #[comptime] block: Block,
) {
    let (m, n, k) = comptime!(block.matrix_sides());
    #[unroll]
    for step in 0..comptime!(block.chunk * 4 / k) {
        let mut factors = Sequence::<Matrix<V4<f16>>>::new();
        #[unroll]
        for output in 0..block.vectors {
            let at = weights_at + comptime!(step * k * block.weight_vectors + output * n * k / 4);
            factors.push(Matrix::<V4<f16>>::from_slice(
                MatrixIdent::B,
                m,
                n,
                k,
                MatrixLayout::ColMajor,
                &weights.slice(at, at + comptime!(n * k / 4)),
                comptime!(k as u32),
            ));
        }
        #[unroll]
        for pixel in 0..block.pixels {
            let at = tile_at + comptime!(pixel * block.pixel_step + step * k / 4);
            let values = Matrix::<V4<f16>>::from_slice(
                MatrixIdent::A,
                m,
                n,
                k,
                MatrixLayout::RowMajor,
                &tile.slice(at, at + comptime!((m - 1) * across + k / 4)),
                comptime!((across * 4) as u32),
            );
            #[unroll]
            for output in 0..block.vectors {
                let sum = sums.index(comptime!(pixel * block.vectors + output));
                cmma::execute::<V4<f16>, V4<f16>, f32, f32>(&values, factors.index(output), sum, sum);
            }
        }
    }
}

/// Writes the sums of matrix `pixel` of the pixels of plane `plane` where units find them: `[plane][pixel][vector]`, with
/// `block.staged_stride()` vectors a pixel.
#[cube]
pub(crate) fn stage(
    staged: &mut SharedMemory<V4<f32>>,
    sums: &Sequence<Matrix<f32>>,
    plane: usize,
    #[comptime] pixel: usize,
    #[comptime] block: Block,
) {
    let (m, n, _) = comptime!(block.matrix_sides());
    let stride = comptime!(block.staged_stride());
    #[unroll]
    for output in 0..block.vectors {
        let at = plane * comptime!(m * stride) + comptime!(output * n / 4);
        let mut part = staged.slice_mut(at, at + comptime!((m - 1) * stride + n / 4));
        let sum = sums.index(comptime!(pixel * block.vectors + output));
        cmma::store(&mut part, sum, comptime!((stride * 4) as u32), MatrixLayout::RowMajor);
    }
}
