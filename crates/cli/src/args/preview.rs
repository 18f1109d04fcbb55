//! `framelift preview`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use framelift::Target;

use super::parse::{bytes, factor, point, rate, seconds, size, time};
use super::{Compute, ProgressMode};

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
