//! Colours come back: bars in every matrix, range and depth, within one code value of 8 bits.
#![cfg(test)]

mod common;

use common::*;
use framelift_frame::{ChromaLocation, ColorSpec, Frame, Matrix, Plane, Primaries, Range, Size, Timestamp, Transfer};
use framelift_media::compose::{Canvas, Composition};
use framelift_media::{Output, OutputVideo, Picture, ToRgb, WriteOptions};

const SIZE: Size = Size::new(160, 96);

/// The bars of SMPTE EG 1, at 75 % and 100 %, with black and white.
const BARS: [[f64; 3]; 10] = [
    [1.0, 1.0, 1.0],
    [0.75, 0.75, 0.75],
    [0.75, 0.75, 0.0],
    [0.0, 0.75, 0.75],
    [0.0, 0.75, 0.0],
    [0.75, 0.0, 0.75],
    [0.75, 0.0, 0.0],
    [0.0, 0.0, 0.75],
    [1.0, 0.0, 0.0],
    [0.0, 0.0, 0.0],
];

const BAR_PX: usize = SIZE.width as usize / BARS.len();

fn bars() -> Frame {
    let base = Canvas::new(SIZE).time_base;
    let planes = std::array::from_fn(|channel| {
        let samples = (0..SIZE.height as usize)
            .flat_map(|_| (0..SIZE.width as usize).map(|x| (BARS[x / BAR_PX][channel] * 65535.0).round() as u16))
            .collect();
        Plane::new(SIZE, samples).unwrap()
    });
    Frame::new(planes, Timestamp::new(0, base), 40).unwrap()
}

/// Code values of a colour by the standards' own formulas (BT.601-7, BT.709-6: 3.2 to 3.5; full range as in JFIF).
fn code_values(rgb: [f64; 3], matrix: Matrix, range: Range, depth: u8) -> [f64; 3] {
    let (kr, kb) = match matrix {
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020Ncl => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    let [r, g, b] = rgb;
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let unit = f64::from(1u32 << (depth - 8));
    match range {
        Range::Full => {
            let top = f64::from((1u32 << depth) - 1);
            let middle = f64::from(1u32 << (depth - 1));
            [y * top, cb * top + middle, cr * top + middle]
        }
        _ => [(16.0 + 219.0 * y) * unit, (128.0 + 224.0 * cb) * unit, (128.0 + 224.0 * cr) * unit],
    }
}

/// The samples of a component in the middle of each bar, away from its edges.
fn middles(picture: &Picture, component: usize) -> Vec<Vec<u16>> {
    let (size, samples) = picture.samples(component).unwrap();
    let (w, h) = (size.width as usize, size.height as usize);
    let bar = w / BARS.len();
    (0..BARS.len())
        .map(|i| {
            let columns = i * bar + bar / 4 + 1..(i + 1) * bar - bar / 4;
            (h / 4..h * 3 / 4)
                .flat_map(|y| columns.clone().map(move |x| (x, y)))
                .map(|(x, y)| samples[y * w + x])
                .collect()
        })
        .collect()
}

fn film(folder: &tempfile::TempDir, name: &str, format: &str, color: ColorSpec) -> std::path::PathBuf {
    let path = file(folder, name);
    let canvas = Canvas { format: format.into(), color, ..Canvas::new(SIZE) };
    Composition::new(canvas).unwrap().write(&output(&path), &lossless(), [bars()]).unwrap();
    path
}

fn spec(matrix: Matrix, range: Range) -> ColorSpec {
    let (primaries, transfer) = match matrix {
        Matrix::Bt2020Ncl => (Primaries::Bt2020, Transfer::Bt2020Ten),
        Matrix::Smpte170M => (Primaries::Smpte170M, Transfer::Smpte170M),
        _ => (Primaries::Bt709, Transfer::Bt709),
    };
    ColorSpec { matrix, range, primaries, transfer, chroma_location: ChromaLocation::Left }
}

#[test]
fn bars_come_back_within_one_code_value() {
    let folder = tempfile::tempdir().unwrap();
    for matrix in [Matrix::Smpte170M, Matrix::Bt709, Matrix::Bt2020Ncl] {
        for range in [Range::Limited, Range::Full] {
            for (format, depth) in [
                ("yuv420p", 8),
                ("yuv420p10le", 10),
                ("yuv422p", 8),
                ("yuv422p10le", 10),
                ("yuv444p", 8),
                ("yuv444p12le", 12),
            ] {
                let what = format!("{matrix} {range:?} {format}");
                let made = film(&folder, "made.mkv", format, spec(matrix, range));
                let again = file(&folder, "again.mkv");
                let notices = recode(&input(&made), &output(&again), &lossless(), usize::MAX).unwrap();
                assert!(notices.is_empty(), "{what}: {notices:?}");
                let (a, b) = (read(&made, 1, true), read(&again, 1, true));
                let (a, b) = (&a.pictures[0], &b.pictures[0]);
                assert_eq!((a.format_name(), b.format_name()), (format.to_owned(), format.to_owned()), "{what}");
                let one = 1 << (depth - 8);
                for component in 0..3 {
                    for (i, (made, again)) in middles(a, component).iter().zip(&middles(b, component)).enumerate() {
                        let truth = code_values(BARS[i], matrix, range, depth)[component];
                        for (&made, &again) in made.iter().zip(again) {
                            assert!(
                                (i32::from(made) - i32::from(again)).abs() <= one,
                                "{what} {component} {i}: {made} {again}"
                            );
                            assert!(
                                (f64::from(made) - truth).abs() < 1.5,
                                "{what} {component} {i}: {made} is not {truth}"
                            );
                        }
                    }
                }
                // The tags of what was written are those of what was read.
                let (a, b) = (open(&made), open(&again));
                let color = |d: &framelift_media::Demuxer| d.info().video_stream().unwrap().1.resolved_color();
                assert_eq!((color(&a).matrix, color(&a).range), (matrix, range), "{what}");
                assert_eq!(color(&a), color(&b), "{what}");
            }
        }
    }
}

#[test]
fn pictures_become_the_rgb_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for (matrix, range) in
        [(Matrix::Bt709, Range::Limited), (Matrix::Smpte170M, Range::Full), (Matrix::Bt2020Ncl, Range::Limited)]
    {
        let made = film(&folder, "made.mkv", "yuv444p10le", spec(matrix, range));
        let demuxer = open(&made);
        let mut to_rgb = ToRgb::new(demuxer.info().video_stream().unwrap().1).unwrap();
        let frame = to_rgb.push(read(&made, 1, true).pictures.remove(0)).unwrap();
        for (channel, plane) in frame.planes().iter().enumerate() {
            for (i, bar) in BARS.iter().enumerate() {
                let got = f64::from(plane.row(48)[i * BAR_PX + BAR_PX / 2]) / 65535.0;
                // Two steps of ten bits.
                assert!((got - bar[channel]).abs() < 2.0 / 876.0, "{matrix} {i} {channel}: {got} for {}", bar[channel]);
            }
        }
        assert!(to_rgb.take_notices().is_empty());
    }
}

