//! Every film of the test data through the whole chain: frames, timestamps and streams are kept.
//!
//! The first frames of each by default; whole films with `FRAMELIFT_TEST_WHOLE_CLIPS` set.
#![cfg(test)]

mod common;

use std::path::{Path, PathBuf};

use common::*;
use framelift_media::{StreamKind, WriteOptions};

const FRAMES: usize = 60;

fn clips(root: &Path) -> Vec<PathBuf> {
    let mut clips = Vec::new();
    for folder in ["clips", "clips/train", "clips/fixtures", "clips/other"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if ["mp4", "mkv", "webm", "mov", "ts"].contains(&extension) {
                clips.push(path);
            }
        }
    }
    clips.sort();
    clips
}

fn kept(container: &str, codec: &str) {
    let Some(root) = test_data() else { return };
    let limit = if std::env::var_os("FRAMELIFT_TEST_WHOLE_CLIPS").is_some() { usize::MAX } else { FRAMES };
    let folder = tempfile::tempdir().unwrap();
    let out = file(&folder, &format!("out.{container}"));
    let clips = clips(&root);
    assert!(!clips.is_empty());
    for clip in clips {
        let notices = recode(&input(&clip), &output(&out), &fast(codec), limit).unwrap();
        let (a, b) = (read(&clip, limit, false), read(&out, usize::MAX, false));
        let name = clip.display();
        assert_eq!(a.times.len(), b.times.len(), "{name}");
        for (a, b) in a.times.iter().zip(&b.times) {
            if container == "mkv" {
                assert!((a.seconds() - b.seconds()).abs() <= 0.0005 + 1e-9, "{name}: {a:?} became {b:?}");
            } else {
                assert_eq!(a, b, "{name}");
            }
        }
        let (a, b) = (open(&clip), open(&out));
        let left_out = notices.iter().filter(|notice| notice.contains("left out")).count();
        // Matroska keeps a track of time codes as a tag of the pictures.
        let time_code = |d: &framelift_media::Demuxer| {
            let video = d.info().video_stream().unwrap().0;
            video.metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case("timecode")).map(|(_, value)| value.clone())
        };
        assert_eq!(time_code(&a), time_code(&b), "{name}");
        let tagged = usize::from(container == "mkv" && time_code(&a).is_some());
        assert_eq!(a.info().streams.len(), b.info().streams.len() + left_out + tagged, "{name}: {notices:?}");
        let sounds = |d: &framelift_media::Demuxer| {
            let streams = d.info().streams.iter().filter(|s| matches!(s.kind, StreamKind::Audio(_)));
            streams.map(|s| (s.codec.clone(), s.language.clone())).collect::<Vec<_>>()
        };
        assert_eq!(sounds(&a), sounds(&b), "{name}");
        let (_, before) = a.info().video_stream().unwrap();
        let (_, after) = b.info().video_stream().unwrap();
        assert_eq!(before.size, after.size, "{name}");
        assert_eq!(before.sample_aspect_ratio, after.sample_aspect_ratio, "{name}");
        assert_eq!(before.format.depth, after.format.depth, "{name}");
        if container == "mp4" {
            assert_eq!(before.rotation_degrees, after.rotation_degrees, "{name}");
        }
    }
}

#[test]
fn every_clip_keeps_its_times_in_mp4() {
    if has_encoder("libx264") {
        kept("mp4", "libx264");
    }
}

#[test]
fn every_clip_keeps_its_times_in_matroska() {
    if has_encoder("libx264") {
        kept("mkv", "libx264");
    }
}

#[test]
fn sound_stays_in_step() {
    let Some(root) = test_data() else { return };
    if !has_encoder("libx264") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for clip in [
        "train/bee.mp4",
        "train/elephants-dream.mp4",
        "train/bled-lake.webm",
        "train/zoom-vfr.mp4",
        "fixtures/nasa_13013.mp4",
    ] {
        let clip = root.join("clips").join(clip);
        for container in ["mp4", "mkv"] {
            let out = file(&folder, &format!("out.{container}"));
            recode(&input(&clip), &output(&out), &WriteOptions { overwrite: true, ..fast("libx264") }, 30).unwrap();
            let (before, after) = (sound_packets(&clip), sound_packets(&out));
            let step = after
                .iter()
                .find_map(|after| before.iter().find(|before| before.1 == after.1).map(|before| after.0 - before.0));
            let off_s = step.unwrap();
            assert!(off_s.abs() <= 0.0011, "{} in {container}: sound moved by {off_s} s", clip.display());
        }
    }
}

/// Times and sizes of the first packets of the first sound track: enough to find one again.
fn sound_packets(path: &Path) -> Vec<(f64, usize)> {
    let mut demuxer = open(path);
    let index = demuxer.info().streams.iter().position(|s| matches!(s.kind, StreamKind::Audio(_))).unwrap();
    let mut found = Vec::new();
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() == index {
            found.push((packet.time().unwrap().seconds(), packet.bytes()));
        }
        if found.len() == 40 {
            break;
        }
    }
    found
}
