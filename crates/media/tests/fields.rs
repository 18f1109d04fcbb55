//! Woven pictures are found and made whole; whole ones are left alone.
#![cfg(test)]

mod common;

use common::*;
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_media::compose::{Canvas, Composition};
use framelift_media::{Combing, Deinterlace, MediaInfo, ReadOptions, VideoInfo};

const BASE: TimeBase = TimeBase::new(1, 1000);

/// Frames a clip has; enough for the look that is taken.
const FRAMES: usize = 20;

/// A picture of a scene at a moment, counted in fields.
struct Scene {
    name: &'static str,
    size: Size,
    /// Brightness, 0 to 1, of the point x, y (in pixels) at the moment t.
    light: fn(f64, f64, f64) -> f64,
}

fn wave(at: f64) -> f64 {
    0.5 + 0.5 * at.sin()
}

/// Something like a photograph: detail at several scales.
fn texture(x: f64, y: f64) -> f64 {
    let slow = wave(x * 0.11 + (y * 0.07).sin() * 2.0) * 0.5 + wave(y * 0.13 - x * 0.02) * 0.3;
    slow + wave(x * 0.7 + y * 0.5) * wave(y * 0.31) * 0.2
}

/// Numbers without a pattern, by place and moment.
fn noise(x: f64, y: f64, t: f64) -> f64 {
    let at = (x as i64).wrapping_mul(7919) ^ (y as i64).wrapping_mul(104_729) ^ (t as i64).wrapping_mul(1_299_709);
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 24)
}

fn inside(x: f64, y: f64, left: f64, top: f64, side: f64) -> bool {
    x >= left && x < left + side && y >= top && y < top + side
}

const SMALL: Size = Size::new(160, 120);
const WIDE: Size = Size::new(240, 136);

fn scenes() -> Vec<Scene> {
    let scene = |name, size, light| Scene { name, size, light };
    vec![
        scene("slow pan", SMALL, |x, y, t| texture(x + t * 0.5, y)),
        scene("pan", SMALL, |x, y, t| texture(x + t * 2.0, y)),
        scene("fast pan", SMALL, |x, y, t| texture(x - t * 7.0, y)),
        scene("tilt", SMALL, |x, y, t| texture(x, y + t)),
        scene("fast tilt", SMALL, |x, y, t| texture(x, y - t * 3.3)),
        scene("diagonal", WIDE, |x, y, t| texture(x + t * 1.7, y + t * 0.9)),
        scene("zoom", SMALL, |x, y, t| texture((x - 80.0) * (1.0 + t * 0.01), (y - 60.0) * (1.0 + t * 0.01))),
        scene("turn", SMALL, |x, y, t| {
            let (sin, cos) = (t * 0.03).sin_cos();
            texture((x - 80.0) * cos - (y - 60.0) * sin, (x - 80.0) * sin + (y - 60.0) * cos)
        }),
        scene("small thing in a still room", WIDE, |x, y, t| {
            if inside(x, y, (t * 3.0) % 200.0, 50.0, 28.0) { 0.95 } else { texture(x, y) * 0.7 }
        }),
        scene("two things", WIDE, |x, y, t| {
            let left = inside(x, y, 200.0 - (t * 2.5) % 190.0, 80.0, 24.0);
            if inside(x, y, (t * 4.0) % 200.0, 20.0, 30.0) || left { 0.05 } else { texture(x, y) }
        }),
        scene("noise over a pan", SMALL, |x, y, t| texture(x + t * 2.0, y) * 0.85 + noise(x, y, t) * 0.15),
        scene("grain", WIDE, |x, y, t| texture(x + t, y) * 0.94 + noise(x, y, t) * 0.06),
        scene(
            "fine lines",
            SMALL,
            |x, y, t| if ((y / 6.0) as i64 + (x + t * 3.0) as i64 / 16) % 2 == 0 { 0.8 } else { 0.2 },
        ),
        scene("bars", SMALL, |x, _, t| if ((x + t * 2.0) as i64 / 12) % 2 == 0 { 0.9 } else { 0.1 }),
        scene("swing", SMALL, |x, y, t| texture(x + (t * 0.2).sin() * 20.0, y)),
        scene("shake", SMALL, |x, y, t| texture(x + (t * 1.3).sin() * 3.0, y + (t * 1.7).cos() * 3.0)),
        scene("cuts", SMALL, |x, y, t| {
            let shot = (t / 16.0).floor();
            texture(x * (1.0 + shot * 0.3) + t * 2.0 + shot * 50.0, y + shot * 31.0)
        }),
        scene("fade", SMALL, |x, y, t| texture(x + t * 2.0, y) * (t / 60.0).min(1.0)),
        scene("text crawl", WIDE, |x, y, t| {
            let letter = ((x + t * 2.0) as i64 / 6) % 7;
            let lower = y > 100.0 && y < 124.0 && (y as i64 + letter * 3) % 8 < 5 && letter != 3;
            if lower { 1.0 } else { texture(x, y) * 0.5 }
        }),
        scene("flashes", SMALL, |x, y, t| {
            let flash = if (t as i64) % 14 < 2 { 0.3 } else { 0.0 };
            texture(x + t * 3.0, y) * 0.7 + flash
        }),
    ]
}

