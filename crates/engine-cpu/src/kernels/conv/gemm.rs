//! The innermost loop: a few pixels by a few vectors of outputs, summed in registers.

use crate::simd::Simd;

/// Where the left factor of a [`tile`] lies. Units are 32 bits: one f32, or a pair of bf16.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// The first value of the first pixel.
    pub(super) start: *const f32,
    /// From a pixel to the next.
    pub(super) pixel: usize,
    /// Contiguous pieces of which a pixel's values consist: the rows of a kernel.
    pub(super) runs: usize,
    /// From a run to the next.
    pub(super) run_stride: usize,
    /// Values in a run.
    pub(super) run_len: usize,
}

/// Sums for `P` pixels and `N` vectors of outputs over all values of `left`. `weights` holds, for each value in
/// order, `N` vectors.
///
/// # Safety
/// All that `left` spans and `runs * run_len * N` vectors of `weights` must be readable.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const P: usize, const N: usize>(
    s: S,
    left: Left,
    weights: *const f32,
) -> [[S::V; N]; P] {
    let mut sums = [[s.zero(); N]; P];
    let mut weights = weights;
    for run in 0..left.runs {
        let start = left.start.wrapping_add(run * left.run_stride);
        for k in 0..left.run_len {
            let mut row = [s.zero(); N];
            for (n, vector) in row.iter_mut().enumerate() {
                // SAFETY: vector `n` of the weights for value `k` of this run; the caller answers for it.
                *vector = unsafe { s.load(weights.add(n * S::LANES)) };
            }
            for (p, sums) in sums.iter_mut().enumerate() {
                // SAFETY: value `k` of this run of pixel `p`; the caller answers for it.
                let value = s.splat(unsafe { *start.add(p * left.pixel + k) });
                for (sum, vector) in sums.iter_mut().zip(&row) {
                    *sum = s.dot(*sum, value, *vector);
                }
            }
            weights = weights.wrapping_add(N * S::LANES);
        }
    }
    sums
}
