//! Depth, HDR, alpha, captions and fields through the whole command.

use std::path::Path;

use framelift::media::compose::{Canvas, Composition};
use framelift::media::{Demuxer, Input, Output, Picture};
use framelift::{
    Beside, ChromaLocation, ColorSpec, Deinterlace, Frame, Matrix, Plane, Primaries, Range, ReadOptions, Size,
    Timestamp, Transfer, WriteOptions,
};

use crate::common::{MS, framelift, stderr};

pub(crate) fn has_encoder(name: &str) -> bool {
    let made = Composition::new(Canvas::new(Size::new(64, 64))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = WriteOptions { codec: Some(name.to_owned()), ..WriteOptions::default() };
    let frame = Frame::black(Size::new(64, 64), Timestamp::new(0, MS), 40);
    let written = made.write(&Output::parse(folder.path().join("a.mkv")).unwrap(), &options, [frame]);
    if let Err(error) = &written {
        eprintln!("SKIPPED: {name}: {error}");
    }
    written.is_ok()
}

/// A frame of gray whose samples are `at` of the column.
fn columns(size: Size, time: i64, at: impl Fn(usize) -> u16) -> Frame {
    let row: Vec<u16> = (0..size.width as usize).map(at).collect();
    let plane = Plane::new(size, row.repeat(size.height as usize)).unwrap();
    Frame::new(std::array::from_fn(|_| plane.clone()), Timestamp::new(time, MS), 40).unwrap()
}

fn write(path: &Path, format: &str, color: ColorSpec, options: &WriteOptions, frames: Vec<Frame>) {
    let canvas = Canvas { format: format.into(), color, frame_rate: (25, 1), ..Canvas::new(frames[0].size()) };
    Composition::new(canvas).unwrap().write(&Output::parse(path).unwrap(), options, frames).unwrap();
}

fn codec(name: &str, options: &[(&str, &str)]) -> WriteOptions {
    let encoder_options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    WriteOptions { codec: Some(name.to_owned()), encoder_options, ..WriteOptions::default() }
}

fn upscale(input: &Path, output: &Path, options: &[&str]) -> String {
    let run = framelift().arg("upscale").arg(input).arg("-o").arg(output).args(options).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    stderr(&run)
}

fn open(path: &Path) -> Demuxer {
    let options = ReadOptions { deinterlace: Deinterlace::Off, ..ReadOptions::default() };
    Demuxer::open(&Input::parse(path).unwrap(), &options).unwrap()
}

fn pictures(path: &Path) -> Vec<Picture> {
    let mut demuxer = open(path);
    let mut decoder = demuxer.decoder().unwrap();
    let main = demuxer.info().video;
    let mut pictures = Vec::new();
    loop {
        match demuxer.read().unwrap() {
            Some(packet) if Some(packet.stream_index()) == main => decoder.send(packet).unwrap(),
            Some(_) => continue,
            None => {
                decoder.finish().unwrap();
                pictures.extend(std::iter::from_fn(|| decoder.receive().unwrap()));
                return pictures;
            }
        }
        pictures.extend(std::iter::from_fn(|| decoder.receive().unwrap()));
    }
}

const MASTERING: &str =
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400";

#[test]
fn ramps_of_pq_and_hlg_come_back_with_their_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::new(1024, 16);
    for transfer in [Transfer::Pq, Transfer::Hlg] {
        let color = ColorSpec {
            matrix: Matrix::Bt2020Ncl,
            range: Range::Limited,
            primaries: Primaries::Bt2020,
            transfer,
            chroma_location: ChromaLocation::TopLeft,
        };
        let (made, again) = (folder.path().join("made.mkv"), folder.path().join("again.mkv"));
        let ramp = || columns(size, 0, |x| (x * 65_535 / 1023) as u16);
        for format in ["yuv420p10le", "yuv444p10le"] {
            write(&made, format, color, &WriteOptions { overwrite: true, ..codec("ffv1", &[]) }, vec![ramp()]);
            upscale(&made, &again, &["--model", "bicubic", "--scale", "1", "--codec", "ffv1", "--overwrite"]);
            let (a, b) = (pictures(&made), pictures(&again));
            assert_eq!((a[0].format_name(), b[0].format_name()), (format.to_owned(), format.to_owned()));
            for component in 0..3 {
                let (a, b) = (a[0].samples(component).unwrap().1, b[0].samples(component).unwrap().1);
                let far = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                eprintln!("{transfer} {format} component {component}: {far} code values off at most");
                assert!(far <= 1, "{transfer} {format} {component}: {far} code values");
            }
            let spec = |path: &Path| open(path).info().video_stream().unwrap().1.color;
            assert_eq!(spec(&made), spec(&again));
        }
        if !has_encoder("libx265") {
            continue;
        }
        let params = format!("log-level=none:hdr10=1:repeat-headers=1:{MASTERING}");
        let x265 = WriteOptions { overwrite: true, ..codec("libx265", &[("x265-params", &params)]) };
        write(&made, "yuv420p10le", color, &x265, vec![ramp()]);
        for (name, encoder) in [("a.mkv", "libx265"), ("b.mp4", "libx265"), ("c.mkv", "libx264"), ("d.mkv", "ffv1")] {
            let again = folder.path().join(name);
            upscale(&made, &again, &["--model", "bicubic", "--scale", "1", "--codec", encoder, "--overwrite"]);
            let words = |path: &Path| open(path).info().video_stream().unwrap().1.hdr10();
            assert_eq!(words(&made).as_deref(), Some(MASTERING));
            assert_eq!(words(&again), words(&made), "{transfer} {name} {encoder}");
        }
    }
}

