//! Networks against what the published implementations give, on every engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, Precision};
use framelift_nets::{Checkpoint, Detected, builtin, detect};
use framelift_testkit::golden::{Array, Golden};
use framelift_testkit::{max_abs_diff_of_frames, ops, synth, test_data};

use crate::{checkpoint, engines, fastest_engine, network, run};

/// The bar of the project: largest absolute difference in f32.
const TOLERANCE: f32 = 1e-4;

/// Values of pictures in [0, 1] may be this far off when weights and features are bf16.
const BF16_TOLERANCE: f32 = 0.01;

/// Likewise, with three bits more.
const F16_TOLERANCE: f32 = BF16_TOLERANCE / 8.0;

/// Runs the golden case `case` through `checkpoint` on every engine.
fn check(case: &str, checkpoint: &Checkpoint) {
    check_on(engines(), case, &detect(checkpoint).unwrap());
}

/// Runs the golden case `case` through `detected` on `engines`.
fn check_on(engines: Vec<(String, Arc<dyn Engine>)>, case: &str, detected: &Detected) {
    if let Some(golden) = Golden::case(case) {
        check_against(&golden, engines, case, detected);
    }
}

/// Runs the golden vectors, those of `case`, through `detected` on `engines`.
fn check_against(golden: &Golden, engines: Vec<(String, Arc<dyn Engine>)>, case: &str, detected: &Detected) {
    let (input, due) = (golden.frames("input"), golden.frames("output"));
    for (name, engine) in engines {
        let network = detected.prepare(Arc::clone(&engine), Precision::F32).unwrap();
        let diff = max_abs_diff_of_frames(&run(&network, &engine, &input), &due);
        println!("{case} f32 {name}: {diff:.2e}");
        assert!(diff <= TOLERANCE, "{case} on {name}: {diff:e}");
    }
}

/// The file `name` among the real weights.
fn real_weights(name: &str) -> Option<PathBuf> {
    Some(test_data()?.join("weights").join(name))
}

/// The file `name` among the golden checkpoints.
fn golden_checkpoint(name: &str) -> Option<Checkpoint> {
    Some(Checkpoint::open(&test_data()?.join("golden/checkpoints").join(name)).unwrap())
}

/// The synthetic checkpoint of the golden case `compact_x4_n4`.
fn compact_x4_n4() -> Checkpoint {
    checkpoint("compact_x4_n4", &synth::compact(64, 4, 4))
}

#[test]
fn operations_match_on_every_engine() {
    for (name, engine) in engines() {
        let differences = ops::differences(&*engine).unwrap();
        let worst = differences.iter().max_by(|a, b| a.max_abs.total_cmp(&b.max_abs)).unwrap();
        println!("operations {name}: {:.2e} ({})", worst.max_abs, worst.case);
        assert!(worst.max_abs <= TOLERANCE, "{} on {name}: {:e}", worst.case, worst.max_abs);
    }
}

#[test]
fn compact_on_synthetic_weights() {
    check("compact_x4_n4", &compact_x4_n4());
}

#[test]
fn compact_from_every_form_of_checkpoint() {
    for name in ["compact_x4_n4_params.pth", "compact_x4_n4_params_and_ema.pth"] {
        let Some(checkpoint) = golden_checkpoint(name) else { return };
        assert_eq!(checkpoint.tensors(), compact_x4_n4().tensors(), "{name}");
        check("compact_x4_n4", &checkpoint);
    }
}

#[test]
fn compact_from_half_precision_is_the_rounded_network() {
    let Some(half) = golden_checkpoint("compact_x4_n4_half.pth") else { return };
    for (name, weight) in compact_x4_n4().tensors() {
        let stored = half.get(name).unwrap();
        assert_eq!(stored.shape(), weight.shape());
        // Half precision keeps 11 bits, fewer below 2⁻¹⁴.
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= b.abs() / 2048.0 + 2f32.powi(-25);
        assert!(stored.values().iter().zip(weight.values()).all(close), "{name}");
    }
    let golden = Golden::case("compact_x4_n4").unwrap();
    let (name, engine) = engines().pop().unwrap();
    let outputs = run(&network(&half, &engine, Precision::F32), &engine, &golden.frames("input"));
    let diff = max_abs_diff_of_frames(&outputs, &golden.frames("output"));
    println!("compact_x4_n4_half f32 {name}: {diff:.2e}");
    assert!(diff <= 2e-3, "{diff:e}");
}

