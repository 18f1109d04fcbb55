//! Where the taps of a group fall, and the masked bilinear samples there.
//!
//! Rows and columns are kept as a whole number and a fraction of a pixel, so that positions are as exact at the far end
//! of a wide picture as at its origin. NaN and infinite offsets give NaN, not zeros.

use framelift_engine::Precision;

use super::{COORDINATES, Job, Plan, SEGMENT, SPARE, TAPS};
use crate::map::View;
use crate::simd::Simd;
use crate::values::{self, Bf16, F16, F32, Stored};

/// A group of channels of one input, in a segment.
pub(super) struct Group<'a> {
    pub(super) number: usize,
    pub(super) input: &'a View,
    /// Its first channel in the input.
    pub(super) first: usize,
    /// What [`spread_flow`] gave for the input.
    pub(super) flow: *const f32,
}

/// Where a segment's taps fall. Coordinates are `[pixel][tap][row, column]`, all else is `[pixel][tap]`.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// Where the taps are without an offset.
    positions: *mut f32,
    /// Residues.
    residues: *mut f32,
    /// Rows and columns of the upper left of the four samples.
    corners: *mut i32,
    /// Weights of that row or column.
    near: *mut f32,
    /// Weights of the next row or column.
    far: *mut f32,
    masks: *mut f32,
    /// The upper left sample's pixel in its map.
    pixels: *mut u32,
    /// Weights of the four samples, mask included, row by row.
    weights: [*mut f32; 4],
}

/// Values for the coordinates of a segment.
const WIDE: usize = COORDINATES + SPARE;

/// Values for the taps of a segment.
const SINGLE: usize = SEGMENT * TAPS + SPARE;

impl Places {
    /// Values of scratch that they need.
    pub(super) const LEN: usize = 5 * WIDE + 6 * SINGLE;

    /// In the scratch at `start`.
    pub(super) fn new(start: *mut f32) -> Self {
        let wide = |i: usize| start.wrapping_add(i * WIDE);
        let single = |i: usize| start.wrapping_add(5 * WIDE + i * SINGLE);
        Self {
            positions: wide(0),
            residues: wide(1),
            corners: wide(2).cast(),
            near: wide(3),
            far: wide(4),
            masks: single(0),
            pixels: single(1).cast(),
            weights: [single(2), single(3), single(4), single(5)],
        }
    }

    /// Writes the taps' positions for the segment that begins at row `y`, column `left`.
    ///
    /// # Safety
    /// The scratch must be valid.
    #[inline(always)]
    pub(super) unsafe fn position(&self, y: usize, left: usize) {
        // SAFETY: there is room for the coordinates.
        let positions = unsafe { std::slice::from_raw_parts_mut(self.positions, COORDINATES) };
        for (pixel, taps) in positions.chunks_exact_mut(2 * TAPS).enumerate() {
            for (tap, position) in taps.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *position = [(y + tap / 3) as f32 - 1.0, (left + pixel + tap % 3) as f32 - 1.0];
            }
        }
    }
}

/// Writes `dy` and `dx` of `count` pixels of a flow to `to`, for each of their taps; zeros without a flow.
///
/// # Safety
/// The pixels must lie in the flow, `to` have room for the coordinates of a segment.
#[inline(always)]
pub(super) unsafe fn spread_flow(flow: Option<&View>, y: usize, left: usize, count: usize, to: *mut f32) {
    // SAFETY: the caller answers for it.
    let taps = unsafe { std::slice::from_raw_parts_mut(to, COORDINATES) };
    for (pixel, taps) in taps.chunks_exact_mut(2 * TAPS).take(count).enumerate() {
        let [dx, dy] = flow.map_or([0.0; 2], |flow| {
            // SAFETY: as above; a flow has two channels.
            unsafe { flow.f32_at(y, left + pixel).cast::<[f32; 2]>().read_unaligned() }
        });
        taps.as_chunks_mut::<2>().0.fill([dy, dx]);
    }
}

/// The hyperbolic tangent, within 4e-7; NaN of NaN.
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    // The odd rational function of least error over the range beyond which the tangent is one in f32.
    const RANGE: f32 = 8.5;
    const NUMERATOR: [f32; 5] = [1.0, 0.134_057_2, 0.003_524_722_4, 2.108_285_6e-5, 1.400_573_8e-8];
    const DENOMINATOR: [f32; 5] = [1.0, 0.467_390_53, 0.025_988_298, 3.333_007e-4, 8.043_864e-7];
    let x = s.min(s.splat(RANGE), s.max(s.splat(-RANGE), x));
    let square = s.mul(x, x);
    let polynomial = |coefficients: [f32; 5]| {
        let mut sum = s.splat(coefficients[4]);
        for &coefficient in coefficients[..4].iter().rev() {
            sum = s.fma(sum, square, s.splat(coefficient));
        }
        sum
    };
    s.div(s.mul(x, polynomial(NUMERATOR)), polynomial(DENOMINATOR))
}

