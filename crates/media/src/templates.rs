//! What a muxer needs to know to copy the streams of an input.

use ffmpeg_next::ffi;
use framelift_frame::TimeBase;

use crate::MediaError;
use crate::info::{Chapter, MediaInfo, Metadata, StreamKind};
use crate::raw::{Parameters, rational};
use crate::side_data::{self, SideData};

/// What a stream is to a muxer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The pictures framelift works on: encoded anew.
    Main,
    /// A further video stream.
    Video,
    /// A cover picture.
    Cover,
    Audio,
    Subtitle,
    Attachment,
    Data,
    /// What the container made of its chapters: made anew from the chapters.
    ChapterTrack,
}

/// One stream to be copied, or the place of the encoded video among them.
pub(crate) struct StreamTemplate {
    pub(crate) role: Role,
    pub(crate) parameters: Parameters,
    pub(crate) time_base: TimeBase,
    pub(crate) average_frame_rate: Option<(i32, i32)>,
    pub(crate) start_ticks: Option<i64>,
    pub(crate) metadata: Metadata,
    pub(crate) disposition: i32,
    pub(crate) side_data: Vec<SideData>,
    /// The file of a cover picture.
    pub(crate) picture: Vec<u8>,
}

/// What a muxer needs to know to copy an input's streams, chapters and metadata.
pub struct StreamTemplates {
    pub(crate) streams: Vec<StreamTemplate>,
    pub(crate) chapters: Vec<Chapter>,
    pub(crate) metadata: Metadata,
    /// The number of an image sequence's first picture.
    pub(crate) first_number: Option<u64>,
}

impl StreamTemplates {
    /// # Safety
    ///
    /// `context` is open and described by `info`.
    pub(crate) unsafe fn of(
        context: *const ffi::AVFormatContext,
        info: &MediaInfo,
        first_number: Option<u64>,
    ) -> Result<Self, MediaError> {
        let mut streams = Vec::with_capacity(info.streams.len());
        for described in &info.streams {
            // SAFETY: the caller vouches for the context; the description has its streams' indices.
            unsafe {
                let stream = *(*context).streams.add(described.index);
                let role = match &described.kind {
                    StreamKind::Video(_) if info.video == Some(described.index) => Role::Main,
                    StreamKind::Video(video) if video.cover => Role::Cover,
                    StreamKind::Video(_) => Role::Video,
                    StreamKind::Audio(_) => Role::Audio,
                    StreamKind::Subtitle => Role::Subtitle,
                    StreamKind::Attachment { .. } => Role::Attachment,
                    StreamKind::Data if is_chapter_track(&*stream, info) => Role::ChapterTrack,
                    StreamKind::Data => Role::Data,
                };
                let picture = &(*stream).attached_pic;
                let mut side_data = side_data::of_stream(stream);
                if let StreamKind::Video(video) = &described.kind {
                    // What only the pictures said; what the stream says is there.
                    let new = |piece: &&SideData| side_data.iter().all(|known| known.kind != piece.kind);
                    let found: Vec<_> = video.light.iter().filter(new).cloned().collect();
                    side_data.extend(found);
                }
                streams.push(StreamTemplate {
                    role,
                    parameters: Parameters::copy_of((*stream).codecpar)?,
                    time_base: described.time_base,
                    average_frame_rate: match &described.kind {
                        StreamKind::Video(video) => video.average_frame_rate,
                        _ => None,
                    },
                    start_ticks: described.start.map(|start| start.ticks),
                    metadata: described.metadata.clone(),
                    disposition: (*stream).disposition,
                    side_data,
                    picture: if role == Role::Cover && !picture.data.is_null() {
                        std::slice::from_raw_parts(picture.data, usize::try_from(picture.size).unwrap_or(0)).to_vec()
                    } else {
                        Vec::new()
                    },
                });
            }
        }
        Ok(Self {
            streams,
            chapters: info.chapters.clone(),
            metadata: info.metadata.iter().filter(|(key, _)| !is_container_key(key)).cloned().collect(),
            first_number,
        })
    }
}

impl StreamTemplate {
    /// The average rate as FFmpeg writes it; 0/0 where not known.
    pub(crate) fn av_frame_rate(&self) -> ffi::AVRational {
        rational(self.average_frame_rate.unwrap_or((0, 0)))
    }
}

/// QuickTime keeps chapter titles in a text track, which FFmpeg shows as data that is not read.
fn is_chapter_track(stream: &ffi::AVStream, info: &MediaInfo) -> bool {
    // SAFETY: the parameters of a stream are valid.
    let tag = unsafe { (*stream.codecpar).codec_tag };
    !info.chapters.is_empty() && tag == u32::from_le_bytes(*b"text")
}

/// Metadata that speaks of the file it was read from, not of the film.
fn is_container_key(key: &str) -> bool {
    const KEYS: [&str; 4] = ["major_brand", "minor_version", "compatible_brands", "encoder"];
    KEYS.iter().any(|known| key.eq_ignore_ascii_case(known))
}

/// Metadata of a stream that is no longer true of pictures encoded anew.
pub(crate) fn is_encoding_key(key: &str) -> bool {
    const KEYS: [&str; 9] = [
        "encoder",
        "encoder_options",
        "vendor_id",
        "BPS",
        "DURATION",
        "NUMBER_OF_FRAMES",
        "NUMBER_OF_BYTES",
        "SOURCE_ID",
        "rotate",
    ];
    // Matroska's statistics may bear a language: BPS-eng.
    let bare = key.split('-').next().unwrap_or(key);
    key.starts_with("_STATISTICS") || KEYS.iter().any(|known| bare.eq_ignore_ascii_case(known))
}
