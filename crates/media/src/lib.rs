//! Films in and out through FFmpeg: the only crate that links it.
//!
//! ```text
//! Demuxer ▶ Decoder ▶ ToRgb ▶ … frames … ▶ ToYuv ▶ Encoder ▶ Muxer
//!    └───────── packets of sound, subtitles …: copied ─────────▶┘
//! ```
//!
//! Each of the six is `Send` and runs on a thread of its own. Pictures between [`ToRgb`] and [`ToYuv`] are
//! [`framelift_frame::Frame`]s: planar RGB, full range, 16 bits a sample, in the stream's own transfer.
//! Every timestamp stays in ticks of the input's time base from end to end.
#![expect(unsafe_code, reason = "FFmpeg is a C library; each call into it states why it is sound")]

mod color;
pub mod compose;
mod containers;
mod damage;
mod decode;
mod deinterlace;
mod demux;
mod describe;
mod destination;
mod encode;
mod encoders;
mod error;
mod expected_bits;
mod graph;
mod hdr;
mod heap;
mod info;
mod input;
mod interrupt;
mod log;
mod mux;
mod options;
mod output_streams;
mod partial;
mod pixel;
mod plan;
mod raw;
mod samples;
mod sequence;
mod side_data;
mod standard_input;
mod stored;
mod survey;
mod templates;
mod timeline;
mod to_rgb;
mod to_yuv;

pub use decode::{Decoder, Picture};
pub use deinterlace::{Deinterlace, Deinterlacing};
pub use demux::{Demuxer, Packet, probe};
pub use encode::{EncodedPacket, Encoder};
pub use error::{ErrorKind, MediaError};
pub use expected_bits::ExpectedBits;
pub use heap::trim_heap;
pub use info::{AudioInfo, Chapter, Combing, MediaInfo, Metadata, Scan, StreamInfo, StreamKind, VideoInfo};
pub use input::{Input, ReadOptions};
pub use mux::{Complete, Muxer};
pub use options::{CopyKind, CopyPolicy, Filter, Output, WriteOptions};
pub use partial::{discard_partial_outputs, forget_partial_output, register_partial_output};
pub use plan::OutputVideo;
pub use sequence::Pattern;
pub use templates::StreamTemplates;
pub use to_rgb::ToRgb;
pub use to_yuv::{Resizer, ToYuv};

/// The versions of FFmpeg's libraries that frames go through, in words that are equal where they are.
#[must_use]
pub fn libraries() -> String {
    let versions = [ffmpeg_next::codec::version(), ffmpeg_next::format::version(), ffmpeg_next::filter::version()];
    versions.map(|version| format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)).join(" ")
}