/// Finds where the group's taps fall for `count` pixels from column `left` of row `y` on, and what their samples weigh.
///
/// # Safety
/// The scratch must be valid, the pixels lie in the residues.
#[inline(always)]
pub(super) unsafe fn place<S: Simd>(
    s: S,
    job: &Job<'_>,
    group: &Group<'_>,
    y: usize,
    left: usize,
    count: usize,
    places: Places,
) {
    let (height, width) = (group.input.height, group.input.width);
    let masks = job.plan.groups.len() * 2 * TAPS;
    let value_bytes = job.residues.precision.bytes();
    // SAFETY: what is read beyond a pixel's residues is of the next pixel or of the map's slack; what is written beyond
    // those of a pixel is overwritten by the next, or spare.
    unsafe {
        for pixel in 0..count {
            let residue = |channel: usize| job.residues.load(s, y, left + pixel, channel);
            // The same of the next segment: each group's are too short a piece for the processor to see a pattern.
            let ahead = |channel: usize| job.residues.at(y, left + pixel + SEGMENT).wrapping_add(channel * value_bytes);
            s.prefetch(ahead(group.number * 2 * TAPS));
            s.prefetch(ahead(masks + group.number * TAPS));
            for i in (0..2 * TAPS).step_by(S::LANES) {
                s.store(places.residues.add(pixel * 2 * TAPS + i), residue(group.number * 2 * TAPS + i));
            }
            for i in (0..TAPS).step_by(S::LANES) {
                s.store(places.masks.add(pixel * TAPS + i), residue(masks + group.number * TAPS + i));
            }
        }

        // The last row and column from which there is a next one; where there is none, its weight is zero.
        let even = |even: f32, odd: f32| -> S::V {
            let pattern: [f32; 16] = std::array::from_fn(|lane| if lane % 2 == 0 { even } else { odd });
            s.load(pattern.as_ptr())
        };
        let limit = even(height.saturating_sub(2) as f32, width.saturating_sub(2) as f32);
        let has_next = even(f32::from(u8::from(height > 1)), f32::from(u8::from(width > 1)));
        let (zero, one) = (s.zero(), s.splat(1.0));
        let reach = s.splat(job.plan.max_residue);
        for i in (0..count * 2 * TAPS).step_by(S::LANES) {
            let offset = s.fma(reach, tanh(s, s.load(places.residues.add(i))), s.load(group.flow.add(i)));
            let whole = s.floor(offset);
            let fraction = s.sub(offset, whole);
            let position = s.add(s.load(places.positions.add(i)), whole);
            let corner = s.min(s.max(position, zero), limit);
            // The distance from the corner: a sample's weight falls from one to zero over a pixel to either side.
            let distance = s.add(s.sub(position, corner), fraction);
            let near = s.max(zero, s.sub(one, s.abs(distance)));
            let far = s.max(zero, s.sub(one, s.abs(s.sub(distance, one))));
            s.store_whole(places.corners.add(i), corner);
            s.store(places.near.add(i), near);
            s.store(places.far.add(i), s.mul(far, has_next));
        }

        let half = s.splat(0.5);
        for i in (0..count * TAPS).step_by(S::LANES) {
            let residue = s.load(places.masks.add(i));
            s.store(places.masks.add(i), s.fma(half, tanh(s, s.mul(half, residue)), half));
        }
        combine(count * TAPS, width, places);
    }
}

/// Pixels and weights of the first `count` taps, from their coordinates and masks.
///
/// # Safety
/// The scratch must be valid and hold coordinates and masks.
#[inline(always)]
unsafe fn combine(count: usize, width: usize, places: Places) {
    // SAFETY: the caller answers for it; the parts do not overlap.
    unsafe {
        let corners = std::slice::from_raw_parts(places.corners.cast::<[i32; 2]>(), count);
        let near = std::slice::from_raw_parts(places.near.cast::<[f32; 2]>(), count);
        let far = std::slice::from_raw_parts(places.far.cast::<[f32; 2]>(), count);
        let masks = std::slice::from_raw_parts(places.masks, count);
        let pixels = std::slice::from_raw_parts_mut(places.pixels, count);
        let [top_left, top_right, bottom_left, bottom_right] =
            places.weights.map(|weights| std::slice::from_raw_parts_mut(weights, count));
        for i in 0..count {
            let (top, bottom) = (near[i][0] * masks[i], far[i][0] * masks[i]);
            pixels[i] = (corners[i][0] as u32).wrapping_mul(width as u32).wrapping_add(corners[i][1] as u32);
            top_left[i] = top * near[i][1];
            top_right[i] = top * far[i][1];
            bottom_left[i] = bottom * near[i][1];
            bottom_right[i] = bottom * far[i][1];
        }
    }
}

