//! The shapes of kernels: measured once, and without a trace in results. And whether matrix cores multiply.

use framelift_engine::{Activation, Upsample};
use framelift_engine_gpu::Tuning;
use framelift_testkit::suite::ConvCase;

use crate::{engine_with, engine_within, precisions};

#[test]
fn every_shape_gives_the_same_bits() {
    let Some(usual) = engine_within(None) else { return };
    for &precision in precisions(&*usual) {
        let case =
            |kernel, inputs: &[usize], out| ConvCase::new(kernel, inputs, out, 19, 37).precision(precision, precision);
        // A case for each number of outputs that has shapes of its own.
        let cases = [
            case(7, &[8], 3),
            case(3, &[3], 8).activation(Activation::Leaky(0.1)),
            case(1, &[20], 16),
            case(3, &[3, 30], 32),
            case(3, &[64], 48).shuffle(4, Upsample::Bilinear),
        ];
        for case in cases {
            let due = case.run(&*usual).unwrap();
            for number in 0..4 {
                let Some(engine) = engine_with(None, Tuning::Fixed(number)) else { return };
                assert_eq!(case.run(&*engine).unwrap(), due, "shape {number} of {case:?}");
            }
        }
    }
}

#[test]
fn what_is_measured_is_kept_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let case = ConvCase::new(3, &[4], 4, 5, 6);
    let tuned = || engine_with(None, Tuning::In(folder.path().into()));
    let Some(engine) = tuned() else { return };
    let due = case.run(&*engine).unwrap();
    let [file] = &files()[..] else { panic!("one file: {:?}", files()) };
    let found = std::fs::read_to_string(file).unwrap();
    assert!(found.lines().any(|line| line.starts_with("conv 3 1 1 1 f32: ")), "{found}");
    // The next engine does not measure again, and one that may not measure does not look.
    assert_eq!(case.run(&*tuned().unwrap()).unwrap(), due);
    assert_eq!(std::fs::read_to_string(file).unwrap(), found);
    assert_eq!(case.run(&*engine_within(None).unwrap()).unwrap(), due);
}

/// `FRAMELIFT_TEST_MATRIX_CORES` says that this machine's device has them, so that all tests are of them.
#[test]
fn matrix_cores_multiply_where_there_are_such() {
    let Some(engine) = engine_within(None) else { return };
    let detail = &engine.info().detail;
    println!("{detail}");
    if std::env::var_os("FRAMELIFT_TEST_MATRIX_CORES").is_some() {
        assert!(detail.contains("matrix cores"), "{detail}");
    }
}
