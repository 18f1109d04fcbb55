//! Convolution: a list of channels-last maps in, bias, activation, scale, addend and pixel shuffle on the way out.
//!
//! Two methods. [`direct`] gathers the input of a band of rows into a cache-sized scratch and multiplies it by the
//! weights, a few pixels by up to 64 outputs at a time. [`winograd`] computes 3×3 convolutions of stride 1 on 4×4
//! tiles with a quarter of the multiplications. Both end in [`finish`]. Neither keeps a full-size intermediate map:
//! a task reads its part of the inputs and writes its part of the output.
//!
//! Every output value is computed by one task in a fixed order, so the result does not depend on the number of threads.

pub(super) mod direct;
mod finish;
mod gather;
mod gemm;
mod pack;
mod plan;
pub(super) mod winograd;

pub(crate) use finish::Added;
pub use plan::ConvMethod;
pub(crate) use plan::Plan;

use crate::map::View;

/// A convolution to compute: the whole of it, of which a task does a part.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) inputs: &'a [View],
    pub(crate) output: View,
    pub(crate) added: Option<Added>,
    /// Rows of sums, before the pixel shuffle.
    pub(crate) height: usize,
    /// Columns of sums, before the pixel shuffle.
    pub(crate) width: usize,
}

/// How a job is cut up.
#[derive(Clone, Copy)]
pub(crate) struct Tasks {
    pub(crate) count: usize,
    /// Values of scratch that a task needs.
    pub(crate) scratch_len: usize,
}

/// Computes task number `task` of a job with a scratch of [`Tasks::scratch_len`] initialised values.
///
/// # Safety
/// The processor must have the instructions; views and scratch must be valid, and the part of the output that belongs
/// to the task not be touched by anyone else meanwhile.
pub(crate) type TaskFn = unsafe fn(job: &Job<'_>, task: usize, scratch: *mut f32);

impl Job<'_> {
    /// How the job is cut into tasks.
    pub(crate) fn tasks(&self) -> Tasks {
        match self.plan.method {
            ConvMethod::Direct => direct::tasks(self),
            ConvMethod::Winograd => winograd::tasks(self),
        }
    }

    /// The kernel that computes its tasks.
    pub(crate) fn kernel(&self) -> TaskFn {
        match self.plan.method {
            ConvMethod::Direct => self.plan.kernels.conv_direct,
            ConvMethod::Winograd => self.plan.kernels.conv_winograd,
        }
    }
}

/// The blocks into which `vectors` vectors of outputs are split: at most `max` each, as even as can be.
/// Gives the first vector and the number of vectors of each.
#[inline(always)]
fn column_blocks(vectors: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
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
use with_tile;

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
