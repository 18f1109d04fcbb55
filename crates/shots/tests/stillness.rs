//! Which real clips stand still, at their own size: those of fixed cameras, and no others.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use framelift_media::{Demuxer, Input, ReadOptions, ToRgb};
use framelift_shots::{Blocks, stands_still};

/// A window as the pipeline shows it by default.
const FRAMES: usize = 124;

/// Clips, and whether their camera stands still before something that does.
const CLIPS: [(&str, bool); 13] = [
    ("train/one-by-one-person-detection.mp4", true),
    ("train/bottle-detection.mp4", true),
    ("train/car-detection.mp4", true),
    ("train/flower.mp4", true),
    ("train/bee.mp4", false),
    ("train/bumblebee.webm", true),
    ("train/crystal.mp4", false),
    ("train/elf.mp4", false),
    ("train/highway.mp4", false),
    ("train/karma.mp4", false),
    ("train/rabbit.mp4", false),
    ("train/stream-of-water.mp4", false),
    ("train/tears-of-steel.webm", false),
];

/// The blocks of the first frames of a film.
fn blocks(path: &Path) -> Vec<Blocks> {
    let mut demuxer = Demuxer::open(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let info = demuxer.info().clone();
    let (stream, video) = info.video_stream().unwrap();
    let mut decoder = demuxer.decoder().unwrap();
    let mut to_rgb = ToRgb::new(video).unwrap();
    let mut blocks = Vec::new();
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() != stream.index {
            continue;
        }
        decoder.send(packet).unwrap();
        while let Some(picture) = decoder.receive().unwrap() {
            blocks.push(Blocks::of(&to_rgb.push(picture).unwrap()));
            if blocks.len() == FRAMES {
                return blocks;
            }
        }
    }
    blocks
}

#[test]
fn fixed_cameras_stand_still() {
    let Some(data) = framelift_testkit::test_data() else { return };
    for (clip, still) in CLIPS {
        let blocks = blocks(&data.join("clips").join(clip));
        eprintln!("{clip}: {} frames, still: {}", blocks.len(), stands_still(&blocks));
        assert_eq!(stands_still(&blocks), still, "{clip}");
    }
}
