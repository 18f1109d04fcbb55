//! What a run is told, and what it tells.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use framelift_engine::Precision;
use framelift_frame::Size;
use framelift_media::{Demuxer, Filter, Output, WriteOptions};

use crate::{ExpectedDisk, Model, PipelineError, Progress, Resume, WindowOptions, WindowPlan};

/// One film to work on, opened, and what is to become of it.
pub struct Job {
    /// The film.
    pub input: Demuxer,
    /// Where the result goes.
    pub output: Output,
    /// How it is written. The run sets its trimming and its filter.
    pub write: WriteOptions,
    /// What people call that which makes the pixels.
    pub model: String,
    /// What makes the pixels.
    pub upscale: Upscale,
    /// The size of the result.
    pub target: Target,
    /// Which part of the film.
    pub part: PartSpec,
    /// Whether recurrences end at cuts, which are then looked for.
    pub shots: bool,
    /// The windows of networks that see windows.
    pub windows: WindowOptions,
    /// Where a scratch file is made.
    pub scratch_folder: PathBuf,
    /// Ceiling on the memory of the whole run, which is refused where no plan fits; `None` for a share of what is free.
    pub memory_limit_bytes: Option<u64>,
    /// How the work goes on where it is stopped; `None` for work in one go, which begins anew when it is stopped.
    pub resume: Option<Resume>,
}

/// What makes the pixels.
pub enum Upscale {
    /// A network on an engine, then a resize to the target size where that differs.
    Network(Model),
    /// No network: the filter alone.
    Resample(Filter),
}

impl Upscale {
    /// Output pixels for each input pixel along a side, before the resize.
    #[must_use]
    pub fn scale(&self) -> u32 {
        match self {
            Self::Network(model) => model.descriptor().scale,
            Self::Resample(_) => 1,
        }
    }

    /// The filter of the resize to the target size.
    #[must_use]
    pub fn filter(&self) -> Filter {
        match self {
            Self::Network(_) => Filter::Lanczos,
            Self::Resample(filter) => *filter,
        }
    }
}

/// The size asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The input's size times a factor.
    Scale(f64),
    /// Exactly this.
    Exact(Size),
    /// The shorter side has this many pixels, the other follows the input's shape, rounded to an even number.
    ShortSide(u32),
}

/// The largest side of an output, in pixels.
pub const MAX_SIDE_PX: u32 = 16_384;

impl Target {
    /// The output's size for frames of size `input`.
    ///
    /// # Errors
    /// [`PipelineError::OutputSize`] where a side is below 1 or over [`MAX_SIDE_PX`].
    pub fn resolve(self, input: Size) -> Result<Size, PipelineError> {
        let (w, h) = (f64::from(input.width), f64::from(input.height));
        let (width, height) = match self {
            Self::Scale(factor) => ((w * factor).round(), (h * factor).round()),
            Self::Exact(size) => (f64::from(size.width), f64::from(size.height)),
            Self::ShortSide(side) => {
                let side = f64::from(side);
                let long = (side * w.max(h) / w.min(h) / 2.0).round() * 2.0;
                if w >= h { (long, side) } else { (side, long) }
            }
        };
        let fits = 1.0..=f64::from(MAX_SIDE_PX);
        if fits.contains(&width) && fits.contains(&height) {
            Ok(Size::new(width as u32, height as u32))
        } else {
            Err(PipelineError::OutputSize { width, height, max: MAX_SIDE_PX })
        }
    }
}

/// Which part of a film to work on. Times are from the film's first moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartSpec {
    /// Frames before this are left out; the result begins at zero.
    pub start: Option<Duration>,
    /// Frames from here on are left out.
    pub end: Option<Duration>,
    /// At most so many frames.
    pub frames: Option<u64>,
}

/// Stops a run from another thread. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop; it ends with [`PipelineError::Interrupted`] and leaves no output.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for code that knows no token.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// What a run tells while it works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The plan is made, the work begins.
    Started(Box<Plan>),
    /// Something the user should know: an assumption, a stream left out.
    Notice(String),
    /// A frame was finished.
    Progress(Progress),
    /// How far the passes over the current window are that must end before its first frame: 0 to 1.
    Window(f64),
    /// All frames are made; how much of the output is put together: 0 to 1.
    Joining(f64),
}

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The model's name.
    pub model: String,
    /// How the network keeps its features; `None` without a network.
    pub precision: Option<Precision>,
    /// What the network computes on, as each engine says it.
    pub engines: Vec<String>,
    /// Size of the film's frames.
    pub input: Size,
    /// Size of the result's frames.
    pub output: Size,
    /// Frames to be made, as far as the film says.
    pub frames: Option<u64>,
    /// Frames of them that were made before, by a run that was stopped.
    pub frames_before: u64,
    /// The encoder's name.
    pub encoder: String,
    /// The most memory that the run will hold, estimated: program, decoder, encoder, queues, network and its frames.
    pub memory_bytes: u64,
    /// The ceiling it keeps to.
    pub memory_limit_bytes: u64,
    /// What the job may take of the disk at once, by estimate, where anything is known of it.
    pub disk: Option<ExpectedDisk>,
    /// The most of the device's own memory, estimated, where it has any.
    pub device_bytes: Option<u64>,
    /// Whether cuts are looked for.
    pub shots: bool,
    /// The windows of a network that sees windows.
    pub window: Option<WindowPlan>,
    /// Columns and rows of the tiles that a frame is parted into, and the size of each; `None` for whole frames.
    pub tiles: Option<(usize, usize, Size)>,
    /// Windows that are worked on at once, or frames, by a network that sees one.
    pub lanes: u64,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Frames read and written.
    pub frames: u64,
    /// Frames of them that were made before, by a run that was stopped.
    pub frames_before: u64,
    /// Size of the result's frames.
    pub size: Size,
    /// Time from start to the finished file.
    pub elapsed: Duration,
    /// Time from start to the first upscaled frame.
    pub first_frame: Duration,
    /// Time spent inside the network (or zero without one).
    pub network: Duration,
    /// Shots, where cuts were looked for.
    pub shots: Option<u64>,
    /// The most memory that the process has had at once, in bytes, where the system says.
    pub peak_resident_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_resolve() {
        let pal = Size::new(720, 576);
        assert_eq!(Target::Scale(1.5).resolve(pal).unwrap(), Size::new(1080, 864));
        assert_eq!(Target::ShortSide(1080).resolve(Size::new(640, 360)).unwrap(), Size::new(1920, 1080));
        assert_eq!(Target::ShortSide(1080).resolve(Size::new(360, 640)).unwrap(), Size::new(1080, 1920));
        assert_eq!(Target::Exact(Size::new(3, 5)).resolve(pal).unwrap(), Size::new(3, 5));
        for bad in [Target::Scale(0.0), Target::Scale(f64::NAN), Target::Scale(1e9), Target::Exact(Size::new(0, 9))] {
            assert!(matches!(bad.resolve(pal), Err(PipelineError::OutputSize { .. })), "{bad:?}");
        }
    }
}
