//! File to file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use framelift_engine::Engine;
use framelift_frame::Size;
use framelift_media::{CopyPolicy, Demuxer, Input, MediaInfo, Output, OutputVideo, ReadOptions, WriteOptions};
use framelift_nets::builtin::Tier;
use framelift_pipeline::{
    CancelToken, Event, Job, JobStatus, PartSpec, PipelineError, Resume, Summary, Target, Upscale, WindowOptions,
    default_limit_bytes, frames_in_part, least_outside_network_bytes, padded_size, run,
};

use crate::batch::{Due, existing};
use crate::device::{Chosen, kind_of};
use crate::model::Kind;
use crate::{DeviceOptions, Error, Existing, Model};

/// What there is to do for a film, and what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Size of the film's frames.
    pub input: Size,
    /// Size of the frames that the model makes, before a resize.
    pub made: Size,
    /// Size of the result's frames.
    pub output: Size,
    /// Frames of the result, as far as the film says.
    pub frames: Option<u64>,
    /// What lies under the output's name; nothing where outputs are replaced.
    pub existing: Existing,
}

/// Upscales a film from file to file: every frame, timestamp and stream kept.
///
/// ```no_run
/// use framelift::{Model, Target, Upscaler};
///
/// let summary = Upscaler::new("holiday.mp4", "holiday-4x.mkv")
///     .model(Model::named("lift-x4")?)
///     .target(Target::ShortSide(1080))
///     .on_event(|event| println!("{event:?}"))
///     .run()?;
/// println!("{} frames in {:?}", summary.frames, summary.elapsed);
/// # Ok::<(), framelift::Error>(())
/// ```
pub struct Upscaler {
    input: String,
    output: String,
    model: Option<Model>,
    tier: Tier,
    target: Option<Target>,
    part: PartSpec,
    shots: bool,
    windows: WindowOptions,
    device: DeviceOptions,
    read: ReadOptions,
    write: WriteOptions,
    resume: Option<Resume>,
    cancel: CancelToken,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
}

