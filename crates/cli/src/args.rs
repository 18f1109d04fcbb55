//! The command line, as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use framelift::{Deinterlace, Offload, PartSpec, Size, Target, WindowOptions};

/// Upscale and restore whole films with networks that look at several frames at once.
#[derive(Debug, Parser)]
#[command(name = "framelift", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Say more on stderr: -v for what is decided, -vv for every step
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 some films of a batch failed, 2 usage, 3 bad input, 4 limits (memory, size), 5 device, \
6 output or disk, 70 bug, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Upscale a film, or all films of a folder, keeping sound, subtitles, chapters, timestamps and colours
    Upscale(Box<Upscale>),
    /// Say how far the job that makes an output is, whether it is at work or was stopped
    Status(Status),
    /// Upscale a few seconds of a film with one or several models, side by side or with a wipe, to choose before a long run
    Preview(Preview),
    /// Say what a film holds and how framelift reads it
    Probe(Probe),
    /// The models at hand, and what a checkpoint file is
    Models(Models),
    /// What there is to compute on: the processor, graphics cards
    Devices(Devices),
    /// Measure the speed of networks on this machine, without reading or writing a film
    Bench(Bench),
    /// Say how close a film comes to a reference: PSNR and SSIM, frame by frame and on average
    Measure(Measure),
    /// Make the small or blurred film that networks are tested on, of a film at full size
    Degrade(Degrade),
    /// Make a test film, upscale it, check it, and show the difference
    Demo(Demo),
}

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

    /// A model at hand: lift, lift-x4, lift-x2, bicubic, lanczos, or one that was installed
    /// (framelift models list)
    /// [default: lift; ×4 up to 576 lines, ×2 above]
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

#[derive(Args, Debug)]
#[command(
    after_help = "Bicubic interpolation is always one of the pictures: the yardstick. The piece goes through the same \
stages as the whole film would, encoder apart. At the end it is said how long the whole film would take with each model."
)]
pub(crate) struct Preview {
    /// A film, a URL, or an image pattern
    pub(crate) input: String,

    /// Where the piece begins, or the moment of the picture: seconds, M:SS or H:MM:SS [default: the middle of the film]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Duration>,

    /// How long the piece is
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// MKV, MP4, MOV or WebM by its extension, or .png for one picture [default: beside the input, as film.preview.mkv]
    #[arg(short, long)]
    pub(crate) output: Option<String>,

    /// A model at hand; several are put into one picture [default: lift]
    #[arg(short, long)]
    pub(crate) model: Vec<String>,

    /// A checkpoint file (.pth, .safetensors); several are put into one picture
    #[arg(short, long, value_name = "FILE")]
    pub(crate) weights: Vec<PathBuf>,

    /// Pictures beside each other, or one picture parted by lines that move to and fro
    #[arg(long, value_enum, default_value_t = LayoutChoice::Side)]
    pub(crate) layout: LayoutChoice,

    /// The point around which pictures are cropped where whole ones do not fit, in parts of width and height
    #[arg(long, value_name = "X,Y", default_value = "0.5,0.5", value_parser = point)]
    pub(crate) focus: (f64, f64),

    /// Size of each result: the input's times this [default: the scale of the largest model]
    #[arg(long, value_name = "FACTOR", conflicts_with = "size", value_parser = factor)]
    pub(crate) scale: Option<f64>,

    /// Size of each result: WxH, or the shorter side as 720p, 1080p, 1440p, 4k, 8k
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<Target>,

    #[command(flatten)]
    pub(crate) compute: Compute,

    /// The most memory to use in all, such as 4GiB [default: three quarters of what is free]
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Device")]
    pub(crate) memory: Option<usize>,

    /// Frames a second of an image sequence, such as 25 or 24000/1001
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) frame_rate: Option<(i32, i32)>,

    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// How progress is shown, on stderr
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutChoice {
    Side,
    Wipe,
}

/// Where and how precisely to compute.
#[derive(Args, Clone, Debug)]
pub(crate) struct Compute {
    /// Where the network runs: auto, cpu, gpu, vulkan:N or cuda:N, as `framelift devices` lists them; auto takes the best GPU,
    /// or the processor where there is none; several GPUs of one kind, as vulkan:0,vulkan:1, work on different shots
    #[arg(long, default_value = "auto", help_heading = "Device")]
    pub(crate) device: String,

    /// How features are kept; auto takes f16 where the device converts it in its own instructions, as most do, else bf16
    /// where it multiplies that, else f32
    #[arg(long, value_enum, default_value_t = PrecisionChoice::Auto, help_heading = "Device")]
    pub(crate) precision: PrecisionChoice,

    /// Threads of the network [default: one for each processor core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionChoice {
    Auto,
    F32,
    Bf16,
    F16,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, lines elsewhere
    Auto,
    /// A line every few seconds
    Plain,
    /// One JSON object a line, for machines
    Json,
    /// Nothing but errors
    None,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// The output, as it was given to `framelift upscale`
    pub(crate) output: String,

