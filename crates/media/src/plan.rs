//! What the pictures of an output will be: encoder, pixel format, colours, pixel shape.

use ffmpeg_next::ffi;
use framelift_frame::{ChromaLocation, ColorFamily, ColorSpec, Matrix, PixelFormat, Range, Size, TimeBase, Transfer};

use crate::containers::muxer_holds_video;
use crate::encoders::{VideoEncoder, deep_encoders};
use crate::options::Container;
use crate::pixel::Format;
use crate::side_data::SideData;
use crate::{Combing, Filter, MediaError, MediaInfo, Output, VideoInfo, WriteOptions, log};

/// The pictures of an output: which encoder, and everything decided about them.
#[derive(Clone, Debug)]
pub struct OutputVideo {
    /// FFmpeg's name of the encoder.
    pub encoder: String,
    /// Width and height.
    pub size: Size,
    /// How pictures are stored.
    pub format: PixelFormat,
    /// FFmpeg's name of that pixel format.
    pub format_name: String,
    /// Colours, every one stated.
    pub color: ColorSpec,
    /// Width to height of a pixel.
    pub sample_aspect_ratio: (i32, i32),
    /// Frames a second on average, for rate control.
    pub frame_rate: Option<(i32, i32)>,
    /// The length of a tick: the input's.
    pub time_base: TimeBase,
    /// The kernel of the resize to `size`.
    pub resize: Filter,
    /// What had to give way, for people.
    pub notices: Vec<String>,
    /// HDR10's metadata, for encoders that write it.
    pub(crate) light: Vec<SideData>,
    /// Whether the input's frame rate varies.
    pub(crate) variable_frame_rate: bool,
    pub(crate) av_format: Format,
    pub(crate) container: Container,
}

impl OutputVideo {
    /// Decides encoder, pixel format and colours of an output of `size` made of `input`'s pictures.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for an encoder that does not exist, does not fit the container or takes no pictures from
    /// memory; and for an input without video.
    pub fn plan(input: &MediaInfo, size: Size, output: &Output, options: &WriteOptions) -> Result<Self, MediaError> {
        log::install();
        let container = output.container()?;
        let (_, video) =
            input.video_stream().ok_or_else(|| MediaError::usage("there is no video in the input", "give a film"))?;
        if size.is_empty() || size.width > MAX_SIDE_PX || size.height > MAX_SIDE_PX {
            return Err(MediaError::usage(
                format!("a film of {size} cannot be written"),
                format!("use sides from 1 to {MAX_SIDE_PX}"),
            ));
        }
        let mut notices = Vec::new();
        let encoder = choose_encoder(container, output, options, &mut notices)?;
        let source = video.format;
        let wanted = wanted_layout(source, encoder, container, options.png16);
        if container == Container::Png && source.depth > wanted.depth {
            notices.push(format!(
                "PNG pictures of 8 bits a sample hold less than the film's {}; --png16 keeps them",
                source.depth
            ));
        }
        let (av_format, wanted) = choose_format(encoder, container, wanted, size, &mut notices)?;
        let format = av_format.layout().unwrap_or(wanted);
        if container != Container::Png {
            say_losses(encoder, container, source, format, &mut notices);
        }
        let color = output_color(video, encoder, av_format, format);
        if source.family == ColorFamily::Rgb && format.family == ColorFamily::Yuv {
            notices.push(format!(
                "the film is RGB, which few players take from {}; it becomes YUV {format}, BT.709. --codec ffv1 or libx264rgb keeps RGB",
                encoder.name()
            ));
        }
        notices.extend(hdr_notice(video));
        notices.extend(fields_notice(video));
        if video.captions && !encoder.has_option("a53cc") {
            notices.push(format!(
                "captions come with the film's pictures, and {} does not write them; libx264 does",
                encoder.name()
            ));
        }
        Ok(Self {
            encoder: encoder.name(),
            size,
            format,
            format_name: av_format.name(),
            color,
            sample_aspect_ratio: sample_aspect_ratio(video, size),
            frame_rate: video.average_frame_rate.or(video.base_frame_rate),
            time_base: video.time_base,
            resize: options.resize,
            notices,
            light: video.light.clone(),
            variable_frame_rate: video.variable_frame_rate(),
            av_format,
            container,
        })
    }
}

fn hdr_notice(video: &VideoInfo) -> Option<String> {
    let which = match (video.dolby_vision, video.dynamic_hdr) {
        (true, _) => "Dolby Vision's metadata speaks",
        (false, true) => "HDR10+'s metadata speaks",
        (false, false) => return None,
    };
    Some(format!("{which} of the film's own pictures, one by one, and is left out; HDR10's stays"))
}

