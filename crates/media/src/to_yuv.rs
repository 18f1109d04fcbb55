//! From RGB frames to the pictures an encoder takes.
//!
//! In: planar RGB, full range, 16 bits a sample. Out: the output's size, pixel format, matrix, range and chroma siting.
//! The resize, the matrix, the chroma's subsampling and the dither are one `zscale` step, so that samples are rounded
//! once.

use ffmpeg_next::ffi::{AV_PIX_FMT_FLAG_ALPHA, AVFrameSideDataType};
use framelift_frame::{ColorFamily, ColorSpec, Frame, PixelFormat, Plane, Size, TimeBase, Timestamp};

use crate::graph::{Dither, Graph, Side};
use crate::options::Filter;
use crate::pixel::Format;
use crate::samples::{even_size, repack, write_row};
use crate::to_rgb::{read_planes, rgb_color};
use crate::{MediaError, OutputVideo, Picture, raw};

/// Converts RGB frames to the output's size, pixel format and colours.
pub struct ToYuv {
    size: Size,
    /// Resizes frames that `zscale` could not bring to a size of odd sides and subsampled chroma at once.
    resizer: Option<Resizer>,
    /// What the graph takes: frames, padded where chroma would not be whole.
    from: Side,
    graph: Option<Graph>,
    /// What the graph gives.
    via: Format,
    /// What the encoder takes.
    to: Format,
    to_size: Size,
    color: ColorSpec,
    /// Resizes alpha, by the same kernel.
    alpha: Option<Resizer>,
    filter: Filter,
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
        let unsupported = || MediaError::internal(format!("no conversion to the pixel format {}", format.name()));
        let layout = format.layout().ok_or_else(unsupported)?;
        // Gray is the luma of a picture without subsampling.
        let via = match layout.family {
            ColorFamily::Gray => Format::planar_of(PixelFormat { family: ColorFamily::Yuv, ..layout }),
            ColorFamily::Rgb | ColorFamily::Yuv => Format::planar_of(layout),
        };
        let via = via.ok_or_else(unsupported)?;
        let even = even_size(output.size, via);
        let resizer = if even != output.size && size != output.size {
            Some(Resizer::new(size, output.size, output.resize)?)
        } else {
            None
        };
        let from_size = if even == output.size { size } else { even };
        let from = Side { size: from_size, format: Format::GBRP16, color: rgb_color(color) };
        let graph = if via == from.format && output.size == size {
            None
        } else {
            let dither = if layout.depth < 16 { Dither::Ordered } else { Dither::None };
            let to = Side { size: even, format: via, color };
            Some(Graph::new(from, to, output.resize, dither)?)
        };
        Ok(Self {
            size,
            resizer,
            from,
            graph,
            via,
            to: format,
            to_size: output.size,
            color,
            alpha: None,
            filter: output.resize,
        })
    }

    /// Converts a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory, or for a frame of another size than promised.
    pub fn push(&mut self, frame: &Frame) -> Result<Picture, MediaError> {
        check_size(frame, self.size)?;
        let mut picture = match &mut self.resizer {
            Some(resizer) => write_planes(&resizer.push(frame)?, &self.from)?,
            None => write_planes(frame, &self.from)?,
        };
        if let Some(graph) = &mut self.graph {
            picture = graph.convert(picture)?;
        }
        let raw = picture.as_mut();
        // Padding lies to the right and below: a smaller picture of the same rows leaves it out.
        (raw.width, raw.height) = (side_px(self.to_size.width)?, side_px(self.to_size.height)?);
        if self.to != self.via {
            picture = repack(&picture, self.to)?;
        }
        if let (Some(alpha), true) = (&frame.beside.alpha, self.to.has(AV_PIX_FMT_FLAG_ALPHA)) {
            self.write_alpha(&mut picture, alpha)?;
        }
        if !frame.beside.captions.is_empty() {
            picture.attach(AVFrameSideDataType::AV_FRAME_DATA_A53_CC, &frame.beside.captions)?;
        }
        let raw = picture.as_mut();
        crate::color::set_color_codes!(&mut *raw, self.color, chroma_location);
        raw.pts = frame.time.ticks;
        set_duration(raw, frame.duration_ticks);
        Ok(Picture::new(picture, frame.time, frame.duration_ticks))
    }
}

