//! What an opened container holds, read from FFmpeg's structures.

use ffmpeg_next::ffi;
use framelift_frame::{ColorFamily, ColorSpec, PixelFormat, Size, Timestamp};

use crate::color::{Context, color_codes, gray_is_full_range};
use crate::decode::alpha_decoder;
use crate::info::{AudioInfo, Chapter, Combing, MediaInfo, Metadata, Scan, StreamInfo, StreamKind, VideoInfo};
use crate::pixel::Format;
use crate::raw::{self, fraction, stated, text, time_base};
use crate::side_data;

/// Describes an opened container.
///
/// # Safety
///
/// `context` is valid and its streams are known.
pub(crate) unsafe fn describe(context: *mut ffi::AVFormatContext) -> MediaInfo {
    // SAFETY: the caller vouches for the context; its lists have the lengths beside them.
    unsafe {
        let c = &*context;
        let streams: Vec<_> = (0..c.nb_streams as usize).map(|i| stream(context, *c.streams.add(i))).collect();
        let video = main_video(&streams);
        MediaInfo {
            format: text((*c.iformat).name),
            duration_s: stated(c.duration).filter(|&d| d > 0).map(|d| d as f64 / f64::from(ffi::AV_TIME_BASE)),
            start_s: stated(c.start_time).map(|s| s as f64 / f64::from(ffi::AV_TIME_BASE)),
            bit_rate: u64::try_from(c.bit_rate).ok().filter(|&rate| rate > 0),
            metadata: raw::pairs(c.metadata),
            chapters: (0..c.nb_chapters as usize).map(|i| chapter(*c.chapters.add(i))).collect(),
            streams,
            video,
        }
    }
}

/// The first video stream with a picture size that is not a cover, or else the first that is not a cover.
fn main_video(streams: &[StreamInfo]) -> Option<usize> {
    let films = || {
        streams.iter().filter_map(|stream| match &stream.kind {
            StreamKind::Video(video) if !video.cover => Some((stream.index, video)),
            _ => None,
        })
    };
    films().find(|(_, video)| !video.size.is_empty()).or_else(|| films().next()).map(|(index, _)| index)
}

unsafe fn chapter(chapter: *const ffi::AVChapter) -> Chapter {
    // SAFETY: called by `describe` with a chapter of its context.
    unsafe {
        let c = &*chapter;
        let base = time_base(c.time_base);
        Chapter {
            start: Timestamp::new(c.start, base),
            end: Timestamp::new(c.end, base),
            metadata: raw::pairs(c.metadata),
        }
    }
}

unsafe fn stream(context: *mut ffi::AVFormatContext, stream: *mut ffi::AVStream) -> StreamInfo {
    use ffi::AVMediaType as Type;
    // SAFETY: called by `describe` with a stream of its context.
    unsafe {
        let s = &*stream;
        let parameters = &*s.codecpar;
        let metadata = raw::pairs(s.metadata);
        let base = time_base(s.time_base);
        let kind = match parameters.codec_type {
            Type::AVMEDIA_TYPE_VIDEO => StreamKind::Video(video(context, stream)),
            Type::AVMEDIA_TYPE_AUDIO => StreamKind::Audio(AudioInfo {
                sample_rate: u32::try_from(parameters.sample_rate).unwrap_or(0),
                channels: u32::try_from(parameters.ch_layout.nb_channels).unwrap_or(0),
            }),
            Type::AVMEDIA_TYPE_SUBTITLE => StreamKind::Subtitle,
            Type::AVMEDIA_TYPE_ATTACHMENT => StreamKind::Attachment { file_name: find(&metadata, "filename") },
            _ => StreamKind::Data,
        };
        StreamInfo {
            index: s.index as usize,
            kind,
            codec: text(ffi::avcodec_get_name(parameters.codec_id)),
            time_base: base,
            start: stated(s.start_time).map(|ticks| Timestamp::new(ticks, base)),
            duration_ticks: stated(s.duration).filter(|&d| d > 0),
            frames: u64::try_from(s.nb_frames).ok().filter(|&n| n > 0),
            language: find(&metadata, "language").filter(|language| language != "und"),
            title: find(&metadata, "title"),
            dispositions: dispositions(s.disposition),
            metadata,
        }
    }
}

