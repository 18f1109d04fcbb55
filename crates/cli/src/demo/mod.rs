//! `framelift demo`: the main job on a film made for it, checked and shown.

mod check;
mod film;
mod picture;
mod scene;

use std::path::Path;
use std::time::Instant;

use framelift::media::Output;
use framelift::media::compose::{Canvas, Composition, Cue, SubtitleFormat};
use framelift::{
    ColorSpec, ErrorKind, Event, Filter, Frame, Matrix, Model, Primaries, ReadOptions, Size, Summary, Target, Transfer,
    Upscaler, WriteOptions,
};

use crate::args::Demo;
use crate::report::{human_bytes, human_time, out};
use crate::{Failure, upscale};

use self::picture::Picture;
use self::scene::Scene;

/// Quality of the films the demo writes: good enough that the encoder hides nothing.
const CRF: f32 = 12.0;

pub(crate) fn demo(args: &Demo) -> Result<(), Failure> {
    let folder = &args.output;
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!("cannot make the folder {}: {error}; name another with --output", folder.display());
        Failure::Command(ErrorKind::Output, message)
    })?;
    let model = Model::named(&args.model)?;
    let scale = f64::from(model.scale());
    let scene = Scene::new();
    let times = film::times();

    let source = folder.join("film.mkv");
    let begun = Instant::now();
    make_film(&scene, &times, &source)?;
    let seconds = human_time(begun.elapsed());
    out(&format!("{}: {} frames of {}, made in {seconds}", source.display(), times.len(), film::SIZE));
    out("    two shots, variable frame rate, two sound tracks, subtitles, two chapters");

    let upscaled = folder.join(format!("film.{}.mkv", model.name()));
    let summary = run(args, model.clone(), Target::Scale(scale), &source, &upscaled)?;
    let yardstick = folder.join("film.bicubic.mkv");
    run(args, Model::named("bicubic")?, Target::Scale(scale), &source, &yardstick)?;
    let peak = check::peak_memory_bytes();
    out(&format!("{}: {}", upscaled.display(), speed(&summary)));
    if let Some(peak) = peak {
        out(&format!("    peak memory of this process: {}", human_bytes(peak)));
    }

    check_film(&source, &upscaled, times.len())?;
    out("    every frame there, every timestamp the film's own, sound, subtitles and chapters kept");

    let judged = judge(&scene, &times, &source, &upscaled, &yardstick)?;
    out(&format!("{:<10} {:>10} {:>14}", "PSNR of Y", model.name(), "bicubic"));
    for (shot, [ours, theirs]) in ["shot 1", "shot 2", "whole"].iter().zip(judged.psnr_db) {
        out(&format!("{shot:<10} {ours:>7.2} dB {theirs:>11.2} dB"));
    }
    let png = folder.join("side-by-side.png");
    judged.sheet.save(&png).map_err(|error| {
        Failure::Command(ErrorKind::Output, format!("cannot write {}: {error}; check the disk", png.display()))
    })?;
    out(&format!("{}: input, bicubic, {} and truth", png.display(), model.name()));
    Ok(())
}

/// Draws the truth, shrinks it, and writes the film.
fn make_film(scene: &Scene, times: &[(i64, i64)], path: &Path) -> Result<(), Failure> {
    let truth_size = Size::new(film::SIZE.width * film::TRUTH_SCALE, film::SIZE.height * film::TRUTH_SCALE);
    let mut shrink = framelift::media::Resizer::new(truth_size, film::SIZE, Filter::Bicubic)?;
    let mut frames: Vec<Frame> = Vec::new();
    for &(ticks, duration) in times {
        frames.push(shrink.push(&film::truth(scene, ticks, duration))?);
    }
    let mut canvas = Canvas::new(film::SIZE);
    canvas.time_base = film::BASE;
    canvas.frame_rate = (25, 1);
    canvas.color = ColorSpec {
        matrix: Matrix::Bt709,
        primaries: Primaries::Bt709,
        transfer: Transfer::Bt709,
        ..ColorSpec::default()
    };
    let cues: Vec<Cue> = film::SUBTITLES
        .iter()
        .map(|&(start_ms, length_ms, text)| Cue { start_ms, end_ms: start_ms + length_ms, text: text.to_owned() })
        .collect();
    let cut_ms = (scene::CUT_S * 1000.0) as i64;
    let end_ms = times.last().map_or(0, |(at, duration)| at + duration);
    let mut film = Composition::new(canvas)?;
    film.metadata("title", "framelift test film")
        .chapter(0, cut_ms, "The wall")
        .chapter(cut_ms, end_ms, "The star")
        .sound(film::SAMPLE_RATE, 1, &film::sound(440.0), &[("language", "eng"), ("title", "A tone")])?
        .sound(film::SAMPLE_RATE, 1, &film::sound(660.0), &[("language", "fra"), ("title", "A fifth above")])?
        .subtitles(SubtitleFormat::SubRip, &cues, &[("language", "eng")])?;
    Ok(film.write(&output(path)?, &write_options(), frames)?)
}

fn write_options() -> WriteOptions {
    WriteOptions { crf: Some(CRF), preset: Some("fast".to_owned()), overwrite: true, ..WriteOptions::default() }
}

fn output(path: &Path) -> Result<Output, Failure> {
    Ok(Output::parse(path.as_os_str())?)
}

