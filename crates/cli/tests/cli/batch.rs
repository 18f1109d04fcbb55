//! `framelift upscale` of folders and of several inputs.

use std::fs;
use std::path::Path;
use std::process::Output as Finished;

use serde_json::Value;

use crate::common::{MS, SIZE, film, framelift, frames, picture, stderr, variable_rate};
use framelift::{Size, Timestamp};

/// Runs `framelift upscale` in `folder` with a filter at its own size and a fast encoder.
fn upscale_in(folder: &Path, arguments: &[&str]) -> Finished {
    framelift()
        .current_dir(folder)
        .args(["upscale", "--model", "bicubic", "--preset", "ultrafast"])
        .args(arguments)
        .output()
        .unwrap()
}

/// The films below `folder`, as paths from it.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, below: &str, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), names);
            } else {
                names.push(name);
            }
        }
    }
    let mut names = Vec::new();
    walk(folder, "", &mut names);
    names.sort();
    names
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// What became of the film whose input ends in `name`.
fn status<'a>(report: &'a Value, name: &str) -> &'a Value {
    let films = report["films"].as_array().unwrap();
    &films.iter().find(|film| film["input"].as_str().unwrap().ends_with(name)).unwrap()["status"]
}

/// A folder `in` of three films, numbered pictures, a film that is none, and files that are no films.
fn footage(folder: &Path) {
    for name in ["in/day one/raw", "in/empty", "in/.hidden"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let at = |name: &str| folder.join("in").join(name);
    film(&at("a.mp4"), (0..3).map(|n| picture(SIZE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect());
    film(&at("day one/b.mkv"), variable_rate(5));
    // One name, two films: Matroska in a file called .avi is read all the same.
    fs::copy(at("day one/b.mkv"), at("day one/b.avi")).unwrap();
    film(&at(".hidden/c.mkv"), variable_rate(2));
    fs::write(at("day one/broken.mp4"), "this is no film\n".repeat(50)).unwrap();
    fs::write(at("notes.txt"), "notes").unwrap();
    fs::write(at("day one/b.srt"), "1\n").unwrap();
    let pictures = framelift()
        .args(["upscale", "--model", "bicubic", "-o"])
        .arg(at("day one/raw/f%03d.png"))
        .arg(at("day one/b.mkv"))
        .output()
        .unwrap();
    assert!(pictures.status.success(), "{}", stderr(&pictures));
    fs::copy(at("day one/raw/f001.png"), at("cover.png")).unwrap();
}

#[test]
fn a_folder_becomes_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    footage(folder.path());
    let arguments = ["in", "-o", "out", "--report", "report.json", "--progress", "plain"];
    let run = upscale_in(folder.path(), &arguments);
    let told = stderr(&run);
    assert_eq!(run.status.code(), Some(1), "one of the films is broken: {told}");
    assert!(run.stdout.is_empty());
    let expected = [
        "a.mp4",
        "day one/b.avi.mkv",
        "day one/b.mkv",
        "day one/raw/f001.png",
        "day one/raw/f002.png",
        "day one/raw/f003.png",
        "day one/raw/f004.png",
        "day one/raw/f005.png",
    ];
    assert_eq!(files(&folder.path().join("out")), expected, "{told}");
    let out = |name: &str| folder.path().join("out").join(name);
    assert_eq!(frames(&out("day one/b.mkv")), frames(&out("day one/b.avi.mkv")));
    assert_eq!(frames(&out("a.mp4")).len(), 3);
    assert!(told.contains("left out: 2 files are no films (1 .srt, 1 .txt); 1 picture is not"), "{told}");
    assert!(told.contains("5 films: 4 made, 1 failed"), "{told}");
    let first = report(folder.path());
    assert_eq!(first["made"], 4);
    assert_eq!(status(&first, "broken.mp4"), "failed");
    assert_eq!(first["left_out"].as_array().unwrap().len(), 3);
    assert_eq!(first["films"][0]["frames"], 3);
    assert_eq!(first["films"][0]["plan"]["encoder"], "libx264");

    // The same command again makes nothing; a result that is not whole is not touched; what is gone is made.
    let before = fs::metadata(out("a.mp4")).unwrap().modified().unwrap();
    fs::remove_file(out("day one/b.mkv")).unwrap();
    film(&out("day one/b.avi.mkv"), variable_rate(20));
    fs::remove_file(out("day one/raw/f005.png")).unwrap();
    let run = upscale_in(folder.path(), &arguments);
    assert_eq!(run.status.code(), Some(1));
    let second = report(folder.path());
    assert_eq!(status(&second, "a.mp4"), "skipped");
    assert_eq!(status(&second, "b.mkv"), "made");
    assert_eq!(status(&second, "b.avi"), "failed");
    assert_eq!(status(&second, "raw/f%03d.png"), "failed", "{second:#}");
    let message = second["films"].to_string();
    assert!(message.contains(" frames where ") && message.contains("--overwrite"), "{message}");
    assert_eq!(fs::metadata(out("a.mp4")).unwrap().modified().unwrap(), before);
    assert_eq!(frames(&out("day one/b.avi.mkv")).len(), 20);

    // A film that changed since is not skipped, and its old result not replaced unasked.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options().append(true).open(folder.path().join("in/a.mp4")).unwrap().set_modified(later).unwrap();
    upscale_in(folder.path(), &arguments);
    assert!(report(folder.path())["films"][0]["error"]["message"].as_str().unwrap().contains("the film is newer"));
    let run = upscale_in(folder.path(), &[&arguments[..], &["--overwrite"]].concat());
    assert_eq!(run.status.code(), Some(1));
    let third = report(folder.path());
    assert_eq!((&third["made"], &third["failed"]), (&4.into(), &1.into()));
    assert_eq!(files(&folder.path().join("out")), expected);
}

#[test]
fn several_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["one", "two/deep", "three"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    for name in ["one/film.mkv", "two/film.mkv", "two/deep/x.mkv", "film.mov"] {
        film(&at(name), vec![picture(SIZE, 1, Timestamp::new(0, MS), 40)]);
    }
    let run = upscale_in(folder.path(), &["one/film.mkv", "film.mov", "two", "-o", "out"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(files(&at("out")), ["film.mkv", "film.mov", "two/deep/x.mkv", "two/film.mkv"]);
    // Two of one name are told apart by their folders.
    let run = upscale_in(folder.path(), &["one/film.mkv", "two/film.mkv", "-o", "out2/"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(files(&at("out2")), ["one/film.mkv", "two/film.mkv"]);
    // Without a place, each result lies beside its film.
    let run = upscale_in(folder.path(), &["one/film.mkv", "film.mov", "--progress", "none"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(run.stderr.is_empty());
    assert!(at("one/film.bicubic.mkv").exists() && at("film.bicubic.mov").exists());
    // One film into a folder.
    let run = upscale_in(folder.path(), &["film.mov", "-o", "out3/", "--report", "report.json"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(files(&at("out3")), ["film.mov"]);
    assert_eq!(report(folder.path())["films"][0]["status"], "made");
}

#[test]
fn what_cannot_be_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("in")).unwrap();
    fs::create_dir_all(folder.path().join("none")).unwrap();
    film(&folder.path().join("in/a.mkv"), variable_rate(2));
    let cases: [(&[&str], i32, &str); 7] = [
        (&["in"], 2, "--output"),
        (&["in", "-o", "in"], 2, "another folder"),
        (&["in", "-o", "out.mkv"], 2, "one film"),
        (&["in", "-o", "-"], 2, "one pipe"),
        (&["in/a.mkv", "-", "-o", "out"], 2, "standard input"),
        (&["none", "-o", "out"], 3, "no film in none"),
        (&["missing.mkv", "in", "-o", "out"], 1, "1 film of 2"),
    ];
    for (arguments, code, says) in cases {
        let run = upscale_in(folder.path(), arguments);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {}", stderr(&run));
        let message = stderr(&run).lines().last().unwrap_or_default().to_owned();
        assert!(message.starts_with("framelift: ") && message.contains(says), "{arguments:?}: {message}");
    }
    assert_eq!(files(&folder.path().join("out")), ["in/a.mkv"]);
}

#[test]
fn machines_are_told_of_the_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("in")).unwrap();
    for name in ["in/a.mkv", "in/b.mkv"] {
        film(&folder.path().join(name), variable_rate(6));
    }
    let run = upscale_in(folder.path(), &["in", "-o", "out", "--progress", "json"]);
    assert!(run.status.success(), "{}", stderr(&run));
    let told: Vec<Value> = stderr(&run).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["event"], &told[0]["due"]), (&"surveyed".into(), &2.into()));
    let of = |name: &str| -> Vec<&Value> { told.iter().filter(|event| event["event"] == name).collect() };
    assert_eq!(of("finished").len(), 2);
    assert_eq!(of("finished")[1]["film"], 2);
    // Each film is half of the work; Matroska only estimates how many frames there are.
    let last = of("progress").into_iter().rfind(|event| event["film"] == 1).unwrap();
    assert_eq!(last["frames_done"], 6);
    assert!((last["batch_done"].as_f64().unwrap() - 0.5).abs() < 0.1, "{last}");
    assert!(last["batch_eta_s"].as_f64().is_some(), "{last}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_batch_and_the_report_says_where() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("in")).unwrap();
    let size = Size::new(320, 240);
    for name in ["in/a.mkv", "in/b.mkv"] {
        let shots = (0..120).map(|n| picture(size, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
        film(&folder.path().join(name), shots);
    }
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("framelift"))
        .args(["upscale", "in", "-o", "out", "--progress", "none", "--report", "report.json"])
        .current_dir(folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    let is_at_work = || fs::read_dir(folder.path().join("out")).is_ok_and(|entries| entries.count() > 0);
    while !is_at_work() && begun.elapsed() < std::time::Duration::from_secs(60) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = report(folder.path());
    assert_eq!((&report["stopped"], &report["waiting"]), (&1.into(), &1.into()), "{report:#}");
    assert!(files(&folder.path().join("out")).iter().all(|name| !name.ends_with(".part")));
}

#[test]
fn results_of_fields_are_known_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let frames_of = (0..40).map(|n| picture(SIZE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect();
    film(&folder.path().join("in/a.mkv"), frames_of);
    let run = |mode: &str| {
        let arguments = ["in", "-o", "out", "--report", "report.json", "--deinterlace", mode];
        upscale_in(folder.path(), &arguments);
        report(folder.path())
    };
    assert_eq!(status(&run("field"), "a.mkv"), "made");
    assert_eq!(frames(&folder.path().join("out/a.mkv")).len(), 80);
    assert_eq!(status(&run("field"), "a.mkv"), "skipped");
    let other = run("frame");
    assert_eq!(status(&other, "a.mkv"), "failed");
    assert!(other["films"].to_string().contains("80 frames where 40 are due"), "{other:#}");
}
