//! Operations on each value by itself, a row at a time, and sums over rows.
//!
//! A row is a line of values, padding included, which stays zero.

use crate::map::{BLOCK, View};
use crate::simd::Simd;

/// A map scaled channel by channel; a task is a row of it.
pub(crate) struct Scale {
    pub(crate) input: View,
    pub(crate) output: View,
    /// For each value of a whole number of pixels and of [`BLOCK`]s.
    pub(crate) gains: Vec<f32>,
    /// As the gains.
    pub(crate) offsets: Vec<f32>,
}

impl Scale {
    /// `output = input * gains + offsets`, one for each channel.
    pub(crate) fn new(input: View, output: View, gains: &[f32], offsets: &[f32]) -> Self {
        let period = if input.is_narrow() { input.channels * BLOCK } else { input.stride };
        let channel = |i: usize| i % input.stride.max(1);
        let spread = |of: &[f32]| (0..period).map(|i| of.get(channel(i)).copied().unwrap_or(0.0)).collect();
        Self { input, output, gains: spread(gains), offsets: spread(offsets) }
    }
}

/// Two maps added; a task is a row of them.
pub(crate) struct Add {
    pub(crate) a: View,
    pub(crate) scale: f32,
    pub(crate) b: View,
    pub(crate) output: View,
}

/// Computes row `y`.
///
/// # Safety
/// The processor must have the instructions, the views be valid and of one layout, and the row not be touched by anyone
/// else meanwhile.
pub(crate) type ScaleFn = unsafe fn(job: &Scale, y: usize);

/// Computes row `y`.
///
/// # Safety
/// As for [`ScaleFn`].
pub(crate) type AddFn = unsafe fn(job: &Add, y: usize);

/// See [`ScaleFn`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn scale_row<S: Simd>(s: S, job: &Scale, y: usize) {
    let len = job.input.row_len();
    for start in (0..len).step_by(job.gains.len().max(1)) {
        for i in (0..job.gains.len().min(len - start)).step_by(S::LANES) {
            // SAFETY: gains and offsets are whole blocks; the row is the task's.
            unsafe {
                let (gain, offset) = (s.load(job.gains.as_ptr().add(i)), s.load(job.offsets.as_ptr().add(i)));
                let value = s.fma(job.input.load(s, y, 0, start + i), gain, offset);
                store(s, &job.output, y, start + i, value);
            }
        }
    }
}

/// See [`AddFn`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn add_row<S: Simd>(s: S, job: &Add, y: usize) {
    let scale = s.splat(job.scale);
    for i in (0..job.output.row_len()).step_by(S::LANES) {
        // SAFETY: the row is the task's.
        unsafe {
            let value = s.fma(job.a.load(s, y, 0, i), scale, job.b.load(s, y, 0, i));
            store(s, &job.output, y, i, value);
        }
    }
}

/// Stores as much of a vector at value `i` of row `y` as lies in the row.
///
/// # Safety
/// The row must be the task's.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, view: &View, y: usize, i: usize, value: S::V) {
    let rest = view.row_len() - i;
    // SAFETY: only values of the row are written.
    unsafe {
        if rest >= S::LANES {
            view.store(s, y, 0, i, value);
            return;
        }
        let mut lanes = [0.0; BLOCK];
        s.store(lanes.as_mut_ptr(), value);
        for (lane, &value) in lanes[..rest].iter().enumerate() {
            view.put(y, 0, i + lane, value);
        }
    }
}

/// The mean of each 2×2 block of rows `2 * y` and `2 * y + 1` of `input`, to row `y` of `output`.
///
/// # Safety
/// The views must be valid, the output half the input's size, and the row not be touched by anyone else meanwhile.
pub(crate) unsafe fn pool_row(input: &View, output: &View, y: usize) {
    for x in 0..output.width {
        // SAFETY: the four pixels lie in the input, the pixel in the output; each has as many values.
        unsafe {
            for i in 0..output.stride {
                let corner = |row: usize, column: usize| input.get(2 * y + row, 2 * x + column, i);
                let sum = (corner(0, 0) + corner(0, 1)) + (corner(1, 0) + corner(1, 1));
                output.put(y, x, i, sum * 0.25);
            }
        }
    }
}

/// The sum of the magnitudes of row `y`.
///
/// # Safety
/// The view must be valid and complete.
pub(crate) unsafe fn sum_abs(view: &View, y: usize) -> f64 {
    // Independent sums, which the compiler makes into vectors.
    const SUMS: usize = 16;
    let mut sums = [0.0_f64; SUMS];
    for i in 0..view.row_len() {
        // SAFETY: the row lies in the map.
        sums[i % SUMS] += f64::from(unsafe { view.get(y, 0, i) }.abs());
    }
    sums.iter().sum()
}