impl ToYuv {
    /// Alpha at the picture's size, rounded to its depth.
    fn write_alpha(&mut self, picture: &mut raw::Frame, alpha: &Plane) -> Result<(), MediaError> {
        let resized;
        let plane = if alpha.size() == self.to_size {
            alpha
        } else {
            let resizer = match &mut self.alpha {
                Some(resizer) if resizer.from() == alpha.size() => resizer,
                slot => slot.insert(Resizer::new(alpha.size(), self.to_size, self.filter)?),
            };
            resized = resizer.push(&gray(alpha)?)?;
            &resized.planes()[0]
        };
        let Some(d) = self.to.descriptor() else { return Ok(()) };
        let index = usize::from(d.nb_components) - 1;
        let top = (1u32 << d.comp[index].depth) - 1;
        let mut row = vec![0; plane.size().width as usize];
        for y in 0..plane.size().height as usize {
            for (to, &sample) in row.iter_mut().zip(plane.row(y)) {
                *to = ((u32::from(sample) * top + 32_767) / 65_535) as u16;
            }
            write_row(picture, index, y, &row);
        }
        Ok(())
    }
}

/// A plane as a picture of that gray.
fn gray(plane: &Plane) -> Result<Frame, MediaError> {
    Frame::new(std::array::from_fn(|_| plane.clone()), NO_TIME, 0)
        .ok_or_else(|| MediaError::internal("the planes of a frame differ in size"))
}

/// Of pictures that are only resized.
const NO_TIME: Timestamp = Timestamp::new(0, TimeBase::new(1, 1));

fn check_size(frame: &Frame, promised: Size) -> Result<(), MediaError> {
    if frame.size() == promised {
        return Ok(());
    }
    Err(MediaError::internal(format!("a frame of {} came where {promised} was promised", frame.size())))
}

fn side_px(px: u32) -> Result<i32, MediaError> {
    i32::try_from(px).map_err(|_| MediaError::internal(format!("a side of {px} pixels")))
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

/// A frame in FFmpeg's planar RGB of 16 bits, whose planes run green, blue, red, its last column and row repeated up to
/// the size of `side`.
fn write_planes(frame: &Frame, side: &Side) -> Result<raw::Frame, MediaError> {
    let (width, rows) = (frame.size().width as usize, frame.size().height as usize);
    let padded_width = side.size.width as usize;
    let mut picture = raw::Frame::with_buffer(Format::GBRP16.0, side_px(side.size.width)?, side_px(side.size.height)?)?;
    for (plane, source) in [2, 0, 1].into_iter().zip(frame.planes()) {
        for y in 0..side.size.height as usize {
            // SAFETY: the picture has this size and two bytes a sample, and no other owner.
            let row = unsafe { picture.row_mut(plane, y, padded_width * 2) };
            let from = source.row(y.min(rows - 1));
            let (pairs, _) = row.as_chunks_mut::<2>();
            for (bytes, sample) in pairs.iter_mut().zip(from) {
                *bytes = sample.to_ne_bytes();
            }
            pairs[width..].fill(from[width - 1].to_ne_bytes());
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

    pub(crate) fn from(&self) -> Size {
        self.graph.from().size
    }

    /// Resizes a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory, or for a frame of another size than promised.
    pub fn push(&mut self, frame: &Frame) -> Result<Frame, MediaError> {
        let from = *self.graph.from();
        check_size(frame, from.size)?;
        let resized = self.graph.convert(write_planes(frame, &from)?)?;
        let mut resized = Frame::new(read_planes(&resized, self.to)?, frame.time, frame.duration_ticks)
            .ok_or_else(|| MediaError::internal("the planes of a frame differ in size"))?;
        resized.beside = frame.beside.clone();
        Ok(resized)
    }
}
