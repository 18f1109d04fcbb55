//! The streams of an output: the encoded video, and copies of the input's.

use std::ptr;

use ffmpeg_next::ffi;
use framelift_frame::TimeBase;

use crate::containers::codec_tag;
use crate::error::must;
use crate::info::{Chapter, Metadata};
use crate::options::Container;
use crate::raw::{self, Dictionary, Parameters, av_base, rational, rescale};
use crate::side_data;
use crate::templates::{Role, StreamTemplate, is_encoding_key};
use crate::{CopyKind, Encoder, MediaError, WriteOptions};

/// An input stream whose packets are copied.
pub(crate) struct CopiedStream {
    pub(crate) index: usize,
    pub(crate) role: Role,
    /// What Matroska wants added to the timestamps of Opus, whose first samples are only there to be thrown away.
    pub(crate) delay: i64,
    pub(crate) last_dts: Option<i64>,
    /// Where the last packet ended, in ticks of the input and of decoding.
    pub(crate) end_ticks: Option<i64>,
    /// Pictures that a decoder must have before it can show the first.
    reordered: i64,
    start_ticks: i64,
}

impl CopiedStream {
    /// When a packet is decoded that does not say so: Matroska states when pictures are shown and no more.
    pub(crate) fn decoding_ticks(&self, shown: Option<i64>, duration_ticks: i64) -> i64 {
        match (self.end_ticks, shown) {
            (Some(end), Some(shown)) if self.reordered > 0 => end.min(shown),
            (None, Some(shown)) => shown - self.reordered * duration_ticks.max(0),
            (_, Some(shown)) => shown,
            (end, None) => end.unwrap_or(self.start_ticks),
        }
    }
}

/// A format context that writes.
pub(crate) struct Context(pub(crate) *mut ffi::AVFormatContext);

// SAFETY: the context has one owner and is only used through it, one thread at a time.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: self owns the context and is gone after this; its writer was opened by avio_open2.
        unsafe {
            if !self.0.is_null() {
                ffi::avio_closep(&raw mut (*self.0).pb);
                ffi::avformat_free_context(self.0);
            }
        }
    }
}

/// Whether FFmpeg's Matroska muxer writes rotations.
pub(crate) const MATROSKA_ROTATES: bool = cfg!(ffmpeg_6_1);

pub(crate) fn add_video(
    context: &Context,
    container: Container,
    encoder: &Encoder,
    template: &StreamTemplate,
    options: &WriteOptions,
) -> Result<usize, MediaError> {
    let video = encoder.video();
    let mut parameters = encoder.parameters()?;
    parameters.as_mut().codec_tag = codec_tag(container, parameters.get());
    if container.is_mov_family() && parameters.get().codec_id == ffi::AVCodecID::AV_CODEC_ID_HEVC {
        // Apple's players know H.265 by this tag alone.
        parameters.as_mut().codec_tag = u32::from_le_bytes(*b"hvc1");
    }
    let index = add_stream(context, &parameters)?;
    let kept = template.metadata.iter().filter(|(key, _)| !is_encoding_key(key)).cloned().collect();
    let metadata: Metadata = if options.copy.holds(CopyKind::Metadata) { kept } else { Vec::new() };
    // SAFETY: the stream was just added and its header is not yet written.
    unsafe {
        let raw = *(*context.0).streams.add(index);
        (*raw).time_base = av_base(video.time_base);
        if container == Container::Y4m {
            // The rate in its header is made of this.
            let (num, den) = video.frame_rate.unwrap_or((25, 1));
            (*raw).time_base = rational((den, num));
        }
        (*raw).sample_aspect_ratio = rational(video.sample_aspect_ratio);
        // A rate in the header is a promise that frames come at it.
        if let (Some(rate), true) = (video.frame_rate, !video.variable_frame_rate || container == Container::Y4m) {
            (*raw).avg_frame_rate = rational(rate);
        }
        (*raw).disposition = template.disposition;
        (*raw).metadata = dictionary(&metadata).into_raw();
        for data in template.side_data.iter().filter(|data| data.is_of_pictures()) {
            side_data::attach(raw, data)?;
        }
    }
    Ok(index)
}

pub(crate) fn add_copy(
    context: &Context,
    container: Container,
    template: &StreamTemplate,
) -> Result<CopiedStream, MediaError> {
    let mut parameters = template.parameters.try_clone()?;
    parameters.as_mut().codec_tag = codec_tag(container, template.parameters.get());
    name_channels(parameters.as_mut());
    let mut metadata = template.metadata.clone();
    if template.role == Role::Attachment {
        complete_attachment(&mut metadata);
    }
    let index = add_stream(context, &parameters)?;
    // SAFETY: the stream was just added and its header is not yet written.
    unsafe {
        let raw = *(*context.0).streams.add(index);
        (*raw).time_base = av_base(template.time_base);
        (*raw).avg_frame_rate = template.av_frame_rate();
        (*raw).sample_aspect_ratio = parameters.get().sample_aspect_ratio;
        (*raw).disposition = template.disposition;
        (*raw).metadata = dictionary(&metadata).into_raw();
        for data in &template.side_data {
            side_data::attach(raw, data)?;
        }
    }
    let raw = parameters.get();
    let is_opus = raw.codec_id == ffi::AVCodecID::AV_CODEC_ID_OPUS;
    // Before FFmpeg 6, its Matroska muxer states Opus's delay but does not add it to the timestamps.
    let delay = if container.is_matroska_family() && is_opus && !cfg!(ffmpeg_6_0) {
        rescale(i64::from(raw.initial_padding), TimeBase::new(1, 48_000), template.time_base)
    } else {
        0
    };
    Ok(CopiedStream {
        index,
        role: template.role,
        delay,
        last_dts: None,
        end_ticks: None,
        reordered: i64::from(raw.video_delay.max(0)),
        start_ticks: template.start_ticks.unwrap_or(0),
    })
}

