//! Filters of libavfilter in a row; and one `zscale` step: a picture in, a picture out.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next::ffi;

use crate::MediaError;
use crate::color::{Codes, zscale_chroma, zscale_light, zscale_range};
use crate::error::{Code, check, must};
use crate::options::Filter;
use crate::pixel::Format;
use crate::raw::{self, Frame, c_string};
use framelift_frame::{ColorFamily, ColorSpec, Matrix, Size};

/// One side of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) size: Size,
    /// A planar format of `zscale`'s.
    pub(crate) format: Format,
    /// Every field stated.
    pub(crate) color: ColorSpec,
}

/// How samples are brought to fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dither {
    /// Rounded.
    None,
    /// By a fixed pattern: steady from frame to frame, which keeps flat areas from flickering and codes well.
    Ordered,
}

/// A row of filters: pictures in at one end, out at the other.
///
/// Filters run on one thread: what they give then does not depend on the machine, and stages run beside each other
/// anyway.
pub(crate) struct Chain {
    graph: *mut ffi::AVFilterGraph,
    source: *mut ffi::AVFilterContext,
    sink: *mut ffi::AVFilterContext,
}

// SAFETY: the graph has one owner and is only used through it, one thread at a time.
unsafe impl Send for Chain {}

impl Chain {
    /// A row of `filters`, each a name and its arguments, for pictures as the arguments of `buffer` say.
    pub(crate) fn new(source: &CStr, filters: &[(&CStr, CString)]) -> Result<Self, MediaError> {
        crate::log::install();
        crate::log::clear();
        let mut chain = Self { graph: ptr::null_mut(), source: ptr::null_mut(), sink: ptr::null_mut() };
        // SAFETY: pointers are checked before use; the graph owns its filters and is freed by drop.
        unsafe {
            chain.graph = ffi::avfilter_graph_alloc();
            let Some(raw) = chain.graph.as_mut() else { return Err(raw::out_of_memory()) };
            raw.nb_threads = 1;
            // A conversion that is not asked for would be made by swscale, by its own idea of colours.
            ffi::avfilter_graph_set_auto_convert(chain.graph, ffi::AVFILTER_AUTO_CONVERT_NONE as u32);
            chain.source = chain.add(c"buffer", source)?;
            let mut last = chain.source;
            for (filter, arguments) in filters {
                let next = chain.add(filter, arguments)?;
                must("linking filters", ffi::avfilter_link(last, 0, next, 0))?;
                last = next;
            }
            chain.sink = chain.add(c"buffersink", c"")?;
            must("linking filters", ffi::avfilter_link(last, 0, chain.sink, 0))?;
            check(ffi::avfilter_graph_config(chain.graph, ptr::null_mut())).map_err(|code| {
                let row: Vec<_> = filters.iter().map(|(name, with)| format!("{name:?} {with:?}")).collect();
                MediaError::internal(format!("{} refuses {source:?}: {}", row.join(", "), code.describe()))
            })?;
        }
        Ok(chain)
    }

    unsafe fn add(&mut self, filter: &CStr, arguments: &CStr) -> Result<*mut ffi::AVFilterContext, MediaError> {
        let mut context = ptr::null_mut();
        // SAFETY: the graph is valid and the strings are terminated.
        unsafe {
            let definition = ffi::avfilter_get_by_name(filter.as_ptr());
            if definition.is_null() {
                return Err(MediaError::usage(
                    format!("this FFmpeg was built without the filter {}", filter.to_string_lossy()),
                    "install a complete FFmpeg (zscale needs libzimg, bwdif and idet a GPL build)",
                ));
            }
            must(
                &format!("the filter {} with {}", filter.to_string_lossy(), arguments.to_string_lossy()),
                ffi::avfilter_graph_create_filter(
                    &raw mut context,
                    definition,
                    filter.as_ptr(),
                    arguments.as_ptr(),
                    ptr::null_mut(),
                    self.graph,
                ),
            )?;
        }
        Ok(context)
    }

    /// Hands a picture in; `None` says that none follows.
    pub(crate) fn push(&mut self, picture: Option<Frame>) -> Result<(), MediaError> {
        crate::log::clear();
        let picture = picture.as_ref().map_or(ptr::null_mut(), Frame::as_ptr);
        // SAFETY: the graph is configured; the source takes over the picture's buffers.
        let code = unsafe { ffi::av_buffersrc_add_frame_flags(self.source, picture, 0) };
        must("handing a picture to the filters", code).map(drop)
    }

