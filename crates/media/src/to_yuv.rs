//! From RGB frames to the pictures an encoder takes.
//!
//! In: planar RGB, full range, 16 bits a sample. Out: the output's size, pixel format, matrix, range and chroma siting.
//! The resize, the matrix, the chroma's subsampling and the dither are one `zscale` step, so that samples are rounded
//! once.

use framelift_frame::{ColorFamily, ColorSpec, Frame, PixelFormat, Size};

use crate::graph::{Dither, Graph, Side};
use crate::options::Filter;
use crate::pixel::Format;
use crate::samples::repack;
use crate::to_rgb::{read_planes, rgb_color};
use crate::{MediaError, OutputVideo, Picture, raw};

/// Converts RGB frames to the output's size, pixel format and colours.
pub struct ToYuv {
    graph: Option<Graph>,
    size: Size,
    from: Side,
    /// What the graph gives.
    via: Format,
    /// What the encoder takes.
    to: Format,
    color: ColorSpec,
}

impl ToYuv {
    /// A converter for frames of `size`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] when FFmpeg refuses the conversion.
    pub fn new(size: Size, output: &OutputVideo) -> Result<Self, MediaError> {
        let format = output.av_format;
        let color = output.color;
        let from = Side { size, format: Format::GBRP16, color: rgb_color(color) };
        let unsupported = || MediaError::internal(format!("no conversion to the pixel format {}", format.name()));
        let layout = format.layout().ok_or_else(unsupported)?;
        // Gray is the luma of a picture without subsampling.
        let via = match layout.family {
            ColorFamily::Gray => Format::planar_of(PixelFormat { family: ColorFamily::Yuv, ..layout }),
            ColorFamily::Rgb | ColorFamily::Yuv => Format::planar_of(layout),
        };
        let via = via.ok_or_else(unsupported)?;
        let same = via == from.format && output.size == size;
        let graph = if same {
            None
        } else {
            let dither = if layout.depth < 16 { Dither::Ordered } else { Dither::None };
            let to = Side { size: output.size, format: via, color };
            Some(Graph::new(from, to, output.resize, dither)?)
        };
        Ok(Self { graph, size, from, via, to: format, color })
    }

    /// Converts a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory, or for a frame of another size than promised.
    pub fn push(&mut self, frame: &Frame) -> Result<Picture, MediaError> {
        if frame.size() != self.size {
            return Err(MediaError::internal(format!(
                "a frame of {} came where {} were promised",
                frame.size(),
                self.size
            )));
        }
        let mut picture = write_planes(frame, &self.from)?;
        if let Some(graph) = &mut self.graph {
            picture = graph.convert(picture)?;
        }
        if self.to != self.via {
            picture = repack(&picture, self.to)?;
        }
        let raw = picture.as_mut();
        crate::color::set_color_codes!(&mut *raw, self.color, chroma_location);
        raw.pts = frame.time.ticks;
        set_duration(raw, frame.duration_ticks);
        Ok(Picture::new(picture, frame.time, frame.duration_ticks))
    }
}

fn set_duration(raw: &mut ffmpeg_next::ffi::AVFrame, ticks: i64) {
    #[cfg(ffmpeg_6_0)]
    {
        raw.duration = ticks;
    }
    #[cfg(not(ffmpeg_6_0))]
    {
        raw.pkt_duration = ticks;
    }
}

/// A frame in FFmpeg's planar RGB of 16 bits, whose planes run green, blue, red.
fn write_planes(frame: &Frame, side: &Side) -> Result<raw::Frame, MediaError> {
    let size = frame.size();
    let side_px = |px: u32| i32::try_from(px).map_err(|_| MediaError::internal(format!("a frame of {size}")));
    let mut picture = raw::Frame::with_buffer(Format::GBRP16.0, side_px(size.width)?, side_px(size.height)?)?;
    for (plane, source) in [2, 0, 1].into_iter().zip(frame.planes()) {
        for y in 0..size.height as usize {
            // SAFETY: the picture has this size and two bytes a sample, and no other owner.
            let row = unsafe { picture.row_mut(plane, y, size.width as usize * 2) };
            for (bytes, sample) in row.as_chunks_mut::<2>().0.iter_mut().zip(source.row(y)) {
                *bytes = sample.to_ne_bytes();
            }
        }
    }
    crate::color::set_color_codes!(picture.as_mut(), side.color, chroma_location);
    Ok(picture)
}

/// Resizes RGB frames.
pub struct Resizer {
    graph: Graph,
    to: Size,
}

impl Resizer {
    /// A resizer of frames of size `from` to `to`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] when FFmpeg refuses the conversion.
    pub fn new(from: Size, to: Size, filter: Filter) -> Result<Self, MediaError> {
        let color = rgb_color(ColorSpec::default());
        let side = |size| Side { size, format: Format::GBRP16, color };
        Ok(Self { graph: Graph::new(side(from), side(to), filter, Dither::None)?, to })
    }

    /// Resizes a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory, or for a frame of another size than promised.
    pub fn push(&mut self, frame: &Frame) -> Result<Frame, MediaError> {
        let from = *self.graph.from();
        if frame.size() != from.size {
            return Err(MediaError::internal(format!(
                "a frame of {} came where {} were promised",
                frame.size(),
                from.size
            )));
        }
        let resized = self.graph.convert(write_planes(frame, &from)?)?;
        Frame::new(read_planes(&resized, self.to)?, frame.time, frame.duration_ticks)
            .ok_or_else(|| MediaError::internal("the planes of a frame differ in size"))
    }
}
