//! `framelift upscale`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use framelift::{Deinterlace, Offload, PartSpec, Target, WindowOptions};

use super::parse::{Pairs, bytes, encoder_options, factor, rate, size, time, up_to};
use super::{Compute, ProgressMode};

#[derive(Args, Debug)]
#[command(
    after_help = "Of a folder, or of several inputs, one film is made after another. Folders and names are kept; \
a name that two films would share keeps their old extensions. Films are told by their extensions, numbered pictures are \
one film, and what is neither is left out, and said. A film whose result is there already (whole, of the size asked for \
and not older than the film) is skipped, so that the same command goes on where the last one stopped; --overwrite makes \
all again. A film that fails does not stop the others."
)]
pub(crate) struct Upscale {
    /// A film, a URL, `-` for y4m on stdin, an image pattern such as frames/%08d.png, or a folder of films; or several
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,

    /// MP4, MKV, MOV, WebM or y4m by its extension, `-` for y4m on stdout, or a PNG pattern; a folder for several films
    /// [default: beside the input, with the model's name]
    #[arg(short, long)]
    pub(crate) output: Option<String>,

    /// A model at hand: lift, lift-fast, bicubic, lanczos, or another that `framelift models list` shows; lift and lift-fast
    /// stand for theirs of the least scale that gives the size asked for, and without one for ×4 up to 576 lines, ×3 up to
    /// 720, ×2 above [default: lift]
    #[arg(short, long, conflicts_with = "weights", help_heading = "Model")]
    pub(crate) model: Option<String>,

    /// A checkpoint file (.pth, .safetensors); its architecture is read off it
    #[arg(short, long, value_name = "FILE", help_heading = "Model")]
    pub(crate) weights: Option<PathBuf>,

    /// Denoise strength of realesr-general-x4v3, 0 to 1: mixes in the wdn checkpoint that lies beside it
    #[arg(long, value_name = "STRENGTH", value_parser = up_to(1.0), help_heading = "Model")]
    pub(crate) denoise: Option<f32>,

    /// The wdn checkpoint, where it does not lie beside the other
    #[arg(long, value_name = "FILE", requires = "denoise", help_heading = "Model")]
    pub(crate) denoise_weights: Option<PathBuf>,

    /// RealBasicVSR cleans frames up to three times, until they change by less than this, in steps of 1/255
    /// [default: 255, which is once; its authors measure with 5]
    #[arg(long, value_name = "STEPS", value_parser = up_to(255.0), help_heading = "Model")]
    pub(crate) cleaning_threshold: Option<f32>,

    /// Frames that a network of past and future frames makes at a time; 0 for one window over each shot
    /// [default: as many as fit in memory, up to 48]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000), help_heading = "Shots and windows")]
    pub(crate) window: Option<u64>,

    /// Frames before and after a window that warm the network up; more hide windows better and take longer
    /// [default: 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=10_000), help_heading = "Shots and windows")]
    pub(crate) context: Option<u64>,

    /// Frames at the beginning of a window over which the one before fades into it, so that no border shows
    /// [default: 3, or a quarter of the context; none with --window]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=100), help_heading = "Shots and windows")]
    pub(crate) fade: Option<u64>,

    /// Take the whole film for one shot, and do not look for cuts: for what has none
    #[arg(long, help_heading = "Shots and windows")]
    pub(crate) no_shots: bool,

    /// Whether a window's features may wait in a scratch file beside the output; auto: where long windows do not fit in memory
    #[arg(long, value_enum, default_value_t = OffloadChoice::Auto, help_heading = "Shots and windows")]
    pub(crate) offload: OffloadChoice,

    /// Size of the result: the input's times this, such as 2 or 1.5; the network runs at its own scale, then a resize
    #[arg(long, value_name = "FACTOR", conflicts_with = "size", value_parser = factor, help_heading = "Size and part")]
    pub(crate) scale: Option<f64>,

    /// Size of the result: WxH, or the shorter side as 720p, 1080p, 1440p, 4k, 8k
    #[arg(long, value_parser = size, help_heading = "Size and part")]
    pub(crate) size: Option<Target>,

    /// Begin here: seconds, M:SS or H:MM:SS, with decimals; the result begins at zero
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Size and part")]
    pub(crate) start: Option<Duration>,

    /// End before here
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Size and part")]
    pub(crate) end: Option<Duration>,

    /// Make at most so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Size and part")]
    pub(crate) frames: Option<u64>,

