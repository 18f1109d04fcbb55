//! `framelift degrade` and `framelift measure`: the papers' tables, end to end.

use std::path::{Path, PathBuf};
use std::process::Output as Finished;

use framelift::{Size, Timestamp};

use crate::common::{MS, film, framelift, frames, picture, stderr};

const LARGE: Size = Size::new(64, 48);

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    framelift().current_dir(folder).args(arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> Finished {
    let run = run(folder, arguments);
    assert!(run.status.success(), "{arguments:?}: {}", stderr(&run));
    run
}

/// A folder with a film `in.mkv` of [`LARGE`] pictures and empty folders for pictures.
fn workplace(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let frames = (0..count).map(|n| picture(LARGE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
    film(&folder.path().join("in.mkv"), frames);
    for name in ["a", "b", "c"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

fn measured(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let run = done(folder, &[&["measure", "--json"], arguments].concat());
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn without_a_codec_no_bit_is_lost() {
    let folder = workplace(3);
    let at = folder.path();
    // At scale 1 the bicubic is the identity: pictures go from store to store.
    for [from, to] in [
        ["in.mkv", "a/%04d.png"],
        ["a/%04d.png", "b/%04d.png"],
        ["b/%04d.png", "ffv1.mkv"],
        ["ffv1.mkv", "x264.mp4"],
        ["x264.mp4", "c/%04d.png"],
    ] {
        done(at, &["degrade", from, "-o", to, "--scale", "1"]);
    }
    let pictures = |name: &str| -> Vec<_> { frames(&at.join(name)).iter().map(|f| f.planes().clone()).collect() };
    let first = pictures("a/%04d.png");
    assert_eq!(first.len(), 3);
    for other in ["b/%04d.png", "ffv1.mkv", "x264.mp4", "c/%04d.png"] {
        assert!(pictures(other) == first, "{other}");
    }
    let same = measured(at, &["a/%04d.png", "c/%04d.png"]);
    assert!(same["mean"]["psnr_rgb"].is_null(), "equal films: infinite");
    assert!((same["mean"]["ssim_rgb"].as_f64().unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn films_are_made_small_and_compressed() {
    let folder = workplace(4);
    let at = folder.path();
    done(at, &["degrade", "in.mkv", "-o", "bi.mkv"]);
    done(at, &["degrade", "in.mkv", "-o", "bd.mkv", "--kind", "bd"]);
    for made in ["bi.mkv", "bd.mkv"] {
        let made = frames(&at.join(made));
        assert_eq!((made.len(), made[0].size()), (4, Size::new(16, 12)));
        let times: Vec<i64> = made.iter().map(|f| f.time.exactly_in(MS).unwrap()).collect();
        assert_eq!(times, [0, 40, 80, 120]);
    }
    let difference = measured(at, &["bi.mkv", "bd.mkv"]);
    assert!(difference["mean"]["psnr_y"].as_f64().unwrap() < 60.0, "two kinds, two pictures: {difference}");
    let psnr = |crf: &str| {
        done(
            at,
            &["degrade", "in.mkv", "-o", "lossy.mp4", "--scale", "2", "--codec", "h264", "--crf", crf, "--overwrite"],
        );
        done(at, &["degrade", "in.mkv", "-o", "clean.mkv", "--scale", "2", "--overwrite"]);
        measured(at, &["clean.mkv", "lossy.mp4"])["mean"]["psnr_y"].as_f64().unwrap()
    };
    let (weak, strong) = (psnr("10"), psnr("45"));
    assert!(weak > strong + 3.0 && strong > 5.0, "crf 10: {weak} dB, crf 45: {strong} dB");
}

#[test]
fn the_ends_and_the_border_can_be_left_out() {
    let folder = workplace(6);
    let at = folder.path();
    done(at, &["degrade", "in.mkv", "-o", "clean.mkv", "--scale", "1"]);
    done(at, &["degrade", "in.mkv", "-o", "lossy.mkv", "--scale", "1", "--codec", "h264", "--crf", "40"]);
    let all = measured(at, &["clean.mkv", "lossy.mkv"]);
    let part = measured(at, &["clean.mkv", "lossy.mkv", "--skip", "2"]);
    let numbers = |report: &serde_json::Value| -> Vec<u64> {
        report["frames"].as_array().unwrap().iter().map(|f| f["frame"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&all), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(&part), [2, 3]);
    assert_eq!(part["frames"][0], all["frames"][2]);
    let mean = (part["frames"][0]["psnr_y"].as_f64().unwrap() + part["frames"][1]["psnr_y"].as_f64().unwrap()) / 2.0;
    assert!((part["mean"]["psnr_y"].as_f64().unwrap() - mean).abs() < 1e-9);
    let cropped = measured(at, &["clean.mkv", "lossy.mkv", "--crop", "8"]);
    assert_ne!(cropped["mean"], all["mean"]);
    let lines = String::from_utf8(done(at, &["measure", "clean.mkv", "lossy.mkv"]).stdout).unwrap();
    assert_eq!(lines.lines().count(), 8, "a heading, six frames and the mean: {lines}");
}

#[test]
fn what_cannot_be_compared_or_made_is_refused() {
    let folder = workplace(4);
    let at = folder.path();
    done(at, &["degrade", "in.mkv", "-o", "same.mkv", "--scale", "1"]);
    done(at, &["degrade", "in.mkv", "-o", "small.mkv"]);
    film(&at.join("longer.mkv"), (0..7).map(|n| picture(LARGE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect());
    let odd: Vec<_> = (0..2).map(|n| picture(Size::new(33, 21), n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
    film(&at.join("odd.mkv"), odd);
    let before = listing(at);
    let cases: [(&[&str], i32, &[&str]); 10] = [
        (&["measure", "same.mkv", "longer.mkv"], 3, &["4 frames", "7"]),
        (&["measure", "longer.mkv", "same.mkv"], 3, &["7 frames", "4"]),
        (&["measure", "same.mkv", "small.mkv"], 3, &["64x48", "16x12"]),
        (&["measure", "same.mkv", "nothing.mkv"], 3, &["nothing.mkv"]),
        (&["measure", "same.mkv", "same.mkv", "--crop", "20"], 2, &["20 px", "64x48"]),
        (&["measure", "same.mkv", "same.mkv", "--skip", "2"], 2, &["4 frames", "--skip"]),
        (&["degrade", "odd.mkv", "-o", "new.mkv"], 4, &["33x21", "32x20"]),
        (&["degrade", "in.mkv", "-o", "new.mkv", "--kind", "bd", "--scale", "2"], 2, &["--scale 4"]),
        (&["degrade", "in.mkv", "-o", "new.y4m"], 2, &["no RGB", ".mkv"]),
        (&["degrade", "in.mkv", "-o", "in.mkv", "--overwrite"], 2, &["the input itself"]),
    ];
    for (arguments, code, says) in cases {
        let run = run(at, arguments);
        let message = stderr(&run);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(says.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
        assert_eq!(listing(at), before, "{arguments:?} left something behind");
    }
    assert_eq!(run(at, &["degrade", "in.mkv", "-o", "same.mkv"]).status.code(), Some(2), "nothing is replaced unasked");
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// The published figure of bicubic interpolation on Vid4's calendar at BI x4: 20.39 dB and 0.572 on Y.
#[test]
fn bicubic_on_calendar_scores_what_papers_print() {
    let Some(data) = framelift_testkit::test_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let truth = data.join("clips/vid4_calendar.mkv");
    let truth = truth.to_str().unwrap();
    std::fs::create_dir(at.join("up")).unwrap();
    done(at, &["degrade", truth, "-o", "small.mkv", "--kind", "bi"]);
    done(at, &["upscale", "small.mkv", "-o", "up/%04d.png", "--model", "bicubic", "--scale", "4"]);
    let mean = &measured(at, &[truth, "up/%04d.png"])["mean"];
    let (psnr, ssim) = (mean["psnr_y"].as_f64().unwrap(), mean["ssim_y"].as_f64().unwrap());
    assert!((psnr - 20.39).abs() < 0.01 && (ssim - 0.572).abs() < 0.001, "{psnr} dB, {ssim}");
}
