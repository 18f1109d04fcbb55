//! Which devices there are, and what happens where one is not.

use serde_json::Value;

use crate::common::{film, framelift, stderr, variable_rate};

/// No driver of Vulkan is found with this.
const WITHOUT_DRIVERS: [(&str, &str); 2] = [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];

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
    for device in ["vulkan:99", "cuda:99", "gpu", "tpu"] {
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

/// The film through a software GPU is the film through the processor.
#[cfg(feature = "gpu")]
#[test]
fn a_film_through_vulkan_is_the_film_through_the_processor() {
    let finished = framelift().args(["devices", "--json"]).output().unwrap();
    let devices: Value = serde_json::from_slice(&finished.stdout).unwrap();
    if devices.as_array().unwrap().len() < 2 {
        println!("SKIPPED: no Vulkan device");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, variable_rate(5));
    let made = |name: &str, options: &[&str]| {
        let output = folder.path().join(name);
        let lossless = ["--codec", "ffv1", "--model", "lift-x2"];
        let mut command = framelift();
        command.arg("upscale").arg(&input).arg("-o").arg(&output).args(lossless).args(options);
        let finished = command.output().unwrap();
        assert!(finished.status.success(), "{}", stderr(&finished));
        output
    };
    let cpu = made("cpu.mkv", &["--device", "cpu", "--precision", "f32"]);
    for (precision, least_db) in [("f32", 80.0), ("auto", 55.0)] {
        let gpu = made(&format!("{precision}.mkv"), &["--device", "vulkan:0", "--precision", precision]);
        let measured = framelift().arg("measure").arg(&cpu).arg(gpu).arg("--json").output().unwrap();
        let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();
        let psnr = measured["mean"]["psnr_rgb"].as_f64().unwrap_or(f64::INFINITY);
        println!("{precision}: {psnr:.1} dB");
        assert!(psnr >= least_db, "{precision}: {psnr} dB");
    }
}