#[test]
fn what_is_not_stated_is_assumed_by_size_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(&folder, "made.y4m");
    // YUV4MPEG2 says nothing of matrix, primaries and transfer.
    let canvas = Canvas { color: spec(Matrix::Smpte170M, Range::Limited), ..Canvas::new(SIZE) };
    Composition::new(canvas).unwrap().write(&Output::File(made.clone()), &WriteOptions::default(), [bars()]).unwrap();
    let again = file(&folder, "again.mkv");
    let notices = recode(&input(&made), &output(&again), &lossless(), usize::MAX).unwrap();
    assert!(
        notices.iter().any(|notice| notice.contains("matrix smpte170m") && notice.contains("assumed")),
        "{notices:?}"
    );
    let color = open(&again).info().video_stream().unwrap().1.color;
    assert_eq!(
        (color.matrix, color.primaries, color.transfer),
        (Matrix::Smpte170M, Primaries::Smpte170M, Transfer::Smpte170M)
    );
    let (a, b) = (read(&made, 1, true), read(&again, 1, true));
    for component in 0..3 {
        for (made, again) in
            middles(&a.pictures[0], component).iter().flatten().zip(middles(&b.pictures[0], component).iter().flatten())
        {
            assert!((i32::from(*made) - i32::from(*again)).abs() <= 1);
        }
    }
}

#[test]
fn gray_stays_gray() {
    let folder = tempfile::tempdir().unwrap();
    for (format, range) in [("gray", Range::Full), ("gray10le", Range::Full), ("gray", Range::Limited)] {
        let made = film(&folder, "made.mkv", format, ColorSpec { range, ..spec(Matrix::Bt709, range) });
        let again = file(&folder, "again.mkv");
        recode(&input(&made), &output(&again), &lossless(), usize::MAX).unwrap();
        let (a, b) = (read(&made, 1, true), read(&again, 1, true));
        assert_eq!((a.pictures[0].format_name(), b.pictures[0].format_name()), (format.into(), format.into()));
        let one = if format == "gray" { 1 } else { 4 };
        for (made, again) in
            middles(&a.pictures[0], 0).iter().flatten().zip(middles(&b.pictures[0], 0).iter().flatten())
        {
            assert!((i32::from(*made) - i32::from(*again)).abs() <= one, "{format} {range:?}: {made} {again}");
        }
    }
}

