//! Networks that see windows, from the command line: windows, shots, scratch file, memory.

use std::fs;
use std::path::{Path, PathBuf};

use framelift::{Frame, Plane, Size, Timestamp};
use framelift_testkit::synth;
use serde_json::Value;

use crate::common::{MS, film, framelift, frames, stderr, upscale};

const SIZE: Size = Size::new(70, 66);

/// A small BasicVSR++ with weights that follow from their names.
fn checkpoint(folder: &Path) -> String {
    let path = folder.join("small.safetensors");
    fs::write(&path, synth::to_safetensors(&synth::basicvsr_plusplus(16, 1, false))).unwrap();
    path.to_string_lossy().into_owned()
}

/// A still scene in which a soft spot moves; scenes of other `kind` have other colours and stripes.
fn scene(kind: u32, n: usize, at: usize) -> Frame {
    let plane = |channel: u32| {
        let value = |i: usize| {
            let (x, y) = ((i % SIZE.width as usize) as f32, (i / SIZE.width as usize) as f32);
            let stripes = if kind == 0 { x / 9.0 } else { y / 4.0 + 2.0 };
            let far = ((x - 20.0 - n as f32).powi(2) + (y - 30.0).powi(2)) / 60.0;
            let base = if (channel + kind).is_multiple_of(2) { 0.7 } else { 0.2 };
            ((base + 0.1 * stripes.sin() + 0.15 * (-far).exp()) * 65_535.0) as u16
        };
        Plane::new(SIZE, (0..SIZE.pixels() as usize).map(value).collect()).unwrap()
    };
    Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(at as i64 * 40, MS), 40).unwrap()
}

/// A film of two shots of five frames.
fn two_shots(path: &Path) {
    film(path, (0..10).map(|n| scene(u32::from(n >= 5), n % 5, n)).collect());
}

/// Runs to pictures of 16 bits, in which every difference shows; gives what was told as JSON.
fn to_pictures(input: &Path, folder: &Path, weights: &str, options: &[&str]) -> (PathBuf, Vec<Value>) {
    let pattern = folder.join(format!("pictures{}", options.concat().replace('-', "_")));
    fs::create_dir_all(&pattern).unwrap();
    let pattern = pattern.join("%03d.png");
    let fixed = ["--png16", "--overwrite", "--progress", "json", "--precision", "f32", "--weights", weights];
    let run = framelift().arg("upscale").arg(input).arg("-o").arg(&pattern).args(fixed).args(options).output().unwrap();
    assert!(run.status.success(), "{options:?}: {}", stderr(&run));
    let told = stderr(&run).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (pattern, told)
}

fn event<'a>(told: &'a [Value], name: &str) -> &'a Value {
    told.iter().rfind(|event| event["event"] == name).unwrap()
}

#[test]
fn shots_windows_and_scratch_file() {
    let folder = tempfile::tempdir().unwrap();
    let (input, weights) = (folder.path().join("in.mkv"), checkpoint(folder.path()));
    two_shots(&input);
    let run = |options: &[&str]| {
        let (pattern, told) = to_pictures(&input, folder.path(), &weights, options);
        let made: Vec<Vec<Plane>> = frames(&pattern).iter().map(|frame| frame.planes().to_vec()).collect();
        (made, told)
    };
    let (whole, told) = run(&[]);
    assert_eq!(whole.len(), 10);
    assert_eq!(event(&told, "finished")["shots"], 2);
    assert_eq!(event(&told, "started")["window"]["body"], 48);
    assert!(event(&told, "window")["done"].as_f64().unwrap() > 0.0);
    let peak = event(&told, "finished")["peak_resident_bytes"].as_u64();
    assert!(cfg!(not(target_os = "linux")) || peak > Some(1 << 20));

    // What lies before the cut and behind it are two films of their own.
    let (first, _) = run(&["--end", "0.2"]);
    let (second, _) = run(&["--start", "0.2"]);
    assert!(whole[..5] == first && whole[5..] == second, "a cut makes two runs");
    let (uncut, told) = run(&["--no-shots"]);
    assert!(event(&told, "finished")["shots"].is_null());
    assert!(uncut != whole, "without shots the recurrence runs across the cut");

    let windows = ["--window", "3", "--context", "2"];
    let (short, told) = run(&windows);
    assert_eq!((&event(&told, "started")["window"]["body"], short.len()), (&3.into(), 10));
    assert!(short != whole);
    let (spilled, told) = run(&[&windows[..], &["--offload", "always"]].concat());
    assert!(event(&told, "started")["window"]["scratch_bytes"].as_u64() > Some(0));
    assert!(spilled == short, "a scratch file changes nothing");
    let (one, told) = run(&["--window", "0", "--no-shots"]);
    assert_eq!(event(&told, "started")["window"]["body"], 0);
    assert!(one == uncut, "10 frames are one window either way");
}

#[test]
fn frames_too_small_for_the_network_are_padded() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    let small = Size::new(35, 21);
    film(&input, vec![Frame::black(small, Timestamp::new(0, MS), 40)]);
    let run = upscale(&input, &output, &["--weights", &checkpoint(folder.path())]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(frames(&output)[0].size(), Size::new(140, 84));
    let told = stderr(&run);
    assert!(told.contains("sides of at least 64 pixels: frames of 35x21 are worked on at 64x64"), "{told}");
}

#[test]
fn too_little_memory_is_refused_before_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    two_shots(&input);
    let run = upscale(&input, &output, &["--weights", &checkpoint(folder.path()), "--memory", "100MiB"]);
    assert_eq!(run.status.code(), Some(4), "{}", stderr(&run));
    let message = stderr(&run).lines().last().unwrap().to_owned();
    assert!(message.contains("takes at least") && message.contains("over the 100 MiB allowed"), "{message}");
    assert!(!output.exists());
    let needed = message.split("at least ").nth(1).unwrap().split(" of memory").next().unwrap().replace(' ', "");
    let run = upscale(&input, &output, &["--weights", &checkpoint(folder.path()), "--memory", &needed]);
    assert!(run.status.success(), "what was said to be needed is enough: {}", stderr(&run));
}

#[test]
fn options_that_do_not_go_with_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    two_shots(&input);
    let run = upscale(&input, &output, &["--weights", &checkpoint(folder.path()), "--cleaning-threshold", "5"]);
    assert_eq!(run.status.code(), Some(2), "{}", stderr(&run));
    assert!(stderr(&run).contains("RealBasicVSR"), "{}", stderr(&run));
}

#[test]
fn models_and_bench_tell_of_windows() {
    let folder = tempfile::tempdir().unwrap();
    let weights = checkpoint(folder.path());
    let json = |arguments: &[&str]| -> Value {
        let run = framelift().args(arguments).output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        serde_json::from_slice(&run.stdout).unwrap()
    };
    let shown = json(&["models", "show", &weights, "--json"]);
    assert_eq!(shown["network"]["architecture"], "BasicVSR++");
    assert!(shown["network"]["stored_values_per_pixel"].as_u64() > Some(0));
    let bench =
        ["bench", "--weights", &weights, "--size", "64x64", "--window", "2", "--seconds", "0.1", "--precision", "f32"];
    let measured = json(&[&bench[..], &["--json"]].concat());
    assert_eq!(measured["results"][0]["window"], 2);
    assert!(measured["results"][0]["ms_per_frame"].as_f64() > Some(0.0));
}
