//! `framelift preview`: a piece of a film through several models, in one picture.

use std::fs;
use std::path::Path;

use framelift::{Frame, Input, ReadOptions, Size, StreamKind, Timestamp, probe};
use serde_json::Value;

use crate::common::{MS, SIZE, film, framelift, frames, picture, stderr};

/// A film of five seconds at 25 frames a second.
fn five_seconds(path: &Path) {
    film(path, (0..125).map(|n| picture(SIZE, n, Timestamp::new(n as i64 * 40, MS), 40)).collect());
}

fn preview(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let run = framelift().current_dir(folder).arg("preview").args(arguments).output().unwrap();
    (run.status.code().unwrap(), stderr(&run))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The picture in a PNG file, as samples of 8 bits.
fn png(path: &Path) -> (Size, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    (Size::new(info.width, info.height), samples)
}

#[test]
fn a_piece_from_the_middle_beside_the_yardstick() {
    let folder = tempfile::tempdir().unwrap();
    five_seconds(&folder.path().join("film.mkv"));
    let (code, told) = preview(folder.path(), &["film.mkv", "--seconds", "2", "--progress", "plain"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(names(folder.path()), ["film.mkv", "film.preview.mkv"]);
    assert!(told.contains("bicubic, lift-x4") && told.contains("the whole film in about"), "{told}");
    let path = folder.path().join("film.preview.mkv");
    let made = frames(&path);
    // Two pictures of 192 x 128 and what lies between them.
    assert_eq!((made.len(), made[0].size()), (50, Size::new(388, 128)));
    let times: Vec<i64> = made.iter().map(|frame: &Frame| frame.time.exactly_in(MS).unwrap()).collect();
    let due: Vec<i64> = (0..50).map(|n| n * 40).collect();
    let first = times[0];
    assert!(first < 40 && times.iter().zip(&due).all(|(time, due)| time - first == *due), "{times:?}");
    let info = probe(&Input::parse(&path).unwrap(), &ReadOptions::default()).unwrap();
    let sound = info.streams.iter().filter(|stream| matches!(stream.kind, StreamKind::Audio(_))).count();
    assert_eq!(sound, 2);
    assert!((info.duration_s.unwrap() - 2.0).abs() < 0.2, "{:?}", info.duration_s);

    let (code, told) = preview(folder.path(), &["film.mkv", "--seconds", "2"]);
    assert!(code == 2 && told.contains("--overwrite"), "{told}");
}

#[test]
fn one_picture_of_several_models() {
    let folder = tempfile::tempdir().unwrap();
    five_seconds(&folder.path().join("film.mkv"));
    let models = ["-m", "lift-x4", "-m", "lanczos", "-m", "lift"];
    let arguments = ["film.mkv", "--at", "2.0", "-o", "picture.png", "--size", "96x64", "--progress", "json"];
    let (code, told) = preview(folder.path(), &[&arguments[..], &models].concat());
    assert_eq!(code, 0, "{told}");
    assert_eq!(names(folder.path()), ["film.mkv", "picture.png"]);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(last["models"], serde_json::json!(["bicubic", "lift-x4", "lanczos", "lift-x2"]));
    let (size, samples) = png(&folder.path().join("picture.png"));
    assert_eq!(size, Size::new(2 * 96 + 4, 2 * 64 + 4));

    // The upper left picture is the film's frame of that moment, made larger.
    let exact = folder.path().join("exact.png");
    let (code, told) =
        preview(folder.path(), &["film.mkv", "--at", "2", "-o", "exact.png", "-m", "lanczos", "--scale", "1"]);
    assert_eq!(code, 0, "{told}");
    let (_, exact) = png(&exact);
    let film = frames(&folder.path().join("film.mkv"));
    let wide = 2 * SIZE.width as usize + 4;
    const LABEL: usize = 21;
    // What lies below the label, against each frame of the film: none is closer than that of the moment.
    let difference = |frame: &Frame| -> i64 {
        let at = |x: usize, y: usize| {
            let sample = |(channel, plane): (usize, &framelift::Plane)| {
                (i64::from(exact[3 * (y * wide + x) + channel]) - i64::from(plane.row(y)[x] / 257)).abs()
            };
            frame.planes().iter().enumerate().map(sample).sum::<i64>()
        };
        (LABEL..SIZE.height as usize).map(|y| (0..SIZE.width as usize).map(|x| at(x, y)).sum::<i64>()).sum()
    };
    let closest = (40..60).min_by_key(|&n| difference(&film[n])).unwrap();
    let samples_compared = 3 * (i64::from(SIZE.height) - LABEL as i64) * i64::from(SIZE.width);
    assert!(closest == 50 && difference(&film[50]) < 4 * samples_compared, "{closest}: {}", difference(&film[50]));
    assert!(samples.iter().any(|&v| v > 200), "labels are light");
}

#[test]
fn wipes_and_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    five_seconds(&folder.path().join("film.mkv"));
    let (code, told) =
        preview(folder.path(), &["film.mkv", "--seconds", "0.4", "--layout", "wipe", "-m", "lift-x2", "-o", "w.mp4"]);
    assert_eq!(code, 0, "{told}");
    let made = frames(&folder.path().join("w.mp4"));
    assert_eq!((made.len(), made[0].size()), (10, Size::new(96, 64)));
    let cases: [(&[&str], i32, &str); 7] = [
        (&["film.mkv", "-m", "nothing"], 2, "no model"),
        (&["film.mkv", "-m", "RealESRGAN_x4plus"], 2, "framelift models fetch RealESRGAN_x4plus"),
        (&["film.mkv", "-w", "missing.pth"], 3, "missing.pth"),
        (&["film.mkv", "-o", "frames/%04d.png"], 2, "no file for a preview"),
        (&["film.mkv", "-o", "none/a.mkv"], 6, "none"),
        (&["missing.mkv"], 3, "no such file"),
        (&["film.mkv", "--at", "100"], 2, "no frame lies"),
    ];
    for (arguments, due, says) in cases {
        let (code, told) = preview(folder.path(), arguments);
        let last = told.lines().last().unwrap_or_default();
        assert!(code == due && last.contains(says), "{arguments:?}: {code} {told}");
    }
    assert_eq!(names(folder.path()), ["film.mkv", "w.mp4"]);
}
