//! Which container holds which streams.

use ffmpeg_next::ffi;

use crate::MediaError;
use crate::options::Container;
use crate::raw::c_string;
use crate::templates::{Role, StreamTemplate};

/// Containers in the order in which they are proposed for a stream that another cannot hold.
const PROPOSED: [Container; 4] = [Container::Matroska, Container::Mp4, Container::Mov, Container::WebM];

/// What becomes of a stream of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Its packets are copied.
    Copy,
    /// A cover picture becomes an attached file.
    AttachCover,
    /// It is left out, and need not be spoken of: the muxer makes it anew.
    Remade,
    /// The container cannot hold it.
    LeftOut,
}

/// FFmpeg's muxer for a container.
pub(crate) fn muxer(container: Container) -> Result<*const ffi::AVOutputFormat, MediaError> {
    let name = c_string(container.muxer());
    // SAFETY: a terminated string; formats are static.
    let format = unsafe { ffi::av_guess_format(name.as_ptr(), std::ptr::null(), std::ptr::null()) };
    if format.is_null() {
        return Err(MediaError::usage(
            format!("this FFmpeg was built without the writer of {}", container.name()),
            "install a complete FFmpeg, or write another container",
        ));
    }
    Ok(format)
}

/// Whether `container` holds streams of a codec.
pub(crate) fn muxer_holds(container: Container, codec: ffi::AVCodecID) -> bool {
    queried(container, codec, ffi::FF_COMPLIANCE_NORMAL)
}

/// Whether `container` holds pictures of a codec. Matroska holds any, the rare ones as AVI would.
pub(crate) fn muxer_holds_video(container: Container, codec: ffi::AVCodecID) -> bool {
    queried(container, codec, ffi::FF_COMPLIANCE_UNOFFICIAL)
}

fn queried(container: Container, codec: ffi::AVCodecID, compliance: i32) -> bool {
    let Ok(format) = muxer(container) else { return false };
    // SAFETY: formats are static.
    unsafe { ffi::avformat_query_codec(format, codec, compliance) == 1 }
}

/// Whether encoders must put their headers beside the stream.
pub(crate) fn wants_global_header(container: Container) -> Result<bool, MediaError> {
    if matches!(container, Container::Png | Container::Y4m) {
        return Ok(false);
    }
    // SAFETY: formats are static.
    Ok(unsafe { (*muxer(container)?).flags } & ffi::AVFMT_GLOBALHEADER != 0)
}

/// What becomes of a stream in a container.
pub(crate) fn placement(container: Container, stream: &StreamTemplate) -> Placement {
    let codec = stream.parameters.get().codec_id;
    let held = |holds: bool| if holds { Placement::Copy } else { Placement::LeftOut };
    if matches!(container, Container::Png | Container::Y4m) {
        return Placement::LeftOut;
    }
    match stream.role {
        Role::Main | Role::ChapterTrack => Placement::Remade,
        Role::Cover if container == Container::Matroska && !stream.picture.is_empty() => Placement::AttachCover,
        Role::Cover => held(container.is_mov_family() && is_cover_codec(codec)),
        Role::Attachment => held(container == Container::Matroska),
        Role::Data if is_time_code(stream) => {
            // The muxers write the time code anew, as a track or as a tag, from what the metadata says.
            if has(stream, "timecode") { Placement::Remade } else { Placement::LeftOut }
        }
        // Nothing says whether Matroska's data tracks can be read back by anyone.
        Role::Data => held(
            container.is_mov_family() && codec != ffi::AVCodecID::AV_CODEC_ID_NONE && muxer_holds(container, codec),
        ),
        Role::Video => held(codec != ffi::AVCodecID::AV_CODEC_ID_NONE && muxer_holds_video(container, codec)),
        Role::Audio | Role::Subtitle => {
            held(codec != ffi::AVCodecID::AV_CODEC_ID_NONE && muxer_holds(container, codec))
        }
    }
}

/// The container to propose for a stream that another cannot hold.
pub(crate) fn holder(stream: &StreamTemplate) -> Option<&'static str> {
    PROPOSED.into_iter().find(|&container| placement(container, stream) != Placement::LeftOut).map(Container::extension)
}

/// The tag by which a container knows a codec, where the stream's own will not do.
pub(crate) fn codec_tag(container: Container, parameters: &ffi::AVCodecParameters) -> u32 {
    let Ok(format) = muxer(container) else { return 0 };
    // SAFETY: formats and their tables are static.
    unsafe {
        let tables = (*format).codec_tag;
        if tables.is_null() || ffi::av_codec_get_id(tables, parameters.codec_tag) == parameters.codec_id {
            return parameters.codec_tag;
        }
        let mut usual = 0;
        let known = ffi::av_codec_get_tag2(tables, parameters.codec_id, &raw mut usual) != 0;
        // A codec the table does not list keeps its tag; one it lists gets the container's.
        if known { 0 } else { parameters.codec_tag }
    }
}

fn is_cover_codec(codec: ffi::AVCodecID) -> bool {
    use ffi::AVCodecID as Id;
    matches!(codec, Id::AV_CODEC_ID_MJPEG | Id::AV_CODEC_ID_PNG | Id::AV_CODEC_ID_BMP)
}

/// QuickTime's track of time codes.
fn is_time_code(stream: &StreamTemplate) -> bool {
    stream.parameters.get().codec_tag == u32::from_le_bytes(*b"tmcd")
}

fn has(stream: &StreamTemplate, key: &str) -> bool {
    stream.metadata.iter().any(|(k, _)| k.eq_ignore_ascii_case(key))
}
