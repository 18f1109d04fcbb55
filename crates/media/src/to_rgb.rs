//! From a stream's pictures to RGB frames.
//!
//! In: pictures in any pixel format of gray, RGB or YUV samples. Out: planar RGB, full range, 16 bits a sample, in the
//! stream's own transfer, at the stream's size. YUV goes through libavfilter's `zscale`; RGB and gray are only
//! stretched to 16 bits: code value v of depth d becomes round(v · 65535 / (2^d − 1)), which is v · 257 at 8 bits.

use std::collections::BTreeSet;

use framelift_frame::{ColorFamily, ColorSpec, Frame, Plane, Range, Size};

use crate::color::{self, Context, color_codes};
use crate::graph::{Dither, Graph, Side, bare};
use crate::options::Filter;
use crate::pixel::Format;
use crate::raw;
use crate::samples::{Reader, even_size, padded, repack};
use crate::{MediaError, Picture, Resizer, VideoInfo};

/// Converts pictures to full-range planar RGB of 16 bits a sample.
pub struct ToRgb {
    size: Size,
    stated: ColorSpec,
    context: Context,
    graph: Option<Graph>,
    resizer: Option<Resizer>,
    notices: Notices,
}

/// Each thing worth saying, once.
#[derive(Default)]
struct Notices {
    said: BTreeSet<String>,
    new: Vec<String>,
}

impl Notices {
    fn say(&mut self, text: String) {
        if self.said.insert(text.clone()) {
            self.new.push(text);
        }
    }
}

impl ToRgb {
    /// A converter for the pictures of a stream.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] for a pixel format that cannot be converted.
    pub fn new(video: &VideoInfo) -> Result<Self, MediaError> {
        if let Some(format) = Format::named(&video.format_name) {
            check_format(format)?;
        }
        Ok(Self {
            size: video.size,
            stated: video.color,
            context: video.resolve,
            graph: None,
            resizer: None,
            notices: Notices::default(),
        })
    }

    /// Converts a picture; time and duration pass through. A picture of another size than the stream's is resized to it.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] for a pixel format that cannot be converted.
    pub fn push(&mut self, picture: Picture) -> Result<Frame, MediaError> {
        let (time, duration_ticks, size) = (picture.time(), picture.duration_ticks(), picture.size());
        let raw = picture.frame.get();
        let format = Format(raw.format);
        let layout = check_format(format)?;
        if size.is_empty() {
            return Err(wrong_picture(
                format!("the picture at {time} has size {size}"),
                "the file is damaged: copy it again",
            ));
        }
        let own = color_codes!(raw, colorspace, chroma_location).spec();
        let context = Context {
            layout,
            full_range: format.is_full_range_yuv() || (layout.family == ColorFamily::Gray && self.context.full_range),
            ..self.context
        };
        let (color, assumed) = color::resolve(color::merge(own, self.stated), context);
        if !assumed.is_empty() {
            self.notices.say(format!(
                "the film does not state all of its colours; assumed, as players do: {}",
                assumed.join(", ")
            ));
        }
        if layout.alpha {
            self.notices.say("the film has an alpha channel, which is left out".to_owned());
        }
        if size != self.size {
            self.notices.say(format!(
                "the pictures change their size from {} to {size} at {time}; they are resized to {}",
                self.size, self.size
            ));
        }
        let planes = match layout.family {
            ColorFamily::Yuv => self.through_zscale(&picture.frame, format, size, color)?,
            ColorFamily::Rgb | ColorFamily::Gray => stretch(&picture.frame, format, size, color.range)?,
        };
        drop(picture);
        let frame = Frame::new(planes, time, duration_ticks)
            .ok_or_else(|| MediaError::internal("the planes of a frame differ in size"))?;
        if size == self.size { Ok(frame) } else { self.resized(&frame) }
    }

    fn through_zscale(
        &mut self,
        source: &raw::Frame,
        format: Format,
        size: Size,
        color: ColorSpec,
    ) -> Result<[Plane; 3], MediaError> {
        let planar = format.planar().ok_or_else(|| unsupported(format))?;
        let even = even_size(size, planar);
        let from = Side { size: even, format: planar, color };
        let graph = match &mut self.graph {
            Some(graph) if *graph.from() == from => graph,
            slot => {
                let to = Side { size: even, format: Format::GBRP16, color: rgb_color(color) };
                slot.insert(Graph::new(from, to, Filter::Bicubic, Dither::None)?)
            }
        };
        let picture = if even != size {
            bare(&padded(source, planar, even)?, &from)?
        } else if shares_planes(format, planar) {
            bare(source, &from)?
        } else {
            bare(&repack(source, planar)?, &from)?
        };
        read_planes(&graph.convert(picture)?, size)
    }