impl Upscaler {
    /// From `input` (a file, a URL, `-`, or an image pattern) to `output` (a file, `-`, or a PNG pattern).
    #[must_use]
    pub fn new(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            model: None,
            tier: Tier::default(),
            target: None,
            part: PartSpec::default(),
            shots: true,
            windows: WindowOptions::default(),
            device: DeviceOptions::default(),
            read: ReadOptions::default(),
            write: WriteOptions::default(),
            resume: Some(Resume::default()),
            cancel: CancelToken::new(),
            on_event: Box::new(|_| ()),
        }
    }

    /// The model. By default a built-in one that suits film and target: [`Model::built_in`].
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = Some(model);
        self
    }

    /// Which of the built-in models are chosen from where no model is given.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// The size of the result; by default the model's scale.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The part of the film to work on.
    #[must_use]
    pub fn part(mut self, part: PartSpec) -> Self {
        self.part = part;
        self
    }

    /// Whether recurrences end at cuts, which are then looked for; by default they do.
    #[must_use]
    pub fn shots(mut self, shots: bool) -> Self {
        self.shots = shots;
        self
    }

    /// The windows of a model that sees windows; by default the longest that fit in memory, up to
    /// [`DEFAULT_BODY`](crate::DEFAULT_BODY) frames.
    #[must_use]
    pub fn windows(mut self, windows: WindowOptions) -> Self {
        self.windows = windows;
        self
    }

    /// Where to compute.
    #[must_use]
    pub fn device(mut self, device: DeviceOptions) -> Self {
        self.device = device;
        self
    }

    /// How the input is read.
    #[must_use]
    pub fn read(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// How the output is written.
    #[must_use]
    pub fn write(mut self, write: WriteOptions) -> Self {
        self.write = write;
        self
    }

    /// What to copy beside the video.
    #[must_use]
    pub fn copy(mut self, copy: CopyPolicy) -> Self {
        self.write.copy = copy;
        self
    }

    /// Whether a run that is stopped, by whatever, can go on where it was when it is started again; by default it can. The
    /// work is then done in pieces, which lie in a folder beside the output until it is whole.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = if resume { self.resume.or_else(|| Some(Resume::default())) } else { None };
        self
    }

    /// Forgets what an earlier run that was stopped has made.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        if let Some(resume) = &mut self.resume {
            resume.fresh = fresh;
        }
        self
    }

    /// Frames after which the work is kept; by default as many as make about a minute's work, 64 to 256.
    #[must_use]
    pub fn piece_frames(mut self, frames: u64) -> Self {
        if let Some(resume) = &mut self.resume {
            resume.piece_frames = Some(frames);
        }
        self
    }

    /// Ceiling on the disk that pieces and output may take together.
    #[must_use]
    pub fn disk_limit_bytes(mut self, bytes: u64) -> Self {
        if let Some(resume) = &mut self.resume {
            resume.disk_limit_bytes = Some(bytes);
        }
        self
    }

    /// Stops the run when the token is used.
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = token.clone();
        self
    }

    /// Called with what happens, from several threads.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// Looks at the film and at what lies under the output's name, without doing the work.
    ///
    /// # Errors
    /// As [`Upscaler::run`], as far as it shows before the work.
    pub fn survey(&self) -> Result<Survey, Error> {
        let output = Output::parse(&self.output)?;
        if same_file(&self.input, &self.output) {
            return Err(Error::SameFile { path: self.output.clone() });
        }
        let read = self.reading();
        let input = Demuxer::open(&Input::parse(&self.input)?, &read)?;
        let info = input.info();
        let size = video_size(info)?;
        let model = self.model_for(size)?;
        let due = OutputVideo::plan(info, self.target_of(&model).resolve(size)?, &output, &self.write)?.size;
        let frames = frames_in_part(&self.part, info);
        let duration_s = info.duration_s.filter(|_| self.part == PartSpec::default());
        let existing = match self.write.overwrite {
            true => Existing::None,
            false => existing(&self.input, &output, &Due { size: due, frames, duration_s }, &read),
        };
        let made = match model.kind() {
            Kind::Network(_) => Target::Scale(f64::from(model.scale())).resolve(size)?,
            Kind::Resample(_) => due,
        };
        Ok(Survey { input: size, made, output: due, frames, existing })
    }

    /// How the input is read, so that the cancel token ends it.
    fn reading(&self) -> ReadOptions {
        ReadOptions { interrupt: Some(self.cancel.flag()), ..self.read.clone() }
    }

    /// The model for frames of `size`.
    fn model_for(&self, size: Size) -> Result<Model, Error> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        let output = self.target.map(|target| target.resolve(size)).transpose()?;
        Model::built_in(self.tier, size, output)
    }

    /// The size asked for.
    fn target_of(&self, model: &Model) -> Target {
        self.target.unwrap_or(Target::Scale(f64::from(model.scale())))
    }

    /// Does the work. The output appears under its name only when it is whole. Where one of several devices fails for good,
    /// the others go on from the last piece.
    ///
    /// # Errors
    /// The root cause; [`Error::kind`] says who must act. Nothing is left under the output's name.
    pub fn run(mut self) -> Result<Summary, Error> {
        if same_file(&self.input, &self.output) {
            return Err(Error::SameFile { path: self.output });
        }
        loop {
            let mut engines = Vec::new();
            let error = match self.attempt(&mut engines) {
                Ok(summary) => return Ok(summary),
                Err(error) => error,
            };
            // What was read from a pipe is gone, and so is what was written to one.
            let can_begin_again = self.resume.is_some() && self.input != "-" && self.output != "-";
            let failed: Vec<bool> = engines.iter().map(|engine| engine.fault().is_some()).collect();
            let Some(left) = self.device.without(&failed).filter(|_| can_begin_again) else { return Err(error) };
            (self.on_event)(Event::Notice(format!("{error}; going on without that device, on {}", left.names())));
            self.device = left;
            self = self.fresh(false);
        }
    }

    /// Does the work on the devices there are; `engines` becomes what it was done on.
    fn attempt(&self, engines: &mut Vec<Arc<dyn Engine>>) -> Result<Summary, Error> {
        let output = Output::parse(&self.output)?;
        let input = Demuxer::open(&Input::parse(&self.input)?, &self.reading())?;
        let size = video_size(input.info())?;
        let model = self.model_for(size)?;
        let target = self.target_of(&model);
        for rule in size_rules(&model, size, target.resolve(size)?) {
            (self.on_event)(Event::Notice(rule));
        }
        let limit_bytes = self.device.memory_limit_bytes.map_or_else(default_limit_bytes, |bytes| bytes as u64);
        let upscale = match model.kind() {
            Kind::Resample(filter) => Upscale::Resample(*filter),
            Kind::Network(_) => {
                let outside_bytes =
                    outside_network(&model, size, target.resolve(size)?, input.info(), &output, &self.write)?;
                let Chosen { engine, others, notice } =
                    engine_within(&self.device, limit_bytes, outside_bytes, &model)?;
                if let Some(notice) = notice {
                    (self.on_event)(Event::Notice(notice));
                }
                engines.push(Arc::clone(&engine));
                engines.extend(others.iter().cloned());
                let mut ready = model.ready(engine, &self.device)?;
                for engine in others {
                    ready = ready.beside(model.ready(engine, &self.device)?);
                }
                Upscale::Network(ready)
            }
        };
        let mut resume = self.resume.clone();
        if let Some(resume) = &mut resume {
            resume.key.insert("model".to_owned(), model.identity().to_owned());
            if let Upscale::Network(model) = &upscale {
                // How many threads there are changes nothing but the time.
                let (name, kind) = (model.engine().info().name, kind_of(&**model.engine()));
                resume.key.insert("processor".to_owned(), format!("{name} {kind} {}", model.precision()));
            }
        }
        let job = Job {
            input,
            scratch_folder: scratch_folder(&self.output),
            output,
            write: self.write.clone(),
            model: model.name().to_owned(),
            upscale,
            target,
            part: self.part,
            shots: self.shots,
            windows: self.windows,
            memory_limit_bytes: Some(limit_bytes),
            resume,
        };
        Ok(run(job, &self.cancel, &*self.on_event)?)
    }
}