/// What is done about fields.
fn fields_notice(video: &VideoInfo) -> Option<String> {
    let first = |top_first| if top_first { "upper" } else { "lower" };
    let woven = matches!(video.combing, Combing::Fields { .. }) || video.scan.is_interlaced();
    match (video.deinterlace, video.combing) {
        (Some(how), Combing::Telecined { .. }) if !how.fields => Some(
            "the film is telecined: two of five pictures are woven from the fields of others. Those are deinterlaced; its \
             24 pictures a second come back by: ffmpeg -i INPUT -vf fieldmatch,decimate -c:v ffv1 -c:a copy film.mkv"
                .to_owned(),
        ),
        (Some(how), _) if how.fields => Some(format!(
            "the film is deinterlaced by bwdif, the {} field first: each field becomes a frame, at twice the rate",
            first(how.top_first)
        )),
        (Some(how), combing) => Some(format!(
            "the film {} interlaced, the {} field first; it is deinterlaced by bwdif, one frame a picture. --deinterlace field \
             makes one of each field, off none",
            if combing == Combing::Unknown { "is marked as" } else { "is" },
            first(how.top_first)
        )),
        (None, Combing::Telecined { .. }) => {
            Some("the film is telecined; its pictures are taken as they are, combs and all".to_owned())
        }
        (None, Combing::Whole) if video.pulldown => Some(
            "the film has the flags of a telecine, by which players show some fields twice; its pictures are whole and are \
             taken at their own times"
                .to_owned(),
        ),
        (None, Combing::Whole) if video.scan.is_interlaced() => Some(
            "the film is marked as interlaced, but its pictures are whole and are taken as they are; --deinterlace frame \
             overrules that"
                .to_owned(),
        ),
        (None, _) if woven => Some("the film is interlaced; its pictures are taken as they are, combs and all".to_owned()),
        (None, _) => None,
    }
}

/// What most codecs can say of a side.
const MAX_SIDE_PX: u32 = 65_535;

fn choose_encoder(
    container: Container,
    output: &Output,
    options: &WriteOptions,
    notices: &mut Vec<String>,
) -> Result<VideoEncoder, MediaError> {
    let Some(name) = &options.codec else {
        let (encoder, notice) = VideoEncoder::default_for(container)?;
        notices.extend(notice);
        return Ok(encoder);
    };
    let fixed = match container {
        Container::Png => Some(("png", &["png"][..])),
        Container::Y4m => Some(("wrapped_avframe", &["wrapped_avframe", "rawvideo", "y4m"][..])),
        _ => None,
    };
    if let Some((encoder, names)) = fixed {
        if names.contains(&name.as_str()) {
            return VideoEncoder::find(encoder);
        }
        return Err(MediaError::usage(
            format!("{} holds no video of the encoder {name}", container.name()),
            "leave --codec out, or write to a .mkv file",
        ));
    }
    let encoder = VideoEncoder::find(name)?;
    if !muxer_holds_video(container, encoder.id()) {
        let (usual, _) = VideoEncoder::default_for(container)?;
        return Err(MediaError::usage(
            format!("{output}: {} cannot hold the video of {name}", container.name()),
            match container {
                Container::Matroska => format!("use --codec {}", usual.name()),
                _ => format!("write to a .mkv file, or use --codec {}", usual.name()),
            },
        ));
    }
    Ok(encoder)
}

/// The layout to aim for: the source's own, except that RGB becomes 4:2:0 in codecs that are not made for RGB.
fn wanted_layout(source: PixelFormat, encoder: VideoEncoder, container: Container, png16: bool) -> PixelFormat {
    let alpha = source.alpha;
    if container == Container::Png {
        let depth = if png16 { 16 } else { 8 };
        return PixelFormat { family: ColorFamily::Rgb, depth, log2_chroma_w: 0, log2_chroma_h: 0, alpha };
    }
    let formats = encoder.formats().unwrap_or_default();
    let families: Vec<_> = formats.iter().filter_map(|f| f.layout()).map(|layout| layout.family).collect();
    let only_rgb = !families.is_empty() && families.iter().all(|&family| family == ColorFamily::Rgb);
    let keeps_rgb = families.contains(&ColorFamily::Rgb) && (encoder.is_lossless() || only_rgb);
    match source.family {
        ColorFamily::Rgb if !keeps_rgb => PixelFormat {
            family: ColorFamily::Yuv,
            depth: source.depth.clamp(8, 16),
            log2_chroma_w: 1,
            log2_chroma_h: 1,
            alpha,
        },
        _ => PixelFormat { depth: source.depth.clamp(8, 16), ..source },
    }
}

