//! `framelift upscale` from file to file: what must be kept is kept.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{MS, SIZE, film, framelift, frames, picture, stderr, times_ms, upscale, variable_rate};
use framelift::{Input, ReadOptions, Size, StreamKind, Timestamp, probe};

#[test]
fn a_film_keeps_frames_times_and_streams() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    film(&input, variable_rate(17));
    let run = upscale(&input, &output, &[]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(run.stdout.is_empty(), "stdout carries data only");
    assert_eq!(times_ms(&output), times_ms(&input));
    let info = |path: &Path| probe(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let (before, after) = (info(&input), info(&output));
    assert_eq!(after.video_stream().unwrap().1.size, Size::new(SIZE.width * 4, SIZE.height * 4));
    let languages = |info: &framelift::MediaInfo| -> Vec<_> {
        info.streams.iter().map(|s| (s.kind.name(), s.language.clone())).collect()
    };
    assert_eq!(languages(&after), languages(&before));
    assert_eq!(after.streams.iter().filter(|s| matches!(s.kind, StreamKind::Audio(_))).count(), 2);
    assert_eq!(after.chapters, before.chapters);
}

#[test]
fn one_frame_and_odd_sizes() {
    let folder = tempfile::tempdir().unwrap();
    for (size, count) in [(Size::new(33, 21), 1), (Size::new(35, 48), 3), (Size::new(16, 16), 2)] {
        let input = folder.path().join("in.mkv");
        let shots = (0..count).map(|n| picture(size, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
        film(&input, shots);
        for (options, factor) in [(&["--model", "lift-x2"][..], 2), (&["--model", "bicubic"], 1)] {
            let output = folder.path().join("out.mkv");
            let run = upscale(&input, &output, &[options, &["--overwrite"]].concat());
            assert!(run.status.success(), "{}", stderr(&run));
            let made = frames(&output);
            assert_eq!(made.len(), count);
            assert_eq!(made[0].size(), Size::new(size.width * factor, size.height * factor));
        }
    }
}

#[test]
fn parts_of_a_film() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    film(&input, variable_rate(20));
    let all = times_ms(&input);
    let cases: [(&[&str], Vec<i64>); 4] = [
        (&["--frames", "5"], all[..5].to_vec()),
        (&["--end", "0.3"], all.iter().copied().filter(|t| *t < 300).collect()),
        (&["--start", "0.280"], all.iter().copied().filter(|t| *t >= 280).map(|t| t - 280).collect()),
        (
            &["--start", "0.3", "--frames", "2"],
            all.iter().copied().filter(|t| *t >= 300).map(|t| t - 300).take(2).collect(),
        ),
    ];
    for (options, due) in cases {
        let run = upscale(&input, &output, &[&["--model", "bicubic", "--overwrite"], options].concat());
        assert!(run.status.success(), "{options:?}: {}", stderr(&run));
        assert_eq!(times_ms(&output), due, "{options:?}");
        let sound = sound_end_ms(&output);
        let last = due.last().unwrap() + 70;
        assert!(sound <= last + 140, "{options:?}: sound until {sound} ms, pictures until about {last} ms");
    }
}

/// When the first sound track ends.
fn sound_end_ms(path: &Path) -> i64 {
    let mut demuxer = framelift::media::Demuxer::open(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let mut end = 0;
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() == 1 {
            end = end.max((packet.time().unwrap().seconds() * 1000.0) as i64);
        }
    }
    end
}

#[test]
fn any_size_by_any_model() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    film(&input, variable_rate(2));
    for (options, due) in [
        (&["--model", "lift-x4", "--scale", "1.5"][..], Size::new(72, 48)),
        (&["--model", "lanczos", "--size", "90x50"], Size::new(90, 50)),
        (&["--model", "lift-x2", "--size", "100p"], Size::new(150, 100)),
    ] {
        let run = upscale(&input, &output, &[options, &["--overwrite"]].concat());
        assert!(run.status.success(), "{}", stderr(&run));
        assert_eq!(frames(&output)[0].size(), due);
    }
}

#[test]
fn the_model_built_in_is_that_of_the_least_scale_that_reaches_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    film(&input, variable_rate(2));
    for (options, model) in [
        (&[][..], "lift-x4"),
        (&["--scale", "2"], "lift-x2"),
        (&["--model", "lift", "--scale", "2.5"], "lift-x3"),
        (&["--model", "lift-fast"], "lift-fast-x4"),
        (&["--model", "lift-fast", "--size", "64p"], "lift-x2"),
    ] {
        let mut command = framelift();
        command.arg("upscale").arg(&input).arg("-o").arg(&output).args(["--overwrite", "--progress", "plain"]);
        let run = command.args(["--preset", "ultrafast"]).args(options).output().unwrap();
        let told = stderr(&run);
        assert!(run.status.success(), "{options:?}: {told}");
        assert!(told.contains(&format!(" frames, {model} (")), "{options:?}: {told}");
    }
}

#[test]
fn y4m_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    let shots = (0..6).map(|n| picture(SIZE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
    film(&input, shots);
    let first = framelift().args(["upscale", "--model", "lift-x2", "-o", "-"]).arg(&input).output().unwrap();
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(first.stdout.starts_with(b"YUV4MPEG2 "));
    let second = framelift()
        .args(["upscale", "--model", "bicubic", "-", "-o"])
        .arg(&output)
        .write_stdin(first.stdout)
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    assert_eq!(times_ms(&output), [0, 40, 80, 120, 160, 200]);
}

#[test]
fn sixteen_bit_pictures_pass_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, variable_rate(3));
    let pattern = |name: &str| folder.path().join(name).join("%04d.png");
    for name in ["a", "b"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let options = ["--model", "bicubic", "--png16"];
    let run = |from: &Path, to: &Path| {
        let run = framelift().arg("upscale").arg(from).arg("-o").arg(to).args(options).output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
    };
    run(&input, &pattern("a"));
    run(&pattern("a"), &pattern("b"));
    let (a, b) = (frames(&pattern("a")), frames(&pattern("b")));
    assert_eq!(a.len(), 3);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.planes(), b.planes());
    }
}

#[test]
fn progress_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    film(&input, variable_rate(4));
    let run = upscale(&input, &output, &["--progress", "json"]);
    assert!(run.status.success());
    let events: Vec<serde_json::Value> = stderr(&run).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"started"));
    assert_eq!(names.last(), Some(&"finished"));
    let progress = events.iter().rfind(|e| e["event"] == "progress").unwrap();
    assert_eq!(progress["frames_done"], 4);
    assert_eq!(progress["frames_total"], 4);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_cleanly_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    let size = Size::new(320, 240);
    let shots = (0..120).map(|n| picture(size, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
    film(&input, shots);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("framelift"))
        .args(["upscale", "in.mkv", "-o", "out.mkv", "--progress", "none"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let is_at_work = || std::fs::read_dir(folder.path()).unwrap().count() > 1;
    while !is_at_work() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["in.mkv"], "nothing but the input is left");
}
