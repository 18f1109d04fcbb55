//! Dense Lucas-Kanade, as [`framelift_engine::motion`] says it, for several frames at once.
//!
//! A stack of planes is `[frame][row][column]`: single values, or vectors whose lanes each kernel names. One unit makes one
//! element of its output. Sums are taken in the reference's order: rows first, then columns.

use cubecl::prelude::*;
use framelift_engine::motion::{DAMPING, SMOOTH, STEP, WINDOW};

use super::V4;

/// Luma of `len` pixels of a frame, to the values from `to` on.
#[cube(launch_unchecked)]
pub(crate) fn luma<F: Float>(
    frame: &Array<V4<F>>,
    output: &mut Array<f32>,
    to: u32,
    len: u32,
    #[define(F)] _type: StorageType,
) {
    if ABSOLUTE_POS < len as usize {
        let pixel = V4::<f32>::cast_from(frame[ABSOLUTE_POS]);
        output[to as usize + ABSOLUTE_POS] = 0.299f32 * pixel[0] + 0.587f32 * pixel[1] + 0.114f32 * pixel[2];
    }
}

/// Means of 2×2; `height` and `width` are the output's.
#[cube(launch_unchecked)]
pub(crate) fn halve(
    input: &Array<f32>,
    output: &mut Array<f32>,
    height: u32,
    width: u32,
    input_height: u32,
    input_width: u32,
    len: u32,
) {
    if ABSOLUTE_POS < len as usize {
        let at = ABSOLUTE_POS as u32;
        let (row, x) = (at / width, at % width);
        let (frame, y) = (row / height, row % height);
        let upper = (frame * input_height + 2 * y) * input_width + 2 * x;
        let lower = upper + input_width;
        let sum =
            input[upper as usize] + input[(upper + 1) as usize] + input[lower as usize] + input[(lower + 1) as usize];
        output[ABSOLUTE_POS] = sum / 4.0f32;
    }
}

/// The binomial mean over 3×3, the border repeated.
#[cube(launch_unchecked)]
pub(crate) fn soften(input: &Array<f32>, output: &mut Array<f32>, height: u32, width: u32, len: u32) {
    if ABSOLUTE_POS < len as usize {
        let at = ABSOLUTE_POS as u32;
        let (row, x) = (at / width, at % width);
        let y = row % height;
        let above = select(y > 0, row - 1, row) * width;
        let below = select(y + 1 < height, row + 1, row) * width;
        let here = row * width;
        let left = select(x > 0, x - 1, x);
        let right = select(x + 1 < width, x + 1, x);
        output[ABSOLUTE_POS] = binomial(input, above + left, here + left, below + left)
            + 2.0f32 * binomial(input, above + x, here + x, below + x)
            + binomial(input, above + right, here + right, below + right);
    }
}

/// A column of the binomial mean.
#[cube]
fn binomial(input: &Array<f32>, above: u32, here: u32, below: u32) -> f32 {
    (input[above as usize] + 2.0f32 * input[here as usize] + input[below as usize]) / 16.0f32
}

/// Of the first plane of `input`: central differences along rows and along columns, the border repeated, and the value.
#[cube(launch_unchecked)]
pub(crate) fn gradients(input: &Array<f32>, output: &mut Array<V4<f32>>, height: u32, width: u32) {
    if ABSOLUTE_POS < (height * width) as usize {
        let at = ABSOLUTE_POS as u32;
        let (y, x) = (at / width, at % width);
        let right = input[select(x + 1 < width, at + 1, at) as usize];
        let left = input[select(x > 0, at - 1, at) as usize];
        let below = input[select(y + 1 < height, at + width, at) as usize];
        let above = input[select(y > 0, at - width, at) as usize];
        let mut value = V4::<f32>::new(0.0f32);
        value[0] = (right - left) / 2.0f32;
        value[1] = (below - above) / 2.0f32;
        value[2] = input[at as usize];
        output[ABSOLUTE_POS] = value;
    }
}

/// Sums over the rows of the window of `gx²`, `gx·gy` and `gy²`.
#[cube(launch_unchecked)]
pub(crate) fn matrix_rows(gradients: &Array<V4<f32>>, output: &mut Array<V4<f32>>, height: u32, width: u32) {
    if ABSOLUTE_POS < (height * width) as usize {
        let at = ABSOLUTE_POS as u32;
        let (y, x) = (at / width, at % width);
        let reach = comptime!(WINDOW as u32);
        let mut sum = V4::<f32>::new(0.0f32);
        for row in max(y, reach) - reach..min(y + reach + 1, height) {
            let g = gradients[(row * width + x) as usize];
            let (gx, gy) = (g[0], g[1]);
            sum[0] += gx * gx;
            sum[1] += gx * gy;
            sum[2] += gy * gy;
        }
        output[ABSOLUTE_POS] = sum;
    }
}

