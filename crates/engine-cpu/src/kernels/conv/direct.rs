//! The direct method: `sum = Σ weight · input`, a tile of pixels by a block of outputs at a time.
//!
//! A task is a band of a few output rows by a segment of columns. The input that it needs is gathered first into a
//! scratch without gaps, `[row][column][channel]`, where the taps of a kernel row are one contiguous run for any
//! kernel size, stride and list of inputs; so the innermost loop knows of none of these.

use super::finish::{Activate, Direct, Rows, is_direct};
use super::gather::{Window, gather, gather_pairs};
use super::{Job, Tasks};
use crate::kernels::gemm::{Left, column_blocks, tile, with_tile};
use crate::map::BLOCK;
use crate::simd::Simd;

/// Rows of sums in a band.
const BAND_ROWS: usize = 4;

/// Columns of sums in a segment, about.
const SEGMENT_COLUMNS: usize = 48;

/// How a job is cut up, and what a task's scratch looks like. Lengths count 32-bit values.
struct Layout {
    /// Columns of sums in a segment; the last may have fewer.
    segment: usize,
    segments: usize,
    /// From a gathered pixel to the next.
    pixel: usize,
    /// From a gathered row to the next.
    row: usize,
    /// Values of the gathered window, with room for the last tile to reach beyond.
    gathered: usize,
    /// Values of activated sums on their way to [`Rows`].
    sums: usize,
}

impl Layout {
    #[inline(always)]
    fn new(job: &Job<'_>) -> Self {
        let plan = job.plan;
        let columns = plan.sums / plan.kernels.lanes;
        let widest = columns.div_ceil(columns.div_ceil(plan.kernels.max_columns));
        let tile = plan.kernels.tile_pixels[widest - 1];
        let segments = job.width.div_ceil(SEGMENT_COLUMNS);
        let segment = job.width.div_ceil(segments).next_multiple_of(tile);
        let most_pixels = plan.kernels.tile_pixels.iter().copied().max().unwrap_or(1);
        let pixel = if plan.pairs { plan.in_channels.div_ceil(2) } else { plan.in_channels };
        let row = ((segment - 1) * plan.stride + plan.kernel) * pixel;
        let rows = (BAND_ROWS - 1) * plan.stride + plan.kernel;
        let beyond = (most_pixels * plan.stride + plan.kernel) * pixel + 2 * BLOCK;
        Self {
            segment,
            segments: job.width.div_ceil(segment),
            pixel,
            row,
            gathered: (rows * row + beyond).next_multiple_of(BLOCK),
            sums: if is_direct(job) { 0 } else { BAND_ROWS * segment * plan.sums + 2 * BLOCK },
        }
    }
}

/// How a job is cut into tasks.
pub(super) fn tasks(job: &Job<'_>) -> Tasks {
    let layout = Layout::new(job);
    let lines = if is_direct(job) { 0 } else { Rows::scratch_len(job, layout.segment) };
    Tasks {
        count: job.height.div_ceil(BAND_ROWS) * layout.segments,
        scratch_len: layout.gathered + layout.sums + lines,
    }
}

/// What the blocks of a task have in common.
struct Band<'a> {
    job: &'a Job<'a>,
    layout: &'a Layout,
    gathered: *const f32,
    top: usize,
    left: usize,
    rows: usize,
    columns: usize,
    /// `[row][column][sum]`, where the output is written by [`Rows`].
    sums: Option<*mut f32>,
}

/// Computes one task. See [`TaskFn`](super::TaskFn).
///
/// # Safety
/// As there.
#[inline(always)]
pub(in crate::kernels) unsafe fn run<S: Simd, const P1: usize, const P2: usize, const P3: usize, const P4: usize>(
    s: S,
    job: &Job<'_>,
    task: usize,
    scratch: *mut f32,
) {
    let plan = job.plan;
    let layout = &Layout::new(job);
    let (top, left) = (task / layout.segments * BAND_ROWS, task % layout.segments * layout.segment);
    let rows = BAND_ROWS.min(job.height - top);
    let columns = layout.segment.min(job.width - left);
    let window = Window {
        top: (top * plan.stride) as isize - (plan.kernel / 2) as isize,
        left: (left * plan.stride) as isize - (plan.kernel / 2) as isize,
        rows: (rows - 1) * plan.stride + plan.kernel,
        columns: (columns - 1) * plan.stride + plan.kernel,
    };
    // SAFETY: the layout has room for the window.
    unsafe {
        if S::PAIRS {
            gather_pairs(s, job, window, scratch.cast(), 2 * layout.row);
        } else {
            gather(s, job, window, scratch, layout.row);
        }
    }
    let sums = (!is_direct(job)).then(|| scratch.wrapping_add(layout.gathered));
    let band = &Band { job, layout, gathered: scratch, top, left, rows, columns, sums };
    let depth = plan.kernel * plan.kernel * layout.pixel;
    for (first, count) in column_blocks(plan.sums / S::LANES, S::MAX_COLUMNS) {
        let weights = plan.weights.start().cast::<f32>().wrapping_add(first * S::LANES * depth);
        // SAFETY: `weights` is where the block's are; the band is this task's.
        unsafe { with_tile!(count, [P1, P2, P3, P4], S, block, s, band, weights, first * S::LANES) }
    }
    if let Some(sums) = sums {
        let mut lines = Rows::new(job, layout.segment, sums.wrapping_add(layout.sums));
        for row in 0..rows {
            let sums = sums.wrapping_add(row * layout.segment * plan.sums);
            // SAFETY: the positions are this task's; the sums' room ends two blocks later.
            unsafe { lines.write(s, top + row, left, columns, sums) }
        }
    }
}

/// Computes one block of outputs for the band.
///
/// # Safety
/// `weights` must be those of `N` vectors of outputs that start at sum `first`, the rest as for [`run`].
#[inline(always)]
unsafe fn block<S: Simd, const P: usize, const N: usize>(s: S, band: &Band<'_>, weights: *const f32, first: usize) {
    let (job, layout) = (band.job, band.layout);
    let plan = job.plan;
    for row in 0..band.rows {
        for column in (0..band.columns).step_by(P) {
            let start = row * plan.stride * layout.row + column * plan.stride * layout.pixel;
            let left = Left {
                start: band.gathered.wrapping_add(start),
                pixel: plan.stride * layout.pixel,
                runs: plan.kernel,
                run_stride: layout.row,
                run_len: plan.kernel * layout.pixel,
            };
            let count = P.min(band.columns - column);
            // SAFETY: the scratch has room for a whole tile; what it computes beyond the columns is not stored.
            unsafe {
                let sums = tile::<S, P, N>(s, left, weights);
                for n in 0..N {
                    let first = first + n * S::LANES;
                    let (activate, direct) = (Activate::new(s, job, first), Direct::new(job, first));
                    for (p, sums) in sums.iter().enumerate() {
                        if p >= count {
                            break;
                        }
                        let value = activate.apply(sums[n]);
                        match band.sums {
                            None => direct.store(s, band.top + row, band.left + column + p, value),
                            Some(to) => {
                                let position = row * layout.segment + column + p;
                                s.store(to.add(position * plan.sums + first), value);
                            }
                        }
                    }
                }
            }
        }
    }
}
