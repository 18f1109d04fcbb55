//! Resizing: each output row is a weighted sum of input rows, and each of its pixels a weighted sum of that.
//!
//! Coordinates and weights are those of [`framelift_engine::reference::resize`]; weights are rounded to f32.

use framelift_engine::ResizeMode;

use crate::map::{BLOCK, View};
use crate::simd::Simd;

/// A resize to compute; a task is an output row.
pub(crate) struct Job<'a> {
    pub(crate) input: View,
    pub(crate) output: View,
    pub(crate) rows: &'a Taps,
    pub(crate) columns: &'a Taps,
}

/// Computes output row `y`, with a line of [`Job::line_len`] values.
///
/// # Safety
/// The processor must have the instructions, the views be valid, and the row not be touched by anyone else meanwhile.
pub(crate) type RowFn = unsafe fn(job: &Job<'_>, y: usize, line: &mut [f32]);

/// What each output sample of a dimension is made of: `count` neighbouring input samples.
pub(crate) struct Taps {
    count: usize,
    first: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    /// For `output` samples from `input` samples, neither zero.
    pub(crate) fn new(input: usize, output: usize, mode: ResizeMode) -> Self {
        let ratio = input as f64 / output as f64;
        // How far a sample reaches to either side of its centre.
        let stretch = ratio.max(1.0);
        let count = match mode {
            ResizeMode::Nearest => 1,
            ResizeMode::Bilinear | ResizeMode::BilinearAligned => 2,
            ResizeMode::Bicubic => 4,
            ResizeMode::BicubicAntialias => (4.0 * stretch).ceil() as usize + 1,
        };
        let count = count.min(input);
        let mut taps = Self { count, first: Vec::with_capacity(output), weights: vec![0.0; output * count] };
        for at in 0..output {
            let samples: Vec<(usize, f64)> = match mode {
                ResizeMode::Nearest => vec![(at * input / output, 1.0)],
                ResizeMode::Bilinear => linear((ratio * (at as f64 + 0.5) - 0.5).max(0.0), input),
                ResizeMode::BilinearAligned if output == 1 => vec![(0, 1.0)],
                ResizeMode::BilinearAligned => linear(at as f64 * (input as f64 - 1.0) / (output as f64 - 1.0), input),
                ResizeMode::Bicubic => bicubic(ratio * (at as f64 + 0.5) - 0.5, input),
                ResizeMode::BicubicAntialias => antialiased(ratio * (at as f64 + 0.5), stretch, input),
            };
            taps.push(at, &samples, input);
        }
        taps
    }

    /// Adds output sample `at`, whose input samples may repeat at the borders.
    fn push(&mut self, at: usize, samples: &[(usize, f64)], input: usize) {
        let first = samples.iter().map(|&(sample, _)| sample).min().unwrap_or(0).min(input - self.count);
        let mut weights = vec![0.0; self.count];
        for &(sample, weight) in samples {
            weights[sample - first] += weight;
        }
        self.first.push(first);
        for (to, weight) in self.weights[at * self.count..].iter_mut().zip(weights) {
            *to = weight as f32;
        }
    }

    /// The first input sample of output sample `at`, and the weights from there on.
    #[inline(always)]
    fn at(&self, at: usize) -> (usize, &[f32]) {
        (self.first[at], &self.weights[at * self.count..(at + 1) * self.count])
    }
}

/// The two samples beside `position`, which is not negative.
fn linear(position: f64, input: usize) -> Vec<(usize, f64)> {
    let first = (position.floor() as usize).min(input - 1);
    let weight = position - position.floor();
    vec![(first, 1.0 - weight), ((first + 1).min(input - 1), weight)]
}

/// The four samples about `centre`, those outside taken from the border.
fn bicubic(centre: f64, input: usize) -> Vec<(usize, f64)> {
    let sample = |step: i32| {
        let sample = centre.floor() + f64::from(step);
        (sample.clamp(0.0, input as f64 - 1.0) as usize, cubic(centre - sample, -0.75))
    };
    (-1..=2).map(sample).collect()
}

/// The samples under a cubic kernel widened `stretch` times; at the borders it is cut off and its sum made one again.
/// `centre` counts from the outer edge of the first sample.
fn antialiased(centre: f64, stretch: f64, input: usize) -> Vec<(usize, f64)> {
    let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
    let end = ((centre + 2.0 * stretch + 0.5) as usize).min(input);
    let weight = |sample: usize| cubic((sample as f64 + 0.5 - centre) / stretch, -0.5);
    let total: f64 = (first..end).map(weight).sum();
    (first..end).map(|sample| (sample, weight(sample) / total)).collect()
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

impl Job<'_> {
    /// Values of the line that a row needs: a row of the input, and one of the output where it is packed or rounded.
    pub(crate) fn line_len(&self) -> usize {
        self.input.row_len() + self.output.row_len() + 4 * BLOCK
    }
}

/// See [`RowFn`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn row<S: Simd>(s: S, job: &Job<'_>, y: usize, line: &mut [f32]) {
    let (input, output) = (&job.input, &job.output);
    let (line, result) = line.split_at_mut(input.row_len() + 2 * BLOCK);
    let (first, weights) = job.rows.at(y);
    // SAFETY: rows and columns of taps are inside the input; vectors reach into the slack of map and line at most;
    // row `y` of the output is this task's.
    unsafe {
        for i in (0..input.row_len()).step_by(S::LANES) {
            let mut sum = s.zero();
            for (tap, &weight) in weights.iter().enumerate() {
                sum = s.fma(input.load(s, first + tap, 0, i), s.splat(weight), sum);
            }
            s.store(line.as_mut_ptr().add(i), sum);
        }
        if input.is_narrow() {
            match job.columns.count {
                2 => narrow_pixels::<2>(job, line, result),
                4 => narrow_pixels::<4>(job, line, result),
                _ => narrow_pixels::<0>(job, line, result),
            }
            result[..output.row_len()].iter().enumerate().for_each(|(i, &value)| output.put(y, 0, i, value));
        } else {
            for x in 0..output.width {
                let (first, weights) = job.columns.at(x);
                for c in (0..output.stride).step_by(S::LANES) {
                    let mut sum = s.zero();
                    for (tap, &weight) in weights.iter().enumerate() {
                        let value = s.load(line.as_ptr().add((first + tap) * input.stride + c));
                        sum = s.fma(value, s.splat(weight), sum);
                    }
                    output.store(s, y, x, c, sum);
                }
            }
        }
    }
}

/// Sums the pixels of a packed `line` to those of `result`: `N` for each, or any number where `N` is 0.
///
/// # Safety
/// Four values from the first of each pixel must be readable and writable.
#[inline(always)]
unsafe fn narrow_pixels<const N: usize>(job: &Job<'_>, line: &[f32], result: &mut [f32]) {
    for x in 0..job.output.width {
        let (first, weights) = job.columns.at(x);
        let weights = if N == 0 { weights } else { &weights[..N] };
        let mut sum = [0.0; 4];
        for (tap, &weight) in weights.iter().enumerate() {
            // SAFETY: the caller answers for four values; those beyond the pixel's own mean nothing.
            let pixel =
                unsafe { line.as_ptr().add((first + tap) * job.input.stride).cast::<[f32; 4]>().read_unaligned() };
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += value * weight;
            }
        }
        // SAFETY: as above; what is written beyond the pixel is overwritten by the next.
        unsafe { result.as_mut_ptr().add(x * job.output.stride).cast::<[f32; 4]>().write_unaligned(sum) }
    }
}