/// Where the job that makes `output` stands, whether it is at work or was stopped; `None` where there is none.
///
/// # Errors
/// Those of reading its folder, and of outputs that cannot be.
pub fn status(output: &str) -> Result<Option<JobStatus>, Error> {
    Ok(framelift_pipeline::status(&Output::parse(output)?)?)
}

/// What becomes of frames of size `input` on the way to `output`, where the network does not just make them larger.
fn size_rules(model: &Model, input: Size, output: Size) -> Vec<String> {
    let Some(d) = model.descriptor() else { return Vec::new() };
    let mut rules = Vec::new();
    let padded = padded_size(input, d.min_side_px, d.size_multiple);
    if padded != input {
        let mut wants = Vec::new();
        if input.width.min(input.height) < d.min_side_px {
            wants.push(format!("of at least {} pixels", d.min_side_px));
        }
        if d.size_multiple > 1 {
            wants.push(format!("that are multiples of {}", d.size_multiple));
        }
        rules.push(format!(
            "{} takes sides {}: frames of {input} are worked on at {padded}, and what was added is cut off again",
            d.architecture,
            wants.join(" and ")
        ));
    }
    if let Some(made) = input.scaled(d.scale).filter(|made| *made != output) {
        rules.push(format!("{} makes {made} of {input}; a resize makes {output} of that", d.architecture));
    }
    rules
}

/// What the run takes beside the network, at the least.
fn outside_network(
    model: &Model,
    input: Size,
    size: Size,
    info: &MediaInfo,
    output: &Output,
    write: &WriteOptions,
) -> Result<u64, Error> {
    let made = Target::Scale(f64::from(model.scale())).resolve(input)?;
    Ok(least_outside_network_bytes(input, made, &OutputVideo::plan(info, size, output, write)?, write))
}

/// Times its values that a network may take on an engine before a plan weighs it: prepared weights are several times larger.
const PREPARED: u64 = 8;

/// An engine that takes what the limit leaves. A network's weights always fit: whether they leave room for frames, the plan
/// says, and what would.
fn engine_within(device: &DeviceOptions, limit_bytes: u64, outside_bytes: u64, model: &Model) -> Result<Chosen, Error> {
    let parameters = model.descriptor().map_or(0, |d| d.parameters);
    let weights = 4 * parameters;
    let left = limit_bytes.saturating_sub(outside_bytes + weights).max(PREPARED * weights);
    DeviceOptions { memory_limit_bytes: Some(usize::try_from(left).unwrap_or(usize::MAX)), ..device.clone() }.chosen()
}

/// Where features wait that do not fit in memory: beside the output, where there must be room for a film anyway.
fn scratch_folder(output: &str) -> PathBuf {
    let beside =
        Path::new(output).parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    beside.filter(|folder| output != "-" && folder.is_dir()).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// Whether both name one file that exists.
fn same_file(input: &str, output: &str) -> bool {
    let real = |path: &str| std::fs::canonicalize(path).ok().filter(|path| path.is_file());
    real(input).is_some_and(|input| real(output) == Some(input))
}

fn video_size(info: &MediaInfo) -> Result<Size, Error> {
    match info.video_stream() {
        Some((_, video)) => Ok(video.size),
        None => Err(PipelineError::NoVideo.into()),
    }
}
