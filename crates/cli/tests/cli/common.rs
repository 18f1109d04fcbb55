//! Small films and the command, for the tests of the command line.

use std::path::Path;
use std::process::Output as Finished;

use assert_cmd::Command;
use framelift::media::compose::{Canvas, Composition, Cue, SubtitleFormat};
use framelift::media::{Demuxer, Input, Output, ToRgb};
use framelift::{Frame, Plane, ReadOptions, Size, TimeBase, Timestamp, WriteOptions};

pub(crate) const SIZE: Size = Size::new(48, 32);
pub(crate) const MS: TimeBase = TimeBase::new(1, 1000);

/// The command `framelift`, with nothing of the user's environment that changes it.
pub(crate) fn framelift() -> Command {
    let mut command = Command::cargo_bin("framelift").unwrap();
    command.env_remove("FRAMELIFT_LOG");
    command
}

/// Runs `framelift upscale` with a fast encoder.
pub(crate) fn upscale(input: &Path, output: &Path, options: &[&str]) -> Finished {
    framelift()
        .arg("upscale")
        .arg(input)
        .arg("-o")
        .arg(output)
        .args(["--preset", "ultrafast"])
        .args(options)
        .output()
        .unwrap()
}

pub(crate) fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

/// A picture that differs from frame to frame.
pub(crate) fn picture(size: Size, n: usize, time: Timestamp, duration_ticks: i64) -> Frame {
    let plane = |channel: usize| {
        let at = |i: usize| {
            let (x, y) = (i % size.width as usize, i / size.width as usize);
            ((x * 1300 + y * 700 + n * 2100 + channel * 9000) % 65536) as u16
        };
        Plane::new(size, (0..size.pixels() as usize).map(at).collect()).unwrap()
    };
    Frame::new([plane(0), plane(1), plane(2)], time, duration_ticks).unwrap()
}

/// `count` frames shown for 40, 33 and 67 ms in turn.
pub(crate) fn variable_rate(count: usize) -> Vec<Frame> {
    let mut at = 0;
    (0..count)
        .map(|n| {
            let duration = [40, 33, 67][n % 3];
            at += duration;
            picture(SIZE, n, Timestamp::new(at - duration, MS), duration)
        })
        .collect()
}

/// A Matroska film of `frames` with two sound tracks, subtitles and chapters.
pub(crate) fn film(path: &Path, frames: Vec<Frame>) {
    let end_ms = frames.last().map_or(0, |f| f.time.ticks + f.duration_ticks);
    let sound: Vec<i16> = (0..end_ms * 8).map(|n| (n % 100 * 300 - 15_000) as i16).collect();
    let cue = Cue { start_ms: 50, end_ms: 200, text: "Hello".into() };
    let mut canvas = Canvas::new(frames.first().map_or(SIZE, Frame::size));
    canvas.time_base = MS;
    canvas.frame_rate = (25, 1);
    let mut film = Composition::new(canvas).unwrap();
    film.sound(8000, 1, &sound, &[("language", "eng")]).unwrap();
    film.sound(8000, 1, &sound, &[("language", "deu")]).unwrap();
    film.subtitles(SubtitleFormat::SubRip, &[cue], &[("language", "eng")]).unwrap();
    film.chapter(0, end_ms / 2, "One").chapter(end_ms / 2, end_ms, "Two");
    let options = WriteOptions { preset: Some("ultrafast".into()), overwrite: true, ..WriteOptions::default() };
    film.write(&Output::parse(path).unwrap(), &options, frames).unwrap();
}

/// All frames of a film.
pub(crate) fn frames(path: &Path) -> Vec<Frame> {
    let mut demuxer = Demuxer::open(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let info = demuxer.info().clone();
    let (stream, video) = info.video_stream().unwrap();
    let mut decoder = demuxer.decoder().unwrap();
    let mut to_rgb = ToRgb::new(video).unwrap();
    let mut frames = Vec::new();
    loop {
        let packet = demuxer.read().unwrap();
        let ended = packet.is_none();
        match packet {
            Some(packet) if packet.stream_index() != stream.index => continue,
            Some(packet) => decoder.send(packet).unwrap(),
            None => decoder.finish().unwrap(),
        }
        while let Some(picture) = decoder.receive().unwrap() {
            frames.push(to_rgb.push(picture).unwrap());
        }
        if ended {
            return frames;
        }
    }
}

/// The times of all frames in milliseconds.
pub(crate) fn times_ms(path: &Path) -> Vec<i64> {
    frames(path).iter().map(|f| f.time.exactly_in(MS).unwrap()).collect()
}