/// The moment `t` of a scene, its chroma following its light.
fn shot(scene: &Scene, t: f64) -> [Vec<u16>; 3] {
    let (w, h) = (scene.size.width as usize, scene.size.height as usize);
    std::array::from_fn(|channel| {
        let tint = [1.0, 0.85, 0.7][channel];
        let at = |i: usize| (scene.light)((i % w) as f64, (i / w) as f64, t);
        (0..w * h).map(|i| (at(i).clamp(0.0, 1.0) * tint * 60_000.0) as u16 + 2000).collect()
    })
}

/// Frames of the scene: whole, or woven of two moments with the field of `top_first` as the earlier.
fn frames(scene: &Scene, woven: Option<bool>) -> Vec<Frame> {
    let width = scene.size.width as usize;
    let number = |n: usize| {
        let mut planes = shot(scene, (2 * n) as f64);
        if let Some(top_first) = woven {
            let later = shot(scene, (2 * n + 1) as f64);
            for (plane, later) in planes.iter_mut().zip(&later) {
                let rows = plane.chunks_exact_mut(width).zip(later.chunks_exact(width)).enumerate();
                rows.filter(|(y, _)| (y % 2 == 0) != top_first)
                    .for_each(|(_, (row, later))| row.copy_from_slice(later));
            }
        }
        let planes = planes.map(|samples| Plane::new(scene.size, samples).unwrap());
        Frame::new(planes, Timestamp::new(n as i64 * 40, BASE), 40).unwrap()
    };
    (0..FRAMES).map(number).collect()
}

fn write(path: &std::path::Path, scene: &Scene, format: &str, woven: Option<bool>) {
    let canvas = Canvas { format: format.into(), frame_rate: (25, 1), ..Canvas::new(scene.size) };
    Composition::new(canvas).unwrap().write(&output(path), &lossless(), frames(scene, woven)).unwrap();
}

fn video(info: &MediaInfo) -> &VideoInfo {
    info.video_stream().unwrap().1
}

fn reading(deinterlace: Deinterlace) -> ReadOptions {
    ReadOptions { deinterlace, ..ReadOptions::default() }
}

/// How much rows differ from both neighbours, against how much they differ from the next but one: high where pictures comb.
fn combs(path: &std::path::Path) -> f64 {
    let (mut near, mut far) = (0.0, 1.0);
    for picture in &read_with(&input(path), &reading(Deinterlace::Off), usize::MAX, true).pictures[2..] {
        let (size, samples) = picture.samples(0).unwrap();
        let rows: Vec<_> = samples.chunks_exact(size.width as usize).collect();
        for three in rows.windows(3) {
            for ((a, b), c) in three[0].iter().zip(three[1]).zip(three[2]) {
                let [a, b, c] = [*a, *b, *c].map(f64::from);
                // Only where the row lies outside of both neighbours.
                near += ((b - a) * (b - c)).max(0.0).sqrt();
                far += (a - c).abs();
            }
        }
    }
    near / far
}