#[test]
fn a_ramp_of_ten_bits_keeps_its_levels_through_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (folder.path().join("made.mkv"), folder.path().join("again.mkv"));
    let color = ColorSpec { range: Range::Full, matrix: Matrix::Bt709, ..ColorSpec::default() };
    let ramp = columns(Size::new(1024, 32), 0, |x| (x * 65_535 / 1023) as u16);
    write(&made, "yuv444p10le", color, &codec("ffv1", &[]), vec![ramp]);
    upscale(&made, &again, &["--model", "lift-x2", "--codec", "ffv1"]);
    let (size, samples) = pictures(&again)[0].samples(0).unwrap();
    assert_eq!(size, Size::new(2048, 64));
    let mut levels = samples[32 * 2048..33 * 2048].to_vec();
    levels.sort_unstable();
    levels.dedup();
    eprintln!("{} of 1024 levels are left", levels.len());
    assert!(levels.len() > 900, "{} levels of 1024 are left", levels.len());
}

#[test]
fn alpha_goes_beside_the_network_or_its_loss_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.mkv");
    let size = Size::new(64, 48);
    let frame = |n: usize| {
        let mut frame = columns(size, n as i64 * 40, |x| (x * 900) as u16);
        let alpha = (0..64 * 48).map(|i| if (i % 64 + n * 8) % 64 < 32 { 65_535 } else { 13_107 }).collect();
        frame.beside = Beside { alpha: Plane::new(size, alpha), captions: Vec::new() };
        frame
    };
    write(&made, "yuva444p10le", ColorSpec::default(), &codec("ffv1", &[]), (0..4).map(frame).collect());
    for (name, options) in [
        ("bicubic.mkv", &["--model", "bicubic", "--scale", "2", "--codec", "ffv1"][..]),
        ("lift.mkv", &["--model", "lift-x2", "--codec", "ffv1"]),
        ("prores.mov", &["--model", "lift-x2", "--codec", "prores_ks"]),
    ] {
        let again = folder.path().join(name);
        let said = upscale(&made, &again, options);
        assert!(!said.contains("alpha"), "{said}");
        let pictures = pictures(&again);
        assert_eq!(pictures.len(), 4);
        for (n, picture) in pictures.iter().enumerate() {
            let (size, alpha) = picture.samples(3).unwrap_or_else(|| panic!("{name}: {}", picture.format_name()));
            assert_eq!(size, Size::new(128, 96));
            let top = if picture.format_name().contains("12") { 4095.0 } else { 1023.0 };
            for x in [6, 40, 90, 120] {
                let truth = if (x / 2 + n * 8) % 64 < 32 { 1.0 } else { 0.2 };
                let got = f64::from(alpha[48 * 128 + x]) / top;
                assert!((got - truth).abs() < 0.01, "{name} {n} {x}: {got} for {truth}");
            }
        }
    }
    let said = upscale(&made, &folder.path().join("plain.mp4"), &["--model", "bicubic", "--scale", "2"]);
    assert!(said.contains("alpha") && said.contains("--codec ffv1"), "{said}");
    // Pictures in files have it as well.
    let pattern = folder.path().join("%d.png");
    upscale(&made, &pattern, &["--model", "lift-x2", "--png16"]);
    let png = pictures(&folder.path().join("2.png"));
    assert_eq!(png[0].format_name(), "rgba64be");
    assert_eq!(png[0].samples(3).unwrap().1[48 * 128 + 90].div_ceil(100), 132);
}

