//! The engine against the reference, with every instruction set that this machine has and both methods of convolution.

use std::sync::Arc;

use framelift_engine::{Activation, Engine, HostTensor, Padding, Precision, Shape, Upsample};
use framelift_testkit::suite::{
    self, Checked, ConvCase, DeformCase, bytes_are_the_references, check_pointwise, check_resize, check_shuffle,
    check_warp, conv_cases, deform_cases, map_cases, noise_tensor,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{ConvMethod, CpuEngine, CpuOptions, Isa};

/// Of the largest sum of magnitudes: rounding of f32 sums in another order than the reference's.
const DIRECT_TOLERANCE: f32 = 1e-6;

/// Likewise; Winograd's sums cancel more.
const WINOGRAD_TOLERANCE: f32 = 4e-6;

const PRECISIONS: &[Precision] = &[Precision::F32, Precision::Bf16, Precision::F16];

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

/// Calls `check` with every engine.
fn on_all(check: impl Fn(&[&dyn Engine])) {
    let engines = engines(None);
    check(&engines.iter().map(|engine| engine as &dyn Engine).collect::<Vec<_>>());
}

/// Compares every engine with the reference, by every method that applies.
fn check(case: &ConvCase) {
    let direct = engines(Some(ConvMethod::Direct)).into_iter().map(|engine| (engine, DIRECT_TOLERANCE));
    let winograd = engines(Some(ConvMethod::Winograd)).into_iter().map(|engine| (engine, WINOGRAD_TOLERANCE));
    let engines: Vec<(CpuEngine, f32)> = direct.chain(winograd).collect();
    case.check(&engines.iter().map(|(engine, tolerance)| checked(engine, *tolerance)).collect::<Vec<_>>());
}

/// Likewise.
fn check_deform(case: &DeformCase) {
    let engines = engines(None);
    case.check(&engines.iter().map(|engine| checked(engine, DIRECT_TOLERANCE)).collect::<Vec<_>>());
}

fn checked(engine: &CpuEngine, tolerance: f32) -> Checked<'_> {
    Checked { engine, tolerance }
}

#[test]
fn convolutions_of_the_built_in_networks() {
    check(&ConvCase::new(3, &[3, 3, 3, 32], 32, 19, 30).activation(Activation::Leaky(0.1)));
    check(&ConvCase { addend: Some(Upsample::None), ..ConvCase::new(3, &[32], 32, 13, 101) });
    check(&ConvCase::new(3, &[32], 48, 9, 22).shuffle(4, Upsample::Bilinear));
    let prelu = Activation::Prelu((0..64).map(|i| i as f32 / 40.0 - 0.3).collect());
    check(&ConvCase::new(3, &[64], 64, 21, 70).activation(prelu.clone()));
    check(&ConvCase::new(3, &[3], 64, 21, 70).activation(prelu));
    check(&ConvCase::new(3, &[64], 48, 9, 22).shuffle(4, Upsample::Nearest));
}

#[test]
fn many_channels_and_single_pixels() {
    for (height, width) in [(1, 1), (1, 7), (5, 1), (2, 2)] {
        check(&ConvCase::new(3, &[64], 64, height, width));
        check(&ConvCase::new(7, &[3], 5, height, width));
    }
    check(&ConvCase::new(3, &[128, 70], 144, 6, 9));
    check(&ConvCase::new(1, &[100], 432, 5, 6));
}

#[test]
fn short_precisions_of_the_built_in_networks() {
    for short in [Precision::Bf16, Precision::F16] {
        let case = |case: ConvCase, output| check(&case.precision(short, output));
        case(ConvCase::new(3, &[64], 64, 13, 29), short);
        case(ConvCase::new(3, &[3, 3, 3, 32], 32, 13, 29), short);
        case(ConvCase { addend: Some(Upsample::None), ..ConvCase::new(3, &[33], 32, 13, 29) }, short);
        case(ConvCase::new(3, &[32], 48, 9, 22).shuffle(4, Upsample::Bilinear), Precision::F32);
    }
}

#[test]
fn deformable_convolutions_of_the_networks() {
    check_deform(&DeformCase::new(&[64, 64], 64, 16, 7, 61));
    check_deform(&DeformCase::new(&[32, 32], 32, 16, 12, 25));
    check_deform(&DeformCase { flow_px: None, ..DeformCase::new(&[16], 8, 4, 9, 24) });
    for short in [Precision::Bf16, Precision::F16] {
        let check_short =
            |case: DeformCase| check_deform(&DeformCase { spec: case.spec.precision(short, short), ..case });
        check_short(DeformCase { stored: short, ..DeformCase::new(&[64, 64], 64, 16, 5, 49) });
        check_short(DeformCase::new(&[32, 32], 32, 16, 5, 49));
    }
}

