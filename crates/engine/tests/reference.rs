//! The reference operations against golden vectors of PyTorch and mmcv, and against their own definitions.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use framelift_engine::reference::{self, ReferenceEngine};
use framelift_engine::{
    Activation, Addend, ConvSpec, DeformSpec, Engine, EngineError, HostTensor, Padding, Precision, ResizeMode, Shape,
    Upsample,
};
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_testkit::golden::Golden;
use framelift_testkit::{max_abs_diff, ops, synth};

/// PyTorch sums in f32, the reference in f64.
const TOLERANCE: f32 = 1e-5;

#[test]
fn engine_operations_match_the_golden_vectors() {
    let differences = ops::differences(&ReferenceEngine::new()).unwrap();
    assert_eq!(differences.len(), 16);
    for ops::Difference { case, max_abs } in differences {
        println!("{case}: {max_abs:e}");
        assert!(max_abs <= TOLERANCE, "{case}: {max_abs:e}");
    }
}

#[test]
fn avg_pool_matches_the_golden_vector() {
    let golden = Golden::case("ops").unwrap();
    let got = reference::avg_pool(&golden.map("pool.input"));
    assert!(max_abs_diff(&got, &golden.map("pool.avg_2x2")) <= TOLERANCE);
}

#[test]
fn flow_warp_matches_the_golden_vectors() {
    let golden = Golden::case("ops").unwrap();
    let (input, flow) = (golden.map("warp.input"), golden.map_channels_last("warp.flow"));
    for (case, padding) in [("warp.zeros", Padding::Zeros), ("warp.border", Padding::Border)] {
        let diff = max_abs_diff(&reference::flow_warp(&input, &flow, padding).unwrap(), &golden.map(case));
        println!("{case}: {diff:e}");
        assert!(diff <= TOLERANCE, "{case}: {diff:e}");
    }
}

#[test]
fn deform_conv_matches_the_golden_vector() {
    let golden = Golden::case("ops").unwrap();
    let (weights, bias) = (golden.array("deform.weight"), golden.array("deform.bias"));
    let spec = DeformSpec::new(&[32], 24, 16);
    let [input, offsets, masks] = ["deform.input", "deform.offset", "deform.mask"].map(|name| golden.map(name));
    let got = reference::deform_conv(&spec, &weights.values, &bias.values, &[&input], &offsets, &masks).unwrap();
    let diff = max_abs_diff(&got, &golden.map("deform.output"));
    println!("deform: {diff:e}");
    assert!(diff <= TOLERANCE, "{diff:e}");
}

/// A tensor of numbers in [−1, 1) that follow from `name`.
fn noise(name: &str, shape: Shape) -> HostTensor {
    HostTensor::new(shape, synth::uniform(name).take(shape.len()).map(|u| u as f32).collect()).unwrap()
}

/// What the contract says of a convolution, one output value at a time.
fn by_definition(
    spec: &ConvSpec,
    weights: &[f32],
    bias: &[f32],
    inputs: &[&HostTensor],
    addend: Option<(&HostTensor, Upsample)>,
    [y, x, c]: [usize; 3],
) -> f32 {
    let (k, r) = (spec.kernel as isize, spec.pixel_shuffle);
    let out = c * r * r + r * (y % r) + x % r;
    let mut sum = f64::from(bias[out]);
    let mut first = 0;
    for input in inputs {
        let Shape { height, width, channels, .. } = input.shape();
        for channel in 0..channels {
            for ky in 0..k {
                for kx in 0..k {
                    let row = (y / r * spec.stride) as isize + ky - k / 2;
                    let column = (x / r * spec.stride) as isize + kx - k / 2;
                    if row < 0 || column < 0 || row >= height as isize || column >= width as isize {
                        continue;
                    }
                    let value = input.at(row as usize, column as usize, channel);
                    let at = (out * spec.total_in_channels() + first + channel) * spec.kernel * spec.kernel;
                    let weight = weights[at + (ky * k + kx) as usize];
                    sum += f64::from(reference::round(value, spec.precision))
                        * f64::from(reference::round(weight, spec.precision));
                }
            }
        }
        first += channels;
    }
    let sum = sum as f32;
    let slope = match &spec.activation {
        Activation::None => 1.0,
        Activation::Relu => 0.0,
        Activation::Leaky(slope) => *slope,
        Activation::Prelu(slopes) => slopes[out],
    };
    let value = spec.scale * if sum < 0.0 { slope * sum } else { sum };
    let base = match addend {
        None => 0.0,
        Some((a, Upsample::None)) => a.at(y, x, c),
        Some((a, Upsample::Nearest)) => a.at(y / 2, x / 2, c),
        Some((a, Upsample::Bilinear)) => reference::resize(a, 2 * 7, 2 * 5, ResizeMode::Bilinear).unwrap().at(y, x, c),
    };
    reference::round(base + value, spec.output)
}