/// Of those sums, the inverse of the damped matrix of means: `xx`, `xy`, `yy`.
#[cube(launch_unchecked)]
pub(crate) fn inverse(rows: &Array<V4<f32>>, output: &mut Array<V4<f32>>, height: u32, width: u32) {
    if ABSOLUTE_POS < (height * width) as usize {
        let mean = window_mean(rows, ABSOLUTE_POS as u32, width);
        let (p, q, r) = (mean[0] + DAMPING, mean[1], mean[2] + DAMPING);
        let over = 1.0f32 / (p * r - q * q);
        let mut value = V4::<f32>::new(0.0f32);
        value[0] = r * over;
        value[1] = -q * over;
        value[2] = p * over;
        output[ABSOLUTE_POS] = value;
    }
}

/// The mean over the window's columns of what was summed over its rows; outside are zeros.
#[cube]
fn window_mean(rows: &Array<V4<f32>>, at: u32, width: u32) -> V4<f32> {
    let reach = comptime!(WINDOW as u32);
    let x = at % width;
    let start = at - x;
    let mut sum = V4::<f32>::new(0.0f32);
    for column in max(x, reach) - reach..min(x + reach + 1, width) {
        sum += rows[(start + column) as usize];
    }
    sum / V4::<f32>::new(comptime!(((2 * WINDOW + 1) * (2 * WINDOW + 1)) as f32))
}

/// Where a position of a size lies in the next smaller one, which is `from` long where it is `to`: the sample before, the one
/// behind, and how far between.
#[cube]
fn place(at: u32, from: u32, to: u32) -> (u32, u32, f32) {
    let position = (f32::cast_from(at) + 0.5f32) * (f32::cast_from(from) / f32::cast_from(to)) - 0.5f32;
    let position = max(position, 0.0f32);
    let first = min(u32::cast_from(position), from - 1);
    (first, min(first + 1, from - 1), position - f32::cast_from(first))
}

/// For each frame but the first of `planes`, `gx·left` and `gy·left`, and the flow so far, `u` and `v`: twice that of the next
/// smaller size, or zeros where there is none.
#[cube(launch_unchecked)]
pub(crate) fn residue(
    planes: &Array<f32>,
    gradients: &Array<V4<f32>>,
    coarse: &Array<V4<f32>>,
    output: &mut Array<V4<f32>>,
    height: u32,
    width: u32,
    coarse_height: u32,
    coarse_width: u32,
    len: u32,
    #[comptime] first: bool,
) {
    if ABSOLUTE_POS < len as usize {
        let at = ABSOLUTE_POS as u32;
        let (row, x) = (at / width, at % width);
        let (frame, y) = (row / height, row % height);
        let mut u = 0.0f32;
        let mut v = 0.0f32;
        if comptime!(!first) {
            let (top, below, fy) = place(y, coarse_height, height);
            let (left, right, fx) = place(x, coarse_width, width);
            let upper = (frame * coarse_height + top) * coarse_width;
            let lower = (frame * coarse_height + below) * coarse_width;
            let (near, far) = (V4::<f32>::new(1.0f32 - fx), V4::<f32>::new(fx));
            let above = coarse[(upper + left) as usize] * near + coarse[(upper + right) as usize] * far;
            let under = coarse[(lower + left) as usize] * near + coarse[(lower + right) as usize] * far;
            let flow = V4::<f32>::new(2.0f32) * (above * V4::<f32>::new(1.0f32 - fy) + under * V4::<f32>::new(fy));
            u = flow[0];
            v = flow[1];
        }
        // A flow that is not a number gives a pixel of the border here, and stays what it is below.
        let px = clamp(f32::cast_from(x) + u, 0.0f32, f32::cast_from(width - 1));
        let py = clamp(f32::cast_from(y) + v, 0.0f32, f32::cast_from(height - 1));
        let (left, top) = (min(u32::cast_from(px), width - 1), min(u32::cast_from(py), height - 1));
        let (fx, fy) = (px - f32::cast_from(left), py - f32::cast_from(top));
        let (next, below) = (min(left + 1, width - 1), min(top + 1, height - 1));
        let upper = ((frame + 1) * height + top) * width;
        let lower = ((frame + 1) * height + below) * width;
        let above = planes[(upper + left) as usize] * (1.0f32 - fx) + planes[(upper + next) as usize] * fx;
        let under = planes[(lower + left) as usize] * (1.0f32 - fx) + planes[(lower + next) as usize] * fx;
        let g = gradients[(y * width + x) as usize];
        let rest = g[2] - (above * (1.0f32 - fy) + under * fy);
        let mut value = V4::<f32>::new(0.0f32);
        value[0] = g[0] * rest;
        value[1] = g[1] * rest;
        value[2] = u;
        value[3] = v;
        output[ABSOLUTE_POS] = value;
    }
}

