//! Operations on each value by itself, and the mean of them all.

use super::misfit;
use crate::{EngineError, HostTensor};

/// `input[c] * gains[c] + offsets[c]` for each channel `c`.
///
/// # Errors
/// [`EngineError::Shape`] unless there is one gain and one offset for each channel.
pub fn scale_channels(input: &HostTensor, gains: &[f32], offsets: &[f32]) -> Result<HostTensor, EngineError> {
    let shape = input.shape();
    if gains.len() != shape.channels || offsets.len() != shape.channels {
        return misfit(format!("{} gains and {} offsets for {shape}", gains.len(), offsets.len()));
    }
    Ok(HostTensor::from_fn(shape, |y, x, c| {
        (f64::from(input.at(y, x, c)) * f64::from(gains[c]) + f64::from(offsets[c])) as f32
    }))
}

/// `a * scale + b`.
///
/// # Errors
/// [`EngineError::Shape`] unless both have one shape.
pub fn add_scaled(a: &HostTensor, scale: f32, b: &HostTensor) -> Result<HostTensor, EngineError> {
    if a.shape() != b.shape() {
        return misfit(format!("a sum of {} and {}", a.shape(), b.shape()));
    }
    Ok(HostTensor::from_fn(a.shape(), |y, x, c| {
        (f64::from(a.at(y, x, c)) * f64::from(scale) + f64::from(b.at(y, x, c))) as f32
    }))
}

/// The mean of the magnitudes of all values.
///
/// # Errors
/// [`EngineError::Shape`] where there are no values.
pub fn mean_abs(input: &HostTensor) -> Result<f64, EngineError> {
    if input.shape().is_empty() {
        return misfit(format!("the mean of {}", input.shape()));
    }
    let sum: f64 = input.data().iter().map(|&value| f64::from(value).abs()).sum();
    Ok(sum / input.shape().len() as f64)
}