#[test]
fn the_epilogue_is_what_the_contract_says() {
    let (a, b) = (noise("a", Shape::new(7, 5, 3)), noise("b", Shape::new(7, 5, 4)));
    let slopes: Vec<f32> = (0..8).map(|i| 0.1 * i as f32).collect();
    let activations = [Activation::None, Activation::Relu, Activation::Leaky(0.1), Activation::Prelu(slopes)];
    let base = noise("base", Shape::new(7, 5, 2));
    let full = noise("full", Shape::new(14, 10, 2));
    let addends =
        [None, Some((&full, Upsample::None)), Some((&base, Upsample::Nearest)), Some((&base, Upsample::Bilinear))];
    for kernel in [1, 3, 7] {
        for precision in [Precision::F32, Precision::Bf16] {
            for (activation, addend) in activations.iter().zip(addends) {
                let spec = ConvSpec { scale: 0.75, ..ConvSpec::new(kernel, &[3, 4], 8) }
                    .activation(activation.clone())
                    .pixel_shuffle(2)
                    .precision(precision, precision);
                let weights = noise("weights", Shape::new(1, 1, spec.weight_len()));
                let bias = noise("bias", Shape::new(1, 1, 8));
                let got = reference::conv(&spec, weights.data(), bias.data(), &[&a, &b], addend).unwrap();
                assert_eq!(got.shape(), Shape::new(14, 10, 2));
                let due = HostTensor::from_fn(got.shape(), |y, x, c| {
                    by_definition(&spec, weights.data(), bias.data(), &[&a, &b], addend, [y, x, c])
                });
                // The order of the f64 sums differs, which may tip a rounding.
                let tolerance = if precision == Precision::F32 { 1e-6 } else { 0.04 };
                let diff = max_abs_diff(&got, &due);
                assert!(diff <= tolerance, "{spec:?} {diff:e}");
            }
        }
    }
}

#[test]
fn stride_two_takes_every_other_position() {
    for (height, width) in [(7, 5), (8, 6), (1, 1), (2, 9)] {
        let input = noise("strided", Shape::new(height, width, 3));
        for kernel in [1, 3, 7] {
            let one = ConvSpec::new(kernel, &[3], 4);
            let two = ConvSpec { stride: 2, ..one.clone() };
            let weights = noise("weights", Shape::new(1, 1, one.weight_len()));
            let full = reference::conv(&one, weights.data(), &[0.5; 4], &[&input], None).unwrap();
            let half = reference::conv(&two, weights.data(), &[0.5; 4], &[&input], None).unwrap();
            assert_eq!(half.shape(), Shape::new(height.div_ceil(2), width.div_ceil(2), 4));
            assert_eq!(half, HostTensor::from_fn(half.shape(), |y, x, c| full.at(2 * y, 2 * x, c)));
        }
    }
}

#[test]
fn rounding_is_to_nearest_even() {
    // One unit of the last place of bf16 at 1 is 2⁻⁷.
    let ulp = 2f32.powi(-7);
    assert_eq!(reference::round(1.0 + 0.5 * ulp, Precision::Bf16), 1.0);
    assert_eq!(reference::round(1.0 + 1.5 * ulp, Precision::Bf16), 1.0 + 2.0 * ulp);
    assert_eq!(reference::round(1.0 + 0.51 * ulp, Precision::Bf16), 1.0 + ulp);
    assert!(reference::round(f32::NAN, Precision::Bf16).is_nan());
    assert_eq!(reference::round(f32::INFINITY, Precision::Bf16), f32::INFINITY);
}

#[test]
fn nan_passes_through_every_activation() {
    let input = HostTensor::new(Shape::new(1, 1, 1), vec![f32::NAN]).unwrap();
    for activation in [Activation::None, Activation::Relu, Activation::Leaky(0.1), Activation::Prelu(vec![0.2])] {
        let spec = ConvSpec::new(1, &[1], 1).activation(activation);
        assert!(reference::conv(&spec, &[1.0], &[0.0], &[&input], None).unwrap().at(0, 0, 0).is_nan());
    }
}

