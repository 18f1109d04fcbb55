//! Which devices there are, and what happens where one is not.

#[cfg(feature = "gpu")]
use std::path::Path;

use serde_json::Value;

use crate::common::{film, framelift, stderr, variable_rate};

/// No driver of Vulkan, and no card of CUDA, is found with this.
const WITHOUT_DRIVERS: [(&str, &str); 3] =
    [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent"), ("CUDA_VISIBLE_DEVICES", "")];

#[test]
fn devices_are_listed() {
    let finished = framelift().args(["devices", "--json"]).envs(WITHOUT_DRIVERS).output().unwrap();
    assert!(finished.status.success(), "{}", stderr(&finished));
    let devices: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(devices[0]["device"], "cpu");
    assert_eq!(devices.as_array().unwrap().len(), 1);
    let finished = framelift().arg("devices").envs(WITHOUT_DRIVERS).output().unwrap();
    let text = String::from_utf8(finished.stdout).unwrap();
    assert!(text.starts_with("cpu") && text.contains("GPU"), "{text}");
}

#[test]
fn a_device_that_is_not_there_ends_with_code_5() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, variable_rate(3));
    for device in ["vulkan:99", "cuda:99", "gpu", "tpu", "vulkan:98,vulkan:99", "cpu,vulkan:0"] {
        let output = folder.path().join("out.mkv");
        let mut command = framelift();
        command.arg("upscale").arg(&input).arg("-o").arg(&output).args(["--device", device]).envs(WITHOUT_DRIVERS);
        let finished = command.output().unwrap();
        assert_eq!(finished.status.code(), Some(5), "{device}: {}", stderr(&finished));
        assert!(stderr(&finished).contains("--device"), "a remedy: {}", stderr(&finished));
        assert!(!output.exists());
    }
}

#[test]
fn without_a_gpu_the_processor_computes_and_a_build_that_knows_gpus_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, variable_rate(3));
    let output = folder.path().join("out.mkv");
    let mut command = framelift();
    command.arg("upscale").arg(&input).arg("-o").arg(&output).args(["--preset", "ultrafast"]).envs(WITHOUT_DRIVERS);
    let finished = command.output().unwrap();
    assert!(finished.status.success(), "{}", stderr(&finished));
    let notices = stderr(&finished).lines().filter(|line| line.contains("GPU")).count();
    assert_eq!(notices, usize::from(cfg!(feature = "gpu")), "{}", stderr(&finished));
}

/// Whether there is a Vulkan device; said aloud where there is none.
#[cfg(feature = "gpu")]
fn has_vulkan() -> bool {
    let finished = framelift().args(["devices", "--json"]).output().unwrap();
    let devices: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let found = devices.as_array().unwrap().len() > 1;
    if !found {
        println!("SKIPPED: no Vulkan device");
    }
    found
}

/// Makes `output` of the film, without loss; what was told.
#[cfg(feature = "gpu")]
fn lossless(input: &Path, output: &Path, options: &[&str]) -> String {
    let mut command = framelift();
    command.arg("upscale").arg(input).arg("-o").arg(output).args(["--codec", "ffv1"]);
    let finished = command.args(options).output().unwrap();
    assert!(finished.status.success(), "{}", stderr(&finished));
    stderr(&finished)
}

/// A film of four shots of `length` frames: still scenes with a little movement.
#[cfg(feature = "gpu")]
fn four_shots(path: &Path, length: usize) {
    use framelift::{Frame, Plane};

    let frames = variable_rate(4 * length).into_iter().enumerate().map(|(n, frame)| {
        let scene = n / length;
        let plane = |channel: usize| {
            let at = |i: usize| {
                let (x, y) = (i % 48, i / 48);
                let wave = |side: usize, step: usize| (side * step * (scene + 1 + channel)) % 29;
                (6000 + 9000 * (scene * 3 % 4) + 900 * wave(x + n % 10, 3) + 300 * wave(y, 5)) as u16
            };
            Plane::new(frame.size(), (0..48 * 32).map(at).collect()).unwrap()
        };
        Frame::new([plane(0), plane(1), plane(2)], frame.time, frame.duration_ticks).unwrap()
    });
    film(path, frames.collect());
}