#[test]
fn captions_stay_with_their_pictures() {
    if !has_encoder("libx264") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (folder.path().join("made.mp4"), folder.path().join("again.mkv"));
    let captions = |n: u8| vec![0xfc, 0x80 | (0x41 + n), 0x80 | (0x61 + n)];
    let frames = (0..12u8).map(|n| {
        let mut frame = columns(Size::new(64, 48), i64::from(n) * 40, |x| (x * 500 + usize::from(n) * 2000) as u16);
        frame.beside.captions = captions(n);
        frame
    });
    write(&made, "yuv420p", ColorSpec::default(), &codec("libx264", &[]), frames.collect());
    let said = upscale(&made, &again, &["--model", "lift-x2"]);
    assert!(!said.contains("captions"), "{said}");
    let pictures = pictures(&again);
    assert_eq!(pictures.len(), 12);
    for (n, picture) in (0..12u8).zip(&pictures) {
        assert_eq!(picture.captions(), captions(n), "frame {n}");
    }
    let said =
        upscale(&made, &folder.path().join("lost.mkv"), &["--model", "bicubic", "--scale", "2", "--codec", "ffv1"]);
    assert!(said.contains("captions come with the film's pictures"), "{said}");
}

#[test]
fn woven_films_are_deinterlaced_and_fields_can_become_frames() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.mkv");
    let size = Size::new(96, 64);
    let at = |x: usize, t: usize| ((x + t * 3) / 8 % 2 * 50_000) as u16 + 4000;
    let frames = (0..16).map(|n| {
        let mut frame = columns(size, n as i64 * 40, |x| at(x, 2 * n));
        let later = columns(size, 0, |x| at(x, 2 * n + 1));
        for (plane, later) in frame.planes_mut().iter_mut().zip(later.planes()) {
            let rows = plane.samples_mut().chunks_exact_mut(96).zip(later.samples().chunks_exact(96));
            rows.skip(1).step_by(2).for_each(|(row, later)| row.copy_from_slice(later));
        }
        frame
    });
    write(&made, "yuv422p", ColorSpec::default(), &codec("ffv1", &[]), frames.collect());
    for (mode, expected, word) in
        [("auto", 16, "deinterlaced"), ("field", 32, "twice the rate"), ("off", 16, "as they are")]
    {
        let again = folder.path().join(format!("{mode}.mkv"));
        let said =
            upscale(&made, &again, &["--model", "bicubic", "--scale", "2", "--deinterlace", mode, "--codec", "ffv1"]);
        assert!(said.contains(word), "{mode}: {said}");
        let times: Vec<_> = pictures(&again).iter().map(|picture| picture.time().ticks).collect();
        let step = if mode == "field" { 20 } else { 40 };
        assert_eq!(times, (0..expected).map(|n| n * step).collect::<Vec<_>>(), "{mode}");
    }
}