    fn resized(&mut self, frame: &Frame) -> Result<Frame, MediaError> {
        let resizer = match &mut self.resizer {
            Some(resizer) if resizer.from() == frame.size() => resizer,
            slot => slot.insert(Resizer::new(frame.size(), self.size, Filter::Bicubic)?),
        };
        resizer.push(frame)
    }

    /// What was assumed of the stream, or changed in it, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices.new)
    }
}

/// The colours of the RGB that a stream's pictures are converted to.
pub(crate) fn rgb_color(color: ColorSpec) -> ColorSpec {
    ColorSpec { matrix: framelift_frame::Matrix::Rgb, range: Range::Full, ..color }
}

fn check_format(format: Format) -> Result<framelift_frame::PixelFormat, MediaError> {
    let layout = format.layout().ok_or_else(|| unsupported(format))?;
    if layout.family == ColorFamily::Yuv && format.planar().is_none() {
        return Err(unsupported(format));
    }
    Ok(layout)
}

fn unsupported(format: Format) -> MediaError {
    wrong_picture(
        format!("framelift does not convert the pixel format {}", format.name()),
        "convert the film first, for example with: ffmpeg -i INPUT -pix_fmt yuv444p12 -c:v ffv1 film.mkv",
    )
}

fn wrong_picture(what: String, remedy: &str) -> MediaError {
    MediaError::Input { input: "the video".to_owned(), what, remedy: remedy.to_owned() }
}

/// Whether the first three planes of `format` are those of `planar`: alpha comes after them, and the old full-range
/// formats differ in name only.
fn shares_planes(format: Format, planar: Format) -> bool {
    let (Some(a), Some(b)) = (format.descriptor(), planar.descriptor()) else { return false };
    let big = ffmpeg_next::ffi::AV_PIX_FMT_FLAG_BE;
    format == planar || (a.comp[..3] == b.comp[..3] && format.has(big) == planar.has(big))
}

/// Red, green and blue of the upper left `size` of a picture in FFmpeg's planar RGB of 16 bits, whose planes run green,
/// blue, red.
pub(crate) fn read_planes(rgb: &raw::Frame, size: Size) -> Result<[Plane; 3], MediaError> {
    let mut planes = Vec::with_capacity(3);
    for plane in [2, 0, 1] {
        let mut samples = Vec::with_capacity(size.width as usize * size.height as usize);
        for y in 0..size.height as usize {
            // SAFETY: the graph that made the picture has at least this size, and two bytes a sample.
            let row = unsafe { rgb.row(plane, y, size.width as usize * 2) };
            samples.extend(row.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair)));
        }
        planes.extend(Plane::new(size, samples));
    }
    planes.try_into().map_err(|_| MediaError::internal("zscale gave a picture of another size"))
}

/// RGB and gray samples stretched to 16 bits.
fn stretch(source: &raw::Frame, format: Format, size: Size, range: Range) -> Result<[Plane; 3], MediaError> {
    let width = size.width as usize;
    let gray = format.layout().is_some_and(|layout| layout.family == ColorFamily::Gray);
    let mut planes = Vec::with_capacity(3);
    for index in 0..if gray { 1 } else { 3 } {
        let reader = Reader::new(source, index).ok_or_else(|| unsupported(format))?;
        let depth = format.descriptor().map_or(8, |d| if format.is_palette() { 8 } else { d.comp[index].depth });
        let mut samples = vec![0; width * size.height as usize];
        for (y, row) in samples.chunks_exact_mut(width).enumerate() {
            if format.is_float() {
                reader.float_row(y, row);
            } else {
                stretch_row(&reader, y, row, depth as u32, range);
            }
        }
        planes.extend(Plane::new(size, samples));
    }
    if gray {
        let luma = planes.pop().ok_or_else(|| unsupported(format))?;
        return Ok([luma.clone(), luma.clone(), luma]);
    }
    planes.try_into().map_err(|_| unsupported(format))
}

fn stretch_row(reader: &Reader<'_>, y: usize, row: &mut [u16], depth: u32, range: Range) {
    match (range, depth) {
        (Range::Limited, 8..) => {
            let (black, span) = (16u32 << (depth - 8), 219u32 << (depth - 8));
            reader.row(y, row, |v| {
                let v = u64::from(u32::from(v).saturating_sub(black).min(span));
                ((v * 65535 + u64::from(span / 2)) / u64::from(span)) as u16
            });
        }
        (_, 16) => reader.row(y, row, |v| v),
        (_, 8) => reader.row(y, row, |v| v * 257),
        _ => {
            let top = (1u32 << depth.min(16)) - 1;
            reader.row(y, row, |v| ((u32::from(v).min(top) * 65535 + top / 2) / top) as u16);
        }
    }
}
