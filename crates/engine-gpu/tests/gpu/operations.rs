//! Each operation against the reference.

use framelift_engine::{
    Activation, ConvSpec, EngineError, HostTensor, Padding, Precision, ResizeMode, Shape, Upsample,
};
use framelift_frame::{Frame, Size, TimeBase, Timestamp};
use framelift_testkit::suite::{
    ConvCase, DeformCase, Loss, broken_values_are_found, bytes_are_the_references, check_pointwise, check_resize,
    check_shuffle, check_warp, conv_cases, deform_cases, frames_come_back, losses, map_cases, misfits_are_refused,
    motions_are_the_references, nan_flows_show, rows_are_cut_and_stacked,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{PRECISIONS, checked, engine, precisions};

#[test]
fn convolutions_of_the_networks() {
    let Some(engine) = engine() else { return };
    for &precision in precisions(&*engine) {
        let case = |kernel, inputs: &[usize], out, height, width| {
            ConvCase::new(kernel, inputs, out, height, width).precision(precision, precision)
        };
        let leaky = Activation::Leaky(0.1);
        case(3, &[3, 3, 3, 32], 32, 19, 30).activation(leaky.clone()).check(&checked(&*engine));
        ConvCase { addend: Some(Upsample::None), ..case(3, &[64], 64, 13, 61) }.check(&checked(&*engine));
        case(3, &[64], 64, 9, 22).activation(Activation::Relu).check(&checked(&*engine));
        case(3, &[3, 64], 64, 9, 22).activation(leaky.clone()).check(&checked(&*engine));
        case(3, &[64], 256, 5, 18).shuffle(2, Upsample::None).activation(leaky).check(&checked(&*engine));
        case(3, &[32], 48, 9, 22).shuffle(4, Upsample::Bilinear).check(&checked(&*engine));
        case(3, &[64], 48, 9, 22).shuffle(4, Upsample::Nearest).check(&checked(&*engine));
        let prelu = Activation::Prelu((0..64).map(|i| i as f32 / 40.0 - 0.3).collect());
        case(3, &[3], 64, 21, 40).activation(prelu).check(&checked(&*engine));
        case(7, &[8], 32, 12, 17).check(&checked(&*engine));
        case(3, &[64], 3, 18, 33).check(&checked(&*engine));
        case(3, &[64], 432, 6, 9).check(&checked(&*engine));
        case(3, &[64, 32, 32, 32, 32], 64, 7, 18).check(&checked(&*engine));
    }
}

#[test]
fn many_channels_strides_and_single_pixels() {
    let Some(engine) = engine() else { return };
    for (height, width) in [(1, 1), (1, 7), (5, 1), (2, 2)] {
        ConvCase::new(3, &[64], 64, height, width).check(&checked(&*engine));
        ConvCase::new(7, &[3], 5, height, width).check(&checked(&*engine));
    }
    ConvCase::new(3, &[128, 70], 144, 6, 9).check(&checked(&*engine));
    ConvCase::new(1, &[100], 432, 5, 6).check(&checked(&*engine));
    for kernel in [1, 3, 7] {
        let case = ConvCase::new(kernel, &[20], 40, 21, 38);
        ConvCase { spec: ConvSpec { stride: 2, ..case.spec }, ..case }.check(&checked(&*engine));
    }
}

#[test]
fn images_and_features_of_two_precisions_go_into_one_convolution() {
    let Some(engine) = engine() else { return };
    if !precisions(&*engine).contains(&Precision::F16) {
        return;
    }
    let weights: Vec<f32> = (0..16 * 11).map(|i| (i as f32 * 0.37).sin()).collect();
    let spec = ConvSpec::new(1, &[3, 8], 16).precision(Precision::F16, Precision::F32);
    let image = framelift_testkit::suite::noise_tensor(Shape::new(5, 6, 3), 1);
    let feature = framelift_testkit::suite::noise_tensor(Shape::new(5, 6, 8), 2);
    let feature = framelift_engine::reference::rounded(feature, Precision::F16);
    let due = framelift_engine::reference::conv(&spec, &weights, &[0.0; 16], &[&image, &feature], None).unwrap();
    let conv = engine.prepare_conv(&spec, &weights, &[0.0; 16]).unwrap();
    let image = engine.from_host(&image, Precision::F32).unwrap();
    let feature = engine.from_host(&feature, Precision::F16).unwrap();
    let got = engine.to_host(&engine.conv(&conv, &[&image, &feature], None).unwrap()).unwrap();
    assert!(framelift_testkit::max_abs_diff(&got, &due) < 1e-5);
}

#[test]
fn deformable_convolutions_of_the_networks() {
    let Some(engine) = engine() else { return };
    for &precision in precisions(&*engine) {
        let case = |inputs: &[usize], out, groups, height, width| {
            let case = DeformCase::new(inputs, out, groups, height, width);
            DeformCase { spec: case.spec.precision(precision, precision), stored: precision, ..case }
        };
        case(&[64, 64], 64, 16, 7, 31).check(&checked(&*engine));
        case(&[32, 32], 32, 16, 12, 25).check(&checked(&*engine));
        DeformCase { flow_px: None, ..case(&[16], 8, 4, 9, 24) }.check(&checked(&*engine));
    }
    for (height, width) in [(1, 1), (1, 30), (30, 1), (2, 2)] {
        DeformCase::new(&[8, 16], 5, 3, height, width).check(&checked(&*engine));
    }
    DeformCase::new(&[2], 1, 1, 2, 5000).check(&checked(&*engine));
}

#[test]
fn frames_and_what_is_broken_in_them() {
    let Some(engine) = engine() else { return };
    // A division may be off by a unit or two of the last place on a GPU.
    frames_come_back(&*engine, 3.0 * f32::EPSILON);
    broken_values_are_found(&*engine);
    nan_flows_show(&*engine);
}

/// The bar of the project for an operation in f16.
const MOST_LOSS: f64 = 1e-5;

#[test]
fn operations_in_f16_lose_little() {
    let Some(engine) = engine() else { return };
    for &precision in precisions(&*engine) {
        for Loss { operation, normalised_mse } in losses(&*engine, precision).unwrap() {
            println!("{operation} in {precision}: {normalised_mse:.1e}");
            assert!(normalised_mse <= MOST_LOSS, "{operation} in {precision}: {normalised_mse:e}");
        }
    }
}

/// Of a pixel: a step is a quotient of sums, which loses more than the sums where detail runs in one direction.
const MOTION_TOLERANCE: f32 = 1e-3;

#[test]
fn motion_is_found_on_the_device() {
    let Some(engine) = engine() else { return };
    motions_are_the_references(&*engine, MOTION_TOLERANCE);
}

#[test]
fn a_download_does_not_hold_the_next_launches_up() {
    let Some(engine) = engine() else { return };
    let picture = |value| engine.from_host(&HostTensor::from_fn(Shape::new(9, 7, 3), |_, _, _| value), Precision::F32);
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    // What is launched while the first is on its way takes its buffer, and must not be seen in it.
    let first = engine.begin_download(&picture(0.25).unwrap(), time, 1);
    let second = engine.begin_download(&picture(0.75).unwrap(), time, 1);
    let broken = engine.begin_download(&picture(f32::NAN).unwrap(), time, 1);
    assert!(matches!(broken.wait(), Err(EngineError::NonFinite { count: 189, x: 0, y: 0 })));
    for (download, level) in [(second, 49_151), (first, 16_384)] {
        let frame = download.wait().unwrap();
        assert!(frame.planes().iter().all(|plane| plane.samples().iter().all(|&sample| sample == level)));
    }
}

#[test]
fn downloads_that_nobody_takes_do_no_harm() {
    let Some(engine) = engine() else { return };
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    let frame = Frame::black(Size::new(90, 70), time, 1);
    let tensor = engine.upload(&frame).unwrap();
    for _ in 0..20 {
        drop(engine.begin_download(&tensor, time, 1));
        assert!(engine.begin_download(&tensor, time, 1).wait().unwrap() == frame);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(engine) = engine() else { return };
    let short = *precisions(&*engine).last().unwrap();
    if short != Precision::F32 {
        misfits_are_refused(&*engine, short);
    }
    bytes_are_the_references(&*engine, precisions(&*engine));
    rows_are_cut_and_stacked(&*engine, precisions(&*engine));
    let bf16 = engine.zeros(Shape::new(1, 1, 1), Precision::Bf16);
    assert!(matches!(bf16, Err(EngineError::Unsupported { .. })));
}

#[test]
fn a_mean_shows_what_is_not_finite() {
    let Some(engine) = engine() else { return };
    let mut values = framelift_testkit::suite::noise_tensor(Shape::new(67, 45, 3), 4);
    values.data_mut()[77] = f32::NAN;
    let tensor = engine.from_host(&values, Precision::F32).unwrap();
    assert!(engine.mean_abs(&tensor).unwrap().is_nan());
}

#[test]
fn the_same_calls_give_the_same_bits() {
    let Some(engine) = engine() else { return };
    let case = ConvCase::new(3, &[3, 40], 36, 45, 67).shuffle(2, Upsample::Bilinear);
    assert_eq!(case.run(&*engine).unwrap(), case.run(&*engine).unwrap());
    let case = DeformCase::new(&[16, 8], 20, 3, 45, 67);
    assert_eq!(case.run(&*engine).unwrap(), case.run(&*engine).unwrap());
}

/// Each shape is a kernel of its own that the driver compiles: few cases.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 24, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_convolution(case in conv_cases(PRECISIONS, 24)) {
        let Some(engine) = engine() else { return Ok(()) };
        prop_assume!(case.spec.precision == Precision::F32 || precisions(&*engine).len() > 1);
        case.check(&checked(&*engine));
    }

    #[test]
    fn any_deformable_convolution(case in deform_cases(PRECISIONS, 40)) {
        let Some(engine) = engine() else { return Ok(()) };
        case.check(&checked(&*engine));
    }

    #[test]
    fn any_resize(case in map_cases(PRECISIONS, 20), size in (1..50_usize, 1..50_usize)) {
        let Some(engine) = engine() else { return Ok(()) };
        check_resize(&case, size, &[&*engine]);
    }

    #[test]
    fn any_shuffle(case in map_cases(PRECISIONS, 9), factor in 1..5_usize) {
        let Some(engine) = engine() else { return Ok(()) };
        check_shuffle(&case, factor, &*engine);
    }

    #[test]
    fn any_pointwise_operation(case in map_cases(PRECISIONS, 40)) {
        let Some(engine) = engine() else { return Ok(()) };
        check_pointwise(&case, 1e-12, &[&*engine]);
    }

    #[test]
    fn any_warp(
        case in map_cases(PRECISIONS, 20),
        flow_px in select(vec![0.0_f32, 0.7, 5.0, 60.0, 1e9]),
        padding in select(vec![Padding::Zeros, Padding::Border]),
    ) {
        let Some(engine) = engine() else { return Ok(()) };
        check_warp(&case, flow_px, padding, &[&*engine]);
    }
}

#[test]
fn a_resize_to_the_same_size_is_the_tensor_itself() {
    let Some(engine) = engine() else { return };
    let values = framelift_testkit::suite::noise_tensor(Shape::new(5, 6, 3), 1);
    let tensor = engine.from_host(&values, Precision::F32).unwrap();
    let same = engine.resize(&tensor, 5, 6, ResizeMode::Bicubic).unwrap();
    assert_eq!(engine.to_host(&same).unwrap(), values);
}