#[test]
fn chroma_siting_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    if !has_encoder("libx264") {
        return;
    }
    // A hard edge in red, off the chroma grid: only the right siting brings it back to its place.
    for location in [ChromaLocation::Left, ChromaLocation::Center, ChromaLocation::TopLeft] {
        let color = ColorSpec { chroma_location: location, ..spec(Matrix::Bt709, Range::Limited) };
        let made = file(&folder, "made.mp4");
        let canvas = Canvas { color, ..Canvas::new(SIZE) };
        let mut options = fast("libx264");
        options.crf = Some(0.0);
        Composition::new(canvas).unwrap().write(&output(&made), &options, [bars()]).unwrap();
        let demuxer = open(&made);
        let video = demuxer.info().video_stream().unwrap().1;
        assert_eq!(video.color.chroma_location, location);
        let frame = ToRgb::new(video).unwrap().push(read(&made, 1, true).pictures.remove(0)).unwrap();
        // Where two bars meet, both sides are as far from the edge's middle: no shift of chroma against luma.
        let row = frame.planes()[2].row(48);
        let edge = BAR_PX * 2;
        let (before, after) = (f64::from(row[edge - 2]), f64::from(row[edge + 1]));
        let (high, low) = (0.75 * 65535.0, 0.0);
        let lean = ((high - before) - (after - low)).abs() / 65535.0;
        assert!(lean < 0.08, "{location:?}: {before} {after} lean {lean}");
    }
}

#[test]
fn depth_and_chroma_are_kept_or_the_loss_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |format: &str, codec: &str, container: &str, size: Size| -> OutputVideo {
        let made = film(&folder, "made.mkv", format, spec(Matrix::Bt709, Range::Limited));
        let demuxer = open(&made);
        let out = output(&file(&folder, &format!("o.{container}")));
        let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
        OutputVideo::plan(demuxer.info(), size, &out, &options).unwrap()
    };
    if has_encoder("libx264") {
        for format in ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"] {
            let plan = plan(format, "libx264", "mp4", SIZE);
            assert_eq!(plan.format_name, format);
            assert!(plan.notices.is_empty(), "{:?}", plan.notices);
        }
        let deep = plan("yuv420p12le", "libx264", "mkv", SIZE);
        assert_eq!(deep.format_name, "yuv420p10le");
        assert!(deep.notices[0].contains("12 bit") && deep.notices[0].contains("--codec"), "{:?}", deep.notices);
        // Odd sides are kept by storing chroma in full.
        let odd = plan("yuv420p10le", "libx264", "mkv", Size::new(161, 97));
        assert_eq!((odd.format_name.as_str(), odd.size), ("yuv444p10le", Size::new(161, 97)));
        assert!(odd.notices[0].contains("161x97"), "{:?}", odd.notices);
        let rgb = plan("gbrp10le", "libx264", "mkv", SIZE);
        assert_eq!((rgb.format_name.as_str(), rgb.color.matrix), ("yuv420p10le", Matrix::Bt709));
        assert!(rgb.notices[0].contains("RGB"), "{:?}", rgb.notices);
    }
    if has_encoder("libx264rgb") {
        assert_eq!(plan("gbrp", "libx264rgb", "mkv", SIZE).color.matrix, Matrix::Rgb);
    }
    assert_eq!(plan("gbrp16le", "ffv1", "mkv", SIZE).format.depth, 16);
    assert_eq!(plan("yuv420p10le", "mpeg4", "mp4", SIZE).format_name, "yuv420p");
}

#[test]
fn odd_sizes_go_through() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::new(67, 41);
    let base = Canvas::new(size).time_base;
    for (format, codec) in [("yuv444p", "ffv1"), ("yuv420p", "ffv1"), ("yuv420p", "libx264"), ("yuv422p", "libx264")] {
        if !has_encoder(codec) {
            continue;
        }
        let (made, again) = (file(&folder, "made.mkv"), file(&folder, "again.mkv"));
        let canvas = Canvas { format: format.into(), color: spec(Matrix::Bt709, Range::Limited), ..Canvas::new(size) };
        let frames = frames_at(size, base, &[0, 40, 80], 40);
        Composition::new(canvas).unwrap().write(&output(&made), &lossless(), frames).unwrap();
        recode(&input(&made), &output(&again), &fast(codec), usize::MAX).unwrap();
        let read = read(&again, usize::MAX, true);
        assert_eq!((read.times.len(), read.pictures[0].size()), (3, size), "{format} {codec}");
    }
}

#[test]
fn resizes_keep_flat_areas_and_edges_apart() {
    let mut resizer =
        framelift_media::Resizer::new(SIZE, Size::new(640, 384), framelift_media::Filter::Bicubic).unwrap();
    let big = resizer.push(&bars()).unwrap();
    assert_eq!((big.size(), big.time, big.duration_ticks), (Size::new(640, 384), bars().time, 40));
    for (channel, plane) in big.planes().iter().enumerate() {
        for (i, bar) in BARS.iter().enumerate() {
            let got = f64::from(plane.row(200)[i * BAR_PX * 4 + BAR_PX * 2]) / 65535.0;
            assert!((got - bar[channel]).abs() < 1e-4, "{i} {channel}: {got}");
        }
    }
}
