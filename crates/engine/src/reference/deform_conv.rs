//! The modulated deformable convolution (DCNv2: Zhu et al. 2019; layout of mmcv's `modulated_deform_conv2d`).

use super::{misfit, round, sample_bilinear};
use crate::{DeformSpec, EngineError, HostTensor, Shape};

/// `bias + Σ weight · mask · input(position + tap + offset)`, bilinear, zero outside, rounded to `spec.output`.
///
/// `offsets` has `groups * 9 * 2` channels, for group `g` and tap `k` (row by row) `dy` in channel `(g * 9 + k) * 2`
/// and `dx` in the next; `masks` has `groups * 9`, in channel `g * 9 + k`. Weights are `[out][in][3][3]`. Weights and
/// masked samples are rounded to `spec.precision` before they are multiplied.
///
/// # Errors
/// [`EngineError::Shape`] where tensors or lengths do not fit.
pub fn deform_conv(
    spec: &DeformSpec,
    weights: &[f32],
    bias: &[f32],
    inputs: &[&HostTensor],
    offsets: &HostTensor,
    masks: &HostTensor,
) -> Result<HostTensor, EngineError> {
    const TAPS: usize = DeformSpec::TAPS;
    spec.check(weights, bias)?;
    let channels: Vec<usize> = inputs.iter().map(|input| input.shape().channels).collect();
    if channels != spec.in_channels {
        return misfit(format!("inputs of {channels:?} channels for {:?}", spec.in_channels));
    }
    let Shape { height, width, .. } = inputs[0].shape();
    for (what, tensor, due) in inputs
        .iter()
        .map(|input| ("an input", *input, input.shape().channels))
        .chain([("offsets", offsets, spec.offset_channels()), ("masks", masks, spec.mask_channels())])
    {
        if tensor.shape() != Shape::new(height, width, due) {
            return misfit(format!("{what} of {} for {height}x{width}x{due}", tensor.shape()));
        }
    }

    let per_group = spec.group_channels();
    let weights: Vec<f64> = weights.iter().map(|&w| f64::from(round(w, spec.precision))).collect();
    let mut data = Vec::with_capacity(height * width * spec.out_channels);
    for y in 0..height {
        for x in 0..width {
            // [in][tap], as the weights.
            let mut samples = Vec::with_capacity(spec.total_in_channels() * TAPS);
            for (input, channel) in inputs.iter().flat_map(|t| (0..t.shape().channels).map(move |c| (*t, c))) {
                for tap in 0..TAPS {
                    let at = samples.len() / TAPS / per_group * TAPS + tap;
                    let row = (y + tap / 3) as f64 - 1.0 + f64::from(offsets.at(y, x, at * 2));
                    let column = (x + tap % 3) as f64 - 1.0 + f64::from(offsets.at(y, x, at * 2 + 1));
                    let sample = f64::from(masks.at(y, x, at)) * sample_bilinear(input, row, column, channel);
                    samples.push(f64::from(round(sample as f32, spec.precision)));
                }
            }
            for (weights, &b) in weights.chunks_exact(samples.len()).zip(bias) {
                let sum: f64 = weights.iter().zip(&samples).map(|(w, s)| w * s).sum();
                data.push(round((f64::from(b) + sum) as f32, spec.output));
            }
        }
    }
    HostTensor::new(Shape::new(height, width, spec.out_channels), data)
}

/// The offsets and masks that residues and flows make.
///
/// `offset = max_residue * tanh(residue)`, `dy` and `dx` of the flow added where there are flows, one `(dx, dy)` for
/// each input: that of the input in which the group's channels lie. `mask = 1 / (1 + exp(-residue))`. `residues` holds
/// the offsets' channels, then the masks', in the order of [`deform_conv`].
///
/// # Errors
/// [`EngineError::Shape`] where tensors do not fit.
pub fn deform_offsets(
    spec: &DeformSpec,
    residues: &HostTensor,
    flows: &[&HostTensor],
) -> Result<(HostTensor, HostTensor), EngineError> {
    let Shape { height, width, .. } = residues.shape();
    let shape = |channels| Shape::new(height, width, channels);
    let inputs: Vec<Shape> = spec.in_channels.iter().map(|&channels| shape(channels)).collect();
    let flow_shapes: Vec<Shape> = flows.iter().map(|flow| flow.shape()).collect();
    spec.check_call(&inputs, residues.shape(), &flow_shapes)?;

    // For each group, the input it lies in.
    let per_group = spec.group_channels();
    let inputs = spec.in_channels.iter().enumerate();
    let inputs: Vec<usize> = inputs.flat_map(|(i, &channels)| vec![i; channels / per_group]).collect();
    let offsets = HostTensor::from_fn(shape(spec.offset_channels()), |y, x, c| {
        let flow = flows.get(inputs[c / (2 * DeformSpec::TAPS)]).map_or(0.0, |flow| flow.at(y, x, 1 - c % 2));
        (f64::from(spec.max_residue) * f64::from(residues.at(y, x, c)).tanh() + f64::from(flow)) as f32
    });
    let masks = HostTensor::from_fn(shape(spec.mask_channels()), |y, x, c| {
        let residue = f64::from(residues.at(y, x, spec.offset_channels() + c));
        (1.0 / (1.0 + (-residue).exp())) as f32
    });
    Ok((offsets, masks))
}