fn choose_format(
    encoder: VideoEncoder,
    container: Container,
    mut wanted: PixelFormat,
    size: Size,
    notices: &mut Vec<String>,
) -> Result<(Format, PixelFormat), MediaError> {
    let candidates = candidates(encoder, container, wanted.alpha);
    let closest = |wanted: PixelFormat| candidates.iter().copied().min_by_key(|&f| distance(f, wanted));
    let none = || {
        MediaError::usage(
            format!("the encoder {} takes no pictures from memory that framelift can make", encoder.name()),
            "choose another with --codec, such as libx264 or libx265",
        )
    };
    let mut format = closest(wanted).ok_or_else(none)?;
    let layout = format.layout().ok_or_else(none)?;
    let odd = (layout.log2_chroma_w > 0 && size.width % 2 == 1) || (layout.log2_chroma_h > 0 && size.height % 2 == 1);
    if odd && encoder.needs_even_sides() {
        let whole = PixelFormat { log2_chroma_w: 0, log2_chroma_h: 0, ..wanted };
        let full = closest(whole).ok_or_else(none)?;
        if full.layout().is_some_and(|l| l.log2_chroma_w == 0 && l.log2_chroma_h == 0) {
            notices.push(format!(
                "{} pictures of {} need even sides; to keep the size {size}, chroma is stored in full ({})",
                layout.subsampling(),
                encoder.name(),
                full.name()
            ));
            (wanted, format) = (whole, full);
        }
    }
    Ok((format, wanted))
}

/// Pixel formats that an encoder takes and framelift can make.
fn candidates(encoder: VideoEncoder, container: Container, alpha: bool) -> Vec<Format> {
    const Y4M: [&str; 24] = [
        "gray",
        "gray9le",
        "gray10le",
        "gray12le",
        "gray16le",
        "yuv411p",
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv420p9le",
        "yuv422p9le",
        "yuv444p9le",
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p10le",
        "yuv420p12le",
        "yuv422p12le",
        "yuv444p12le",
        "yuv420p14le",
        "yuv422p14le",
        "yuv444p14le",
        "yuv420p16le",
        "yuv422p16le",
        "yuv444p16le",
    ];
    const RAW: [&str; 8] =
        ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "bgr24"];
    let formats = match (container, encoder.formats()) {
        (Container::Y4m, _) => Y4M.iter().filter_map(|name| Format::named(name)).collect(),
        (_, Some(formats)) => formats,
        (_, None) => RAW.iter().filter_map(|name| Format::named(name)).collect(),
    };
    // The alpha of VP8 and VP9 lies beside their pictures, where Matroska alone has a place for it.
    let alpha = alpha && (container.is_matroska_family() || !encoder.name().starts_with("libvpx"));
    let allowed = |format: &Format| alpha || !format.has(ffi::AV_PIX_FMT_FLAG_ALPHA);
    formats.into_iter().filter(|&format| is_makeable(format) && allowed(&format)).collect()
}

fn is_makeable(format: Format) -> bool {
    let (Some(layout), Some(d)) = (format.layout(), format.descriptor()) else { return false };
    let colors = usize::from(d.nb_components) - usize::from(layout.alpha);
    let even_depths = d.comp[..colors].iter().all(|c| c.depth == d.comp[0].depth);
    let via = match layout.family {
        ColorFamily::Gray => PixelFormat { family: ColorFamily::Yuv, ..layout },
        _ => layout,
    };
    even_depths && !format.is_palette() && !format.is_float() && Format::planar_of(via).is_some()
}

/// How far a format is from a layout; the least is best. Lost depth weighs most, then lost chroma, then waste.
fn distance(format: Format, wanted: PixelFormat) -> u32 {
    let Some(layout) = format.layout() else { return u32::MAX };
    let family = match (wanted.family, layout.family) {
        (a, b) if a == b => 0,
        (ColorFamily::Gray, ColorFamily::Yuv) => 5,
        (_, ColorFamily::Gray) => 100_000,
        _ => 5_000,
    };
    let (lost_bits, more_bits) = difference(wanted.depth, layout.depth);
    let (lost_w, more_w) = difference(layout.log2_chroma_w, wanted.log2_chroma_w);
    let (lost_h, more_h) = difference(layout.log2_chroma_h, wanted.log2_chroma_h);
    let (mut lost, mut more) = (lost_w + lost_h, more_w + more_h);
    if wanted.family == ColorFamily::Gray {
        // Gray has no chroma to lose. Where it must be stored with some, every player knows 4:2:0.
        let usual = |log2: u8| u32::from(log2.abs_diff(1));
        lost = 0;
        more = if layout.family == ColorFamily::Gray {
            0
        } else {
            usual(layout.log2_chroma_w) + usual(layout.log2_chroma_h)
        };
    }
    let clumsy = u32::from(layout.family != ColorFamily::Gray && format.planar() != Some(format)) * 2
        + u32::from(format.is_full_range_yuv());
    let alpha = if wanted.alpha && !layout.alpha { 4_000 } else { u32::from(layout.alpha && !wanted.alpha) * 40 };
    family + alpha + lost_bits * 1_000 + lost * 300 + more * 20 + more_bits * 10 + clumsy
}