#[test]
fn twenty_woven_films_are_made_whole_and_twenty_whole_ones_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = scenes();
    assert_eq!(scenes.len(), 20);
    for (i, scene) in scenes.iter().enumerate() {
        let (name, top_first) = (scene.name, i % 3 != 1);
        let format = ["yuv422p", "yuv444p", "yuv422p10le"][i % 3];
        let [whole, woven, out] = ["whole.mkv", "woven.mkv", "out.mkv"].map(|name| file(&folder, name));
        write(&whole, scene, format, None);
        write(&woven, scene, format, Some(top_first));

        let info = open(&whole).info().clone();
        assert_eq!((video(&info).combing, video(&info).deinterlace), (Combing::Whole, None), "{name}");
        let notices = recode(&input(&whole), &output(&out), &lossless(), usize::MAX).unwrap();
        assert!(notices.iter().all(|notice| !notice.contains("interlaced")), "{name}: {notices:?}");

        let info = open(&woven).info().clone();
        assert_eq!(video(&info).combing, Combing::Fields { top_first }, "{name}");
        let notices = recode(&input(&woven), &output(&out), &lossless(), usize::MAX).unwrap();
        assert!(notices.iter().any(|notice| notice.contains("deinterlaced")), "{name}: {notices:?}");
        let as_is = reading(Deinterlace::Off);
        let [a, b] = [&woven, &out].map(|path| read_with(&input(path), &as_is, usize::MAX, false));
        assert_eq!((a.times, a.durations), (b.times, b.durations), "{name}");
        let after = open(&out);
        assert_eq!(video(after.info()).combing, Combing::Whole, "{name}");
        // What bwdif makes of whole pictures of the scene is the measure: it has its own way with sharp lines.
        let own = file(&folder, "own.mkv");
        recode_with(&input(&whole), &output(&own), &lossless(), &reading(Deinterlace::Frame), usize::MAX).unwrap();
        let [before, after, own, truth] = [&woven, &out, &own, &whole].map(|path| combs(path));
        let truth = own.max(truth);
        assert!(
            after < truth * 1.25 + 0.02 && after < before,
            "{name}: combs {before:.3} became {after:.3}, {truth:.3} of whole pictures"
        );
    }
}

#[test]
fn fields_become_frames_at_their_own_moments() {
    let folder = tempfile::tempdir().unwrap();
    let scene = &scenes()[1];
    let ticks: Vec<i64> = (0..FRAMES as i64).map(|n| n * 40 + i64::from(n > 10) * 26).collect();
    for (name, top_first) in [("out.mp4", true), ("out.mkv", false)] {
        let [woven, out] = ["woven.mkv", name].map(|name| file(&folder, name));
        let mut made = frames(scene, Some(top_first));
        for (frame, &at) in made.iter_mut().zip(&ticks) {
            frame.time.ticks = at;
        }
        let canvas = Canvas { format: "yuv422p".into(), frame_rate: (25, 1), ..Canvas::new(scene.size) };
        Composition::new(canvas).unwrap().write(&output(&woven), &lossless(), made).unwrap();
        let codec = if name.ends_with("mp4") { fast("mpeg4") } else { lossless() };
        recode_with(&input(&woven), &output(&out), &codec, &reading(Deinterlace::Field), usize::MAX).unwrap();
        let read = read(&out, usize::MAX, true);
        assert_eq!(read.times.len(), 2 * FRAMES);
        for (n, pair) in read.times.chunks_exact(2).enumerate() {
            let next = ticks.get(n + 1).copied().unwrap_or(ticks[n] + 40);
            let half = Timestamp::new(ticks[n] + next, TimeBase::new(1, 2000));
            assert_eq!((pair[0], pair[1]), (Timestamp::new(ticks[n], BASE), half), "{name} {n}");
        }
        if name.ends_with("mkv") {
            // Each frame is closest to the scene at its own moment, not to a neighbour's: the order of fields is right.
            for n in 8..32 {
                let off = |t: usize| {
                    let (size, samples) = read.pictures[n].samples(0).unwrap();
                    let truth = shot(scene, t as f64);
                    let row = size.height as usize / 2;
                    let at = row * size.width as usize..(row + 1) * size.width as usize;
                    let luma = |i: usize| {
                        (0.299 * f64::from(truth[0][i])
                            + 0.587 * f64::from(truth[1][i])
                            + 0.114 * f64::from(truth[2][i]))
                            / 65535.0
                    };
                    at.map(|i| (f64::from(samples[i]) / 255.0 * 255.0 / 219.0 - 16.0 / 219.0 - luma(i)).abs())
                        .sum::<f64>()
                };
                assert!(
                    off(n) < off(n + 1) && off(n) < off(n - 1),
                    "frame {n}: {} {} {}",
                    off(n - 1),
                    off(n),
                    off(n + 1)
                );
            }
        }
    }
}

