//! The engine against the reference, with every instruction set that this machine has and both methods of convolution.

use framelift_engine::reference::{self, ReferenceEngine};
use framelift_engine::{
    Activation, Addend, ConvSpec, Engine, EngineError, HostTensor, Precision, ResizeMode, Shape, Upsample,
};
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{ConvMethod, CpuEngine, CpuOptions, Isa};

mod pointwise;
mod sampled;

/// Of the largest sum of magnitudes: rounding of f32 sums in another order than the reference's.
const DIRECT_TOLERANCE: f32 = 1e-6;

/// Likewise; Winograd's sums cancel more.
const WINOGRAD_TOLERANCE: f32 = 4e-6;

/// An engine of two threads for each instruction set that this processor has, and for the kernels of the bf16 dot
/// product with the instruction emulated. Convolutions are by `method` where it applies.
fn engines(method: Option<ConvMethod>) -> Vec<CpuEngine> {
    let engine = |isa| {
        let options = CpuOptions { threads: Some(2), isa: Some(isa), memory_limit_bytes: None };
        let engine = CpuEngine::new(&options).unwrap();
        method.into_iter().fold(engine, CpuEngine::with_method)
    };
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "an engine is added on x86-64"))]
    let mut engines: Vec<CpuEngine> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(engine).collect();
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx512.is_available() {
        let mut emulated = engine(Isa::Avx512);
        emulated.kernels = &crate::kernels::EMULATED_BF16_KERNELS;
        engines.push(emulated);
    }
    engines
}

/// Numbers in [−1, 1) that follow from `seed`.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn noise_tensor(shape: Shape, seed: u64) -> HostTensor {
    let mut next = noise(seed);
    HostTensor::from_fn(shape, |_, _, _| next())
}

/// A convolution with everything that it works on.
#[derive(Clone, Debug)]
struct Case {
    spec: ConvSpec,
    height: usize,
    width: usize,
    addend: Option<Upsample>,
    /// How inputs and addend are stored.
    stored: Precision,
}

impl Case {
    fn new(kernel: usize, in_channels: &[usize], out_channels: usize, height: usize, width: usize) -> Self {
        let spec = ConvSpec::new(kernel, in_channels, out_channels);
        Self { spec, height, width, addend: None, stored: Precision::F32 }
    }

    fn weights(&self) -> Vec<f32> {
        let mut next = noise(1);
        let gain = 1.0 / (self.spec.weight_len() as f32 / self.spec.out_channels as f32).sqrt();
        (0..self.spec.weight_len()).map(|_| next() * gain).collect()
    }

    fn bias(&self) -> Vec<f32> {
        let mut next = noise(2);
        (0..self.spec.out_channels).map(|_| next()).collect()
    }

    fn inputs(&self) -> Vec<HostTensor> {
        let shape = |&channels| Shape::new(self.height, self.width, channels);
        let tensor = |(i, channels)| reference::rounded(noise_tensor(shape(channels), 3 + i as u64), self.stored);
        self.spec.in_channels.iter().enumerate().map(tensor).collect()
    }

    fn output_shape(&self) -> Shape {
        let ConvSpec { stride, pixel_shuffle: r, out_channels, .. } = self.spec;
        Shape::new(self.height.div_ceil(stride) * r, self.width.div_ceil(stride) * r, out_channels / (r * r))
    }

    /// A third of the output's size where that is possible, else the size of the sums.
    fn addend(&self) -> Option<(HostTensor, Upsample)> {
        let upsample = self.addend?;
        let Shape { height, width, channels } = self.output_shape();
        let thirds = height.is_multiple_of(3) && width.is_multiple_of(3);
        let factor = match upsample {
            Upsample::None => 1,
            _ if thirds => 3,
            _ => self.spec.pixel_shuffle,
        };
        let tensor = noise_tensor(Shape::new(height / factor, width / factor, channels), 99);
        Some((reference::rounded(tensor, self.stored), upsample))
    }