#[test]
fn misfits_are_refused() {
    let input = noise("input", Shape::new(4, 4, 3));
    let other = noise("other", Shape::new(4, 5, 3));
    let spec = ConvSpec::new(1, &[3, 3], 2);
    let conv = |inputs: &[&HostTensor], addend| reference::conv(&spec, &[0.0; 12], &[0.0; 2], inputs, addend);
    assert!(conv(&[&input, &input], None).is_ok());
    assert!(matches!(conv(&[&input], None), Err(EngineError::Shape(_))));
    assert!(matches!(conv(&[&input, &other], None), Err(EngineError::Shape(_))));
    assert!(matches!(conv(&[&input, &input], Some((&input, Upsample::None))), Err(EngineError::Shape(_))));
    assert!(reference::pixel_shuffle(&input, 2).is_err());
    assert!(reference::pixel_unshuffle(&other, 2).is_err());
    assert!(reference::flow_warp(&input, &other, Padding::Zeros).is_err());
    assert!(reference::resize(&input, 0, 4, ResizeMode::Nearest).is_err());
}

#[test]
fn shuffles_undo_each_other() {
    let input = noise("shuffle", Shape::new(3, 5, 18));
    let shuffled = reference::pixel_shuffle(&input, 3).unwrap();
    assert_eq!(reference::pixel_unshuffle(&shuffled, 3).unwrap(), input);
}

#[test]
fn resizing_keeps_a_constant() {
    let flat = HostTensor::from_fn(Shape::new(5, 7, 1), |_, _, _| 0.625);
    for mode in ResizeMode::ALL {
        for (height, width) in [(1, 1), (2, 3), (5, 7), (11, 29)] {
            let got = reference::resize(&flat, height, width, mode).unwrap();
            let due = HostTensor::from_fn(Shape::new(height, width, 1), |_, _, _| 0.625);
            assert!(max_abs_diff(&got, &due) <= 1e-6, "{mode:?} {height}x{width}");
        }
    }
}

#[test]
fn frames_go_up_and_come_down_unchanged() {
    let engine = ReferenceEngine::new();
    let size = Size::new(257, 256);
    let plane =
        |step: u16| Plane::new(size, (0..size.pixels()).map(|i| (i as u16).wrapping_mul(step)).collect()).unwrap();
    let time = Timestamp::new(7, TimeBase::new(1, 25));
    let frame = Frame::new([plane(1), plane(3), plane(5)], time, 2).unwrap();
    let tensor = engine.upload(&frame).unwrap();
    assert_eq!(tensor.shape(), Shape::new(256, 257, 3));
    assert_eq!(engine.download(&tensor, time, 2).unwrap(), frame);
}

#[test]
fn downloads_clamp_and_refuse_what_is_not_finite() {
    let engine = ReferenceEngine::new();
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    let mut values = HostTensor::from_fn(Shape::new(2, 3, 3), |y, _, _| if y == 0 { -0.5 } else { 1.5 });
    let tensor = engine.from_host(&values, Precision::F32).unwrap();
    let frame = engine.download(&tensor, time, 0).unwrap();
    assert_eq!(frame.planes()[0].samples(), [0, 0, 0, 65535, 65535, 65535]);

    values.data_mut()[4] = f32::NAN;
    values.data_mut()[17] = f32::INFINITY;
    let tensor = engine.from_host(&values, Precision::F32).unwrap();
    let error = engine.download(&tensor, time, 0).unwrap_err();
    assert!(matches!(error, EngineError::NonFinite { count: 2, x: 1, y: 0 }), "{error}");
}

#[test]
fn memory_is_given_back() {
    let engine = ReferenceEngine::new();
    let shape = Shape::new(8, 8, 4);
    let tensor = engine.zeros(shape, Precision::F32).unwrap();
    let conv = engine.prepare_conv(&ConvSpec::new(1, &[4], 4), &[0.5; 16], &[1.0; 4]).unwrap();
    let output = engine.conv(&conv, &[&tensor], Some(Addend::same(&tensor))).unwrap();
    assert_eq!(engine.memory().used_bytes, 2 * shape.len() * 4);
    drop((tensor, output));
    assert_eq!(engine.memory().used_bytes, 0);
    assert_eq!(engine.memory().peak_bytes, 2 * shape.len() * 4);
}

#[test]
fn tensors_of_another_engine_are_refused() {
    let engine = ReferenceEngine::new();
    let foreign = framelift_engine::Tensor::new(Shape::new(1, 1, 3), Precision::F32, std::sync::Arc::new(()));
    assert!(matches!(engine.to_host(&foreign), Err(EngineError::Foreign { what: "tensor", .. })));
}
