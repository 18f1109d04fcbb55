//! Golden cases of every network from the command line: pictures of 16 bits in, pictures of 16 bits out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use framelift_engine::HostTensor;
use framelift_testkit::golden::{Array, Golden};
use framelift_testkit::{max_abs_diff, synth, test_data};

use crate::common::{framelift, frames, stderr};

/// The bar of the project for values, and the step of a picture of 16 bits.
const TOLERANCE: f32 = 1e-4 + 1.0 / 65_535.0;

/// Writes a picture of values in [0, 1] as PNG of 16 bits.
fn write_png(path: &Path, picture: &HostTensor) {
    let shape = picture.shape();
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, shape.width as u32, shape.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Sixteen);
    let samples = picture.data().iter().flat_map(|value| ((value * 65_535.0).round() as u16).to_be_bytes());
    encoder.write_header().unwrap().write_image_data(&samples.collect::<Vec<u8>>()).unwrap();
}

/// Runs the golden case `case` with `options`, and holds the result to the case's, clipped as pictures are.
fn check(case: &str, options: &[&str]) {
    let Some(golden) = Golden::case(case) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (n, picture) in golden.frames("input").iter().enumerate() {
        write_png(&folder.path().join(format!("in{n:03}.png")), picture);
    }
    let (input, output) = (folder.path().join("in%03d.png"), folder.path().join("out%03d.png"));
    let fixed = ["--png16", "--precision", "f32", "--window", "0", "--no-shots", "--progress", "none"];
    let run = framelift().arg("upscale").arg(&input).arg("-o").arg(&output).args(fixed).args(options).output().unwrap();
    assert!(run.status.success(), "{case}: {}", stderr(&run));
    let (made, due) = (frames(&output), golden.frames("output"));
    assert_eq!(made.len(), due.len(), "{case}");
    let mut worst = 0.0f32;
    for (frame, due) in made.iter().zip(due) {
        let due = HostTensor::from_fn(due.shape(), |y, x, c| due.at(y, x, c).clamp(0.0, 1.0));
        let picture = HostTensor::from_fn(due.shape(), |y, x, c| f32::from(frame.planes()[c].row(y)[x]) / 65_535.0);
        worst = worst.max(max_abs_diff(&picture, &due));
    }
    println!("{case} from the command line: {worst:.2e}");
    assert!(worst <= TOLERANCE, "{case}: {worst:e}");
}

/// Likewise, with a checkpoint of `arrays`.
fn check_synthetic(case: &str, arrays: &BTreeMap<String, Array>, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, synth::to_safetensors(arrays)).unwrap();
    check(case, &[&["--weights", weights.to_str().unwrap()], options].concat());
}

/// Likewise, with a file of the test data.
fn check_file(case: &str, file: &str) {
    let Some(folder) = test_data() else { return };
    check(case, &["--weights", folder.join(file).to_str().unwrap()]);
}

#[test]
fn golden_cases_of_one_frame_networks() {
    check_synthetic("compact_x4_n4", &synth::compact(64, 4, 4), &[]);
    check_synthetic("rrdbnet_x4_b2", &synth::rrdbnet(64, 32, 2, 4), &[]);
    check_synthetic("rrdbnet_x2_b1", &synth::rrdbnet(64, 32, 1, 2), &[]);
    check_file("rrdbnet_x4_b2", "golden/checkpoints/rrdbnet_x4_b2_params_ema_legacy.pth");
    check_file("real_animevideov3", "weights/realesr-animevideov3.pth");
    check_file("real_general_x4v3", "weights/realesr-general-x4v3-fp16.safetensors");
}

#[test]
fn golden_cases_of_the_built_in_networks() {
    for name in ["lift-x4", "lift-fast-x4", "lift-x3", "lift-x2"] {
        check(&name.replace('-', "_"), &["--model", name]);
    }
}

#[test]
fn golden_cases_of_basicvsr() {
    check_synthetic("basicvsr_c64n3", &synth::basicvsr(64, 3), &[]);
    check_synthetic("basicvsrpp_c64n2", &synth::basicvsr_plusplus(64, 2, false), &[]);
    check_synthetic("basicvsrpp_c32n2_single", &synth::basicvsr_plusplus(32, 2, false), &[]);
    check_synthetic("basicvsrpp_same_c32n1", &synth::basicvsr_plusplus(32, 1, true), &[]);
}

#[test]
fn golden_cases_of_realbasicvsr() {
    let arrays = synth::realbasicvsr(32, 2, 2);
    check_synthetic("realbasicvsr_c32n2_thres255", &arrays, &[]);
    check_synthetic("realbasicvsr_c32n2_thres2", &arrays, &["--cleaning-threshold", "2"]);
    check_file("realbasicvsr_c32n2_thres255", "golden/checkpoints/realbasicvsr_c32n2_generator_and_ema.pth");
}
