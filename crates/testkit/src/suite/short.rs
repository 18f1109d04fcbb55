//! What operations lose to a short precision.

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{
    Activation, Addend, ConvSpec, DeformSpec, Engine, EngineError, HostTensor, Padding, Precision, ResizeMode, Shape,
    Tensor, Upsample,
};

use super::{noise, noise_tensor, scaled};

/// What an operation loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The operation.
    pub operation: &'static str,
    /// The mean square error of its result, divided by the mean square of what was due.
    pub normalised_mse: f64,
}

/// Height and width of the maps.
const SIZE: (usize, usize) = (18, 24);

/// A map on an engine, stored in the precision that is looked at.
type Run = fn(&dyn Engine, Precision) -> Result<Tensor, EngineError>;

/// Every operation with maps and weights stored in `stored`, against the reference with the same values in f32.
///
/// # Errors
/// Those of the engine.
pub fn losses(engine: &dyn Engine, stored: Precision) -> Result<Vec<Loss>, EngineError> {
    let reference = ReferenceEngine::new();
    let loss = |&(operation, run): &(&'static str, Run)| {
        let got = engine.to_host(&run(engine, stored)?)?;
        let due = reference.to_host(&run(&reference, Precision::F32)?)?;
        let square = |value: f32| f64::from(value).powi(2);
        let error: f64 = got.data().iter().zip(due.data()).map(|(got, due)| square(got - due)).sum();
        let power: f64 = due.data().iter().map(|due| square(*due)).sum();
        Ok(Loss { operation, normalised_mse: error / power })
    };
    OPERATIONS.iter().map(loss).collect()
}

const OPERATIONS: [(&str, Run); 20] = [
    ("conv 1x1", |e, p| conv(e, p, ConvSpec::new(1, &[32], 32), None)),
    ("conv 3x3", |e, p| conv(e, p, ConvSpec::new(3, &[64], 64).activation(Activation::Leaky(0.1)), None)),
    ("conv 3x3, two inputs, residual", |e, p| conv(e, p, ConvSpec::new(3, &[16, 32], 64), Some(Upsample::None))),
    ("conv 3x3, stride 2", |e, p| conv(e, p, ConvSpec { stride: 2, ..ConvSpec::new(3, &[32], 32) }, None)),
    ("conv 3x3, shuffle 2", |e, p| conv(e, p, ConvSpec::new(3, &[32], 128).pixel_shuffle(2), Some(Upsample::Bilinear))),
    ("conv 7x7", |e, p| conv(e, p, ConvSpec::new(7, &[8], 32).activation(Activation::Relu), None)),
    ("deform_conv", deform_conv),
    ("flow_warp, zeros", |e, p| e.flow_warp(&map(e, 16, 1, p)?, &flow(e)?, Padding::Zeros)),
    ("flow_warp, border", |e, p| e.flow_warp(&map(e, 16, 1, p)?, &flow(e)?, Padding::Border)),
    ("resize nearest", |e, p| resize(e, p, ResizeMode::Nearest)),
    ("resize bilinear", |e, p| resize(e, p, ResizeMode::Bilinear)),
    ("resize bilinear, aligned", |e, p| resize(e, p, ResizeMode::BilinearAligned)),
    ("resize bicubic", |e, p| resize(e, p, ResizeMode::Bicubic)),
    ("resize bicubic, antialias", |e, p| e.resize(&map(e, 8, 1, p)?, 9, 8, ResizeMode::BicubicAntialias)),
    ("pixel_shuffle", |e, p| e.pixel_shuffle(&map(e, 16, 1, p)?, 2)),
    ("pixel_unshuffle", |e, p| e.pixel_unshuffle(&map(e, 4, 1, p)?, 2)),
    ("avg_pool", |e, p| e.avg_pool(&map(e, 16, 1, p)?)),
    ("scale_channels", |e, p| e.scale_channels(&map(e, 3, 1, p)?, &[0.9, 1.1, 1.3], &[0.1, -0.2, 0.3])),
    ("add_scaled", |e, p| e.add_scaled(&map(e, 16, 1, p)?, 0.2, &map(e, 16, 2, p)?)),
    ("rows, stacked", |e, p| {
        let map = map(e, 16, 1, p)?;
        e.stack_rows(&[e.rows(&map, 7..18)?, e.rows(&map, 0..7)?])
    }),
];

/// A picture of waves, another for each channel and `seed`, with some noise.
fn map(engine: &dyn Engine, channels: usize, seed: u64, stored: Precision) -> Result<Tensor, EngineError> {
    let mut grain = noise(seed);
    let values = HostTensor::from_fn(Shape::new(SIZE.0, SIZE.1, channels), |y, x, c| {
        let (x, y, c) = (x as f32, y as f32, c as f32 + seed as f32);
        0.6 * (x * 0.21 + c).sin() * (y * 0.17 - 0.5 * c).cos() + 0.05 * grain()
    });
    engine.from_host(&values, stored)
}

fn flow(engine: &dyn Engine) -> Result<Tensor, EngineError> {
    engine.from_host(&scaled(noise_tensor(Shape::new(SIZE.0, SIZE.1, 2), 21), 3.0), Precision::F32)
}

fn resize(engine: &dyn Engine, stored: Precision, mode: ResizeMode) -> Result<Tensor, EngineError> {
    engine.resize(&map(engine, 8, 1, stored)?, 41, 50, mode)
}

/// Weights of a layer with inputs of variance one.
fn weights(len: usize, outputs: usize, seed: u64) -> Vec<f32> {
    let mut next = noise(seed);
    let gain = (outputs as f32 * 3.0 / len as f32).sqrt();
    (0..len).map(|_| next() * gain).collect()
}

fn conv(
    engine: &dyn Engine,
    stored: Precision,
    spec: ConvSpec,
    upsample: Option<Upsample>,
) -> Result<Tensor, EngineError> {
    let spec = spec.precision(stored, stored);
    let weights = weights(spec.weight_len(), spec.out_channels, 31);
    let bias: Vec<f32> = (0..spec.out_channels).map(|i| i as f32 / 200.0 - 0.1).collect();
    let conv = engine.prepare_conv(&spec, &weights, &bias)?;
    let inputs = spec.in_channels.iter().zip(1..).map(|(&channels, seed)| map(engine, channels, seed, stored));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    // Of the inputs' size: the output's where nothing is shuffled.
    let channels = spec.out_channels / (spec.pixel_shuffle * spec.pixel_shuffle);
    let base = map(engine, channels, 7, stored)?;
    let addend = upsample.map(|upsample| Addend { tensor: &base, upsample });
    engine.conv(&conv, &inputs.iter().collect::<Vec<_>>(), addend)
}

fn deform_conv(engine: &dyn Engine, stored: Precision) -> Result<Tensor, EngineError> {
    let spec = DeformSpec::new(&[16, 16], 32, 8).precision(stored, stored);
    let conv = engine.prepare_deform_conv(&spec, &weights(spec.weight_len(), 32, 41), &[0.05; 32])?;
    let inputs = [map(engine, 16, 1, stored)?, map(engine, 16, 2, stored)?];
    let residues = Shape::new(SIZE.0, SIZE.1, spec.offset_channels() + spec.mask_channels());
    let residues = engine.from_host(&scaled(noise_tensor(residues, 5), 0.5), stored)?;
    let flow = flow(engine)?;
    engine.deform_conv(&conv, &[&inputs[0], &inputs[1]], &residues, &[&flow, &flow])
}
