//! `framelift preview`: a piece of a film through several models, in one picture.

mod sheet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use framelift::media::{Demuxer, Encoder, Input, MediaError, Muxer, Output, OutputVideo, Packet, ToYuv};
use framelift::quality::Film;
use framelift::{
    CancelToken, CopyPolicy, DeviceOptions, Error, ErrorKind, Frame, MediaInfo, Model, PartSpec, Reach, ReadOptions,
    Size, Summary, Target, Tier, Transfer, Upscaler, WriteOptions, output_beside,
};

use crate::args::Preview;
use crate::report::{Reporter, human_time};
use crate::upscale::{Finished, device, interrupted, run_until_interrupt};
use crate::{Failure, png_file};

use self::sheet::Sheet;

/// The most pictures in one.
const MOST_PICTURES: usize = 6;

/// Seconds before a single picture, for networks that carry state forward to have seen what the film would show them.
const WARM_UP: Duration = Duration::from_secs(1);

/// Seconds on either side of a single picture that a network of past and future frames sees.
const AROUND: Duration = Duration::from_millis(500);

/// Frames a piece must have before its speed says anything of the whole film.
const TELLING_FRAMES: u64 = 10;

/// Seconds that a wipe takes to and fro.
const TURN_S: f64 = 4.0;

pub(crate) fn preview(args: &Preview) -> Result<(), Failure> {
    let read = ReadOptions { sequence_rate: args.frame_rate.unwrap_or((24, 1)), ..ReadOptions::default() };
    let info = framelift::probe(&Input::parse(&args.input)?, &read)?;
    let Some((_, video)) = info.video_stream() else { return Err(no_video(&args.input)) };
    let asked = args.size.or(args.scale.map(Target::Scale));
    let due = asked.map(|target| target.resolve(video.size)).transpose().map_err(framelift::Error::from)?;
    let models = models(args, video.size, due)?;
    let scale = models.iter().map(|(_, model)| model.scale()).max().unwrap_or(1);
    let target = asked.unwrap_or(Target::Scale(f64::from(scale)));
    let destination = Destination::new(args)?;
    let parts = models.iter().map(|(_, model)| Part::new(args, &destination, model, &info)).collect();

    let folder = tempfile::Builder::new().prefix(".framelift-preview-").tempdir_in(destination.folder());
    let folder = folder.map_err(|error| output_failure(destination.folder(), &error))?;
    let mut device = device(&args.compute)?;
    device.memory_limit_bytes = args.memory;
    let reporter = Arc::new(Reporter::new(args.progress));
    let cancel = CancelToken::new();
    let work = Work {
        input: args.input.clone(),
        models,
        target,
        parts,
        device,
        read,
        folder: folder.path().to_owned(),
        destination,
        layout: args.layout,
        focus: args.focus,
        frames: info.video_stream().and_then(|(_, video)| video.frames_estimate),
        overwrite: args.overwrite,
        cancel: cancel.clone(),
        reporter: Arc::clone(&reporter),
    };
    let finished = run_until_interrupt(cancel, move || work.run());
    reporter.abandon();
    let ended = match finished {
        Finished::Done(ended) => ended,
        Finished::Overdue => Err(interrupted()),
        Finished::Panicked => Err(crate::bug()),
    };
    if ended.is_err() {
        framelift::discard_partial_outputs();
    }
    ended
}

/// The models and what they are called: bicubic first, the yardstick. Those built in suit frames of `size` that are to
/// become of size `due`.
fn models(args: &Preview, size: Size, due: Option<Size>) -> Result<Vec<(String, Model)>, Failure> {
    let mut models = vec![("bicubic".to_owned(), Model::named("bicubic")?)];
    for name in &args.model {
        if name != "bicubic" {
            let model = match Tier::named(name) {
                Some(tier) => Model::built_in(tier, size, due)?,
                None => Model::named(name)?,
            };
            models.push((model.name().to_owned(), model));
        }
    }
    for file in &args.weights {
        let model = Model::open(file)?;
        models.push((model.name().to_owned(), model));
    }
    if models.len() == 1 {
        let model = Model::built_in(Tier::default(), size, due)?;
        models.push((model.name().to_owned(), model));
    }
    if models.len() > MOST_PICTURES {
        let message = format!(
            "{} models are more than one picture can show; choose up to {}",
            models.len() - 1,
            MOST_PICTURES - 1
        );
        return Err(Failure::Command(ErrorKind::Usage, message));
    }
    Ok(models)
}