    /// As one JSON object; null where there is no such job
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// A film, a URL, `-`, or an image pattern
    pub(crate) input: String,

    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Checkpoints are installed in `models` below FRAMELIFT_DATA_DIR, else below the system's folder of \
user data. FRAMELIFT_MODELS_MIRROR names an address to fetch from in place of the authors' pages; sizes and hashes are \
checked all the same."
)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models built in, those installed, and those that can be fetched, with what each is good for
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Say what a model or a checkpoint file is
    Show {
        /// A model's name or a file (.pth, .safetensors)
        model: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Install a checkpoint file, so that --model finds it by name: it is checked and copied into the user's data folder
    Add {
        /// A checkpoint (.pth, .safetensors); the file's name becomes the model's
        file: PathBuf,
        /// Replace another checkpoint of the same name
        #[arg(long)]
        overwrite: bool,
    },
    /// Download a published checkpoint from its authors' release page, check it and install it
    #[cfg(feature = "fetch")]
    Fetch {
        /// Names, as `framelift models list` gives them
        #[arg(required = true)]
        names: Vec<String>,
        /// How progress is shown, on stderr
        #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
        progress: ProgressMode,
    },
    /// Remove a checkpoint that was installed
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Devices {
    /// As a JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Models to measure [default: those built in]
    #[arg(short, long)]
    pub(crate) model: Vec<String>,

    /// Checkpoint files to measure
    #[arg(short, long, value_name = "FILE")]
    pub(crate) weights: Vec<PathBuf>,

    /// Sizes of the input frames
    #[arg(long, visible_alias = "size", value_name = "WxH", default_values = ["320x180", "640x360"], value_parser = exact_size)]
    pub(crate) input: Vec<Size>,

    /// Frames of a window, for networks that see windows; the time of a frame is the window's, shared evenly
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,

    #[command(flatten)]
    pub(crate) compute: Compute,

    /// Seconds to measure each, after the warm-up
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Folder for the films and the picture
    #[arg(short, long, default_value = "framelift-demo")]
    pub(crate) output: PathBuf,

    /// A model at hand
    #[arg(short, long, default_value = "lift-x4")]
    pub(crate) model: String,

    #[command(flatten)]
    pub(crate) compute: Compute,
}

#[derive(Args, Debug)]
#[command(after_help = "The mean of PSNR is the mean of the frames' PSNR, as papers give it; that of equal frames is \
infinite (null in JSON). Y is BT.601's, 16 to 235, as MATLAB's rgb2ycbcr gives it. Frames are compared in order, \
whatever their timestamps; both films must have the same number of frames and one size.")]
pub(crate) struct Measure {
    /// The film as it should be: a file, a URL, or an image pattern
    pub(crate) reference: String,

    /// The film to measure
    pub(crate) output: String,

    /// Pixels along the border that do not count
    #[arg(long, value_name = "PX", default_value_t = 0)]
    pub(crate) crop: u32,

    /// Frames at the beginning, and as many at the end, that do not count
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip: u64,

    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Pictures are taken and given at 8 bits a sample, as the papers' are. Only the pictures are \
written. Without --codec nothing is lost of them: FFV1 in MKV, x264's lossless RGB in MP4 and MOV, or PNG.")]
pub(crate) struct Degrade {
    /// A film, a URL, `-`, or an image pattern
    pub(crate) input: String,

    /// MKV, MP4 or MOV by its extension, or a PNG pattern such as small/%08d.png
    #[arg(short, long)]
    pub(crate) output: String,

    /// bi: MATLAB's bicubic imresize; bd: a Gaussian of sigma 1.6, every fourth pixel kept
    #[arg(long, value_enum, default_value_t = DegradeKind::Bi)]
    pub(crate) kind: DegradeKind,

    /// How many pixels of a side become one (bd: 4)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) scale: u32,

    /// Compress the result: h264 or h265
    #[arg(long, value_enum)]
    pub(crate) codec: Option<DegradeCodec>,

    /// Strength of the compression, 0 to 51
    #[arg(long, value_name = "N", requires = "codec", default_value_if("codec", clap::builder::ArgPredicate::IsPresent, "25"), value_parser = up_to(51.0))]
    pub(crate) crf: Option<f32>,

    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DegradeKind {
    Bi,
    Bd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DegradeCodec {
    H264,
    H265,
}

/// Options as key and value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

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

/// Numbers from 0 to `most`.
fn up_to(most: f32) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| {
        let wanted = || format!("a number from 0 to {most} is wanted");
        text.parse().ok().filter(|v| (0.0..=most).contains(v)).ok_or_else(wanted)
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let wanted = || "a number over 0 and up to 64 is wanted, such as 2 or 1.5".to_owned();
    text.parse().ok().filter(|&v: &f64| v > 0.0 && v <= 64.0).ok_or_else(wanted)
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&v: &f64| v > 0.0 && v <= 3600.0).ok_or_else(|| "seconds over 0 are wanted".to_owned())
}

fn point(text: &str) -> Result<(f64, f64), String> {
    let wanted = || "two numbers from 0 to 1 are wanted, such as 0.5,0.3".to_owned();
    let part = |text: &str| text.trim().parse().ok().filter(|v| (0.0..=1.0).contains(v));
    text.split_once(',').and_then(|(x, y)| Some((part(x)?, part(y)?))).ok_or_else(wanted)
}

fn exact_size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once(['x', 'X']).and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
    parsed.filter(|size| !size.is_empty()).ok_or_else(|| "WxH is wanted, such as 640x360".to_owned())
}

fn size(text: &str) -> Result<Target, String> {
    let lower = text.to_ascii_lowercase();
    let side = match lower.as_str() {
        "4k" => Some(2160),
        "8k" => Some(4320),
        _ => lower.strip_suffix('p').and_then(|lines| lines.parse().ok()),
    };
    match side {
        Some(side) => Ok(Target::ShortSide(side)),
        None => {
            exact_size(text).map(Target::Exact).map_err(|_| "WxH, 720p, 1080p, 1440p, 4k or 8k is wanted".to_owned())
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let wanted = || "a time is wanted: seconds, M:SS or H:MM:SS, such as 90, 1:30 or 0:01:30.5".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let Some((last, whole)) = parts.split_last().filter(|(_, whole)| whole.len() <= 2) else { return Err(wanted()) };
    let last: f64 = last.parse().map_err(|_| wanted())?;
    let mut minutes: u32 = 0;
    for part in whole {
        let part: u32 = part.parse().map_err(|_| wanted())?;
        minutes = minutes.checked_mul(60).and_then(|m| m.checked_add(part)).ok_or_else(wanted)?;
    }
    Duration::try_from_secs_f64(f64::from(minutes) * 60.0 + last).map_err(|_| wanted())
}

fn bytes(text: &str) -> Result<usize, String> {
    let wanted = || "a size is wanted, such as 4GiB, 800MiB or 1000000000".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wanted())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(wanted()),
    };
    let bytes = number * factor;
    if bytes >= 1.0 && bytes < 2f64.powi(63) { Ok(bytes as usize) } else { Err(wanted()) }
}

fn rate(text: &str) -> Result<(i32, i32), String> {
    let wanted = || "frames a second are wanted, such as 25, 23.976 or 24000/1001".to_owned();
    let positive = |v: &i32| *v > 0;
    if let Some((num, den)) = text.split_once('/') {
        let parse = |t: &str| t.parse::<i32>().ok().filter(positive);
        return parse(num).zip(parse(den)).ok_or_else(wanted);
    }
    let value: f64 = text.parse().map_err(|_| wanted())?;
    if !(value > 0.0 && value <= 1000.0) {
        return Err(wanted());
    }
    // 23.976, 29.97, 59.94 mean the rates of NTSC.
    let ntsc = (value * 1.001).round();
    Ok(if value.fract() != 0.0 && (ntsc / 1.001 - value).abs() < 0.005 {
        (ntsc as i32 * 1000, 1001)
    } else {
        ((value * 1000.0).round() as i32, 1000)
    })
}

fn encoder_options(text: &str) -> Result<Pairs, String> {
    let pair = |item: &str| match item.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{item}` is not KEY=VALUE; separate options by a colon, such as tune=film:bf=2")),
    };
    text.split(':').map(pair).collect::<Result<_, _>>().map(Pairs)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times() {
        assert_eq!(time("90").unwrap(), Duration::from_secs(90));
        assert_eq!(time("1:30.5").unwrap(), Duration::from_millis(90_500));
        assert_eq!(time("2:00:01").unwrap(), Duration::from_secs(7201));
        for bad in ["", "x", "-1", "1:2:3:4", "1:x", "inf", "NaN"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1080p").unwrap(), Target::ShortSide(1080));
        assert_eq!(size("4K").unwrap(), Target::ShortSide(2160));
        assert_eq!(size("640x360").unwrap(), Target::Exact(Size::new(640, 360)));
        for bad in ["", "0x9", "9", "axb", "-1x5", "p"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points() {
        assert_eq!(point("0.5, 1").unwrap(), (0.5, 1.0));
        for bad in ["", "1", "0.5,2", "a,b", "NaN,0", "-0.1,0"] {
            assert!(point(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(bytes("4GiB").unwrap(), 4 << 30);
        assert_eq!(bytes("1.5g").unwrap(), 3 << 29);
        assert_eq!(bytes("800MB").unwrap(), 800_000_000);
        for bad in ["", "x", "-1", "1TBs", "0", "1e300g"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("25").unwrap(), (25_000, 1000));
        assert_eq!(rate("23.976").unwrap(), (24_000, 1001));
        assert_eq!(rate("30000/1001").unwrap(), (30_000, 1001));
        assert_eq!(rate("12.5").unwrap(), (12_500, 1000));
        for bad in ["0", "-3", "a", "1/0", "1e9"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