/// Writes the masked samples of `count` pixels to `samples`, `[pixel][tap][channel]`.
///
/// # Safety
/// The scratch must be valid and hold what [`place`] gave.
#[inline(always)]
pub(super) unsafe fn fetch<S: Simd>(
    s: S,
    plan: &Plan,
    group: &Group<'_>,
    count: usize,
    places: Places,
    samples: *mut f32,
) {
    // SAFETY: the caller answers for it.
    unsafe {
        if plan.group_channels.is_multiple_of(S::LANES) {
            fetch_by(s, plan, group, count, places, samples);
        } else {
            fetch_by(s.half(), plan, group, count, places, samples);
        }
    }
}

/// [`fetch`] in vectors of `s`.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn fetch_by<S: Simd>(s: S, plan: &Plan, group: &Group<'_>, count: usize, places: Places, samples: *mut f32) {
    // SAFETY: the caller answers for it.
    unsafe {
        match group.input.precision {
            Precision::F32 => fetch_from::<S, F32>(s, plan, group, count, places, samples),
            Precision::Bf16 => fetch_from::<S, Bf16>(s, plan, group, count, places, samples),
            Precision::F16 => fetch_from::<S, F16>(s, plan, group, count, places, samples),
        }
    }
}

/// [`fetch_by`] from an input stored as `I`.
///
/// # Safety
/// As for [`fetch`].
#[inline(always)]
unsafe fn fetch_from<S: Simd, I: Stored>(
    s: S,
    plan: &Plan,
    group: &Group<'_>,
    count: usize,
    places: Places,
    samples: *mut f32,
) {
    // SAFETY: the caller answers for it.
    unsafe {
        match plan.precision {
            Precision::Bf16 if plan.pairs => fetch_as::<S, I, Bf16, true>(s, plan, group, count, places, samples),
            Precision::Bf16 => fetch_as::<S, I, Bf16, false>(s, plan, group, count, places, samples),
            Precision::F16 => fetch_as::<S, I, F16, false>(s, plan, group, count, places, samples),
            Precision::F32 => fetch_as::<S, I, F32, false>(s, plan, group, count, places, samples),
        }
    }
}

/// [`fetch`] from an input stored as `I` to samples rounded to `P`, stored in it too (`PAIRS`) or as f32.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn fetch_as<S: Simd, I: Stored, P: Stored, const PAIRS: bool>(
    s: S,
    plan: &Plan,
    group: &Group<'_>,
    count: usize,
    places: Places,
    samples: *mut f32,
) {
    let input = group.input;
    let channels = plan.group_channels;
    // To the right and lower samples. Where there are none their weight is zero.
    let right = if input.width > 1 { input.stride } else { 0 };
    let down = if input.height > 1 { input.width * input.stride } else { 0 };
    let [top_left, top_right, bottom_left, bottom_right] = places.weights;
    let start = input.start.wrapping_add(group.first * I::BYTES).cast_const();
    for i in 0..count * TAPS {
        // SAFETY: there are so many taps. Corners lie in the map, and so do their neighbours; vectors reach into the slack
        // at most. What is written beyond a tap's channels is overwritten by the next tap, or
        // spare.
        unsafe {
            let upper = start.wrapping_add(*places.pixels.add(i) as usize * input.stride * I::BYTES);
            let lower = upper.wrapping_add(down * I::BYTES);
            let weights = [top_left, top_right, bottom_left, bottom_right].map(|weight| s.splat(*weight.add(i)));
            let mut channel = 0;
            // Mostly once: one vector holds a group of the published networks.
            loop {
                let (upper, lower) = (upper.wrapping_add(channel * I::BYTES), lower.wrapping_add(channel * I::BYTES));
                let load = |p: *const u8| values::load(s, I::PRECISION, p);
                let [left_above, left_below] = [load(upper), load(lower)];
                let [right_above, right_below] = [upper, lower].map(|p| load(p.wrapping_add(right * I::BYTES)));
                let above = s.fma(right_above, weights[1], s.mul(left_above, weights[0]));
                let below = s.fma(right_below, weights[3], s.mul(left_below, weights[2]));
                let sample = s.add(above, below);
                let to = i * channels + channel;
                if PAIRS {
                    values::store(s, P::PRECISION, samples.cast::<u16>().add(to).cast(), sample);
                } else {
                    s.store(samples.add(to), values::round(s, P::PRECISION, sample));
                }
                channel += S::LANES;
                if channel >= channels {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    #[test]
    fn the_tangent_is_close_everywhere() {
        for i in -30_000..=30_000_i16 {
            let x = f32::from(i) / 2000.0;
            let got = tanh(Portable, [x; 4])[0];
            let difference = (f64::from(got) - f64::from(x).tanh()).abs();
            assert!(difference <= 4e-7, "{got} for {x}: {difference:e}");
        }
        for (x, expected) in [(f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0), (1e30, 1.0)] {
            assert!((tanh(Portable, [x; 4])[0] - expected).abs() <= 4e-7);
        }
        assert!(tanh(Portable, [f32::NAN; 4])[0].is_nan());
    }
}
