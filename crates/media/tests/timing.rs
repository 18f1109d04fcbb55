//! Frames out are frames in, each at its own time, in every container.
#![cfg(test)]

mod common;

use common::*;
use framelift_frame::{Size, TimeBase, Timestamp};
use framelift_media::WriteOptions;
use framelift_media::compose::{Canvas, Composition};

const SIZE: Size = Size::new(64, 48);

/// A made film of `ticks`, checked as it is and after another pass through the whole chain.
fn keeps_times(name: &str, base: TimeBase, ticks: &[i64], last_ticks: i64, options: &WriteOptions) {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, &format!("made.{name}")), file(&folder, &format!("again.{name}")));
    let canvas = Canvas { time_base: base, frame_rate: (25, 1), ..Canvas::new(SIZE) };
    let frames = frames_at(SIZE, base, ticks, last_ticks);
    Composition::new(canvas).unwrap().write(&output(&made), options, frames).unwrap();
    recode(&input(&made), &output(&again), options, usize::MAX).unwrap();
    let expected: Vec<_> = ticks.iter().map(|&ticks| Timestamp::new(ticks, base)).collect();
    for path in [made, again] {
        let read = read(&path, usize::MAX, false);
        assert_eq!(read.times.len(), expected.len(), "{}", path.display());
        for (got, want) in read.times.iter().zip(&expected) {
            if name == "mkv" || name == "webm" {
                // Matroska's ticks are milliseconds.
                let off_s = (got.seconds() - want.seconds()).abs();
                assert!(off_s <= 0.0005 + 1e-9, "{}: {got:?} for {want:?}", path.display());
            } else {
                assert_eq!(got, want, "{}", path.display());
            }
        }
        assert_eq!(read.errors, 0);
    }
}

/// Uneven steps, as phones and screen recorders make them.
fn uneven(count: usize, unit: i64) -> Vec<i64> {
    let mut at = 0;
    (0..count)
        .map(|i| {
            let now = at;
            at += unit * [1, 1, 3, 1, 7, 2, 1, 40, 1][i % 9] + (i as i64 % 4);
            now
        })
        .collect()
}

#[test]
fn variable_rate_survives_b_frames() {
    if !has_encoder("libx264") {
        return;
    }
    // The preset medium reorders frames.
    let options = WriteOptions { codec: Some("libx264".into()), overwrite: true, ..WriteOptions::default() };
    for name in ["mp4", "mov", "mkv", "m4v"] {
        keeps_times(name, TimeBase::new(1, 90_000), &uneven(40, 1800), 3003, &options);
    }
}

#[test]
fn any_time_base_is_kept() {
    for base in
        [TimeBase::new(1001, 30_000), TimeBase::new(1, 25), TimeBase::new(1, 23_040_000), TimeBase::new(1, 1000)]
    {
        let step = (base.den / base.num / 25).max(1).into();
        let ticks: Vec<i64> = (0..12).map(|i| i * step).collect();
        keeps_times("mp4", base, &ticks, step, &fast("mpeg4"));
    }
}

#[test]
fn encoders_that_count_frames_give_their_times_back() {
    for codec in ["mpeg4", "mpeg2video"] {
        let mut options = fast(codec);
        options.encoder_options.push(("bf".into(), "2".into()));
        keeps_times("mp4", TimeBase::new(1, 90_000), &uneven(20, 3600), 3600, &options);
    }
}

#[test]
fn vp9_in_webm_and_h265_in_mp4() {
    let ticks = uneven(14, 40);
    if has_encoder("libvpx-vp9") {
        keeps_times("webm", TimeBase::new(1, 1000), &ticks, 40, &fast("libvpx-vp9"));
    }
    if has_encoder("libx265") {
        keeps_times("mp4", TimeBase::new(1, 1000), &ticks, 40, &fast("libx265"));
    }
}

#[test]
fn films_that_start_late_or_have_one_frame() {
    for name in ["mp4", "mkv"] {
        keeps_times(name, TimeBase::new(1, 90_000), &[126_000, 129_600, 133_200], 3600, &lossless_or_mpeg4(name));
        keeps_times(name, TimeBase::new(1, 24), &[0], 1, &lossless_or_mpeg4(name));
    }
}

fn lossless_or_mpeg4(name: &str) -> WriteOptions {
    if name == "mkv" { lossless() } else { fast("mpeg4") }
}

#[test]
fn a_film_that_starts_before_zero_is_moved_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let base = TimeBase::new(1, 1000);
    for (name, options) in [("a.mp4", fast("mpeg4")), ("a.mkv", lossless())] {
        let path = file(&folder, name);
        let canvas = Canvas { time_base: base, ..Canvas::new(SIZE) };
        let frames = frames_at(SIZE, base, &[-80, -40, 0, 40], 40);
        Composition::new(canvas).unwrap().write(&output(&path), &options, frames).unwrap();
        let ticks: Vec<_> = read(&path, usize::MAX, false).times.iter().map(|time| time.ticks).collect();
        assert_eq!(ticks, [0, 40, 80, 120], "{name}");
    }
}

#[test]
fn durations_last() {
    let folder = tempfile::tempdir().unwrap();
    let base = TimeBase::new(1, 1000);
    let path = file(&folder, "a.mp4");
    let canvas = Canvas { time_base: base, ..Canvas::new(SIZE) };
    Composition::new(canvas)
        .unwrap()
        .write(&output(&path), &fast("mpeg4"), frames_at(SIZE, base, &[0, 40, 100], 700))
        .unwrap();
    assert_eq!(read(&path, usize::MAX, false).durations, [40, 60, 700]);
    assert!((open(&path).info().duration_s.unwrap() - 0.8).abs() < 0.002);
}

#[test]
fn seeking_reaches_the_frame_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let base = TimeBase::new(1, 1000);
    let path = file(&folder, "a.mkv");
    let canvas = Canvas { time_base: base, ..Canvas::new(SIZE) };
    let ticks: Vec<i64> = (0..60).map(|i| i * 40).collect();
    let mut options = fast("mpeg4");
    options.encoder_options.push(("g".into(), "12".into()));
    Composition::new(canvas).unwrap().write(&output(&path), &options, frames_at(SIZE, base, &ticks, 40)).unwrap();
    let mut demuxer = open(&path);
    let mut decoder = demuxer.decoder().unwrap();
    demuxer.seek(Timestamp::new(1000, base)).unwrap();
    let mut first = None;
    while let Some(packet) = demuxer.read().unwrap() {
        decoder.send(packet).unwrap();
        if let Some(picture) = decoder.receive().unwrap() {
            first = Some(picture.time());
            break;
        }
    }
    let first = first.unwrap();
    assert!(first <= Timestamp::new(1000, base) && first >= Timestamp::new(1000 - 12 * 40, base), "{first}");
}
