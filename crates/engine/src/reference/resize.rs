//! Resizing, one dimension after the other.

use super::misfit;
use crate::{EngineError, HostTensor, ResizeMode, Shape};

/// `input` at `height` × `width`.
///
/// # Errors
/// [`EngineError::Shape`] where either size is empty.
pub fn resize(input: &HostTensor, height: usize, width: usize, mode: ResizeMode) -> Result<HostTensor, EngineError> {
    let shape = input.shape();
    if shape.is_empty() || height == 0 || width == 0 {
        return misfit(format!("{shape} cannot be resized to {height}x{width}"));
    }
    let rows: Vec<Taps> = (0..height).map(|y| resize_taps(y, shape.height, height, mode)).collect();
    let columns: Vec<Taps> = (0..width).map(|x| resize_taps(x, shape.width, width, mode)).collect();
    Ok(HostTensor::from_fn(Shape::new(height, width, shape.channels), |y, x, c| {
        let mut sum = 0.0;
        for &(row, down) in &rows[y] {
            for &(column, across) in &columns[x] {
                sum += down * across * f64::from(input.at(row, column, c));
            }
        }
        sum as f32
    }))
}

/// Samples of the input and their weights.
type Taps = Vec<(usize, f64)>;

/// What output sample `at` of `output` is made of, along a dimension of `input` samples: their numbers and weights.
#[must_use]
pub fn resize_taps(at: usize, input: usize, output: usize, mode: ResizeMode) -> Vec<(usize, f64)> {
    let ratio = input as f64 / output as f64;
    match mode {
        ResizeMode::Nearest => vec![(at * input / output, 1.0)],
        ResizeMode::Bilinear => linear((ratio * (at as f64 + 0.5) - 0.5).max(0.0), input),
        ResizeMode::BilinearAligned if output == 1 => vec![(0, 1.0)],
        ResizeMode::BilinearAligned => linear(at as f64 * (input as f64 - 1.0) / (output as f64 - 1.0), input),
        ResizeMode::Bicubic => {
            let centre = ratio * (at as f64 + 0.5) - 0.5;
            (-1..=2)
                .map(|step| {
                    let sample = centre.floor() + f64::from(step);
                    (sample.clamp(0.0, input as f64 - 1.0) as usize, cubic(centre - sample, -0.75))
                })
                .collect()
        }
        ResizeMode::BicubicAntialias => antialiased(ratio * (at as f64 + 0.5), ratio.max(1.0), input),
    }
}

/// The two samples beside `position`, which is not negative.
fn linear(position: f64, input: usize) -> Taps {
    let first = (position.floor() as usize).min(input - 1);
    let weight = position - position.floor();
    vec![(first, 1.0 - weight), ((first + 1).min(input - 1), weight)]
}

/// The samples under a cubic kernel widened `stretch` times about `centre`, which counts from the outer edge of the
/// first sample. At the borders the kernel is cut off and its weights are brought back to a sum of one.
fn antialiased(centre: f64, stretch: f64, input: usize) -> Taps {
    let support = 2.0 * stretch;
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(input);
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
