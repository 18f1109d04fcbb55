//! Maps from and to host memory, where there is no padding and everything is f32.

#![expect(unsafe_code, reason = "reads and writes maps")]

use framelift_engine::{EngineError, HostTensor, Shape};

use crate::map::View;

/// Writes row `y` of `values` to the map, zeros to its padding. The row must not be touched by anyone else meanwhile.
pub(crate) fn write_row(values: &HostTensor, to: &View, y: usize) {
    for x in 0..to.width {
        for c in 0..to.stride {
            let value = if c < to.channels { values.at(y, x, c) } else { 0.0 };
            // SAFETY: inside the map, whose row is the caller's alone.
            unsafe { to.put(y, x, c, value) }
        }
    }
}

/// The values of a map of `shape`.
pub(crate) fn read(from: &View, shape: Shape) -> Result<HostTensor, EngineError> {
    let mut data = Vec::with_capacity(shape.len());
    for y in 0..from.height {
        for x in 0..from.width {
            for c in 0..from.channels {
                // SAFETY: inside the map, which is complete.
                data.push(unsafe { from.get(y, x, c) });
            }
        }
    }
    HostTensor::new(shape, data)
}

/// How many of a picture's values are not finite, and where the first is.
pub(crate) fn non_finite(values: &[f32], shape: Shape) -> EngineError {
    let broken = || values.iter().enumerate().filter(|(_, value)| !value.is_finite());
    let first = broken().next().map_or(0, |(i, _)| i / shape.channels);
    EngineError::NonFinite { count: broken().count(), x: first % shape.width, y: first / shape.width }
}
