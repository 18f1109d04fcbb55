//! Numbered PNG pictures in and out.
#![cfg(test)]

mod common;

use common::*;
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_media::compose::{Canvas, Composition};
use framelift_media::{Demuxer, ErrorKind, Input, MediaError, Output, ReadOptions, ToRgb, WriteOptions};

const SIZE: Size = Size::new(67, 41);

/// A frame with every kind of value: all 16 bits differ from pixel to pixel.
fn noise(number: u64) -> Frame {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1);
    let planes = std::array::from_fn(|_| {
        let samples = (0..SIZE.pixels())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 48) as u16
            })
            .collect();
        Plane::new(SIZE, samples).unwrap()
    });
    Frame::new(planes, Timestamp::new(number as i64, TimeBase::new(1, 24)), 1).unwrap()
}

fn canvas() -> Canvas {
    Canvas { format: "gbrp16le".into(), time_base: TimeBase::new(1, 24), ..Canvas::new(SIZE) }
}

fn write(output: &Output, options: &WriteOptions, frames: Vec<Frame>) -> Result<(), MediaError> {
    Composition::new(canvas()).unwrap().write(output, options, frames)
}

fn frames_of(input: &Input) -> Vec<Frame> {
    let info = framelift_media::probe(input, &ReadOptions::default()).unwrap();
    let mut to_rgb = ToRgb::new(info.video_stream().unwrap().1).unwrap();
    read_input(input, usize::MAX, true).pictures.into_iter().map(|picture| to_rgb.push(picture).unwrap()).collect()
}

#[test]
fn sixteen_bits_come_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(&folder, "f%06d.png");
    let options = WriteOptions { png16: true, ..WriteOptions::default() };
    write(&output(&pattern), &options, (0..3).map(noise).collect()).unwrap();
    assert_eq!(names(folder.path()), ["f000001.png", "f000002.png", "f000003.png"]);
    let frames = frames_of(&input(&pattern));
    assert_eq!(frames.len(), 3);
    for (number, frame) in frames.iter().enumerate() {
        assert!(frame.planes() == noise(number as u64).planes(), "picture {number}");
        assert_eq!(frame.time, Timestamp::new(number as i64, TimeBase::new(1, 24)));
    }
}

#[test]
fn eight_bits_are_times_257_and_come_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (file(&folder, "a%d.png"), file(&folder, "b%d.png"));
    write(&output(&a), &WriteOptions::default(), vec![noise(0), noise(1)]).unwrap();
    let first = frames_of(&input(&a));
    let noise = noise(0);
    for (eight, sixteen) in first[0].planes().iter().zip(noise.planes()) {
        for (&eight, &sixteen) in eight.samples().iter().zip(sixteen.samples()) {
            assert_eq!(eight % 257, 0);
            assert!((i32::from(eight) - i32::from(sixteen)).abs() <= 257, "{eight} for {sixteen}");
        }
    }
    recode(&input(&a), &output(&b), &WriteOptions::default(), usize::MAX).unwrap();
    let second = frames_of(&input(&b));
    assert!(first.iter().zip(&second).all(|(a, b)| a.planes() == b.planes()));
}

#[test]
fn numbering_starts_anywhere_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (file(&folder, "a%04d.png"), file(&folder, "b%04d.png"));
    write(&output(&a), &WriteOptions::default(), (0..3).map(noise).collect()).unwrap();
    for number in [3, 2, 1] {
        std::fs::rename(
            file(&folder, &format!("a{number:04}.png")),
            file(&folder, &format!("a{:04}.png", number + 85)),
        )
        .unwrap();
    }
    let options = ReadOptions { sequence_rate: (30_000, 1001), ..ReadOptions::default() };
    let demuxer = Demuxer::open(&input(&a), &options).unwrap();
    let (stream, video) = demuxer.info().video_stream().unwrap();
    assert_eq!((stream.time_base, video.average_frame_rate), (TimeBase::new(1001, 30_000), Some((30_000, 1001))));
    recode_with(&input(&a), &output(&b), &WriteOptions::default(), &options, usize::MAX).unwrap();
    assert_eq!(names(folder.path())[3..], ["b0086.png", "b0087.png", "b0088.png"]);
}

#[test]
fn a_missing_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(&folder, "%03d.png");
    write(&output(&pattern), &WriteOptions::default(), (0..4).map(noise).collect()).unwrap();
    std::fs::remove_file(file(&folder, "003.png")).unwrap();
    let error = Demuxer::open(&input(&pattern), &ReadOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("003.png"), "{error}");
}

#[test]
fn no_picture_appears_before_all_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(&folder, "made.mkv");
    write(&output(&made), &lossless(), (0..3).map(noise).collect()).unwrap();
    let pattern = file(&folder, "%03d.png");
    let out = output(&pattern);
    {
        let demuxer = open(&made);
        let plan = framelift_media::OutputVideo::plan(demuxer.info(), SIZE, &out, &WriteOptions::default()).unwrap();
        let encoder = framelift_media::Encoder::new(&plan, &out, &WriteOptions::default()).unwrap();
        let _muxer =
            framelift_media::Muxer::create(&out, &encoder, &demuxer.template().unwrap(), &WriteOptions::default())
                .unwrap();
        assert!(names(folder.path()).iter().all(|name| !name.ends_with(".png")));
    }
    assert_eq!(names(folder.path()), ["made.mkv"]);
}

#[test]
fn existing_pictures_are_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(&folder, "%03d.png");
    write(&output(&pattern), &WriteOptions::default(), (0..5).map(noise).collect()).unwrap();
    let error = write(&output(&pattern), &WriteOptions::default(), vec![noise(9)]).unwrap_err();
    assert!(matches!(error, MediaError::Exists { .. }) && error.to_string().contains("--overwrite"), "{error}");
    assert_eq!(names(folder.path()).len(), 5);
    let overwrite = WriteOptions { overwrite: true, ..WriteOptions::default() };
    write(&output(&pattern), &overwrite, vec![noise(9)]).unwrap();
    // None of the longer film is left to be taken for part of this one.
    assert_eq!(names(folder.path()), ["001.png"]);
}

#[test]
fn ffv1_keeps_sixteen_bits_of_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.mkv");
    write(&output(&path), &lossless(), (0..3).map(noise).collect()).unwrap();
    let frames = frames_of(&input(&path));
    assert!(frames.iter().enumerate().all(|(number, frame)| frame.planes() == noise(number as u64).planes()));
}
