//! Warps and deformable convolutions.

use framelift_engine::{DeformSpec, Padding};

use super::*;

/// How far the largest value of noise in [−1, 1) moves where a position does, for each pixel.
const STEEPEST: f32 = 2.0;

/// What a position may be off by, in pixels.
const POSITION_TOLERANCE: f32 = 1e-5;

fn scaled(mut tensor: HostTensor, by: f32) -> HostTensor {
    tensor.data_mut().iter_mut().for_each(|value| *value *= by);
    tensor
}

/// A deformable convolution with everything that it works on.
#[derive(Clone, Debug)]
struct Deform {
    spec: DeformSpec,
    height: usize,
    width: usize,
    /// The largest component of the flows; none where there are no flows.
    flow_px: Option<f32>,
    /// How inputs and residues are stored.
    stored: Precision,
}

impl Deform {
    fn new(in_channels: &[usize], out_channels: usize, groups: usize, height: usize, width: usize) -> Self {
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

    fn run(&self, engine: &dyn Engine) -> Result<HostTensor, EngineError> {
        let spec = &self.spec;
        let bias: Vec<f32> = (0..spec.out_channels).map(|i| i as f32 / 100.0 - 0.2).collect();
        let conv = engine.prepare_deform_conv(spec, &self.weights(), &bias)?;
        let inputs = spec.in_channels.iter().zip(10..).map(|(&channels, seed)| self.tensor(channels, seed));
        let inputs = inputs.map(|input| engine.from_host(&input, self.stored)).collect::<Result<Vec<_>, _>>()?;
        let residues = scaled(self.tensor(spec.offset_channels() + spec.mask_channels(), 5), 4.0);
        let residues = engine.from_host(&residues, self.stored)?;
        let flows = (20..).take(self.flow_px.map_or(0, |_| inputs.len()));
        let flows = flows.map(|seed| scaled(self.tensor(2, seed), self.flow_px.unwrap()));
        let flows = flows.map(|flow| engine.from_host(&flow, Precision::F32)).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<_> = inputs.iter().collect();
        let flows: Vec<_> = flows.iter().collect();
        engine.to_host(&engine.deform_conv(&conv, &inputs, &residues, &flows)?)
    }

    /// Holds every instruction set to the reference.
    #[track_caller]
    fn check(&self) {
        // What the engines round to the output's precision.
        let exact = self.spec.clone().precision(self.spec.precision, Precision::F32);
        let expected = Self { spec: exact, ..self.clone() }.run(&ReferenceEngine::new()).unwrap();
        let weights = self.weights();
        let of_an_output = weights.chunks_exact(weights.len() / self.spec.out_channels);
        let magnitude = of_an_output.map(|weights| weights.iter().map(|w| w.abs()).sum::<f32>()).fold(0.0, f32::max);
        // A position that is off a little may round a few samples to the next bf16.
        let rounded = match self.spec.precision {
            Precision::F32 => 0.0,
            _ => 4.0 / 256.0 * weights.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs())),
        };
        let tolerance = (DIRECT_TOLERANCE + STEEPEST * POSITION_TOLERANCE) * magnitude + rounded;
        for engine in engines(None) {
            let got = self.run(&engine).unwrap();
            assert_eq!(got.shape(), expected.shape());
            for (i, (&got, &expected)) in got.data().iter().zip(expected.data()).enumerate() {
                let [low, high] =
                    [expected - tolerance, expected + tolerance].map(|bound| reference::round(bound, self.spec.output));
                let at = position(i, self.run_shape());
                assert!((low..=high).contains(&got), "{:?} {self:?}: {got} for {expected} at {at:?}", engine.isa());
            }
        }
    }

    fn run_shape(&self) -> Shape {
        Shape::new(self.height, self.width, self.spec.out_channels)
    }
}

#[test]
fn deformable_convolutions_of_the_networks() {
    Deform::new(&[64, 64], 64, 16, 7, 61).check();
    Deform::new(&[32, 32], 32, 16, 12, 25).check();
    Deform { flow_px: None, ..Deform::new(&[16], 8, 4, 9, 24) }.check();
    let bf16 = |case: Deform| Deform { spec: case.spec.precision(Precision::Bf16, Precision::Bf16), ..case };
    bf16(Deform { stored: Precision::Bf16, ..Deform::new(&[64, 64], 64, 16, 5, 49) }).check();
    bf16(Deform::new(&[32, 32], 32, 16, 5, 49)).check();
}

#[test]
fn deformable_convolutions_of_single_pixels_and_lines() {
    for (height, width) in [(1, 1), (1, 30), (30, 1), (2, 2)] {
        Deform::new(&[8, 16], 5, 3, height, width).check();
    }
}