/// Matroska says how many channels there are, but not which; MP4 must know, and means by a number what everybody does.
fn name_channels(parameters: &mut ffi::AVCodecParameters) {
    let layout = &raw mut parameters.ch_layout;
    // SAFETY: the layout is that of valid parameters; its order is a C enum, and any bits make an i32.
    unsafe {
        let order = (&raw const (*layout).order).cast::<i32>().read();
        let count = (*layout).nb_channels;
        if order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC as i32 && count > 0 {
            ffi::av_channel_layout_default(layout, count);
        }
    }
}

/// A cover picture as Matroska keeps it: an attached file.
pub(crate) fn attach_cover(context: &Context, template: &StreamTemplate) -> Result<(), MediaError> {
    let id = template.parameters.get().codec_id;
    let (name, kind) = match id {
        ffi::AVCodecID::AV_CODEC_ID_PNG => ("cover.png", "image/png"),
        ffi::AVCodecID::AV_CODEC_ID_BMP => ("cover.bmp", "image/bmp"),
        _ => ("cover.jpg", "image/jpeg"),
    };
    let mut parameters = Parameters::new()?;
    parameters.as_mut().codec_type = ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
    parameters.as_mut().codec_id = id;
    parameters.set_extradata(&template.picture)?;
    let index = add_stream(context, &parameters)?;
    let mut metadata: Metadata =
        template.metadata.iter().filter(|(key, _)| key.eq_ignore_ascii_case("title")).cloned().collect();
    metadata.push(("filename".to_owned(), name.to_owned()));
    metadata.push(("mimetype".to_owned(), kind.to_owned()));
    // SAFETY: the stream was just added and its header is not yet written.
    unsafe { (**(*context.0).streams.add(index)).metadata = dictionary(&metadata).into_raw() };
    Ok(())
}

/// Matroska refuses attachments without a name or a type.
fn complete_attachment(metadata: &mut Metadata) {
    for (key, value) in [("filename", "attachment"), ("mimetype", "application/octet-stream")] {
        if !metadata.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
            metadata.push((key.to_owned(), value.to_owned()));
        }
    }
}

fn add_stream(context: &Context, parameters: &Parameters) -> Result<usize, MediaError> {
    // SAFETY: the context is valid and its header not yet written; the new stream is checked before use.
    unsafe {
        let stream = ffi::avformat_new_stream(context.0, ptr::null());
        let Some(stream) = stream.as_mut() else { return Err(raw::out_of_memory()) };
        must("describing a stream", ffi::avcodec_parameters_copy(stream.codecpar, parameters.as_ptr()))?;
        Ok(stream.index as usize)
    }
}

/// # Safety
///
/// `context` is valid, without chapters, and its header not yet written.
pub(crate) unsafe fn add_chapters(context: *mut ffi::AVFormatContext, chapters: &[Chapter]) -> Result<(), MediaError> {
    if chapters.is_empty() {
        return Ok(());
    }
    let count = u32::try_from(chapters.len()).map_err(|_| raw::out_of_memory())?;
    // SAFETY: the list and its entries are FFmpeg's own memory, which it frees with the context; the count grows only
    // after an entry is valid.
    unsafe {
        let list = ffi::av_calloc(count as usize, size_of::<*mut ffi::AVChapter>()).cast::<*mut ffi::AVChapter>();
        if list.is_null() {
            return Err(raw::out_of_memory());
        }
        (*context).chapters = list;
        for (at, chapter) in chapters.iter().enumerate() {
            let entry = ffi::av_mallocz(size_of::<ffi::AVChapter>()).cast::<ffi::AVChapter>();
            let Some(raw) = entry.as_mut() else { return Err(raw::out_of_memory()) };
            raw.id = at as i64 + 1;
            raw.time_base = av_base(chapter.start.base);
            raw.start = chapter.start.ticks;
            raw.end = rescale(chapter.end.ticks, chapter.end.base, chapter.start.base);
            raw.metadata = dictionary(&chapter.metadata).into_raw();
            *list.add(at) = entry;
            (*context).nb_chapters = at as u32 + 1;
        }
    }
    Ok(())
}

pub(crate) fn dictionary(metadata: &Metadata) -> Dictionary {
    Dictionary::from_pairs(metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// A stream in words: `audio stream 2 (aac, eng)`.
pub(crate) fn describe(index: usize, stream: &StreamTemplate) -> String {
    let kind = match stream.role {
        Role::Main | Role::Video => "video stream",
        Role::Cover => "cover picture",
        Role::Audio => "audio stream",
        Role::Subtitle => "subtitle stream",
        Role::Attachment => "attachment",
        Role::Data | Role::ChapterTrack => "data stream",
    };
    let find = |key: &str| stream.metadata.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.clone());
    let parameters = stream.parameters.get();
    let codec = if parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_NONE {
        String::from_utf8_lossy(&parameters.codec_tag.to_le_bytes()).trim_matches('\0').to_owned()
    } else {
        // SAFETY: names of codecs are static strings.
        unsafe { raw::text(ffi::avcodec_get_name(parameters.codec_id)) }
    };
    let words: Vec<_> = [Some(codec), find("language"), find("filename")].into_iter().flatten().collect();
    format!("{kind} {index} ({})", words.join(", "))
}
