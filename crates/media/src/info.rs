//! What a film holds: its streams, chapters and metadata.

use framelift_frame::{ColorSpec, PixelFormat, Size, TimeBase, Timestamp};

use crate::color::{self, Context};
use crate::deinterlace::Deinterlacing;
use crate::hdr;
use crate::side_data::SideData;

/// Keys and values as the container states them, in its order.
pub type Metadata = Vec<(String, String)>;

/// A film as its container describes it.
#[derive(Clone, Debug, Default)]
pub struct MediaInfo {
    /// FFmpeg's name of the container, such as `matroska,webm`.
    pub format: String,
    /// Length in seconds; `None` where it is not known before the end (pipes).
    pub duration_s: Option<f64>,
    /// Seconds at which the earliest stream starts.
    pub start_s: Option<f64>,
    /// Bits a second of all streams together.
    pub bit_rate: Option<u64>,
    /// Metadata of the whole film.
    pub metadata: Metadata,
    /// All streams, in order.
    pub streams: Vec<StreamInfo>,
    /// Chapters, in order.
    pub chapters: Vec<Chapter>,
    /// Index of the video stream that framelift works on: the first that is not a cover picture.
    pub video: Option<usize>,
}

impl MediaInfo {
    /// The stream framelift works on and what is known of its pictures.
    #[must_use]
    pub fn video_stream(&self) -> Option<(&StreamInfo, &VideoInfo)> {
        let stream = self.streams.get(self.video?)?;
        match &stream.kind {
            StreamKind::Video(video) => Some((stream, video)),
            _ => None,
        }
    }
}

/// One stream of a film.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Place in the container, from 0.
    pub index: usize,
    /// What it carries.
    pub kind: StreamKind,
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// The length of a tick of its timestamps.
    pub time_base: TimeBase,
    /// When it starts.
    pub start: Option<Timestamp>,
    /// Length in ticks, where the container says.
    pub duration_ticks: Option<i64>,
    /// Packets as the container counts them: frames for video.
    pub frames: Option<u64>,
    /// Language tag, such as `eng`.
    pub language: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Names of dispositions, such as `default` and `forced`.
    pub dispositions: Vec<&'static str>,
    /// All metadata, language and title included.
    pub metadata: Metadata,
}

/// What a stream carries.
#[derive(Clone, Debug)]
pub enum StreamKind {
    /// Moving pictures, or a cover picture.
    Video(VideoInfo),
    /// Sound.
    Audio(AudioInfo),
    /// Text or pictures of text.
    Subtitle,
    /// A file, such as a font.
    Attachment {
        /// Name of the file.
        file_name: Option<String>,
    },
    /// Anything else, such as time codes and sensor readings.
    Data,
}

impl StreamKind {
    /// The kind in one word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Subtitle => "subtitle",
            Self::Attachment { .. } => "attachment",
            Self::Data => "data",
        }
    }
}

/// Sound.
#[derive(Clone, Debug)]
pub struct AudioInfo {
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// Whether pictures are whole or woven from two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scan {
    /// Not stated.
    Unknown,
    /// Whole pictures.
    Progressive,
    /// Two fields, the upper lines first.
    TopFirst,
    /// Two fields, the lower lines first.
    BottomFirst,
}

impl Scan {
    /// Whether pictures are woven from two fields.
    #[must_use]
    pub const fn is_interlaced(self) -> bool {
        matches!(self, Self::TopFirst | Self::BottomFirst)
    }
}

/// What the pictures of a film were found to be, whatever they are marked as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combing {
    /// They were not looked at: pipes, URLs, codecs that know no fields.
    Unknown,
    /// Whole pictures.
    Whole,
    /// Woven from two fields of different moments.
    Fields {
        /// Whether the upper lines are the earlier.
        top_first: bool,
    },
    /// Two of five are woven from fields of their neighbours: film at 24 pictures a second shown at 30.
    Telecined {
        /// Whether the upper lines are the earlier.
        top_first: bool,
    },
}

/// Pictures of a stream.
#[derive(Clone, Debug)]
pub struct VideoInfo {
    /// Width and height of the coded pictures (before rotation).
    pub size: Size,
    /// How they are stored.
    pub format: PixelFormat,
    /// FFmpeg's name of the pixel format, such as `yuv420p10le`.
    pub format_name: String,
    /// What the stream says of its colours.
    pub color: ColorSpec,
    /// Width to height of a pixel; `(1, 1)` where not stated.
    pub sample_aspect_ratio: (i32, i32),
    /// Frames a second on average, where known.
    pub average_frame_rate: Option<(i32, i32)>,
    /// The lowest rate at which every timestamp falls on a frame, as far as FFmpeg can tell.
    pub base_frame_rate: Option<(i32, i32)>,
    /// Degrees, clockwise, that a player turns the pictures by.
    pub rotation_degrees: i32,
    /// Whole pictures or fields, by what the stream says.
    pub scan: Scan,
    /// Whole pictures or fields, by what is seen of them.
    pub combing: Combing,
    /// Whether pictures bear flags to show one of their fields again, by which film at 24 pictures a second is shown at 30.
    pub pulldown: bool,
    /// How the decoder deinterlaces them, if at all.
    pub deinterlace: Option<Deinterlacing>,
    /// The length of a tick of the frames that come of them: the stream's, or half of it where each field becomes a frame.
    pub time_base: TimeBase,
    /// Whether this is a cover picture.
    pub cover: bool,
    /// Whether there is HDR10 mastering metadata.
    pub mastering_display: bool,
    /// Whether there is Dolby Vision metadata.
    pub dolby_vision: bool,
    /// Whether there is metadata that speaks of single pictures or scenes: HDR10+ or Dolby Vision.
    pub dynamic_hdr: bool,
    /// Whether the colours are Dolby Vision's own, which nothing shows rightly without its metadata (profile 5).
    pub dolby_vision_only: bool,
    /// Whether captions come with the pictures.
    pub captions: bool,
    /// HDR10's metadata, of the stream or of its first picture.
    pub(crate) light: Vec<SideData>,
    /// Frames, counted by the container or estimated from length and rate.
    pub frames_estimate: Option<u64>,
    /// What fills in the colours the stream does not state.
    pub(crate) resolve: Context,
}

impl VideoInfo {
    /// The colours with every field that the stream leaves open filled in as players do.
    #[must_use]
    pub fn resolved_color(&self) -> ColorSpec {
        color::resolve(self.color, self.resolve).0
    }

    /// HDR10's metadata in x265's words: mastering display (in steps of 0.00002, and of 0.0001 cd/m²) and light levels.
    #[must_use]
    pub fn hdr10(&self) -> Option<String> {
        hdr::encoder_option("libx265", &self.light).map(|(_, words)| words)
    }

    /// Whether the frame rate varies, as far as the container shows.
    #[must_use]
    pub fn variable_frame_rate(&self) -> bool {
        match (self.average_frame_rate, self.base_frame_rate) {
            (Some((an, ad)), Some((bn, bd))) => {
                let (a, b) = (f64::from(an) / f64::from(ad), f64::from(bn) / f64::from(bd));
                (a - b).abs() > 0.01 * b
            }
            _ => false,
        }
    }
}

/// A named part of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// First moment.
    pub start: Timestamp,
    /// First moment after it.
    pub end: Timestamp,
    /// Title and whatever else is said of it.
    pub metadata: Metadata,
}

impl Chapter {
    /// The title.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case("title")).map(|(_, title)| title.as_str())
    }
}
