//! `framelift measure` and `framelift degrade`.

use clap::{Args, ValueEnum};

use super::parse::up_to;

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