fn run(args: &Demo, model: Model, target: Target, source: &Path, result: &Path) -> Result<Summary, Failure> {
    let upscaler = Upscaler::new(source.to_string_lossy(), result.to_string_lossy())
        .model(model)
        .target(target)
        .device(upscale::device(&args.compute)?)
        .read(ReadOptions::default())
        .write(write_options())
        .on_event(|event| {
            if let Event::Notice(notice) = event {
                out(&format!("    note: {notice}"));
            }
        });
    Ok(upscaler.run()?)
}

fn speed(summary: &Summary) -> String {
    let fps = summary.frames as f64 / summary.elapsed.as_secs_f64().max(1e-9);
    let network = summary.network.as_secs_f64() / summary.elapsed.as_secs_f64().max(1e-9);
    format!(
        "{} frames of {} in {} ({fps:.1} frames a second, {:.0} % of the time in the network)",
        summary.frames,
        summary.size,
        human_time(summary.elapsed),
        network * 100.0
    )
}

/// Compares the result with the film it was made from.
fn check_film(source: &Path, result: &Path, frames: usize) -> Result<(), Failure> {
    let mismatch = |what: String| {
        let message = format!("{}: {what}; this is a bug in framelift, please report it", result.display());
        Err(Failure::Command(ErrorKind::Bug, message))
    };
    let (before, after) = (check::times(source)?, check::times(result)?);
    if after.len() != frames || before != after {
        return mismatch(format!("{} frames with times unlike the film's {}", after.len(), before.len()));
    }
    let probe = |path: &Path| -> Result<_, Failure> {
        Ok(framelift::probe(&framelift::Input::parse(path.as_os_str())?, &ReadOptions::default())?)
    };
    let (before, after) = (probe(source)?, probe(result)?);
    let streams = |info: &framelift::MediaInfo| -> Vec<String> {
        info.streams.iter().map(|s| check::describe(s, Some(s.index) == info.video)).collect()
    };
    if streams(&before) != streams(&after) {
        return mismatch(format!("streams {:?} where the film has {:?}", streams(&after), streams(&before)));
    }
    if before.chapters != after.chapters {
        return mismatch(format!("chapters {:?} where the film has {:?}", after.chapters, before.chapters));
    }
    Ok(())
}

struct Judged {
    /// Mean over the judged frames of the first shot, the second, and both: model and bicubic.
    psnr_db: [[f64; 2]; 3],
    sheet: Picture,
}

/// A part of a frame to show: a moment in seconds, and the part's left and top edge in fractions of the frame.
struct Shown {
    at_s: f64,
    left: f64,
    top: f64,
}

const SHOWN: [Shown; 3] = [
    Shown { at_s: 0.75, left: 0.24, top: 0.20 },
    Shown { at_s: 1.1, left: 0.30, top: 0.63 },
    Shown { at_s: 2.3, left: 0.34, top: 0.50 },
];

/// Side of a part in fractions of the frame.
const SHARE: f64 = 0.30;

/// Size of a part in the picture.
const PANEL: Size = Size::new(480, 270);

impl Shown {
    /// Which frame it is of.
    fn frame(&self, times: &[(i64, i64)]) -> usize {
        times.iter().take_while(|(ticks, _)| (*ticks as f64) < self.at_s * 1000.0).count()
    }

    fn crop(&self, frame: &Frame) -> Picture {
        Picture::crop(frame, self.left, self.top, PANEL, SHARE)
    }
}

/// Holds the films to the truth, and puts parts of all side by side.
fn judge(
    scene: &Scene,
    times: &[(i64, i64)],
    source: &Path,
    upscaled: &Path,
    yardstick: &Path,
) -> Result<Judged, Failure> {
    let mut rows: Vec<Vec<(&str, Picture)>> = SHOWN.iter().map(|_| Vec::new()).collect();
    let mut show = |label: &'static str, n: usize, frame: &Frame| {
        for (row, shown) in rows.iter_mut().zip(&SHOWN).filter(|(_, shown)| shown.frame(times) == n) {
            row.push((label, shown.crop(frame)));
        }
    };
    let mut n = 0;
    check::read(source, |frame| {
        show("input", n, &frame);
        n += 1;
        true
    })?;
    let mut compare = |label: &'static str, path: &Path| -> Result<Vec<Option<f64>>, Failure> {
        let mut psnr_db = Vec::new();
        check::read(path, |frame| {
            let n = psnr_db.len();
            let Some(&(ticks, duration)) = times.get(n) else { return false };
            show(label, n, &frame);
            // Drawing the truth takes longer than upscaling: every third frame is judged.
            let judged = n % 3 == 0;
            psnr_db.push(judged.then(|| check::y_psnr(&frame, &film::truth(scene, ticks, duration))));
            true
        })?;
        Ok(psnr_db)
    };
    let bicubic = compare("bicubic", yardstick)?;
    let ours = compare("framelift", upscaled)?;
    for (row, shown) in rows.iter_mut().zip(&SHOWN) {
        let (ticks, duration) = times[shown.frame(times)];
        row.push(("truth", shown.crop(&film::truth(scene, ticks, duration))));
    }
    let cut = times.iter().take_while(|(ticks, _)| (*ticks as f64) < scene::CUT_S * 1000.0).count();
    let mean = |range: std::ops::Range<usize>| {
        [&ours, &bicubic].map(|psnr_db| {
            let judged: Vec<f64> = psnr_db[range.clone()].iter().copied().flatten().collect();
            judged.iter().sum::<f64>() / judged.len().max(1) as f64
        })
    };
    let psnr_db = [mean(0..cut), mean(cut..times.len()), mean(0..times.len())];
    Ok(Judged { psnr_db, sheet: Picture::of_panels(&rows) })
}
