//! Outputs that cannot be written: said before the work where that can be known, and nothing under the final name.
#![cfg(test)]

mod common;

use std::path::PathBuf;

use common::*;
use framelift_frame::Size;
use framelift_media::compose::{Canvas, Composition};
use framelift_media::{ErrorKind, MediaError, Muxer, OutputVideo, WriteOptions};

const SIZE: Size = Size::new(64, 48);

fn compose(folder: &tempfile::TempDir) -> PathBuf {
    let path = file(folder, "in.mkv");
    write(&path, &lossless()).unwrap();
    path
}

fn write(path: &std::path::Path, options: &WriteOptions) -> Result<(), MediaError> {
    let ticks: Vec<i64> = (0..5).map(|i| i * 40).collect();
    let frames = frames_at(SIZE, Canvas::new(SIZE).time_base, &ticks, 40);
    Composition::new(Canvas::new(SIZE)).unwrap().write(&output(path), options, frames)
}

#[test]
fn existing_files_are_kept_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "film.mkv");
    std::fs::write(&path, "precious").unwrap();
    let keep = WriteOptions { overwrite: false, ..lossless() };
    let error = write(&path, &keep).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("--overwrite"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    write(&path, &lossless()).unwrap();
    assert_eq!(read(&path, usize::MAX, false).times.len(), 5);
    assert_eq!(names(folder.path()), ["film.mkv"]);
}

#[test]
fn the_name_appears_when_the_film_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (made, path) = (compose(&folder), file(&folder, "out.mkv"));
    let demuxer = open(&made);
    let out = output(&path);
    let plan = OutputVideo::plan(demuxer.info(), SIZE, &out, &lossless()).unwrap();
    let encoder = framelift_media::Encoder::new(&plan, &out, &lossless()).unwrap();
    let muxer = Muxer::create(&out, &encoder, &demuxer.template().unwrap(), &lossless()).unwrap();
    let during = names(folder.path());
    assert!(during.iter().any(|name| name.starts_with(".out.mkv.") && name.ends_with(".part")), "{during:?}");
    assert!(!path.exists());
    drop(muxer);
    assert_eq!(names(folder.path()), ["in.mkv"]);
}

#[test]
fn folders_that_are_missing_or_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let made = compose(&folder);
    std::fs::create_dir(file(&folder, "dir.mkv")).unwrap();
    for (name, words) in [
        ("nowhere/out.mkv", "no folder"),
        ("dir.mkv", "folder"),
        ("in.mkv/out.mkv", "not a directory"),
        ("nowhere/%d.png", "no folder"),
    ] {
        let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
        let error = recode(&input(&made), &output(&file(&folder, name)), &options, usize::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output, "{error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    assert_eq!(names(folder.path()), ["dir.mkv", "in.mkv"]);
}

#[cfg(unix)]
#[test]
fn folders_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let locked = file(&folder, "locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_ok() {
        eprintln!("SKIPPED: this user may write anywhere");
        return;
    }
    let error = write(&locked.join("out.mkv"), &lossless()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().contains("permission"), "{error}");
}

#[test]
fn encoders_and_options_that_do_not_exist_or_fit() {
    let folder = tempfile::tempdir().unwrap();
    let made = compose(&folder);
    let fails = |name: &str, options: WriteOptions, words: &str| {
        let error = recode(&input(&made), &output(&file(&folder, name)), &options, usize::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    };
    let option =
        |key: &str, value: &str| WriteOptions { encoder_options: vec![(key.into(), value.into())], ..fast("mpeg4") };
    fails("a.mkv", fast("libx999"), "libx999");
    fails("a.webm", fast("mpeg4"), "WebM cannot hold");
    fails("a.mkv", option("colour", "red"), "colour");
    fails("a.mkv", option("g", "many"), "many");
    fails("a.mkv", WriteOptions { crf: Some(20.0), ..lossless() }, "--crf");
    fails("a.mkv", WriteOptions { preset: Some("fast".into()), ..fast("mpeg4") }, "--preset");
    fails("%d.png", fast("mpeg4"), "PNG");
    if has_encoder("libx264") {
        fails("a.mkv", WriteOptions { preset: Some("quick".into()), ..fast("libx264") }, "quick");
    }
    assert_eq!(names(folder.path()), ["in.mkv"]);
}

#[test]
fn the_last_option_given_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.mkv");
    let mut options = fast("mpeg4");
    options.crf = Some(31.0);
    let size = |options: &WriteOptions| {
        write(&path, options).unwrap();
        std::fs::metadata(&path).unwrap().len()
    };
    let coarse = size(&options);
    options.encoder_options.push(("global_quality".into(), "118".into()));
    assert!(size(&options) > coarse);
}
