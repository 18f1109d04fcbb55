//! The mean of each 2×2 block.

use crate::{HostTensor, Shape};

/// The mean of each 2×2 block; a last odd row or column is left out (PyTorch's `avg_pool2d(2, 2)`).
#[must_use]
pub fn avg_pool(input: &HostTensor) -> HostTensor {
    let shape = input.shape();
    HostTensor::from_fn(Shape::new(shape.height / 2, shape.width / 2, shape.channels), |y, x, c| {
        let sum: f64 = (0..4).map(|i| f64::from(input.at(2 * y + i / 2, 2 * x + i % 2, c))).sum();
        (sum / 4.0) as f32
    })
}