/// The sum over the rows at most `reach` above and below a position, of its plane.
#[cube]
fn sum_of_rows(input: &Array<V4<f32>>, at: u32, height: u32, width: u32, #[comptime] reach: u32) -> V4<f32> {
    let (row, x) = (at / width, at % width);
    let y = row % height;
    let start = row - y;
    let mut sum = V4::<f32>::new(0.0f32);
    for near in max(y, reach) - reach..min(y + reach + 1, height) {
        sum += input[((start + near) * width + x) as usize];
    }
    sum
}

/// Sums over the rows of the window of the first two lanes; the flow in the others stays.
#[cube(launch_unchecked)]
pub(crate) fn residue_rows(input: &Array<V4<f32>>, output: &mut Array<V4<f32>>, height: u32, width: u32, len: u32) {
    if ABSOLUTE_POS < len as usize {
        let mut sum = sum_of_rows(input, ABSOLUTE_POS as u32, height, width, WINDOW as u32);
        let own = input[ABSOLUTE_POS];
        sum[2] = own[2];
        sum[3] = own[3];
        output[ABSOLUTE_POS] = sum;
    }
}

/// The flow with its step added, from sums over the window's rows and the inverses.
#[cube(launch_unchecked)]
pub(crate) fn step(
    rows: &Array<V4<f32>>,
    inverses: &Array<V4<f32>>,
    output: &mut Array<V4<f32>>,
    height: u32,
    width: u32,
    len: u32,
) {
    if ABSOLUTE_POS < len as usize {
        let at = ABSOLUTE_POS as u32;
        let mean = window_mean(rows, at, width);
        let m = inverses[(at % (height * width)) as usize];
        let own = rows[ABSOLUTE_POS];
        let mut value = V4::<f32>::new(0.0f32);
        value[0] = own[2] + bounded(m[0] * mean[0] + m[1] * mean[1]);
        value[1] = own[3] + bounded(m[1] * mean[0] + m[2] * mean[1]);
        output[ABSOLUTE_POS] = value;
    }
}

/// A step of at most [`STEP`]; what is not a number stays so.
#[cube]
fn bounded(step: f32) -> f32 {
    select(f32::is_nan(step), step, clamp(step, -STEP, STEP))
}

/// Sums of flows over the rows near each position.
#[cube(launch_unchecked)]
pub(crate) fn flow_rows(input: &Array<V4<f32>>, output: &mut Array<V4<f32>>, height: u32, width: u32, len: u32) {
    if ABSOLUTE_POS < len as usize {
        output[ABSOLUTE_POS] = sum_of_rows(input, ABSOLUTE_POS as u32, height, width, SMOOTH as u32);
    }
}

/// The means of flows of `len` positions from vector `from` on, of what lies inside, from sums over rows.
#[cube(launch_unchecked)]
pub(crate) fn flow_mean(
    rows: &Array<V4<f32>>,
    output: &mut Array<V4<f32>>,
    height: u32,
    width: u32,
    from: u32,
    len: u32,
) {
    if ABSOLUTE_POS < len as usize {
        let at = from + ABSOLUTE_POS as u32;
        let (row, x) = (at / width, at % width);
        let y = row % height;
        let reach = comptime!(SMOOTH as u32);
        let (left, right) = (max(x, reach) - reach, min(x + reach + 1, width));
        let (top, bottom) = (max(y, reach) - reach, min(y + reach + 1, height));
        let mut sum = V4::<f32>::new(0.0f32);
        for column in left..right {
            sum += rows[(row * width + column) as usize];
        }
        output[ABSOLUTE_POS] = sum / V4::<f32>::new(f32::cast_from((right - left) * (bottom - top)));
    }
}