/// A film of shots on a device that is named twice is the film on it alone, in pieces or in one go.
#[cfg(feature = "gpu")]
#[test]
fn shots_on_several_devices_are_those_of_one() {
    if !has_vulkan() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    four_shots(&input, 10);
    let made = |name: &str, options: &[&str]| {
        let (output, report) = (folder.path().join(name), folder.path().join("report.json"));
        let given = ["--model", "lift-x2", "--report", report.to_str().unwrap()];
        lossless(&input, &output, &[&given, options].concat());
        let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        (crate::common::frames(&output), report)
    };
    let (due, report) = made("one.mkv", &["--device", "vulkan:0", "--piece", "12"]);
    assert_eq!(due.len(), 40);
    assert!(report["films"][0]["shots"].as_u64() >= Some(4), "several shots, so that there is work for two: {report}");
    for (name, options) in [("two.mkv", &["--piece", "12"][..]), ("whole.mkv", &["--no-resume"])] {
        let (made, _) = made(name, &[&["--device", "vulkan:0,vulkan:0"], options].concat());
        assert!(made == due, "{name}");
    }
    let finished = framelift().args(["bench", "--device", "vulkan:0,vulkan:0"]).output().unwrap();
    assert_eq!(finished.status.code(), Some(5), "{}", stderr(&finished));
}

/// Small windows and frames are worked on several at once, but where there are several devices: it is the same film.
#[cfg(feature = "gpu")]
#[test]
fn what_is_worked_on_at_once_is_what_is_worked_on_one_after_another() {
    use framelift_testkit::synth;

    if !has_vulkan() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    four_shots(&input, 4);
    for (name, arrays) in [("compact", synth::compact(16, 2, 2)), ("basicvsr", synth::basicvsr(16, 1))] {
        let weights = folder.path().join(format!("{name}.safetensors"));
        std::fs::write(&weights, synth::to_safetensors(&arrays)).unwrap();
        let made = |device: &str, at_once: u64| {
            let output = folder.path().join(format!("{name} {device}.mkv"));
            let weights = weights.to_str().unwrap();
            let told = lossless(&input, &output, &["--progress", "json", "--device", device, "--weights", weights]);
            assert!(told.contains(&format!("\"at_once\":{at_once}")), "{told}");
            let events = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let shots = events.filter_map(|event| event["shots"].as_u64()).next_back();
            // Windows of several shots; for single frames none are looked for.
            assert!(shots.is_none() == (name == "compact") && shots != Some(1), "{told}");
            crate::common::frames(&output)
        };
        let (several, alone) = (made("vulkan:0", 8), made("vulkan:0,vulkan:0", 1));
        assert_eq!(several.len(), 16);
        assert!(several == alone, "{name}");
    }
}

/// The film through a software GPU is the film through the processor.
#[cfg(feature = "gpu")]
#[test]
fn a_film_through_vulkan_is_the_film_through_the_processor() {
    if !has_vulkan() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, variable_rate(5));
    let cases = ["lift-x2", "lift-x4"].map(|model| [(model, "f32", 80.0), (model, "auto", 55.0)]);
    for (model, precision, least_db) in cases.into_iter().flatten() {
        let made = |device: &str, precision: &str| {
            let output = folder.path().join(format!("{model} {device} {precision}.mkv"));
            if !output.exists() {
                lossless(&input, &output, &["--model", model, "--device", device, "--precision", precision]);
            }
            output
        };
        let (cpu, gpu) = (made("cpu", "f32"), made("vulkan:0", precision));
        let measured = framelift().arg("measure").arg(&cpu).arg(gpu).arg("--json").output().unwrap();
        let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();
        let psnr = measured["mean"]["psnr_rgb"].as_f64().unwrap_or(f64::INFINITY);
        println!("{model} in {precision}: {psnr:.1} dB");
        assert!(psnr >= least_db, "{model} in {precision}: {psnr} dB");
    }
}
