//! Deformable convolutions.

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{DeformSpec, Engine, EngineError, HostTensor, Padding, Precision, Shape, reference};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Checked, assert_close, noise, noise_tensor, scaled};

/// How far the largest value of noise in [−1, 1) moves where a position does, for each pixel.
const STEEPEST: f32 = 2.0;

/// What a position may be off by, in pixels.
const POSITION_TOLERANCE: f32 = 1e-5;

/// A deformable convolution with everything that it works on.
#[derive(Clone, Debug)]
pub struct DeformCase {
    /// The convolution.
    pub spec: DeformSpec,
    /// Rows of the inputs.
    pub height: usize,
    /// Columns of the inputs.
    pub width: usize,
    /// The largest component of the flows; none where there are no flows.
    pub flow_px: Option<f32>,
    /// How inputs and residues are stored.
    pub stored: Precision,
}

impl DeformCase {
    /// A deformable convolution in f32, with flows of up to 3 pixels.
    #[must_use]
    pub fn new(in_channels: &[usize], out_channels: usize, groups: usize, height: usize, width: usize) -> Self {
        let spec = DeformSpec::new(in_channels, out_channels, groups);
        Self { spec, height, width, flow_px: Some(3.0), stored: Precision::F32 }
    }

    fn tensor(&self, channels: usize, seed: u64) -> HostTensor {
        noise_tensor(Shape::new(self.height, self.width, channels), seed)
    }

    fn weights(&self) -> Vec<f32> {
        let mut next = noise(1);
        let gain = 1.0 / (self.spec.weight_len() as f32 / self.spec.out_channels as f32).sqrt();
        (0..self.spec.weight_len()).map(|_| next() * gain).collect()
    }

    /// What `engine` makes of it.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn run(&self, engine: &dyn Engine) -> Result<HostTensor, EngineError> {
        let spec = &self.spec;
        let bias: Vec<f32> = (0..spec.out_channels).map(|i| i as f32 / 100.0 - 0.2).collect();
        let conv = engine.prepare_deform_conv(spec, &self.weights(), &bias)?;
        let inputs = spec.in_channels.iter().zip(10..).map(|(&channels, seed)| self.tensor(channels, seed));
        let inputs = inputs.map(|input| engine.from_host(&input, self.stored)).collect::<Result<Vec<_>, _>>()?;
        let residues = scaled(self.tensor(spec.offset_channels() + spec.mask_channels(), 5), 4.0);
        let residues = engine.from_host(&residues, self.stored)?;
        let flow = |(seed, px)| engine.from_host(&scaled(self.tensor(2, seed), px), Precision::F32);
        let flows = (20..).zip(self.flow_px.into_iter().cycle()).take(inputs.len());
        let flows = flows.map(flow).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<_> = inputs.iter().collect();
        let flows: Vec<_> = flows.iter().collect();
        engine.to_host(&engine.deform_conv(&conv, &inputs, &residues, &flows)?)
    }

    /// Holds every engine to the reference.
    ///
    /// # Panics
    /// Where one is too far off.
    pub fn check(&self, engines: &[Checked<'_>]) {
        // What the engines round to the output's precision.
        let exact = self.spec.clone().precision(self.spec.precision, Precision::F32);
        let expected = Self { spec: exact, ..self.clone() }.run(&ReferenceEngine::new()).expect("a well-formed case");
        let weights = self.weights();
        let of_an_output = weights.chunks_exact(weights.len() / self.spec.out_channels);
        let magnitude = of_an_output.map(|weights| weights.iter().map(|w| w.abs()).sum::<f32>()).fold(0.0, f32::max);
        // A position that is off a little may round a few samples to the next value of a short precision.
        let rounded = match self.spec.precision {
            Precision::F32 => 0.0,
            _ => 4.0 / 256.0 * weights.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs())),
        };
        for Checked { engine, tolerance } in engines {
            let got = self.run(*engine).unwrap_or_else(|error| panic!("{self:?}: {error}"));
            let slack = (tolerance + STEEPEST * POSITION_TOLERANCE) * magnitude + rounded;
            assert_close(&(self, &engine.info().detail), &got, &expected, slack, self.spec.output);
        }
    }
}

/// Deformable convolutions of every kind, stored and computed in `precisions`.
pub fn deform_cases(precisions: &'static [Precision], width: usize) -> impl Strategy<Value = DeformCase> {
    let shape = (
        select(vec![1_usize, 2, 3, 4, 5, 8, 12, 16, 32]),
        prop::collection::vec(1..4_usize, 1..4),
        select(vec![1_usize, 3, 5, 16, 20, 33, 48, 80]),
        1..12_usize,
        1..width,
    );
    let flow_px = select(vec![None, Some(0.0), Some(2.5), Some(80.0), Some(1e9)]);
    let precision = move || select(precisions);
    let rest = (flow_px, select(vec![0.0_f32, 1.0, 10.0]), precision(), precision(), precision());
    (shape, rest).prop_map(|((group_channels, groups, out, height, width), rest)| {
        let (flow_px, max_residue, stored, precision, output) = rest;
        let inputs: Vec<usize> = groups.iter().map(|count| count * group_channels).collect();
        let case = DeformCase::new(&inputs, out, groups.iter().sum(), height, width);
        let spec = DeformSpec { max_residue, ..case.spec.clone().precision(precision, output) };
        DeformCase { spec, flow_px, stored, ..case }
    })
}

/// A flow that is not a number shows in the results at its place, and nowhere else.
///
/// # Panics
/// Where it does not.
pub fn nan_flows_show(engine: &dyn Engine) {
    let input = noise_tensor(Shape::new(6, 7, 16), 1);
    let upload = |values: &HostTensor| engine.from_host(values, Precision::F32).expect("an upload");
    let tensor = upload(&input);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut flow = scaled(noise_tensor(Shape::new(6, 7, 2), 2), 2.0);
        flow.data_mut()[2 * (3 * 7 + 4)] = bad;
        let expected = reference::flow_warp(&input, &flow, Padding::Zeros).expect("a well-formed case");
        let flow = upload(&flow);
        let warped = engine.flow_warp(&tensor, &flow, Padding::Zeros).expect("a warp");
        let warped = engine.to_host(&warped).expect("a download");
        let spec = DeformSpec::new(&[16], 4, 2);
        let conv = engine.prepare_deform_conv(&spec, &[0.1; 16 * 9 * 4], &[0.0; 4]).expect("a convolution");
        let residues = engine.zeros(Shape::new(6, 7, 54), Precision::F32).expect("zeros");
        let deformed = engine.deform_conv(&conv, &[&tensor], &residues, &[&flow]).expect("a convolution");
        let deformed = engine.to_host(&deformed).expect("a download");
        for (y, x) in (0..6).flat_map(|y| (0..7).map(move |x| (y, x))) {
            let is_bad = (y, x) == (3, 4);
            assert_eq!(expected.at(y, x, 0).is_nan(), is_bad, "the reference");
            assert!((0..16).all(|c| warped.at(y, x, c).is_nan() == is_bad), "{bad} at {y}, {x}");
            assert!((0..4).all(|c| deformed.at(y, x, c).is_nan() == is_bad), "{bad} at {y}, {x}");
        }
    }
}
