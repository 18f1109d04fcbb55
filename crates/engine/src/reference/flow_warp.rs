//! A picture fetched from where an optical flow points.

use super::{misfit, sample_bilinear};
use crate::{EngineError, HostTensor, Padding, Shape};

/// For each position, the bilinear value of `input` at that position plus its flow.
///
/// `flow` has two channels, `(dx, dy)`, in pixels. The same as
/// `grid_sample` with `align_corners=True` on a grid of pixel coordinates, as mmediting's `flow_warp`.
///
/// # Errors
/// [`EngineError::Shape`] unless the flow has two channels and the size of `input`.
pub fn flow_warp(input: &HostTensor, flow: &HostTensor, padding: Padding) -> Result<HostTensor, EngineError> {
    let shape = input.shape();
    if flow.shape() != Shape::new(shape.height, shape.width, 2) {
        return misfit(format!("a flow of {} for {shape}", flow.shape()));
    }
    Ok(HostTensor::from_fn(shape, |y, x, c| {
        let mut column = x as f64 + f64::from(flow.at(y, x, 0));
        let mut row = y as f64 + f64::from(flow.at(y, x, 1));
        if padding == Padding::Border {
            column = column.clamp(0.0, shape.width as f64 - 1.0);
            row = row.clamp(0.0, shape.height as f64 - 1.0);
        }
        sample_bilinear(input, row, column, c) as f32
    }))
}