    fn run(&self, engine: &dyn Engine) -> Result<HostTensor, EngineError> {
        let conv = engine.prepare_conv(&self.spec, &self.weights(), &self.bias())?;
        let upload = |values: &HostTensor| engine.from_host(values, self.stored);
        let inputs = self.inputs().iter().map(upload).collect::<Result<Vec<_>, _>>()?;
        let addend = self.addend().map(|(values, upsample)| Ok::<_, EngineError>((upload(&values)?, upsample)));
        let addend = addend.transpose()?;
        let addend = addend.as_ref().map(|(tensor, upsample)| Addend { tensor, upsample: *upsample });
        engine.to_host(&engine.conv(&conv, &inputs.iter().collect::<Vec<_>>(), addend)?)
    }

    fn expected(&self) -> HostTensor {
        let (inputs, addend) = (self.inputs(), self.addend());
        let inputs: Vec<&HostTensor> = inputs.iter().collect();
        // Unrounded, so that a result may be compared with both neighbours in the output's precision.
        let spec = ConvSpec { output: Precision::F32, ..self.spec.clone() };
        let addend = addend.as_ref().map(|(tensor, upsample)| (tensor, *upsample));
        reference::conv(&spec, &self.weights(), &self.bias(), &inputs, addend).unwrap()
    }

    /// Compares every engine with the reference, by every method that applies.
    fn check(&self) {
        let expected = self.expected();
        // Inputs are below one: no sum has larger terms than the weights.
        let terms = self.spec.weight_len() as f32 / self.spec.out_channels as f32;
        let magnitude = 4.0 + terms.sqrt();
        for method in [ConvMethod::Direct, ConvMethod::Winograd] {
            for engine in engines(Some(method)) {
                let tolerance = match method {
                    ConvMethod::Direct => DIRECT_TOLERANCE,
                    ConvMethod::Winograd => WINOGRAD_TOLERANCE,
                };
                let got = self.run(&engine).unwrap();
                assert_eq!(got.shape(), expected.shape());
                for (i, (&got, &expected)) in got.data().iter().zip(expected.data()).enumerate() {
                    let slack = tolerance * magnitude * self.spec.scale.abs().max(1.0);
                    let (low, high) = (expected - slack, expected + slack);
                    let [low, high] = [low, high].map(|bound| reference::round(bound, self.spec.output));
                    let [y, x, c] = position(i, self.output_shape());
                    assert!(
                        (low..=high).contains(&got),
                        "{self:?} on {:?} by {method:?}: {got} for {expected} at row {y}, column {x}, channel {c}",
                        engine.info().detail
                    );
                }
            }
        }
    }
}

fn position(index: usize, shape: Shape) -> [usize; 3] {
    let pixel = index / shape.channels;
    [pixel / shape.width, pixel % shape.width, index % shape.channels]
}

#[test]
fn convolutions_of_the_built_in_networks() {
    let leaky = |case: Case| Case { spec: case.spec.activation(Activation::Leaky(0.1)), ..case };
    leaky(Case::new(3, &[3, 3, 3, 32], 32, 19, 30)).check();
    Case { addend: Some(Upsample::None), ..Case::new(3, &[32], 32, 13, 101) }.check();
    let last = Case::new(3, &[32], 48, 9, 22);
    Case { spec: last.spec.clone().pixel_shuffle(4), addend: Some(Upsample::Bilinear), ..last }.check();
    let prelu = Activation::Prelu((0..64).map(|i| i as f32 / 40.0 - 0.3).collect());
    let hidden = Case::new(3, &[64], 64, 21, 70);
    Case { spec: hidden.spec.clone().activation(prelu.clone()), ..hidden }.check();
    let first = Case::new(3, &[3], 64, 21, 70);
    Case { spec: first.spec.clone().activation(prelu), ..first }.check();
    let last = Case::new(3, &[64], 48, 9, 22);
    Case { spec: last.spec.clone().pixel_shuffle(4), addend: Some(Upsample::Nearest), ..last }.check();
}

#[test]
fn many_channels_and_single_pixels() {
    for (height, width) in [(1, 1), (1, 7), (5, 1), (2, 2)] {
        Case::new(3, &[64], 64, height, width).check();
        Case::new(7, &[3], 5, height, width).check();
    }
    Case::new(3, &[128, 70], 144, 6, 9).check();
    Case::new(1, &[100], 432, 5, 6).check();
}

