//! From a stream's pictures to RGB frames.
//!
//! In: pictures in any pixel format of gray, RGB or YUV samples. Out: planar RGB, full range, 16 bits a sample, in the
//! stream's own transfer, at the stream's size. YUV goes through libavfilter's `zscale`; RGB and gray are only
//! stretched to 16 bits: code value v of depth d becomes round(v · 65535 / (2^d − 1)), which is v · 257 at 8 bits.

use std::collections::BTreeSet;

use framelift_frame::{Beside, ColorFamily, ColorSpec, Frame, Plane, Range, Size};

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
    keeps_alpha: bool,
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
        if video.dolby_vision_only {
            return Err(wrong_picture(
                "its colours are Dolby Vision's own (profile 5), which nothing shows rightly without metadata of single pictures"
                    .to_owned(),
                "convert the film to HDR10 first, for example by FFmpeg's filter libplacebo",
            ));
        }
        Ok(Self {
            size: video.size,
            stated: video.color,
            context: video.resolve,
            graph: None,
            resizer: None,
            keeps_alpha: false,
            notices: Notices::default(),
        })
    }

    /// Whether frames bring along the alpha of their pictures.
    #[must_use]
    pub fn keep_alpha(mut self, keep: bool) -> Self {
        self.keeps_alpha = keep;
        self
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
        let alpha = if self.keeps_alpha && layout.alpha { Some(alpha(&picture.frame, format, size)?) } else { None };
        let beside = Beside { alpha, captions: picture.captions().to_vec() };
        drop(picture);
        let mut frame = Frame::new(planes, time, duration_ticks)
            .ok_or_else(|| MediaError::internal("the planes of a frame differ in size"))?;
        frame.beside = beside;
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
    if format.layout().is_some_and(|layout| layout.family == ColorFamily::Gray) {
        let luma = stretch_component(source, format, 0, size, range)?;
        return Ok([luma.clone(), luma.clone(), luma]);
    }
    let [red, green, blue] = [0, 1, 2].map(|index| stretch_component(source, format, index, size, range));
    Ok([red?, green?, blue?])
}

/// The alpha of a picture, the last of its components. Its range is always full.
fn alpha(source: &raw::Frame, format: Format, size: Size) -> Result<Plane, MediaError> {
    let last =
        if format.is_palette() { 3 } else { format.descriptor().map_or(3, |d| usize::from(d.nb_components) - 1) };
    stretch_component(source, format, last, size, Range::Full)
}

