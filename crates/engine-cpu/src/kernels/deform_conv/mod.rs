//! Deformable convolution: sampled and multiplied in one pass.
//!
//! A task is an output row, taken a segment of a few pixels at a time and, within that, a group of channels at a time.
//! The nine samples of each pixel and of the group's channels are written to a scratch that fits the nearest cache
//! ([`sample`]), multiplied there by the group's weights, and added to the segment's sums. No map of samples, offsets or
//! masks ever exists.
//!
//! Every output value is computed by one task in a fixed order, so the result does not depend on the number of threads.

mod plan;
mod sample;

pub(crate) use plan::Plan;

use self::sample::{Group, Places};
use super::gemm::{Left, column_blocks, tile, with_tile};
use crate::map::{BLOCK, View};
use crate::simd::Simd;

/// Taps of the kernel.
const TAPS: usize = 9;

/// Pixels in a segment, a multiple of every register tile.
const SEGMENT: usize = 24;

/// Coordinates of a segment's taps in a group: a row and a column each.
const COORDINATES: usize = SEGMENT * TAPS * 2;

/// Room after what is written a whole vector at a time.
const SPARE: usize = 2 * BLOCK;

/// A deformable convolution to compute; a task is a row of it.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) inputs: &'a [View],
    pub(crate) residues: View,
    /// One for each input, or none.
    pub(crate) flows: &'a [View],
    pub(crate) output: View,
}

/// Computes row `y` of a job with a scratch of [`Job::scratch_len`] initialised values.
///
/// # Safety
/// The processor must have the instructions; views and scratch must be valid, and the row of the output not be touched
/// by anyone else meanwhile.
pub(crate) type RowFn = unsafe fn(job: &Job<'_>, y: usize, scratch: *mut f32);

impl Job<'_> {
    /// Values of scratch that a row needs.
    pub(crate) fn scratch_len(&self) -> usize {
        Scratch::len(self)
    }
}

/// The parts of a task's scratch.
#[derive(Clone, Copy)]
struct Scratch {
    places: Places,
    /// Where the taps would be without residues, less the segment's own pixels, for each input: see [`Places`].
    flows: *mut f32,
    /// The samples of a group, `[pixel][tap][channel]`.
    samples: *mut f32,
    /// `[pixel][sum]`.
    sums: *mut f32,
}

impl Scratch {
    fn len(job: &Job<'_>) -> usize {
        let flows = job.inputs.len() * (COORDINATES + SPARE);
        Places::LEN + flows + SEGMENT * job.plan.depth + SPARE + SEGMENT * job.plan.sums
    }

    fn new(job: &Job<'_>, start: *mut f32) -> Self {
        let flows = start.wrapping_add(Places::LEN);
        let samples = flows.wrapping_add(job.inputs.len() * (COORDINATES + SPARE));
        let sums = samples.wrapping_add(SEGMENT * job.plan.depth + SPARE);
        Self { places: Places::new(start), flows, samples, sums }
    }

    fn flow(&self, input: usize) -> *mut f32 {
        self.flows.wrapping_add(input * (COORDINATES + SPARE))
    }
}

/// See [`RowFn`]. `d` multiplies, `s` does all else.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn row<S: Simd, D: Simd, const P1: usize, const P2: usize, const P3: usize, const P4: usize>(
    s: S,
    d: D,
    job: &Job<'_>,
    y: usize,
    scratch: *mut f32,
) {
    let plan = job.plan;
    let scratch = Scratch::new(job, scratch);
    for left in (0..job.output.width).step_by(SEGMENT) {
        let count = SEGMENT.min(job.output.width - left);
        // SAFETY: the scratch has room for a segment; the segment's pixels lie in the maps.
        unsafe {
            scratch.places.position(y, left);
            for input in 0..job.inputs.len() {
                sample::spread_flow(job.flows.get(input), y, left, count, scratch.flow(input));
            }
            for (group, place) in plan.groups.iter().enumerate() {
                let input = &job.inputs[place.input];
                let group = Group { number: group, input, first: place.channel, flow: scratch.flow(place.input) };
                sample::place::<S>(s, job, &group, y, left, count, scratch.places);
                sample::fetch::<S>(s, plan, &group, count, scratch.places, scratch.samples);
                let weights = plan.weights.start().cast::<f32>().add(group.number * plan.depth * plan.sums);
                for (first, vectors) in column_blocks(plan.sums / D::LANES, D::MAX_COLUMNS) {
                    let first = first * D::LANES;
                    let part = Part {
                        count,
                        left: Left {
                            start: scratch.samples,
                            pixel: plan.depth,
                            runs: 1,
                            run_stride: 0,
                            run_len: plan.depth,
                        },
                        weights: weights.add(first * plan.depth),
                        sums: scratch.sums.add(first),
                        pitch: plan.sums,
                        begins: group.number == 0,
                    };
                    with_tile!(vectors, [P1, P2, P3, P4], D, multiply, d, part);
                }
            }
            finish(s, job, y, left, count, scratch.sums);
        }
    }
}

/// A group's share of a segment's sums.
#[derive(Clone, Copy)]
struct Part {
    /// Pixels, at most [`SEGMENT`].
    count: usize,
    /// The samples of the first pixel.
    left: Left,
    /// One block of the group's weights.
    weights: *const f32,
    /// Where the block's sums of the first pixel are.
    sums: *mut f32,
    /// Values from there to those of the next pixel.
    pitch: usize,
    /// Whether the sums begin with this group.
    begins: bool,
}

/// Multiplies the samples of a group by one block of weights and adds the products to the sums.
///
/// # Safety
/// There must be room for samples and sums of [`SEGMENT`] pixels, and `N` vectors of weights for each sample.
#[inline(always)]
unsafe fn multiply<S: Simd, const P: usize, const N: usize>(s: S, part: Part) {
    for first in (0..part.count).step_by(P) {
        let left = Left { start: part.left.start.wrapping_add(first * part.left.pixel), ..part.left };
        // SAFETY: a register tile divides a segment, so a whole one always fits.
        unsafe {
            let products = tile::<S, P, N>(s, left, part.weights);
            for (p, products) in products.iter().enumerate() {
                for (n, &product) in products.iter().enumerate() {
                    let to = part.sums.add((first + p) * part.pitch + n * S::LANES);
                    s.store(to, if part.begins { product } else { s.add(s.load(to), product) });
                }
            }
        }
    }
}

/// Adds the bias to the sums of `count` pixels from column `left` of row `y` on and stores them.
///
/// # Safety
/// The pixels must lie in the output and belong to the task.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, job: &Job<'_>, y: usize, left: usize, count: usize, sums: *mut f32) {
    let (plan, output) = (job.plan, &job.output);
    for pixel in 0..count {
        let sums = sums.wrapping_add(pixel * plan.sums);
        for first in (0..plan.sums).step_by(S::LANES) {
            // SAFETY: sums and bias are as long; a map that is not narrow has as many values in a pixel.
            unsafe {
                let value = s.add(s.load(sums.add(first)), s.load(plan.bias.as_ptr().add(first)));
                if output.is_narrow() {
                    s.store(sums.add(first), value);
                } else {
                    output.store(s, y, left + pixel, first, value);
                }
            }
        }
        if output.is_narrow() {
            for channel in 0..output.channels {
                // SAFETY: the channel lies in the pixel.
                unsafe { output.put(y, left + pixel, channel, *sums.add(channel)) }
            }
        }
    }
}