#[test]
fn bf16_of_the_built_in_networks() {
    let bf16 = |case: Case, output| Case {
        spec: case.spec.precision(Precision::Bf16, output),
        stored: Precision::Bf16,
        ..case
    };
    bf16(Case::new(3, &[64], 64, 13, 29), Precision::Bf16).check();
    bf16(Case::new(3, &[3, 3, 3, 32], 32, 13, 29), Precision::Bf16).check();
    bf16(Case { addend: Some(Upsample::None), ..Case::new(3, &[33], 32, 13, 29) }, Precision::Bf16).check();
    let last = Case::new(3, &[32], 48, 9, 22);
    let last = Case { spec: last.spec.clone().pixel_shuffle(4), addend: Some(Upsample::Bilinear), ..last };
    bf16(last, Precision::F32).check();
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = || select(vec![1_usize, 2, 3, 4, 5, 9, 16, 17, 32, 40]);
    let inputs = prop::collection::vec(channels(), 1..4);
    let shape = (select(vec![1_usize, 3, 7]), 1..=2_usize, inputs, 1..=3_usize, channels(), 1..24_usize, 1..24_usize);
    let activation = prop_oneof![
        Just(Activation::None),
        Just(Activation::Relu),
        Just(Activation::Leaky(0.2)),
        Just(Activation::Prelu(Vec::new())),
    ];
    let addend = select(vec![None, Some(Upsample::None), Some(Upsample::Nearest), Some(Upsample::Bilinear)]);
    let precision = || select(vec![Precision::F32, Precision::Bf16]);
    let after = (activation, select(vec![1.0_f32, 0.2]), addend, precision(), precision(), precision());
    (shape, after).prop_map(|((kernel, stride, inputs, r, out, height, width), after)| {
        let (activation, scale, addend, stored, precision, output) = after;
        let out_channels = (out * r * r).min(r * r * 20);
        let activation = match activation {
            Activation::Prelu(_) => Activation::Prelu((0..out_channels).map(|i| 0.1 - i as f32 / 50.0).collect()),
            other => other,
        };
        let spec = ConvSpec::new(kernel, &inputs, out_channels);
        let spec = spec.activation(activation).pixel_shuffle(r).precision(precision, output);
        Case { spec: ConvSpec { stride, scale, ..spec }, height, width, addend, stored }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_convolution(case in cases()) {
        case.check();
    }

    #[test]
    fn any_resize(
        channels in select(vec![1_usize, 2, 3, 4, 7, 16, 20]),
        (height, width) in (1..20_usize, 1..20_usize),
        (to_height, to_width) in (1..50_usize, 1..50_usize),
        mode in select(MODES.to_vec()),
        stored in select(vec![Precision::F32, Precision::Bf16]),
    ) {
        let input = reference::rounded(noise_tensor(Shape::new(height, width, channels), 5), stored);
        let expected = reference::resize(&input, to_height, to_width, mode).unwrap();
        for engine in engines(None) {
            let tensor = engine.from_host(&input, stored).unwrap();
            let got = engine.to_host(&engine.resize(&tensor, to_height, to_width, mode).unwrap()).unwrap();
            prop_assert_eq!(got.shape(), expected.shape());
            for (&got, &expected) in got.data().iter().zip(expected.data()) {
                let [low, high] = [expected - 2e-6, expected + 2e-6].map(|bound| reference::round(bound, stored));
                prop_assert!((low..=high).contains(&got), "{got} for {expected}");
            }
        }
    }

    #[test]
    fn any_shuffle(
        (r, channels) in (1..5_usize, 1..20_usize),
        (height, width) in (1..9_usize, 1..9_usize),
        stored in select(vec![Precision::F32, Precision::Bf16]),
    ) {
        let engine = engines(None).remove(0);
        let input = reference::rounded(noise_tensor(Shape::new(height, width, channels * r * r), 5), stored);
        let tensor = engine.from_host(&input, stored).unwrap();
        let shuffled = engine.pixel_shuffle(&tensor, r).unwrap();
        prop_assert_eq!(engine.to_host(&shuffled).unwrap(), reference::pixel_shuffle(&input, r).unwrap());
        prop_assert_eq!(engine.to_host(&engine.pixel_unshuffle(&shuffled, r).unwrap()).unwrap(), input);
    }
}

const MODES: [ResizeMode; 5] = [
    ResizeMode::Nearest,
    ResizeMode::Bilinear,
    ResizeMode::BilinearAligned,
    ResizeMode::Bicubic,
    ResizeMode::BicubicAntialias,
];

#[test]
fn a_result_does_not_depend_on_the_number_of_threads() {
    let case = Case::new(3, &[3, 40], 36, 45, 67);
    let case = Case { spec: case.spec.clone().pixel_shuffle(2), addend: Some(Upsample::Bilinear), ..case };
    for method in [ConvMethod::Direct, ConvMethod::Winograd] {
        let [one, three] = [1, 3].map(|threads| {
            let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
            case.run(&CpuEngine::new(&options).unwrap().with_method(method)).unwrap()
        });
        assert_eq!(one, three);
    }
}

fn random_frame(width: u32, height: u32) -> Frame {
    let size = Size::new(width, height);
    let mut next = noise(7);
    let mut samples = || (0..size.pixels()).map(|_| ((next() + 1.0) * 32767.5) as u16).collect();
    let planes = [0; 3].map(|_| Plane::new(size, samples()).unwrap());
    Frame::new(planes, Timestamp::new(7, TimeBase::new(1, 25)), 3).unwrap()
}

#[test]
fn frames_come_back_as_they_went() {
    let mut frame = random_frame(61, 37);
    for (level, sample) in (0..).zip(frame.planes_mut()[1].samples_mut()) {
        *sample = level * 29;
    }
    for engine in engines(None) {
        let tensor = engine.upload(&frame).unwrap();
        let reference = ReferenceEngine::new();
        let expected = reference.to_host(&reference.upload(&frame).unwrap()).unwrap();
        assert_eq!(engine.to_host(&tensor).unwrap(), expected);
        assert_eq!(engine.download(&tensor, frame.time, frame.duration_ticks).unwrap(), frame);
    }
}

#[test]
fn download_clamps_rounds_and_finds_what_is_not_finite() {
    let mut values = noise_tensor(Shape::new(40, 33, 3), 8);
    values.data_mut()[5..12].copy_from_slice(&[2.0, -0.0, 1.0, 0.5, 0.999_99, 1e-30, -1e30]);
    let reference = ReferenceEngine::new();
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    let download = |engine: &dyn Engine, values: &HostTensor| {
        engine.download(&engine.from_host(values, Precision::F32).unwrap(), time, 1)
    };
    for engine in engines(None) {
        assert_eq!(download(&engine, &values).unwrap(), download(&reference, &values).unwrap());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = values.clone();
            values.data_mut()[(20 * 33 + 4) * 3 + 1] = bad;
            values.data_mut()[(39 * 33 + 32) * 3 + 2] = bad;
            let error = download(&engine, &values).unwrap_err();
            assert!(matches!(error, EngineError::NonFinite { count: 2, x: 4, y: 20 }), "{error}");
        }
    }
}

#[test]
fn memory_is_counted_recycled_and_limited() {
    let options = |limit| CpuOptions { threads: Some(1), memory_limit_bytes: Some(limit), ..CpuOptions::default() };
    let engine = CpuEngine::new(&options(3 << 20)).unwrap();
    let shape = Shape::new(128, 128, 16);
    let bytes = shape.len() * 4;
    let tensor = engine.zeros(shape, Precision::F32).unwrap();
    let used = engine.memory().used_bytes;
    assert!((bytes..bytes + 4096).contains(&used), "{used}");
    let clone = tensor.clone();
    drop(tensor);
    assert_eq!(engine.memory().used_bytes, used);
    drop(clone);
    assert_eq!((engine.memory().used_bytes, engine.memory().pooled_bytes), (0, used));

    let tensors = [(); 2].map(|()| engine.zeros(shape, Precision::F32).unwrap());
    assert_eq!(engine.memory().pooled_bytes, 0);
    let error = engine.zeros(shape, Precision::F32).unwrap_err();
    assert!(matches!(error, EngineError::OutOfMemory { limit_bytes, .. } if limit_bytes == 3 << 20), "{error}");
    drop(tensors);
    // Another size fits only once what is pooled has been let go.
    let larger = engine.zeros(Shape::new(160, 160, 16), Precision::F32).unwrap();
    assert!(engine.memory().peak_bytes <= 3 << 20);
    drop(larger);

    let case = Case::new(3, &[64], 64, 40, 40);
    assert!(matches!(case.run(&CpuEngine::new(&options(1 << 19)).unwrap()), Err(EngineError::OutOfMemory { .. })));
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    let zeros = |height, width, channels| engine.zeros(Shape::new(height, width, channels), Precision::F32).unwrap();
    let conv = engine.prepare_conv(&ConvSpec::new(1, &[3, 2], 8), &[0.0; 40], &[0.0; 8]).unwrap();
    let (image, flow) = (zeros(4, 5, 3), zeros(4, 5, 2));
    let is_shape = |result: Result<_, EngineError>| matches!(result, Err(EngineError::Shape(_)));
    assert!(engine.conv(&conv, &[&image, &flow], None).is_ok());
    assert!(is_shape(engine.conv(&conv, &[&image], None)));
    assert!(is_shape(engine.conv(&conv, &[&flow, &image], None)));
    assert!(is_shape(engine.conv(&conv, &[&image, &zeros(5, 4, 2)], None)));
    let addend = zeros(4, 5, 7);
    assert!(is_shape(engine.conv(&conv, &[&image, &flow], Some(Addend::same(&addend)))));
    assert!(is_shape(engine.pixel_shuffle(&image, 2)));
    assert!(is_shape(engine.pixel_unshuffle(&image, 2)));
    assert!(is_shape(engine.resize(&image, 0, 4, ResizeMode::Bilinear)));
    assert!(matches!(engine.zeros(Shape::new(1, 1, 1), Precision::F16), Err(EngineError::Unsupported { .. })));

    let other = ReferenceEngine::new();
    let foreign = other.zeros(Shape::new(4, 5, 3), Precision::F32).unwrap();
    assert!(matches!(engine.conv(&conv, &[&foreign, &flow], None), Err(EngineError::Foreign { what: "tensor", .. })));
    let foreign = other.prepare_conv(&ConvSpec::new(1, &[3, 2], 8), &[0.0; 40], &[0.0; 8]).unwrap();
    let refused = engine.conv(&foreign, &[&image, &flow], None);
    assert!(matches!(refused, Err(EngineError::Foreign { what: "convolution", .. })));
}

#[test]
fn rows_are_cut_out_and_stacked_again() {
    let reference = ReferenceEngine::new();
    for engine in engines(None) {
        for (channels, precision) in [(3, Precision::F32), (20, Precision::F32), (20, Precision::Bf16)] {
            let values = noise_tensor(Shape::new(37, 5, channels), 7);
            let map = engine.from_host(&values, precision).unwrap();
            let same = reference.from_host(&values, precision).unwrap();
            let parts = [0..1, 1..20, 20..20, 20..37].map(|rows| {
                let part = engine.rows(&map, rows.clone()).unwrap();
                assert_eq!(part.shape(), Shape::new(rows.len(), 5, channels));
                let due = reference.to_host(&reference.rows(&same, rows).unwrap()).unwrap();
                assert_eq!(engine.to_host(&part).unwrap(), due);
                part
            });
            let whole = engine.stack_rows(&parts).unwrap();
            assert_eq!(engine.to_bytes(&whole).unwrap(), reference.to_bytes(&same).unwrap());
            // What comes after relies on the padding, which is copied too.
            let spec = ConvSpec::new(3, &[channels], 4).precision(precision, Precision::F32);
            let conv = engine.prepare_conv(&spec, &vec![0.5; 36 * channels], &[0.0; 4]).unwrap();
            let [a, b] = [&map, &whole].map(|t| engine.to_host(&engine.conv(&conv, &[t], None).unwrap()).unwrap());
            assert_eq!(a, b);

            assert!(matches!(engine.rows(&map, 30..38), Err(EngineError::Shape(_))));
            assert!(matches!(engine.stack_rows(&[]), Err(EngineError::Shape(_))));
            let wider = engine.zeros(Shape::new(1, 6, channels), precision).unwrap();
            assert!(matches!(engine.stack_rows(&[map, wider]), Err(EngineError::Shape(_))));
        }
    }
}