/// How much `b` lacks of `a`, and how much it exceeds it.
fn difference(a: u8, b: u8) -> (u32, u32) {
    (u32::from(a.saturating_sub(b)), u32::from(b.saturating_sub(a)))
}

/// Says where depth or chroma is lost, and which encoder would keep them.
fn say_losses(
    encoder: VideoEncoder,
    container: Container,
    source: PixelFormat,
    chosen: PixelFormat,
    notices: &mut Vec<String>,
) {
    if source.alpha && !chosen.alpha {
        notices.push(format!(
            "the film has an alpha channel, which {} in {} leaves out; --codec ffv1 in a .mkv file, prores_ks in a .mov file, \
             libvpx-vp9 in a .webm file and PNG keep it",
            encoder.name(),
            container.name()
        ));
    }
    let loses = |chosen: PixelFormat| {
        let chroma = source.family == ColorFamily::Yuv
            && (chosen.log2_chroma_w > source.log2_chroma_w || chosen.log2_chroma_h > source.log2_chroma_h);
        chosen.depth < source.depth.min(16) || chroma
    };
    if container == Container::Png || !loses(chosen) {
        return;
    }
    let keeper = deep_encoders().find(|other| {
        let wanted = PixelFormat { alpha: false, ..source };
        let closest = candidates(*other, container, false).into_iter().min_by_key(|&f| distance(f, wanted));
        muxer_holds_video(container, other.id())
            && closest.and_then(Format::layout).is_some_and(|layout| !loses(layout))
    });
    let remedy = match keeper {
        Some(keeper) => format!("--codec {} keeps it", keeper.name()),
        None => "a .mkv file with --codec ffv1 keeps it".to_owned(),
    };
    notices.push(format!("the film is {source}, of which {} keeps {chosen}; {remedy}", encoder.name()));
}

fn output_color(video: &VideoInfo, encoder: VideoEncoder, av_format: Format, format: PixelFormat) -> ColorSpec {
    let stated = video.color;
    let mut color = video.resolved_color();
    match format.family {
        ColorFamily::Rgb => {
            color.matrix = Matrix::Rgb;
            color.range = Range::Full;
        }
        ColorFamily::Yuv | ColorFamily::Gray => {
            if video.format.family == ColorFamily::Rgb {
                color.matrix = Matrix::Bt709;
                color.range = Range::Limited;
                if stated.transfer == Transfer::Unspecified {
                    color.transfer = Transfer::Bt709;
                }
            }
            // JPEG knows no other range.
            if av_format.is_full_range_yuv() || encoder.id() == ffi::AVCodecID::AV_CODEC_ID_MJPEG {
                color.range = Range::Full;
            }
        }
    }
    if format.log2_chroma_w == 0 && format.log2_chroma_h == 0 {
        color.chroma_location = ChromaLocation::Unspecified;
    } else if color.chroma_location == ChromaLocation::Unspecified || only_left(encoder.id(), format) {
        color.chroma_location = ChromaLocation::Left;
    }
    color
}

/// Whether chroma can lie nowhere but on the left columns: what H.264 and H.265 mean by 4:2:2, for their words of siting
/// are for 4:2:0 alone. Pictures that had it elsewhere are resampled to it.
fn only_left(codec: ffi::AVCodecID, format: PixelFormat) -> bool {
    matches!(codec, ffi::AVCodecID::AV_CODEC_ID_H264 | ffi::AVCodecID::AV_CODEC_ID_HEVC) && format.log2_chroma_h == 0
}

/// The shape of a pixel that keeps the shape of the picture.
fn sample_aspect_ratio(video: &VideoInfo, size: Size) -> (i32, i32) {
    let (num, den) = video.sample_aspect_ratio;
    let num = i64::from(num) * i64::from(video.size.width) * i64::from(size.height);
    let den = i64::from(den) * i64::from(video.size.height) * i64::from(size.width);
    let (mut reduced_num, mut reduced_den) = (1, 1);
    // SAFETY: writes two numbers. H.264 and H.265 state the ratio in two of 16 bits.
    unsafe { ffi::av_reduce(&raw mut reduced_num, &raw mut reduced_den, num, den, 65_535) };
    if reduced_num > 0 && reduced_den > 0 { (reduced_num, reduced_den) } else { (1, 1) }
}
