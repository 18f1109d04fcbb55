//! A piece of the inputs, concatenated, widened or rounded, with zeros where the convolution pads.

use framelift_engine::Precision;

use super::Job;
use super::finish::widen;
use crate::map::View;
use crate::simd::{Simd, bf16_bits};
use crate::values;

/// A rectangle of input positions, possibly reaching outside the maps.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) top: isize,
    pub(super) left: isize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Window {
    /// Of a row of the window, how many columns lie left of a map of `width` columns, and how many in it.
    #[inline(always)]
    fn columns_inside(&self, width: usize) -> (usize, usize) {
        let left = (-self.left).max(0) as usize;
        let left = left.min(self.columns);
        let end = (width as isize - self.left).clamp(left as isize, self.columns as isize) as usize;
        (left, end - left)
    }
}

/// Copies the window of all inputs to `to`, `[row][column][channel]`, rows `row_stride` values apart.
///
/// # Safety
/// `to` must have room for the window and a block more; the inputs must be valid and of one size.
#[inline(always)]
pub(super) unsafe fn gather<S: Simd>(s: S, job: &Job<'_>, window: Window, to: *mut f32, row_stride: usize) {
    let first = &job.inputs[0];
    let (left, inside) = window.columns_inside(first.width);
    let channels = job.plan.in_channels;
    let contiguous = job.inputs.len() == 1 && first.stride == channels && !job.plan.rounds(first);
    for row in 0..window.rows {
        let y = window.top + row as isize;
        let to = to.wrapping_add(row * row_stride);
        // SAFETY: rows and columns are inside the maps where they are read. What is written beyond a pixel is
        // overwritten by what comes after it.
        unsafe {
            if y < 0 || y as usize >= first.height || inside == 0 {
                to.write_bytes(0, window.columns * channels);
                continue;
            }
            let (y, x) = (y as usize, (window.left + left as isize) as usize);
            to.write_bytes(0, left * channels);
            let mut next = to.add(left * channels);
            if contiguous {
                widen(s, first, y, x, inside * channels, next);
                next = next.add(inside * channels);
            } else {
                for x in x..x + inside {
                    for input in job.inputs {
                        pixel(s, input, y, x, job.plan.precision, next);
                        next = next.add(input.channels);
                    }
                }
            }
            next.write_bytes(0, (window.columns - left - inside) * channels);
        }
    }
}

/// Copies the channels of a pixel, rounded to `precision`, and perhaps something after them.
///
/// # Safety
/// The pixel must lie inside the map; `to` must have room for its channels and a block more.
#[inline(always)]
unsafe fn pixel<S: Simd>(s: S, input: &View, y: usize, x: usize, precision: Precision, to: *mut f32) {
    // SAFETY: the caller answers for both; vectors end inside the padding or the slack.
    unsafe {
        if input.is_narrow() {
            let values = input.four(y, x);
            to.cast::<[f32; 4]>().write_unaligned(values.map(|value| values::rounded(precision, value)));
        } else {
            for c in (0..input.channels).step_by(S::LANES) {
                s.store(to.add(c), values::round(s, precision, input.load(s, y, x, c)));
            }
        }
    }
}

/// Copies the window of all inputs to `to`, rounded to bf16, channels filled up with zero to an even number, rows
/// `row_stride` values apart.
///
/// # Safety
/// As for [`gather`].
#[inline(always)]
pub(super) unsafe fn gather_pairs<S: Simd>(s: S, job: &Job<'_>, window: Window, to: *mut u16, row_stride: usize) {
    let first = &job.inputs[0];
    let (left, inside) = window.columns_inside(first.width);
    let channels = job.plan.in_channels;
    let pixel_stride = channels.next_multiple_of(2);
    for row in 0..window.rows {
        let y = window.top + row as isize;
        let to = to.wrapping_add(row * row_stride);
        // SAFETY: as in `gather`.
        unsafe {
            if y < 0 || y as usize >= first.height || inside == 0 {
                to.write_bytes(0, window.columns * pixel_stride);
                continue;
            }
            let (y, x) = (y as usize, (window.left + left as isize) as usize);
            to.write_bytes(0, left * pixel_stride);
            let mut next = to.add(left * pixel_stride);
            for x in x..x + inside {
                let mut at = next;
                for input in job.inputs {
                    if input.is_narrow() {
                        at.cast::<[u16; 4]>().write_unaligned(input.four(y, x).map(bf16_bits));
                    } else {
                        for c in (0..input.channels).step_by(S::LANES) {
                            s.store_bf16(at.add(c), input.load(s, y, x, c));
                        }
                    }
                    at = at.add(input.channels);
                }
                if channels % 2 == 1 {
                    *at = 0;
                }
                next = next.add(pixel_stride);
            }
            next.write_bytes(0, (window.columns - left - inside) * pixel_stride);
        }
    }
}
