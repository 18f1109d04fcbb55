//! The innermost loop of convolutions: a few pixels by a few vectors of outputs, summed in registers.

use crate::simd::Simd;

/// Where the left factor of a [`tile`] lies. Units are 32 bits: one f32, or a pair of bf16.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Left {
    /// The first value of the first pixel.
    pub(in crate::kernels) start: *const f32,
    /// From a pixel to the next.
    pub(in crate::kernels) pixel: usize,
    /// Contiguous pieces of which a pixel's values consist: the rows of a kernel.
    pub(in crate::kernels) runs: usize,
    /// From a run to the next.
    pub(in crate::kernels) run_stride: usize,
    /// Values in a run.
    pub(in crate::kernels) run_len: usize,
}

/// Sums for `P` pixels and `N` vectors of outputs over all values of `left`. `weights` holds, for each value in
/// order, `N` vectors.
///
/// # Safety
/// All that `left` spans and `runs * run_len * N` vectors of `weights` must be readable.
#[inline(always)]
pub(in crate::kernels) unsafe fn tile<S: Simd, const P: usize, const N: usize>(
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

/// The blocks into which `vectors` vectors of outputs are split: at most `max` each, as even as can be.
/// Gives the first vector and the number of vectors of each.
#[inline(always)]
pub(in crate::kernels) fn column_blocks(vectors: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = vectors.div_ceil(max);
    let (even, more) = (vectors / count, vectors % count);
    (0..count).map(move |i| (i * even + i.min(more), even + usize::from(i < more)))
}

/// Runs `$call` with the constants `P` and `N` of the register tile for `$columns` vectors of outputs.
macro_rules! with_tile {
    ($columns:expr, [$p1:ident, $p2:ident, $p3:ident, $p4:ident], $s:ty, $function:ident, $($argument:expr),*) => {
        match $columns {
            1 => $function::<$s, $p1, 1>($($argument),*),
            2 if <$s>::MAX_COLUMNS >= 2 => $function::<$s, $p2, 2>($($argument),*),
            3 if <$s>::MAX_COLUMNS >= 3 => $function::<$s, $p3, 3>($($argument),*),
            _ if <$s>::MAX_COLUMNS >= 4 => $function::<$s, $p4, 4>($($argument),*),
            _ => {}
        }
    };
}
pub(in crate::kernels) use with_tile;

#[cfg(test)]
mod tests {
    use super::column_blocks;

    #[test]
    fn blocks_cover_every_vector_once() {
        for max in 1..=4 {
            for vectors in 1..40 {
                let mut next = 0;
                for (start, count) in column_blocks(vectors, max) {
                    assert_eq!(start, next);
                    assert!((1..=max).contains(&count));
                    next += count;
                }
                assert_eq!(next, vectors);
            }
        }
    }
}
