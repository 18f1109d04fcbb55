//! Channels to pixels and back.

use super::misfit;
use crate::{EngineError, HostTensor, Shape};

/// `r² · c` channels become `c` at `r` times the size: channel `c · r² + r · dy + dx` goes to offset `(dy, dx)`.
///
/// # Errors
/// [`EngineError::Shape`] unless the channels are a multiple of `factor²`.
pub fn pixel_shuffle(input: &HostTensor, factor: usize) -> Result<HostTensor, EngineError> {
    let (r, shape) = (factor, input.shape());
    if r == 0 || !shape.channels.is_multiple_of(r * r) {
        return misfit(format!("{} channels cannot be shuffled by {r}", shape.channels));
    }
    let output = Shape::new(shape.height * r, shape.width * r, shape.channels / (r * r));
    Ok(HostTensor::from_fn(output, |y, x, c| input.at(y / r, x / r, c * r * r + r * (y % r) + x % r)))
}

/// `c` channels become `r² · c` at a size divided by `r`; the inverse of [`pixel_shuffle`].
///
/// # Errors
/// [`EngineError::Shape`] unless both sides are multiples of `factor`.
pub fn pixel_unshuffle(input: &HostTensor, factor: usize) -> Result<HostTensor, EngineError> {
    let (r, shape) = (factor, input.shape());
    if r == 0 || !shape.height.is_multiple_of(r) || !shape.width.is_multiple_of(r) {
        return misfit(format!("the sides of {shape} are not multiples of {r}"));
    }
    let output = Shape::new(shape.height / r, shape.width / r, shape.channels * r * r);
    Ok(HostTensor::from_fn(output, |y, x, channel| {
        let (c, offset) = (channel / (r * r), channel % (r * r));
        input.at(y * r + offset / r, x * r + offset % r, c)
    }))
}