#[test]
fn a_wide_picture_is_sampled_as_exactly_at_its_far_end() {
    Deform::new(&[2], 1, 1, 2, 5000).check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_deformable_convolution(
        group_channels in select(vec![1_usize, 2, 3, 4, 5, 8, 12, 16, 32]),
        groups in prop::collection::vec(1..4_usize, 1..4),
        out in select(vec![1_usize, 3, 5, 16, 20, 33, 48, 80]),
        (height, width) in (1..12_usize, 1..56_usize),
        flow_px in select(vec![None, Some(0.0), Some(2.5), Some(80.0), Some(1e9)]),
        max_residue in select(vec![0.0_f32, 1.0, 10.0]),
        (stored, precision, output) in (
            select(vec![Precision::F32, Precision::Bf16]),
            select(vec![Precision::F32, Precision::Bf16]),
            select(vec![Precision::F32, Precision::Bf16]),
        ),
    ) {
        let inputs: Vec<usize> = groups.iter().map(|count| count * group_channels).collect();
        let case = Deform::new(&inputs, out, groups.iter().sum(), height, width);
        let spec = DeformSpec { max_residue, ..case.spec.clone().precision(precision, output) };
        Deform { spec, flow_px, stored, ..case }.check();
    }

    #[test]
    fn any_warp(
        channels in select(vec![1_usize, 2, 3, 4, 5, 16, 24, 64]),
        (height, width) in (1..20_usize, 1..20_usize),
        flow_px in select(vec![0.0_f32, 0.7, 5.0, 60.0, 1e9]),
        padding in select(vec![Padding::Zeros, Padding::Border]),
        stored in select(vec![Precision::F32, Precision::Bf16]),
    ) {
        let input = reference::rounded(noise_tensor(Shape::new(height, width, channels), 5), stored);
        let flow = scaled(noise_tensor(Shape::new(height, width, 2), 6), flow_px);
        let expected = reference::flow_warp(&input, &flow, padding).unwrap();
        for engine in engines(None) {
            let (input, flow) =
                (engine.from_host(&input, stored).unwrap(), engine.from_host(&flow, Precision::F32).unwrap());
            let got = engine.to_host(&engine.flow_warp(&input, &flow, padding).unwrap()).unwrap();
            for (&got, &expected) in got.data().iter().zip(expected.data()) {
                let [low, high] = [expected - 2e-6, expected + 2e-6].map(|bound| reference::round(bound, stored));
                prop_assert!((low..=high).contains(&got), "{got} for {expected}");
            }
        }
    }
}

#[test]
fn deformable_convolutions_do_not_depend_on_the_number_of_threads() {
    let case = Deform::new(&[16, 8], 20, 3, 45, 67);
    let [one, three] = [1, 3].map(|threads| {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        case.run(&CpuEngine::new(&options).unwrap()).unwrap()
    });
    assert_eq!(one, three);
}

#[test]
fn a_flow_that_is_not_a_number_shows() {
    let shape = Shape::new(6, 7, 16);
    let input = noise_tensor(shape, 1);
    for engine in engines(None) {
        let tensor = engine.from_host(&input, Precision::F32).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut flow = scaled(noise_tensor(Shape::new(6, 7, 2), 2), 2.0);
            flow.data_mut()[2 * (3 * 7 + 4)] = bad;
            let expected = reference::flow_warp(&input, &flow, Padding::Zeros).unwrap();
            let flow = engine.from_host(&flow, Precision::F32).unwrap();
            let warped = engine.to_host(&engine.flow_warp(&tensor, &flow, Padding::Zeros).unwrap()).unwrap();
            let spec = DeformSpec::new(&[16], 4, 2);
            let conv = engine.prepare_deform_conv(&spec, &[0.1; 16 * 9 * 4], &[0.0; 4]).unwrap();
            let residues = engine.zeros(Shape::new(6, 7, 54), Precision::F32).unwrap();
            let deformed =
                engine.to_host(&engine.deform_conv(&conv, &[&tensor], &residues, &[&flow]).unwrap()).unwrap();
            for (y, x) in (0..6).flat_map(|y| (0..7).map(move |x| (y, x))) {
                let is_bad = (y, x) == (3, 4);
                assert_eq!(expected.at(y, x, 0).is_nan(), is_bad, "the reference");
                assert!((0..16).all(|c| warped.at(y, x, c).is_nan() == is_bad), "{bad} at {y}, {x}");
                assert!((0..4).all(|c| deformed.at(y, x, c).is_nan() == is_bad), "{bad} at {y}, {x}");
            }
        }
    }
}

#[test]
fn warps_and_deformable_convolutions_that_do_not_fit_are_refused() {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    let zeros = |channels, precision| engine.zeros(Shape::new(4, 5, channels), precision).unwrap();
    let (input, flow) = (zeros(8, Precision::F32), zeros(2, Precision::F32));
    let is_shape = |result: Result<_, EngineError>| matches!(result, Err(EngineError::Shape(_)));
    assert!(engine.flow_warp(&input, &flow, Padding::Zeros).is_ok());
    assert!(is_shape(engine.flow_warp(&input, &input, Padding::Zeros)));
    assert!(is_shape(engine.flow_warp(&input, &zeros(2, Precision::Bf16), Padding::Zeros)));

    let spec = DeformSpec::new(&[8, 8], 3, 4);
    let prepare = |spec: &DeformSpec| engine.prepare_deform_conv(spec, &[0.0; 16 * 9 * 3], &[0.0; 3]);
    let conv = prepare(&spec).unwrap();
    let residues = zeros(4 * 27, Precision::Bf16);
    assert!(engine.deform_conv(&conv, &[&input, &input], &residues, &[]).is_ok());
    assert!(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow, &flow]).is_ok());
    assert!(is_shape(engine.deform_conv(&conv, &[&input], &residues, &[])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &input, &[])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow, &input])));
    for wrong in [
        DeformSpec { groups: 3, ..spec.clone() },
        DeformSpec { in_channels: vec![6, 10], ..spec.clone() },
        DeformSpec { out_channels: 4, ..spec.clone() },
        DeformSpec { max_residue: f32::NAN, ..spec.clone() },
    ] {
        assert!(matches!(prepare(&wrong), Err(EngineError::Shape(_))), "{wrong:?}");
    }
    let f16 = spec.precision(Precision::F16, Precision::F32);
    assert!(matches!(prepare(&f16), Err(EngineError::Unsupported { .. })));
}
