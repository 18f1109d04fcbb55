//! The last step: `Aᵀ M A` of each tile's 6×6 products, sum by sum, a vector of sums at a time, and what comes after.

use std::ops::Range;

use super::{IN, OUT, ROOT_HALF, ROOT_TWO, Stretch};
use crate::kernels::conv::Job;
use crate::kernels::conv::finish::{Activate, Direct, Rows};
use crate::simd::Simd;

/// Where a task's products of a block of weights lie, `[point][tile][sum of the block]`.
#[derive(Clone, Copy)]
pub(super) struct Products {
    pub(super) start: *mut f32,
    /// From a tile to the next.
    pub(super) tile: usize,
    /// From a point to the next.
    pub(super) point: usize,
}

/// `Aᵀ` applied to six values.
#[inline(always)]
fn transform_line<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; OUT] {
    let (half, two) = (s.splat(0.5), s.splat(2.0));
    let (a, b) = (s.splat(ROOT_HALF), s.splat(ROOT_TWO));
    let (even_a, odd_a) = (s.add(m[1], m[2]), s.mul(a, s.sub(m[1], m[2])));
    let (even_b, odd_b) = (s.add(m[3], m[4]), s.mul(b, s.sub(m[3], m[4])));
    [
        s.add(m[0], s.add(even_a, even_b)),
        s.add(odd_a, odd_b),
        s.fma(half, even_a, s.mul(two, even_b)),
        s.fma(half, odd_a, s.fma(two, odd_b, m[5])),
    ]
}

/// Transforms a block's products of a stretch of tiles back. What they give is stored, or where the sums do not go straight
/// to the output kept in `kept`, `[row][column][sum]`.
///
/// # Safety
/// Products and `kept` must have room for the stretch, the tiles belong to the task.
#[inline(always)]
pub(super) unsafe fn transform<S: Simd>(
    s: S,
    job: &Job<'_>,
    stretch: Stretch,
    products: Products,
    block: Range<usize>,
    kept: Option<*mut f32>,
) {
    let (top, left) = (stretch.row * OUT, stretch.column * OUT);
    let rows = OUT.min(job.height - top);
    for tile in 0..stretch.count {
        let left = left + tile * OUT;
        let columns = OUT.min(job.width - left);
        for first in block.clone().step_by(S::LANES) {
            // SAFETY: the caller answers for the scratch; only positions of the output are stored to.
            unsafe {
                let from = products.start.add((stretch.first + tile) * products.tile + first - block.start);
                let activate = Activate::new(s, job, first);
                if let Some(kept) = kept {
                    back(s, from, products.point, activate, |row, column, value| {
                        let position = (row * stretch.count + tile) * OUT + column;
                        s.store(kept.add(position * job.plan.sums + first), value);
                    });
                } else {
                    let direct = Direct::new(job, first);
                    back(s, from, products.point, activate, |row, column, value| {
                        if row < rows && column < columns {
                            direct.store(s, top + row, left + column, value);
                        }
                    });
                }
            }
        }
    }
}

/// Writes what the `kept` sums of a stretch give.
///
/// # Safety
/// All blocks must have been transformed, two blocks beyond be readable, and the tiles belong to the task.
#[inline(always)]
pub(super) unsafe fn write<S: Simd>(s: S, job: &Job<'_>, stretch: Stretch, kept: *const f32, lines: &mut Rows<'_>) {
    let (top, left) = (stretch.row * OUT, stretch.column * OUT);
    let pitch = OUT * stretch.count;
    lines.restart();
    for row in 0..OUT.min(job.height - top) {
        // SAFETY: the positions belong to the task; the caller answers for the sums.
        unsafe { lines.write(s, top + row, left, pitch.min(job.width - left), kept.add(row * pitch * job.plan.sums)) }
    }
}

/// Transforms one vector of a tile's products, `point` values apart, and hands each activated sum to `put`, with its row
/// and column.
///
/// # Safety
/// The products must be readable.
#[inline(always)]
unsafe fn back<S: Simd>(
    s: S,
    from: *const f32,
    point: usize,
    activate: Activate<S>,
    mut put: impl FnMut(usize, usize, S::V),
) {
    let mut halves = [[s.zero(); OUT]; IN];
    for (column, half) in halves.iter_mut().enumerate() {
        let mut values = [s.zero(); IN];
        for (row, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller answers for it.
            *value = unsafe { s.load(from.add((row * IN + column) * point)) };
        }
        *half = transform_line(s, values);
    }
    for row in 0..OUT {
        let mut values = [s.zero(); IN];
        for (half, value) in halves.iter().zip(&mut values) {
            *value = half[row];
        }
        let values = transform_line(s, values);
        for (column, value) in values.iter().enumerate() {
            put(row, column, activate.apply(*value));
        }
    }
}