    /// The next picture; `None` when another is needed first, or at the end.
    pub(crate) fn pull(&mut self) -> Result<Option<Frame>, MediaError> {
        let out = Frame::new()?;
        // SAFETY: the graph is configured, and the sink fills a blank frame.
        match check(unsafe { ffi::av_buffersink_get_frame(self.sink, out.as_ptr()) }) {
            Ok(_) => Ok(Some(out)),
            Err(Code::AGAIN | Code::EOF) => Ok(None),
            Err(code) => Err(MediaError::internal(format!("the filters gave no picture: {}", code.describe()))),
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: self owns the graph, which may be null, and is gone after this.
        unsafe { ffi::avfilter_graph_free(&raw mut self.graph) };
    }
}

/// One `zscale` step: a picture in, a picture out.
pub(crate) struct Graph {
    chain: Chain,
    from: Side,
}

impl Graph {
    pub(crate) fn new(from: Side, to: Side, filter: Filter, dither: Dither) -> Result<Self, MediaError> {
        let scale = (c"zscale", zscale_arguments(&from, &to, filter, dither));
        let format = (c"format", c_string(&format!("pix_fmts={}", to.format.name())));
        Ok(Self { chain: Chain::new(&source_arguments(&from), &[scale, format])?, from })
    }

    /// What pictures this graph takes.
    pub(crate) fn from(&self) -> &Side {
        &self.from
    }

    /// Converts a picture that is as [`Self::from`] says.
    pub(crate) fn convert(&mut self, picture: Frame) -> Result<Frame, MediaError> {
        self.chain.push(Some(picture))?;
        self.chain.pull()?.ok_or_else(|| MediaError::internal("zscale gave no picture"))
    }
}

/// A new picture that refers to the three planes of `source` as one of `side`'s format, with the colours of a graph's side and
/// nothing else: no flags of fields, no timestamps, no alpha.
pub(crate) fn bare(source: &Frame, side: &Side) -> Result<Frame, MediaError> {
    let mut bare = Frame::new()?;
    let (from, to) = (source.get(), bare.as_mut());
    to.format = side.format.0;
    to.width = from.width;
    to.height = from.height;
    to.data[..3].copy_from_slice(&from.data[..3]);
    to.linesize[..3].copy_from_slice(&from.linesize[..3]);
    for (slot, buffer) in to.buf.iter_mut().zip(from.buf.iter()) {
        if !buffer.is_null() {
            // SAFETY: a non-null entry is a valid buffer reference.
            *slot = unsafe { ffi::av_buffer_ref(*buffer) };
            if slot.is_null() {
                return Err(raw::out_of_memory());
            }
        }
    }
    crate::color::set_color_codes!(bare.as_mut(), side.color, chroma_location);
    Ok(bare)
}

fn source_arguments(side: &Side) -> CString {
    let mut arguments =
        format!("video_size={}:pix_fmt={}:time_base=1/1:pixel_aspect=1/1", side.size, side.format.name());
    // Later versions negotiate matrix and range between filters, starting from what the source declares.
    if source_has(c"colorspace") {
        let codes = Codes::of(&side.color);
        arguments.push_str(&format!(":colorspace={}:range={}", codes.matrix, codes.range));
    }
    c_string(&arguments)
}

fn source_has(option: &std::ffi::CStr) -> bool {
    // SAFETY: a filter's class is static; av_opt_find with a fake object takes a pointer to a class pointer.
    unsafe {
        let source = ffi::avfilter_get_by_name(c"buffer".as_ptr());
        if source.is_null() || (*source).priv_class.is_null() {
            return false;
        }
        let class = &raw const (*source).priv_class;
        let fake = ffi::AV_OPT_SEARCH_FAKE_OBJ;
        !ffi::av_opt_find(class.cast_mut().cast(), option.as_ptr(), ptr::null(), 0, fake).is_null()
    }
}

fn zscale_arguments(from: &Side, to: &Side, filter: Filter, dither: Dither) -> CString {
    // Cubic convolution with a = -0.5 is the member b = 0, c = 0.5 of the Mitchell-Netravali family.
    let kernel = match filter {
        Filter::Bicubic => "bicubic:param_a=0:param_b=0.5",
        Filter::Lanczos => "lanczos:param_a=3",
        Filter::Spline36 => "spline36",
    };
    let dither = match dither {
        Dither::None => "none",
        Dither::Ordered => "ordered",
    };
    let mut arguments = format!("w={}:h={}:filter={kernel}:dither={dither}", to.size.width, to.size.height);
    // Matrices go by their code points of H.273: FFmpeg misspells a name of one.
    // RGB takes part in the light of the YUV side: equal words on both sides mean that none is converted.
    let yuv = if is_yuv(from) { &from.color } else { &to.color };
    let (primaries, transfer) = zscale_light(yuv);
    for (side, suffix) in [(from, "in"), (to, "")] {
        arguments.push_str(&format!(
            ":matrix{suffix}={}:range{suffix}={}:primaries{suffix}={primaries}:transfer{suffix}={transfer}:{}={}",
            if is_yuv(side) { side.color.matrix.code() } else { Matrix::Rgb.code() },
            zscale_range(side.color.range),
            if suffix.is_empty() { "chromal" } else { "chromalin" },
            zscale_chroma(side.color.chroma_location),
        ));
    }
    c_string(&arguments)
}

fn is_yuv(side: &Side) -> bool {
    side.format.layout().is_some_and(|layout| layout.family == ColorFamily::Yuv)
}
