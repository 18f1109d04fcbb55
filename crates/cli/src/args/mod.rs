//! The command line, as typed: what all commands share and the small ones here, a file for each of the others.

mod models;
mod parse;
mod preview;
mod quality;
mod upscale;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use framelift::Size;

pub(crate) use self::models::{Models, ModelsCommand};
use self::parse::{exact_size, seconds};
pub(crate) use self::preview::{LayoutChoice, Preview};
pub(crate) use self::quality::{Degrade, DegradeCodec, DegradeKind, Measure};
pub(crate) use self::upscale::{Keeping, Upscale};

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

/// Where and how precisely to compute.
#[derive(Args, Clone, Debug)]
pub(crate) struct Compute {
    /// Where the network runs: auto, cpu, gpu, vulkan:N or cuda:N, as `framelift devices` lists them; auto takes the best GPU,
    /// or the processor where there is none; several GPUs of one kind, as vulkan:0,vulkan:1, work on different shots; cuda:N,
    /// in a build with the feature cuda, has never run on a card
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