#[test]
fn one_picture_and_two_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for (count, deinterlace, expected) in
        [(1, Deinterlace::Frame, 1), (2, Deinterlace::Frame, 2), (1, Deinterlace::Field, 2), (3, Deinterlace::Field, 6)]
    {
        let [woven, out] = ["woven.mkv", "out.mkv"].map(|name| file(&folder, name));
        let scene = &scenes()[0];
        let canvas = Canvas { format: "yuv420p".into(), ..Canvas::new(scene.size) };
        let made = frames(scene, Some(true)).into_iter().take(count);
        Composition::new(canvas).unwrap().write(&output(&woven), &lossless(), made).unwrap();
        recode_with(&input(&woven), &output(&out), &lossless(), &reading(deinterlace), usize::MAX).unwrap();
        assert_eq!(read(&out, usize::MAX, false).times.len(), expected, "{count} {deinterlace:?}");
    }
}

#[test]
fn a_telecine_is_named_and_its_whole_pictures_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [made, out] = ["made.mkv", "out.mkv"].map(|name| file(&folder, name));
    let scene = &scenes()[1];
    let width = scene.size.width as usize;
    // Film frames A B C D, each shown for three fields and two in turn.
    let fields: Vec<f64> =
        (0..40).flat_map(|film| std::iter::repeat_n(f64::from(film) * 2.0, 2 + film as usize % 2)).collect();
    let telecined: Vec<Frame> = fields
        .chunks_exact(2)
        .take(40)
        .enumerate()
        .map(|(n, pair)| {
            let [mut planes, lower] = [shot(scene, pair[0]), shot(scene, pair[1])];
            for (plane, lower) in planes.iter_mut().zip(&lower) {
                let rows = plane.chunks_exact_mut(width).zip(lower.chunks_exact(width)).skip(1).step_by(2);
                rows.for_each(|(row, lower)| row.copy_from_slice(lower));
            }
            let planes = planes.map(|samples| Plane::new(scene.size, samples).unwrap());
            Frame::new(planes, Timestamp::new(n as i64 * 33, BASE), 33).unwrap()
        })
        .collect();
    let canvas = Canvas { format: "yuv422p".into(), frame_rate: (30, 1), ..Canvas::new(scene.size) };
    Composition::new(canvas).unwrap().write(&output(&made), &lossless(), telecined).unwrap();
    assert_eq!(video(open(&made).info()).combing, Combing::Telecined { top_first: true });
    let notices = recode(&input(&made), &output(&out), &lossless(), usize::MAX).unwrap();
    assert!(notices.iter().any(|notice| notice.contains("telecined")), "{notices:?}");
    assert_eq!(read(&out, usize::MAX, false).times.len(), 40);
}

#[test]
fn real_films_are_left_alone() {
    let Some(root) = test_data() else { return };
    let mut walked = 0;
    for folder in ["clips", "clips/train", "clips/fixtures", "clips/other"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if ["mp4", "mkv", "webm", "mov", "ts"].contains(&extension) {
                let demuxer = open(&path);
                let found = video(demuxer.info()).combing;
                assert!(matches!(found, Combing::Whole | Combing::Unknown), "{}: {found:?}", path.display());
                walked += 1;
            }
        }
    }
    assert!(walked > 20, "only {walked} films");
}