unsafe fn video(context: *mut ffi::AVFormatContext, stream: *mut ffi::AVStream) -> VideoInfo {
    // SAFETY: called by `stream` with its arguments.
    unsafe {
        let s = &*stream;
        let parameters = &*s.codecpar;
        let side_data = side_data::of_stream(stream);
        let has = |kind| side_data.iter().any(|piece| piece.kind == kind);
        let beside = find(&raw::pairs(s.metadata), "alpha_mode").is_some_and(|mode| mode == "1");
        let format = match Format::named("yuva420p") {
            Some(format) if beside && alpha_decoder(parameters.codec_id).is_some() => format,
            _ => Format(parameters.format),
        };
        let average_frame_rate = fraction(s.avg_frame_rate);
        let base_frame_rate = fraction(s.r_frame_rate);
        let aspect = fraction(ffi::av_guess_sample_aspect_ratio(context, stream, std::ptr::null_mut()));
        let size =
            Size::new(u32::try_from(parameters.width).unwrap_or(0), u32::try_from(parameters.height).unwrap_or(0));
        let layout = format.layout().unwrap_or(PixelFormat {
            family: ColorFamily::Yuv,
            depth: 8,
            log2_chroma_w: 1,
            log2_chroma_h: 1,
            alpha: false,
        });
        VideoInfo {
            size,
            format: layout,
            format_name: format.name(),
            color: stated_color(parameters),
            sample_aspect_ratio: aspect.unwrap_or((1, 1)),
            average_frame_rate,
            base_frame_rate,
            rotation_degrees: side_data.iter().find_map(side_data::SideData::rotation_degrees).unwrap_or(0),
            scan: scan(parameters),
            combing: Combing::Unknown,
            pulldown: false,
            deinterlace: None,
            time_base: time_base(s.time_base),
            cover: s.disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0,
            mastering_display: has(ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA),
            dolby_vision: has(ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF),
            dynamic_hdr: false,
            dolby_vision_only: side_data.iter().any(side_data::SideData::is_dolby_vision_only),
            captions: false,
            light: side_data.iter().filter(|piece| piece.is_light()).cloned().collect(),
            frames_estimate: frames_estimate(&*context, s),
            resolve: Context {
                size,
                layout,
                full_range: format.is_full_range_yuv()
                    || (layout.family == ColorFamily::Gray && gray_is_full_range(parameters.codec_id)),
                centered_chroma: parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_MJPEG,
            },
        }
    }
}

fn stated_color(parameters: &ffi::AVCodecParameters) -> ColorSpec {
    color_codes!(parameters, color_space, chroma_location).spec()
}

/// Frames as counted by the container, or its length times its rate.
fn frames_estimate(context: &ffi::AVFormatContext, stream: &ffi::AVStream) -> Option<u64> {
    if stream.nb_frames > 0 {
        return u64::try_from(stream.nb_frames).ok();
    }
    let (num, den) = fraction(stream.avg_frame_rate)?;
    let length_s = match stated(stream.duration) {
        Some(ticks) if ticks > 0 => ticks as f64 * time_base(stream.time_base).seconds(),
        _ => stated(context.duration).filter(|&d| d > 0)? as f64 / f64::from(ffi::AV_TIME_BASE),
    };
    Some((length_s * f64::from(num) / f64::from(den)).round() as u64)
}

fn scan(parameters: &ffi::AVCodecParameters) -> Scan {
    use ffi::AVFieldOrder as Order;
    match parameters.field_order {
        Order::AV_FIELD_PROGRESSIVE => Scan::Progressive,
        Order::AV_FIELD_TT | Order::AV_FIELD_TB => Scan::TopFirst,
        Order::AV_FIELD_BB | Order::AV_FIELD_BT => Scan::BottomFirst,
        _ => Scan::Unknown,
    }
}

fn dispositions(flags: i32) -> Vec<&'static str> {
    const NAMES: [(i32, &str); 12] = [
        (ffi::AV_DISPOSITION_DEFAULT, "default"),
        (ffi::AV_DISPOSITION_DUB, "dub"),
        (ffi::AV_DISPOSITION_ORIGINAL, "original"),
        (ffi::AV_DISPOSITION_COMMENT, "comment"),
        (ffi::AV_DISPOSITION_LYRICS, "lyrics"),
        (ffi::AV_DISPOSITION_KARAOKE, "karaoke"),
        (ffi::AV_DISPOSITION_FORCED, "forced"),
        (ffi::AV_DISPOSITION_HEARING_IMPAIRED, "hearing_impaired"),
        (ffi::AV_DISPOSITION_VISUAL_IMPAIRED, "visual_impaired"),
        (ffi::AV_DISPOSITION_ATTACHED_PIC, "attached_pic"),
        (ffi::AV_DISPOSITION_CAPTIONS, "captions"),
        (ffi::AV_DISPOSITION_DESCRIPTIONS, "descriptions"),
    ];
    NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|&(_, name)| name).collect()
}

/// The value of `key`, in any case.
pub(crate) fn find(metadata: &Metadata, key: &str) -> Option<String> {
    metadata.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
}
