//! The convolution and what comes after it.

use super::{resize, round};
use crate::{Activation, ConvSpec, EngineError, HostTensor, ResizeMode, Shape, Upsample};

/// `addend + scale * pixel_shuffle(activation(bias + Σ weight · input))`, rounded to `spec.output`.
///
/// Inputs count as concatenated along their channels. Inputs and weights are rounded to `spec.precision` before they
/// are multiplied; the sums are f64, rounded to f32 with the bias in; bias, activation, scale and addend are f32 in
/// every precision. Weights are `[out][in][ky][kx]`. NaN stays NaN through every activation.
///
/// # Errors
/// [`EngineError::Shape`] where the lengths, the inputs or the addend do not fit.
pub fn conv(
    spec: &ConvSpec,
    weights: &[f32],
    bias: &[f32],
    inputs: &[&HostTensor],
    addend: Option<(&HostTensor, Upsample)>,
) -> Result<HostTensor, EngineError> {
    spec.check(weights, bias)?;
    let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
    let shape = spec.check_call(&shapes, addend.map(|(tensor, upsample)| (tensor.shape(), upsample)))?;
    let sums = sums(spec, weights, bias, &concatenated(spec, inputs)?)?;

    let r = spec.pixel_shuffle;
    let addend = addend.map(|(tensor, upsample)| at_output_size(tensor, upsample, shape)).transpose()?;
    Ok(HostTensor::from_fn(shape, |y, x, c| {
        let channel = c * r * r + r * (y % r) + x % r;
        let value = spec.scale * activate(&spec.activation, channel, sums.at(y / r, x / r, channel));
        round(addend.as_ref().map_or(value, |a| a.at(y, x, c) + value), spec.output)
    }))
}

/// The inputs as one tensor, each value rounded to the precision of the products.
fn concatenated(spec: &ConvSpec, inputs: &[&HostTensor]) -> Result<HostTensor, EngineError> {
    let Shape { height, width, .. } = inputs[0].shape();
    let mut data = Vec::with_capacity(height * width * spec.total_in_channels());
    for y in 0..height {
        for x in 0..width {
            for input in inputs {
                data.extend((0..input.shape().channels).map(|c| round(input.at(y, x, c), spec.precision)));
            }
        }
    }
    HostTensor::new(Shape::new(height, width, spec.total_in_channels()), data)
}

/// `bias + Σ weight · input` at every output position; zero outside the input.
fn sums(spec: &ConvSpec, weights: &[f32], bias: &[f32], input: &HostTensor) -> Result<HostTensor, EngineError> {
    let (k, stride, ins, outs) = (spec.kernel, spec.stride, spec.total_in_channels(), spec.out_channels);
    let Shape { height, width, .. } = input.shape();

    // [ky][kx][in][out], so that the innermost loop runs over neighbours.
    let mut by_tap = vec![0.0; weights.len()];
    for (i, &weight) in weights.iter().enumerate() {
        let (out, rest) = (i / (ins * k * k), i % (ins * k * k));
        let (channel, tap) = (rest / (k * k), rest % (k * k));
        by_tap[(tap * ins + channel) * outs + out] = f64::from(round(weight, spec.precision));
    }

    let shape = Shape::new(height.div_ceil(stride), width.div_ceil(stride), outs);
    let mut data = Vec::with_capacity(shape.len());
    for y in 0..shape.height {
        for x in 0..shape.width {
            let mut sums: Vec<f64> = bias.iter().map(|&b| f64::from(b)).collect();
            for tap in 0..k * k {
                // Row and column of the input, plus the padding of k / 2.
                let (row, column) = (y * stride + tap / k, x * stride + tap % k);
                let inside = row >= k / 2 && row < height + k / 2 && column >= k / 2 && column < width + k / 2;
                if !inside {
                    continue;
                }
                for channel in 0..ins {
                    let value = f64::from(input.at(row - k / 2, column - k / 2, channel));
                    let weights = &by_tap[(tap * ins + channel) * outs..][..outs];
                    sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * value);
                }
            }
            data.extend(sums.iter().map(|&sum| sum as f32));
        }
    }
    HostTensor::new(shape, data)
}

fn activate(activation: &Activation, channel: usize, value: f32) -> f32 {
    let slope = match activation {
        Activation::None => return value,
        Activation::Relu => return if value < 0.0 { 0.0 } else { value },
        Activation::Leaky(slope) => *slope,
        Activation::Prelu(slopes) => slopes[channel],
    };
    if value < 0.0 { slope * value } else { value }
}

/// The addend at the size of the output.
fn at_output_size(addend: &HostTensor, upsample: Upsample, output: Shape) -> Result<HostTensor, EngineError> {
    match upsample {
        Upsample::None => Ok(addend.clone()),
        Upsample::Nearest => resize(addend, output.height, output.width, ResizeMode::Nearest),
        Upsample::Bilinear => resize(addend, output.height, output.width, ResizeMode::Bilinear),
    }
}
