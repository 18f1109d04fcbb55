//! Networks against what the published implementations give.

use std::collections::BTreeMap;
use std::sync::Arc;

use framelift_engine::{Engine, HostTensor, Precision, Shape};
use framelift_nets::{Checkpoint, Detected, Network, builtin, detect};
use framelift_testkit::golden::{Array, Golden};
use framelift_testkit::{max_abs_diff_of_frames, ops, synth};

use crate::{engine, engine_within, precisions};

/// The bar of the project: largest absolute difference in f32.
const TOLERANCE: f32 = 1e-4;

/// The bar of the project for f16, against f32.
const MIN_PSNR_DB: f64 = 50.0;

fn checkpoint(name: &str, arrays: &BTreeMap<String, Array>) -> Checkpoint {
    Checkpoint::from_bytes(name, &synth::to_safetensors(arrays)).unwrap()
}

/// What the network makes of one shot.
fn run(network: &Arc<dyn Network>, engine: &Arc<dyn Engine>, frames: &[HostTensor]) -> Vec<HostTensor> {
    let mut shot = Arc::clone(network).begin();
    let mut outputs = Vec::new();
    for frame in frames {
        let frame = engine.from_host(frame, Precision::F32).unwrap();
        outputs.extend(shot.push(frame).unwrap().iter().map(|output| engine.to_host(output).unwrap()));
    }
    outputs.extend(shot.finish().unwrap().iter().map(|output| engine.to_host(output).unwrap()));
    outputs
}

/// PSNR of `b` against `a` with values cut to [0, 1], in dB.
fn psnr_db(a: &[HostTensor], b: &[HostTensor]) -> f64 {
    let cut = |v: &f32| f64::from(v.clamp(0.0, 1.0));
    let squares = |(a, b): (&HostTensor, &HostTensor)| -> f64 {
        a.data().iter().zip(b.data()).map(|(a, b)| (cut(a) - cut(b)).powi(2)).sum()
    };
    let count: usize = a.iter().map(|frame| frame.data().len()).sum();
    -10.0 * (a.iter().zip(b).map(squares).sum::<f64>() / count as f64).log10()
}

/// What the network makes of one shot in f32 as sessions run it: in memory that was set aside for it.
fn planned(detected: &Detected, frames: &[HostTensor]) -> Vec<HostTensor> {
    let engine = engine_within(None).unwrap();
    let network = detected.prepare(Arc::clone(&engine), Precision::F32).unwrap();
    let Shape { height, width, .. } = frames[0].shape();
    let work_bytes =
        network.descriptor().work_bytes(height, width, frames.len() as u64, 1, engine.layout(Precision::F32));
    engine.set_memory_plan(work_bytes, work_bytes);
    run(&network, &engine, frames)
}

/// Runs the golden case through `detected`: f32 to the bar, and f16, where there is it, to its bar against f32.
fn check_detected(case: &str, detected: &Detected) {
    let Some(engine) = engine() else { return };
    let Some(golden) = Golden::case(case) else { return };
    let has_f16 = precisions(&*engine).contains(&Precision::F16);
    let (input, due) = (golden.frames("input"), golden.frames("output"));
    let outputs = |precision| run(&detected.prepare(Arc::clone(&engine), precision).unwrap(), &engine, &input);
    let full = outputs(Precision::F32);
    let diff = max_abs_diff_of_frames(&full, &due);
    println!("{case} f32: {diff:.2e}");
    assert!(diff <= TOLERANCE, "{case}: {diff:e}");
    assert!(planned(detected, &input) == full, "{case} where memory is set aside");
    if has_f16 {
        let psnr = psnr_db(&full, &outputs(Precision::F16));
        println!("{case} f16: {psnr:.1} dB");
        assert!(psnr >= MIN_PSNR_DB, "{case}: {psnr:.1} dB");
    }
}

fn check(case: &str, checkpoint: &Checkpoint) {
    check_detected(case, &detect(checkpoint).unwrap());
}

#[test]
fn golden_operations() {
    let Some(engine) = engine() else { return };
    for ops::Difference { case, max_abs } in ops::differences(&*engine).unwrap() {
        println!("{case}: {max_abs:.2e}");
        assert!(max_abs <= TOLERANCE, "{case}: {max_abs:e}");
    }
}

#[test]
fn compact() {
    check("compact_x4_n4", &checkpoint("compact_x4_n4", &synth::compact(64, 4, 4)));
}

#[test]
fn models_built_in() {
    for name in builtin::names() {
        check(&name.replace('-', "_"), &builtin::checkpoint(name).unwrap().unwrap());
    }
}

#[test]
fn rrdbnet() {
    check("rrdbnet_x4_b2", &checkpoint("rrdbnet_x4_b2", &synth::rrdbnet(64, 32, 2, 4)));
    check("rrdbnet_x2_b1", &checkpoint("rrdbnet_x2_b1", &synth::rrdbnet(64, 32, 1, 2)));
}

#[test]
fn basicvsr_plusplus_of_one_frame() {
    let arrays = synth::basicvsr_plusplus(32, 2, false);
    check("basicvsrpp_c32n2_single", &checkpoint("basicvsrpp_c32n2_single", &arrays));
}

#[test]
fn realbasicvsr() {
    let checkpoint = checkpoint("realbasicvsr_c32n2", &synth::realbasicvsr(32, 2, 2));
    check("realbasicvsr_c32n2_thres255", &checkpoint);
}

#[test]
fn realbasicvsr_cleans_until_the_threshold() {
    let checkpoint = checkpoint("realbasicvsr_c32n2", &synth::realbasicvsr(32, 2, 2));
    let cleaning = detect(&checkpoint).unwrap().with_cleaning_threshold(2.0).unwrap();
    check_detected("realbasicvsr_c32n2_thres2", &cleaning);
}

#[test]
fn basicvsr() {
    check("basicvsr_c64n3", &checkpoint("basicvsr_c64n3", &synth::basicvsr(64, 3)));
}

#[test]
fn basicvsr_plusplus() {
    check("basicvsrpp_c64n2", &checkpoint("basicvsrpp_c64n2", &synth::basicvsr_plusplus(64, 2, false)));
    check("basicvsrpp_same_c32n1", &checkpoint("basicvsrpp_same_c32n1", &synth::basicvsr_plusplus(32, 1, true)));
}