    /// Whether pictures woven from two fields are made whole: auto where they comb, frame one for each picture, field one for
    /// each field at twice the rate
    #[arg(long, value_enum, default_value_t = DeinterlaceChoice::Auto, help_heading = "Size and part")]
    pub(crate) deinterlace: DeinterlaceChoice,

    #[command(flatten)]
    pub(crate) compute: Compute,

    /// The most memory to use in all, such as 4GiB; windows, scratch file and tiles are chosen to keep to it, and what
    /// cannot fit is refused before the first frame [default: three quarters of what is free]
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Device")]
    pub(crate) memory: Option<usize>,

    /// Video encoder, by FFmpeg's name [default: libx264; libvpx-vp9 in WebM; png for images]
    #[arg(long, help_heading = "Output")]
    pub(crate) codec: Option<String>,

    /// Quality of the encoder, lower is better and larger [default: 16 for libx264]
    #[arg(long, help_heading = "Output")]
    pub(crate) crf: Option<f32>,

    /// Speed of the encoder, such as slow or veryfast [default: medium for libx264]
    #[arg(long, help_heading = "Output")]
    pub(crate) preset: Option<String>,

    /// Further options of the encoder
    #[arg(long, value_name = "K=V:K=V", value_parser = encoder_options, help_heading = "Output")]
    pub(crate) encoder_options: Option<Pairs>,

    /// What to copy beside the video: all, none, or some of audio,subtitles,chapters,attachments,video,data,metadata
    #[arg(long, value_name = "KINDS", default_value = "all", help_heading = "Output")]
    pub(crate) copy: String,

    /// Write PNG images with 16 bits a sample
    #[arg(long, help_heading = "Output")]
    pub(crate) png16: bool,

    /// Frames a second of an image sequence, such as 25 or 24000/1001
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Size and part")]
    pub(crate) frame_rate: Option<(i32, i32)>,

    /// Replace the output if it exists
    #[arg(long, help_heading = "Output")]
    pub(crate) overwrite: bool,

    /// Write down as JSON what was done: plans, frames, times, notes and failures of every film
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,

    /// How progress is shown, on stderr
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, help_heading = "Output")]
    pub(crate) progress: ProgressMode,

    #[command(flatten)]
    pub(crate) keeping: Keeping,
}

impl Upscale {
    /// The part of the film asked for.
    pub(crate) fn part(&self) -> PartSpec {
        PartSpec { start: self.start, end: self.end, frames: self.frames }
    }

    /// The windows asked for.
    pub(crate) fn windows(&self) -> WindowOptions {
        let offload = match self.offload {
            OffloadChoice::Auto => Offload::Auto,
            OffloadChoice::Never => Offload::Never,
            OffloadChoice::Always => Offload::Always,
        };
        let (body, context, fade) = (self.window, self.context, self.fade);
        WindowOptions { body, context, fade, offload, ..WindowOptions::default() }
    }

    /// The size asked for, if any.
    pub(crate) fn target(&self) -> Option<Target> {
        self.size.or(self.scale.map(Target::Scale))
    }
}

/// How the work is kept, so that a run that is stopped goes on where it was when the same command is given again.
#[derive(Args, Clone, Debug)]
pub(crate) struct Keeping {
    /// Forget what an earlier run of the same command that was stopped has made
    #[arg(long, help_heading = "Going on after a stop")]
    pub(crate) fresh: bool,

    /// Work in one go and keep nothing: a run that is stopped starts again from the beginning; takes half the disk
    #[arg(long, conflicts_with_all = ["fresh", "piece", "disk"], help_heading = "Going on after a stop")]
    pub(crate) no_resume: bool,

    /// Frames after which the work is kept, at shots and borders of windows
    /// [default: about a minute's work, 64 to 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Going on after a stop")]
    pub(crate) piece: Option<u64>,

    /// The most disk that the job may take at once, such as 100GiB: its pieces and the output, about twice the output
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Going on after a stop")]
    pub(crate) disk: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OffloadChoice {
    Auto,
    Never,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeinterlaceChoice {
    Auto,
    Off,
    Frame,
    Field,
}

impl From<DeinterlaceChoice> for Deinterlace {
    fn from(choice: DeinterlaceChoice) -> Self {
        match choice {
            DeinterlaceChoice::Auto => Self::Auto,
            DeinterlaceChoice::Off => Self::Off,
            DeinterlaceChoice::Frame => Self::Frame,
            DeinterlaceChoice::Field => Self::Field,
        }
    }
}
