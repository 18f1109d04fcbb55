//! File to file.

use std::path::{Path, PathBuf};

use framelift_frame::Size;
use framelift_media::{CopyPolicy, Demuxer, Input, MediaInfo, Output, OutputVideo, ReadOptions, WriteOptions};
use framelift_pipeline::{
    CancelToken, Event, Job, PartSpec, PipelineError, Summary, Target, Upscale, WindowOptions, default_limit_bytes,
    least_outside_network_bytes, run,
};

use crate::device::Chosen;
use crate::model::Kind;
use crate::{DeviceOptions, Error, Model};

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
    target: Option<Target>,
    part: PartSpec,
    shots: bool,
    windows: WindowOptions,
    device: DeviceOptions,
    read: ReadOptions,
    write: WriteOptions,
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
            target: None,
            part: PartSpec::default(),
            shots: true,
            windows: WindowOptions::default(),
            device: DeviceOptions::default(),
            read: ReadOptions::default(),
            write: WriteOptions::default(),
            cancel: CancelToken::new(),
            on_event: Box::new(|_| ()),
        }
    }

    /// The model. By default the built-in one: ×4 for films of up to [`Model::X4_LINES`] lines, ×2 above.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = Some(model);
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

    /// Does the work. The output appears under its name only when it is whole.
    ///
    /// # Errors
    /// The root cause; [`Error::kind`] says who must act. Nothing is left under the output's name.
    pub fn run(self) -> Result<Summary, Error> {
        let output = Output::parse(&self.output)?;
        if same_file(&self.input, &self.output) {
            return Err(Error::SameFile { path: self.output });
        }
        let mut read = self.read;
        read.interrupt = Some(self.cancel.flag());
        let input = Demuxer::open(&Input::parse(&self.input)?, &read)?;
        let size = video_size(input.info())?;
        let model = match self.model {
            Some(model) => model,
            None => Model::default_for(size)?,
        };
        let target = self.target.unwrap_or(Target::Scale(f64::from(model.scale())));
        let limit_bytes = self.device.memory_limit_bytes.map_or_else(default_limit_bytes, |bytes| bytes as u64);
        let upscale = match model.kind() {
            Kind::Resample(filter) => Upscale::Resample(*filter),
            Kind::Network(_) => {
                let outside_bytes =
                    outside_network(&model, size, target.resolve(size)?, input.info(), &output, &self.write)?;
                let Chosen { engine, notice } = engine_within(&self.device, limit_bytes, outside_bytes, &model)?;
                if let Some(notice) = notice {
                    (self.on_event)(Event::Notice(notice));
                }
                Upscale::Network(model.ready(engine, &self.device)?)
            }
        };
        let job = Job {
            input,
            scratch_folder: scratch_folder(&self.output),
            output,
            write: self.write,
            upscale,
            target,
            part: self.part,
            shots: self.shots,
            windows: self.windows,
            memory_limit_bytes: Some(limit_bytes),
        };
        Ok(run(job, &self.cancel, &*self.on_event)?)
    }
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