fn stretch_component(
    source: &raw::Frame,
    format: Format,
    index: usize,
    size: Size,
    range: Range,
) -> Result<Plane, MediaError> {
    let reader = Reader::new(source, index).ok_or_else(|| unsupported(format))?;
    let depth = format.descriptor().map_or(8, |d| if format.is_palette() { 8 } else { d.comp[index].depth });
    let width = size.width as usize;
    let mut samples = vec![0; width * size.height as usize];
    for (y, row) in samples.chunks_exact_mut(width).enumerate() {
        if format.is_float() {
            reader.float_row(y, row);
        } else {
            stretch_row(&reader, y, row, depth as u32, range);
        }
        if format.counts_from_white() {
            row.iter_mut().for_each(|sample| *sample = 65_535 - *sample);
        }
    }
    Plane::new(size, samples).ok_or_else(|| unsupported(format))
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

#[cfg(test)]
mod tests {
    use ffmpeg_next::ffi;
    use framelift_frame::{PixelFormat, TimeBase, Timestamp};

    use super::*;
    use crate::samples::{component_size, write_row};

    unsafe extern "C" {
        fn av_pix_fmt_desc_next(previous: *const ffi::AVPixFmtDescriptor) -> *const ffi::AVPixFmtDescriptor;
    }

    const SIZE: Size = Size::new(32, 16);

    /// Every pixel format of this FFmpeg.
    fn formats() -> Vec<Format> {
        let mut formats = Vec::new();
        let mut descriptor = std::ptr::null();
        loop {
            // SAFETY: null or a descriptor that the function gave; descriptors and their names are static.
            descriptor = unsafe { av_pix_fmt_desc_next(descriptor) };
            // SAFETY: a description that is not null is static.
            let Some(d) = (unsafe { descriptor.as_ref() }) else { return formats };
            // SAFETY: as above.
            formats.extend(Format::named(&unsafe { crate::raw::text(d.name) }));
        }
    }

    fn converter(format: Format) -> Result<ToRgb, MediaError> {
        let layout = check_format(format)?;
        let context = Context { size: SIZE, layout, full_range: format.is_full_range_yuv(), centered_chroma: false };
        let (stated, graph, resizer) = (ColorSpec::default(), None, None);
        Ok(ToRgb { size: SIZE, stated, context, graph, resizer, keeps_alpha: true, notices: Notices::default() })
    }

    /// A white picture, opaque where there is alpha.
    fn white(format: Format, layout: PixelFormat) -> raw::Frame {
        let mut frame = raw::Frame::with_buffer(format.0, SIZE.width as i32, SIZE.height as i32).unwrap();
        let d = format.descriptor().unwrap();
        // Components of RGB may share bytes; all ones are white and opaque in any arrangement.
        let rgb = layout.family == ColorFamily::Rgb;
        for plane in 0..4usize {
            let row_bytes = frame.get().linesize[plane].max(0) as usize;
            if row_bytes > 0 && !frame.get().data[plane].is_null() {
                let rows = component_size(format, plane, SIZE.width as usize, SIZE.height as usize).1;
                // SAFETY: the picture is new, and its planes have the rows of their components.
                (0..rows).for_each(|y| unsafe { frame.row_mut(plane, y, row_bytes) }.fill(if rgb { 0xff } else { 0 }));
            }
        }
        if rgb {
            return frame;
        }
        let limited = !format.is_full_range_yuv();
        for index in 0..usize::from(d.nb_components) {
            let (width, height) = component_size(format, index, SIZE.width as usize, SIZE.height as usize);
            let depth = d.comp[index].depth as u32;
            let top = ((1u64 << depth) - 1) as u32;
            let alpha = layout.alpha && index + 1 == usize::from(d.nb_components);
            let value = match (layout.family, index) {
                (ColorFamily::Yuv, 1 | 2) => 1 << (depth - 1),
                _ if limited && !alpha && depth >= 8 => 235 << (depth - 8),
                _ if format.counts_from_white() => 0,
                _ => top,
            };
            (0..height).for_each(|y| write_row(&mut frame, index, y, &vec![value as u16; width]));
        }
        frame
    }

    #[test]
    fn every_pixel_format_is_converted_or_refused_by_name() {
        let (mut converted, mut refused) = (0, Vec::new());
        for format in formats() {
            let name = format.name();
            let mut to_rgb = match converter(format) {
                Ok(to_rgb) => to_rgb,
                Err(error) => {
                    assert!(error.to_string().contains(&name), "{name}: {error}");
                    refused.push(name);
                    continue;
                }
            };
            let layout = format.layout().unwrap();
            converted += 1;
            // What is written as numbers cannot make floating-point samples or palettes: those are only read.
            let plain = !format.is_float() && !format.is_palette();
            let frame = if plain {
                white(format, layout)
            } else {
                raw::Frame::with_buffer(format.0, SIZE.width as i32, SIZE.height as i32).unwrap()
            };
            let picture = Picture::new(frame, Timestamp::new(0, TimeBase::new(1, 25)), 1);
            let frame = to_rgb.push(picture).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(frame.size(), SIZE, "{name}");
            assert_eq!(frame.beside.alpha.is_some(), layout.alpha, "{name}");
            if plain {
                for plane in frame.planes().iter().chain(&frame.beside.alpha) {
                    assert!(plane.samples().iter().all(|&sample| sample > 65_200), "{name}: {}", plane.samples()[0]);
                }
            }
        }
        assert!(converted > 130, "only {converted} formats; refused {refused:?}");
        // Those refused are pictures in a card's memory, sensors' mosaics, XYZ, and what zscale knows no planes of.
        for name in &refused {
            let format = Format::named(name).unwrap();
            let strange = format.has(ffi::AV_PIX_FMT_FLAG_HWACCEL) || format.has(ffi::AV_PIX_FMT_FLAG_BAYER);
            let known = strange
                || ["xyz", "yuv440p1", "uyyvyy411", "p41", "nv20", "nv24", "vuy", "ayuv", "xv"]
                    .iter()
                    .any(|known| name.starts_with(known));
            assert!(known, "{name} is refused");
        }
    }
}