#[test]
fn real_animevideov3() {
    for name in ["realesr-animevideov3.pth", "realesr-animevideov3-fp32.safetensors"] {
        let Some(path) = real_weights(name) else { return };
        check("real_animevideov3", &Checkpoint::open(&path).unwrap());
    }
}

#[test]
fn real_general_x4v3() {
    let Some(path) = real_weights("realesr-general-x4v3-fp16.safetensors") else { return };
    check("real_general_x4v3", &Checkpoint::open(&path).unwrap());
}

#[test]
fn models_built_in() {
    for name in builtin::names() {
        check(&name.replace('-', "_"), &builtin::checkpoint(name).unwrap().unwrap());
    }
}

/// Whose neighbours and state are not brought along the motion.
#[test]
fn lift_of_the_first_version() {
    for case in ["lift_x4", "lift_x2"] {
        let Some(folder) = test_data() else { return };
        let file = format!("{case}.safetensors");
        let checkpoint = Checkpoint::open(&folder.join("weights").join(&file)).unwrap();
        let golden = Golden::open(&folder.join("golden").join(&file));
        check_against(&golden, engines(), case, &detect(&checkpoint).unwrap());
    }
}

#[test]
fn basicvsr() {
    let checkpoint = checkpoint("basicvsr_c64n3", &synth::basicvsr(64, 3));
    check_on(vec![fastest_engine()], "basicvsr_c64n3", &detect(&checkpoint).unwrap());
}

#[test]
fn basicvsr_plusplus() {
    let checkpoint = checkpoint("basicvsrpp_c64n2", &synth::basicvsr_plusplus(64, 2, false));
    check_on(vec![fastest_engine()], "basicvsrpp_c64n2", &detect(&checkpoint).unwrap());
}

#[test]
fn basicvsr_plusplus_of_one_frame() {
    let checkpoint = checkpoint("basicvsrpp_c32n2_single", &synth::basicvsr_plusplus(32, 2, false));
    check("basicvsrpp_c32n2_single", &checkpoint);
}

#[test]
fn basicvsr_plusplus_of_the_same_size() {
    let checkpoint = checkpoint("basicvsrpp_same_c32n1", &synth::basicvsr_plusplus(32, 1, true));
    check_on(vec![fastest_engine()], "basicvsrpp_same_c32n1", &detect(&checkpoint).unwrap());
}

#[test]
fn realbasicvsr_cleans_once_by_default() {
    let checkpoint = checkpoint("realbasicvsr_c32n2", &synth::realbasicvsr(32, 2, 2));
    check_on(vec![fastest_engine()], "realbasicvsr_c32n2_thres255", &detect(&checkpoint).unwrap());
}

#[test]
fn realbasicvsr_cleans_until_the_threshold() {
    let checkpoint = checkpoint("realbasicvsr_c32n2", &synth::realbasicvsr(32, 2, 2));
    let detected = detect(&checkpoint).unwrap().with_cleaning_threshold(2.0).unwrap();
    check_on(vec![fastest_engine()], "realbasicvsr_c32n2_thres2", &detected);
}

#[test]
fn realbasicvsr_uses_the_averaged_generator() {
    let Some(checkpoint) = golden_checkpoint("realbasicvsr_c32n2_generator_and_ema.pth") else { return };
    check_on(vec![fastest_engine()], "realbasicvsr_c32n2_thres255", &detect(&checkpoint).unwrap());
}