#[test]
fn deformable_convolutions_of_single_pixels_and_lines() {
    for (height, width) in [(1, 1), (1, 30), (30, 1), (2, 2)] {
        check_deform(&DeformCase::new(&[8, 16], 5, 3, height, width));
    }
}

#[test]
fn a_wide_picture_is_sampled_as_exactly_at_its_far_end() {
    check_deform(&DeformCase::new(&[2], 1, 1, 2, 5000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_convolution(case in conv_cases(PRECISIONS, 24)) {
        check(&case);
    }

    #[test]
    fn any_resize(case in map_cases(PRECISIONS, 20), size in (1..50_usize, 1..50_usize)) {
        on_all(|engines| check_resize(&case, size, engines));
    }

    #[test]
    fn any_shuffle(case in map_cases(PRECISIONS, 9), factor in 1..5_usize) {
        check_shuffle(&case, factor, &engines(None).remove(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_deformable_convolution(case in deform_cases(PRECISIONS, 56)) {
        check_deform(&case);
    }

    #[test]
    fn any_warp(
        case in map_cases(PRECISIONS, 20),
        flow_px in select(vec![0.0_f32, 0.7, 5.0, 60.0, 1e9]),
        padding in select(vec![Padding::Zeros, Padding::Border]),
    ) {
        on_all(|engines| check_warp(&case, flow_px, padding, engines));
    }

    #[test]
    fn any_pointwise_operation(case in map_cases(PRECISIONS, 40)) {
        on_all(|engines| check_pointwise(&case, 1e-12, engines));
    }
}

#[test]
fn every_engine_keeps_the_contract() {
    for engine in engines(None) {
        suite::frames_come_back(&engine, 0.0);
        suite::broken_values_are_found(&engine);
        suite::nan_flows_show(&engine);
        bytes_are_the_references(&engine, PRECISIONS);
        suite::rows_are_cut_and_stacked(&engine, PRECISIONS);
    }
}

#[test]
fn a_result_does_not_depend_on_the_number_of_threads() {
    let case = ConvCase::new(3, &[3, 40], 36, 45, 67).shuffle(2, Upsample::Bilinear);
    let of = |threads| CpuEngine::new(&CpuOptions { threads: Some(threads), ..CpuOptions::default() }).unwrap();
    for method in [ConvMethod::Direct, ConvMethod::Winograd] {
        let [one, three] = [1, 3].map(|threads| case.run(&of(threads).with_method(method)).unwrap());
        assert_eq!(one, three);
    }
    let case = DeformCase::new(&[16, 8], 20, 3, 45, 67);
    let [one, three] = [1, 3].map(|threads| case.run(&of(threads)).unwrap());
    assert_eq!(one, three);
    let mut values = noise_tensor(Shape::new(67, 45, 3), 4);
    let mean = |threads, values: &HostTensor| {
        let engine = of(threads);
        engine.mean_abs(&engine.from_host(values, Precision::F32).unwrap()).unwrap()
    };
    assert_eq!(mean(1, &values).to_bits(), mean(3, &values).to_bits());
    values.data_mut()[77] = f32::NAN;
    assert!(mean(2, &values).is_nan());
}

#[test]
fn memory_is_counted_recycled_and_limited() {
    let options = |limit| CpuOptions { threads: Some(1), memory_limit_bytes: Some(limit), ..CpuOptions::default() };
    suite::memory_is_counted_recycled_and_limited(|limit| Arc::new(CpuEngine::new(&options(limit)).unwrap()));
}

#[test]
fn motions_are_the_references() {
    suite::motions_are_the_references(&CpuEngine::new(&CpuOptions::default()).unwrap(), 0.0);
}

#[test]
fn operations_in_short_precisions_lose_little() {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    // Eight bits of mantissa, where f16 has eleven.
    for (precision, most) in [(Precision::Bf16, 64e-5), (Precision::F16, 1e-5)] {
        for suite::Loss { operation, normalised_mse } in suite::losses(&engine, precision).unwrap() {
            println!("{operation} in {precision}: {normalised_mse:.1e}");
            assert!(normalised_mse <= most, "{operation} in {precision}: {normalised_mse:e}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    suite::misfits_are_refused(&engine, Precision::Bf16);
}