/// What is written.
enum Destination {
    Film(Output, PathBuf),
    Picture(PathBuf),
}

impl Destination {
    fn new(args: &Preview) -> Result<Self, Failure> {
        let name = match &args.output {
            Some(name) => name.clone(),
            None => output_beside(&args.input, "preview")?,
        };
        let path = PathBuf::from(&name);
        let is_png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let destination = if is_png && !name.contains('%') {
            Self::Picture(path.clone())
        } else {
            match Output::parse(&name)? {
                output @ Output::File(_) => Self::Film(output, path.clone()),
                _ => {
                    let message = format!("{name} is no file for a preview; name one such as film.mkv or picture.png");
                    return Err(Failure::Command(ErrorKind::Usage, message));
                }
            }
        };
        if path.exists() && !args.overwrite {
            return Err(Error::from(MediaError::Exists { path }).into());
        }
        Ok(destination)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Film(_, path) | Self::Picture(path) => path,
        }
    }

    /// Where it lies, and where there must be room for the pieces that it is made of.
    fn folder(&self) -> &Path {
        self.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// Which part of the film goes through a model.
struct Part {
    spec: PartSpec,
    /// Seconds from its beginning to the single picture.
    picture_s: f64,
}

impl Part {
    fn new(args: &Preview, destination: &Destination, model: &Model, info: &MediaInfo) -> Self {
        let length = Duration::try_from_secs_f64(info.duration_s.unwrap_or(0.0)).unwrap_or_default();
        let seconds = Duration::from_secs_f64(args.seconds);
        match destination {
            Destination::Film(..) => {
                let start = args.at.unwrap_or_else(|| length.saturating_sub(seconds) / 2);
                let spec = PartSpec { start: Some(start), end: Some(start + seconds), frames: None };
                Self { spec, picture_s: 0.0 }
            }
            Destination::Picture(_) => {
                let at = args.at.unwrap_or(length / 2);
                let (before, after) = match model.descriptor().map(|d| d.reach) {
                    None | Some(Reach::Frame) => (Duration::ZERO, None),
                    Some(Reach::Causal { .. }) => (WARM_UP, Some(AROUND)),
                    Some(Reach::Window) => (AROUND, Some(AROUND)),
                };
                let start = at.saturating_sub(before);
                let spec = match after {
                    Some(after) => PartSpec { start: Some(start), end: Some(at + after), frames: None },
                    None => PartSpec { start: Some(start), end: None, frames: Some(1) },
                };
                Self { spec, picture_s: (at - start).as_secs_f64() }
            }
        }
    }
}

/// All that there is to do.
struct Work {
    input: String,
    models: Vec<(String, Model)>,
    target: Target,
    /// The part of the film for each model.
    parts: Vec<Part>,
    device: DeviceOptions,
    read: ReadOptions,
    folder: PathBuf,
    destination: Destination,
    layout: crate::args::LayoutChoice,
    focus: (f64, f64),
    /// Frames of the whole film, as far as it says.
    frames: Option<u64>,
    overwrite: bool,
    cancel: CancelToken,
    reporter: Arc<Reporter>,
}

impl Work {
    fn run(self) -> Result<(), Failure> {
        let mut pieces = Vec::new();
        let mut summaries = Vec::new();
        for (n, ((label, model), part)) in self.models.iter().zip(&self.parts).enumerate() {
            self.reporter.film(n + 1, self.models.len());
            self.reporter.heading(label);
            let piece = self.folder.join(format!("{n}.mkv"));
            summaries.push(self.piece(model, part, &piece, n == 0)?);
            pieces.push(piece);
        }
        let (size, frames) = match &self.destination {
            Destination::Film(output, _) => self.film(output, &pieces)?,
            Destination::Picture(path) => (self.picture(path, &pieces)?, 1),
        };
        self.reporter.abandon();
        self.tell(size, frames, &summaries);
        Ok(())
    }

    /// The piece of the film through one model, with nothing lost to an encoder.
    fn piece(&self, model: &Model, part: &Part, piece: &Path, with_sound: bool) -> Result<Summary, Failure> {
        let write = WriteOptions {
            codec: Some("ffv1".into()),
            copy: CopyPolicy::parse(if with_sound { "audio" } else { "none" })?,
            ..WriteOptions::default()
        };
        let events = Arc::clone(&self.reporter);
        let upscaler = Upscaler::new(&self.input, piece.to_string_lossy())
            .model(model.clone())
            .target(self.target)
            .part(part.spec)
            .device(self.device.clone())
            .read(self.read.clone())
            .write(write)
            .resume(false)
            .cancel(&self.cancel)
            .on_event(move |event| events.event(&event));
        Ok(upscaler.run()?)
    }

    /// Puts the pieces together frame by frame, with the film's sound.
    fn film(&self, output: &Output, pieces: &[PathBuf]) -> Result<(Size, u64), Failure> {
        let mut films = Films::open(pieces)?;
        let Some(first) = films.next()? else { return Err(no_video(&self.input)) };
        let sheet = self.sheet(&first);
        let options = WriteOptions { overwrite: self.overwrite, ..WriteOptions::default() };
        let mut sound = Demuxer::open(&Input::File(pieces[0].clone()), &ReadOptions::default())?;
        let plan = OutputVideo::plan(sound.info(), sheet.size(), output, &options)?;
        let mut to_yuv = ToYuv::new(sheet.size(), &plan)?;
        let mut encoder = Encoder::new(&plan, output, &options)?;
        let mut muxer = Muxer::create(output, &encoder, &sound.template()?, &options)?;
        let video = sound.info().video_stream().map(|(stream, _)| stream.index);
        let mut ahead: Option<Packet> = None;
        let (mut next, mut count) = (Some(first), 0);
        while let Some(frames) = next {
            if self.cancel.is_cancelled() {
                return Err(interrupted());
            }
            let time = frames[0].time;
            let Some(drawn) = sheet.draw(&frames, time.seconds() / TURN_S) else { break };
            // Sound goes where its moment is.
            loop {
                let packet = match ahead.take() {
                    Some(packet) => Some(packet),
                    None => sound.read()?,
                };
                match packet {
                    Some(packet) if Some(packet.stream_index()) == video => {}
                    Some(packet) if packet.time().is_some_and(|at| at > time) => {
                        ahead = Some(packet);
                        break;
                    }
                    Some(packet) => muxer.copy(packet)?,
                    None => break,
                }
            }
            encoder.send(to_yuv.push(&drawn)?)?;
            while let Some(packet) = encoder.receive()? {
                muxer.write_video(packet)?;
            }
            count += 1;
            next = films.next()?;
        }
        encoder.finish()?;
        while let Some(packet) = encoder.receive()? {
            muxer.write_video(packet)?;
        }
        while let Some(packet) = ahead.take().map_or_else(|| sound.read(), |packet| Ok(Some(packet)))? {
            if Some(packet.stream_index()) != video {
                muxer.copy(packet)?;
            }
        }
        muxer.finish()?;
        Ok((sheet.size(), count))
    }

    /// Puts the frames of one moment together.
    fn picture(&self, path: &Path, pieces: &[PathBuf]) -> Result<Size, Failure> {
        let films = Films::open(pieces)?;
        let color = films.0.first().and_then(|film| film.info().video_stream()).map(|(_, video)| video.color);
        let mut frames = Vec::new();
        for (mut film, part) in films.0.into_iter().zip(&self.parts) {
            let mut found = None;
            while let Some(frame) = film.next_frame()? {
                // Matroska's times are whole milliseconds.
                let reached = frame.time.seconds() > part.picture_s - 0.001;
                found = Some(frame);
                if reached {
                    break;
                }
            }
            frames.push(found.ok_or_else(|| no_video(&self.input))?);
        }
        let sheet = self.sheet(&frames);
        let Some(drawn) = sheet.draw(&frames, 0.0) else { return Err(no_video(&self.input)) };
        if color.is_some_and(|color| matches!(color.transfer, Transfer::Pq | Transfer::Hlg)) {
            let notice =
                "the film is HDR, and PNG viewers take it for SDR: the picture looks dull; make a film of it instead";
            self.reporter.event(&framelift::Event::Notice(notice.into()));
        }
        let planes = drawn.planes().each_ref().map(|plane| plane.samples());
        let rgb: Vec<u8> = (0..drawn.size().pixels() as usize)
            .flat_map(|at| planes.map(|samples| ((u32::from(samples[at]) + 128) / 257) as u8))
            .collect();
        let beside = self.folder.join("picture.png");
        png_file::save(&beside, drawn.size(), &rgb).map_err(|error| output_failure(path, &error))?;
        std::fs::rename(&beside, path).map_err(|error| output_failure(path, &error))?;
        Ok(drawn.size())
    }

    fn sheet(&self, frames: &[Frame]) -> Sheet {
        let size = frames.first().map_or(Size::new(2, 2), Frame::size);
        let labels: Vec<String> = self.models.iter().map(|(label, _)| label.clone()).collect();
        let sheet = Sheet::new(self.layout, &labels, size, self.focus);
        if !sheet.shows_all_of(size) {
            let notice = format!(
                "results of {size} do not fit beside each other; a part of each is shown, around --focus {},{}",
                self.focus.0, self.focus.1
            );
            self.reporter.event(&framelift::Event::Notice(notice));
        }
        sheet
    }

    /// What was made, and how long the whole film would take.
    fn tell(&self, size: Size, frames: u64, summaries: &[Summary]) {
        let path = self.destination.path().display();
        let labels: Vec<&str> = self.models.iter().map(|(label, _)| label.as_str()).collect();
        let of = if frames == 1 { "1 frame".to_owned() } else { format!("{frames} frames") };
        let mut estimates = Vec::new();
        for ((label, _), summary) in self.models.iter().zip(summaries) {
            let worked = summary.elapsed.as_secs_f64();
            if summary.frames < TELLING_FRAMES || worked <= 0.0 {
                continue;
            }
            let fps = summary.frames as f64 / worked;
            let whole = self.frames.and_then(|all| Duration::try_from_secs_f64(all as f64 / fps).ok());
            estimates.push((label.as_str(), fps, whole));
        }
        self.reporter.whole_run(&format!("{path}: {of} of {size}: {}", labels.join(", ")));
        for (label, fps, whole) in &estimates {
            let whole =
                whole.map_or_else(String::new, |whole| format!(", the whole film in about {}", human_time(whole)));
            self.reporter.whole_run(&format!("  {label}: {fps:.2} fps{whole}"));
        }
        self.reporter.machine(serde_json::json!({
            "event": "preview", "output": path.to_string(), "frames": frames, "size": size.to_string(), "models": labels,
            "estimates": estimates.iter().map(|(label, fps, whole)| serde_json::json!({
                "model": label, "fps": fps, "whole_film_s": whole.map(|whole| whole.as_secs_f64()),
            })).collect::<Vec<_>>(),
        }));
    }
}

/// The pieces, read in step.
struct Films(Vec<Film>);

impl Films {
    fn open(pieces: &[PathBuf]) -> Result<Self, Failure> {
        let open = |piece: &PathBuf| Film::open(&piece.to_string_lossy(), &ReadOptions::default());
        Ok(Self(pieces.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// The next frame of each; `None` once one has ended.
    fn next(&mut self) -> Result<Option<Vec<Frame>>, Failure> {
        let frames: Vec<Option<Frame>> = self.0.iter_mut().map(Film::next_frame).collect::<Result<_, _>>()?;
        Ok(frames.into_iter().collect())
    }
}

fn no_video(input: &str) -> Failure {
    Failure::Command(ErrorKind::Input, format!("{input} holds no frame to show; choose another moment with --at"))
}

fn output_failure(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("cannot write {}: {error}; check the folder and the disk", path.display());
    Failure::Command(ErrorKind::Output, message)
}