/// Runs a golden case on the reference engine, whose plain loops take minutes.
fn check_on_reference(case: &str, arrays: &BTreeMap<String, Array>, cleaning_threshold: Option<f32>) {
    let detected = detect(&checkpoint("synthetic", arrays)).unwrap();
    let detected = cleaning_threshold.map_or(detected.clone(), |t| detected.with_cleaning_threshold(t).unwrap());
    check_on(vec![("reference".to_owned(), Arc::new(ReferenceEngine::new()))], case, &detected);
}

#[test]
#[ignore = "takes minutes"]
fn basicvsr_on_the_reference() {
    check_on_reference("basicvsr_c64n3", &synth::basicvsr(64, 3), None);
}

#[test]
#[ignore = "takes minutes"]
fn basicvsr_plusplus_on_the_reference() {
    check_on_reference("basicvsrpp_c64n2", &synth::basicvsr_plusplus(64, 2, false), None);
}

#[test]
#[ignore = "takes minutes"]
fn basicvsr_plusplus_of_the_same_size_on_the_reference() {
    check_on_reference("basicvsrpp_same_c32n1", &synth::basicvsr_plusplus(32, 1, true), None);
}

#[test]
#[ignore = "takes minutes"]
fn realbasicvsr_on_the_reference() {
    let arrays = synth::realbasicvsr(32, 2, 2);
    check_on_reference("realbasicvsr_c32n2_thres255", &arrays, None);
    check_on_reference("realbasicvsr_c32n2_thres2", &arrays, Some(2.0));
}

#[test]
fn rrdbnet_x4() {
    check("rrdbnet_x4_b2", &checkpoint("rrdbnet_x4_b2", &synth::rrdbnet(64, 32, 2, 4)));
}

#[test]
fn rrdbnet_x2() {
    check("rrdbnet_x2_b1", &checkpoint("rrdbnet_x2_b1", &synth::rrdbnet(64, 32, 1, 2)));
}

#[test]
fn rrdbnet_from_the_older_form_of_pth() {
    let Some(checkpoint) = golden_checkpoint("rrdbnet_x4_b2_params_ema_legacy.pth") else { return };
    check_on(vec![fastest_engine()], "rrdbnet_x4_b2", &detect(&checkpoint).unwrap());
}

#[test]
fn short_precisions_stay_near_the_golden_vectors() {
    let cases = [("compact_x4_n4", compact_x4_n4()), ("lift_x4", builtin::checkpoint("lift-x4").unwrap().unwrap())];
    for (case, checkpoint) in cases {
        let golden = Golden::case(case).unwrap();
        let (input, due) = (golden.frames("input"), golden.frames("output"));
        for (precision, tolerance) in [(Precision::Bf16, BF16_TOLERANCE), (Precision::F16, F16_TOLERANCE)] {
            let mut reference = None;
            for (name, engine) in engines() {
                let network = network(&checkpoint, &engine, precision);
                let outputs = run(&network, &engine, &input);
                let diff = max_abs_diff_of_frames(&outputs, &due);
                let reference: &Vec<_> = reference.get_or_insert_with(|| outputs.clone());
                let from_reference = max_abs_diff_of_frames(&outputs, reference);
                println!(
                    "{case} {precision} {name}: {diff:.2e} from f32, {from_reference:.2e} from the reference in it"
                );
                assert!(diff <= tolerance, "{case} in {precision} on {name}: {diff:e}");
                assert!(from_reference <= tolerance / 2.0, "{case} in {precision} on {name}: {from_reference:e}");
            }
        }
    }
}

#[test]
fn prepared_networks_are_shared_between_shots() {
    let golden = Golden::case("lift_x2").unwrap();
    let input = golden.frames("input");
    let (_, engine) = engines().pop().unwrap();
    let checkpoint = builtin::checkpoint("lift-x2").unwrap().unwrap();
    let network = network(&checkpoint, &engine, Precision::F32);
    let alone = run(&network, &engine, &input[..3]);
    let both: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| run(&Arc::clone(&network), &engine, &input[..3]))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(both[0], alone);
    assert_eq!(both[1], alone);
}
