//! A picture fetched from where an optical flow points: bilinear, a vector of channels at a time.
//!
//! Columns and rows are kept as a whole number and a fraction of a pixel, so that positions are as exact at the far end
//! of a wide picture as at its origin. A NaN in the flow gives NaN, not zeros.

use framelift_engine::Padding;

use crate::map::View;
use crate::simd::Simd;
use crate::values;

/// A warp to compute; a task is a row of it.
pub(crate) struct Job {
    pub(crate) input: View,
    /// `(dx, dy)`, f32, of the input's size.
    pub(crate) flow: View,
    pub(crate) output: View,
    pub(crate) padding: Padding,
}

/// Computes output row `y`.
///
/// # Safety
/// The processor must have the instructions, the views be valid, and the row not be touched by anyone else meanwhile.
pub(crate) type RowFn = unsafe fn(job: &Job, y: usize);

/// Two neighbouring samples of a line: the first of them, and what each weighs.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    weights: [f32; 2],
}

impl Pair {
    /// For the position `at + offset` on a line of `len` samples. Where the line has only one, the second weighs
    /// nothing.
    #[inline(always)]
    fn new(at: usize, offset: f32, len: usize, padding: Padding) -> Self {
        let whole = offset.floor();
        let (mut position, mut fraction) = (at as f32 + whole, offset - whole);
        if padding == Padding::Border {
            let last = (len - 1) as f32;
            if position < 0.0 || position >= last {
                position = if position < 0.0 { 0.0 } else { last };
                fraction = 0.0;
            }
        }
        // The last sample from which there is a next one.
        let first = position.max(0.0).min(len.saturating_sub(2) as f32);
        // A sample's weight falls from one to zero over a pixel to either side.
        let distance = position - first + fraction;
        let weight = |distance: f32| {
            let weight = 1.0 - distance.abs();
            if weight < 0.0 { 0.0 } else { weight }
        };
        let second = if len > 1 { weight(distance - 1.0) } else { 0.0 };
        Self { first: first as usize, weights: [weight(distance), second] }
    }
}

/// See [`RowFn`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn row<S: Simd>(s: S, job: &Job, y: usize) {
    let (input, output) = (&job.input, &job.output);
    let right = usize::from(input.width > 1);
    let down = usize::from(input.height > 1);
    let bytes = input.precision.bytes();
    for x in 0..output.width {
        // SAFETY: the pixel lies in the flow, which has two channels; pairs lie in the map; vectors reach into the slack
        // of the input at most, and into the padding of the output.
        unsafe {
            let [dx, dy] = job.flow.f32_at(y, x).cast::<[f32; 2]>().read_unaligned();
            let rows = Pair::new(y, dy, input.height, job.padding);
            let columns = Pair::new(x, dx, input.width, job.padding);
            let weight = |row: usize, column: usize| rows.weights[row] * columns.weights[column];
            let weights = [weight(0, 0), weight(0, 1), weight(1, 0), weight(1, 1)];
            let corner = |row: usize, column: usize| input.at(rows.first + row * down, columns.first + column * right);
            let corners = [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)];
            if input.is_narrow() {
                let sum = narrow(input, corners, weights);
                for (channel, &value) in sum.iter().enumerate().take(output.channels) {
                    output.put(y, x, channel, value);
                }
                continue;
            }
            let weights = weights.map(|weight| s.splat(weight));
            for channel in (0..input.stride).step_by(S::LANES) {
                let load = |corner: *mut u8| values::load(s, input.precision, corner.add(channel * bytes));
                let upper = s.fma(load(corners[1]), weights[1], s.mul(load(corners[0]), weights[0]));
                let lower = s.fma(load(corners[3]), weights[3], s.mul(load(corners[2]), weights[2]));
                let value = s.add(upper, lower);
                output.store(s, y, x, channel, value);
            }
        }
    }
}

/// The weighted sum of four pixels of at most four channels; what is beyond the channels means nothing.
///
/// # Safety
/// Four values must be readable from each corner on.
#[inline(always)]
unsafe fn narrow(view: &View, corners: [*mut u8; 4], weights: [f32; 4]) -> [f32; 4] {
    let mut sum = [0.0; 4];
    for (corner, weight) in corners.into_iter().zip(weights) {
        // SAFETY: the caller answers for it.
        let values = unsafe { values::four(view.precision, corner) };
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value * weight;
        }
    }
    sum
}
