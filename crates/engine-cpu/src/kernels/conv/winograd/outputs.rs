//! The last step: `Aᵀ M A` of each tile's 6×6 products, sum by sum, a vector of sums at a time, and what comes after.

use super::{IN, Layout, OUT, ROOT_HALF, ROOT_TWO, Stretch};
use crate::kernels::conv::Job;
use crate::kernels::conv::finish::{Activate, Direct, Rows};
use crate::simd::Simd;

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

/// Transforms the products of a stretch of tiles back and stores what they give.
///
/// # Safety
/// The scratch must be as the layout says, the tiles belong to the task.
#[inline(always)]
pub(super) unsafe fn transform<S: Simd>(
    s: S,
    job: &Job<'_>,
    layout: &Layout,
    stretch: Stretch,
    tiles: *const f32,
    sums: *mut f32,
    lines: &mut Rows<'_>,
) {
    let plan = job.plan;
    let direct = Direct::new(job);
    let straight = layout.sums == 0;
    let (top, left) = (stretch.row * OUT, stretch.column * OUT);
    let rows = OUT.min(job.height - top);
    // Positions from a row of sums to the next.
    let pitch = OUT * stretch.count;
    for tile in 0..stretch.count {
        let left = left + tile * OUT;
        let columns = OUT.min(job.width - left);
        for first in (0..plan.sums).step_by(S::LANES) {
            // SAFETY: the caller answers for the scratch; only positions of the output are stored to.
            unsafe {
                let from = tiles.add((stretch.first + tile) * layout.tile + first);
                let activate = Activate::new(s, job, first);
                if straight {
                    back(s, from, layout.point, activate, |row, column, value| {
                        if row < rows && column < columns {
                            direct.store(s, top + row, left + column, first, value);
                        }
                    });
                } else {
                    back(s, from, layout.point, activate, |row, column, value| {
                        let position = row * pitch + tile * OUT + column;
                        s.store(sums.add(position * plan.sums + first), value);
                    });
                }
            }
        }
    }
    if !straight {
        lines.restart();
        let columns = pitch.min(job.width - left);
        for row in 0..rows {
            // SAFETY: the positions belong to the task; the room of the sums ends two blocks later.
            unsafe { lines.write(s, top + row, left, columns, sums.add(row * pitch * plan.sums)) }
        }
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
