//! How far bf16 is from f32.

use std::collections::BTreeMap;

use framelift_engine::{HostTensor, Precision, Shape};
use framelift_testkit::golden::Array;
use framelift_testkit::synth;

use crate::{checkpoint, fastest_engine, network, run};

/// The bar of the project.
const MIN_PSNR_DB: f64 = 50.0;

/// Frames of a moving texture of fine and coarse waves, in [0, 1].
fn moving_texture(count: usize, height: usize, width: usize) -> Vec<HostTensor> {
    let frame = |t: usize| {
        HostTensor::from_fn(Shape::new(height, width, 3), |y, x, c| {
            let (y, x) = (y as f32 + 0.4 * t as f32, x as f32 - 1.3 * t as f32);
            let coarse = (0.11 * x + 0.07 * y + c as f32).sin();
            let fine = (0.83 * x - 0.37 * y).sin() * (0.29 * x + 0.61 * y + c as f32).cos();
            0.5 + 0.25 * coarse + 0.2 * fine
        })
    };
    (0..count).map(frame).collect()
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

#[test]
fn short_precisions_are_near_f32() {
    let networks: [(&str, BTreeMap<String, Array>, usize); 6] = [
        ("BasicVSR", synth::basicvsr(32, 3), 64),
        ("BasicVSR++", synth::basicvsr_plusplus(32, 2, false), 64),
        ("BasicVSR++ of the same size", synth::basicvsr_plusplus(32, 1, true), 128),
        ("RealBasicVSR", synth::realbasicvsr(32, 2, 2), 64),
        ("RRDBNet", synth::rrdbnet(32, 16, 2, 4), 64),
        ("RRDBNet x2", synth::rrdbnet(32, 16, 2, 2), 64),
    ];
    let (_, engine) = fastest_engine();
    for (name, arrays, side) in networks {
        let frames = moving_texture(6, side, side);
        let checkpoint = checkpoint(name, &arrays);
        let [f32, bf16, f16] = [Precision::F32, Precision::Bf16, Precision::F16]
            .map(|precision| run(&network(&checkpoint, &engine, precision), &engine, &frames));
        let [bf16, f16] = [bf16, f16].map(|short| psnr_db(&f32, &short));
        println!("{name}: bf16 {bf16:.1} dB, f16 {f16:.1} dB");
        assert!(bf16 >= MIN_PSNR_DB, "{name}: {bf16:.1} dB");
        // Three bits more are six times three decibels.
        assert!(f16 >= MIN_PSNR_DB + 15.0, "{name}: {f16:.1} dB");
    }
}
