//! What a film is written to, and how.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use framelift_frame::Timestamp;

use crate::MediaError;
use crate::input::is_url;
use crate::sequence::Pattern;

/// Where a film goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file whose extension names the container: mp4, m4v, mov, mkv, webm or y4m.
    File(PathBuf),
    /// YUV4MPEG2 on standard output.
    Stdout,
    /// Numbered PNG pictures, such as `frames/%08d.png`.
    Sequence(Pattern),
}

impl Output {
    /// Reads an argument: `-` is standard output, a name with `%d` or `%08d` a sequence of PNG pictures,
    /// and anything else a file.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for a container framelift does not write, a pattern that is not of PNG
    /// pictures, and URLs.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, MediaError> {
        let os = text.as_ref();
        if os.is_empty() {
            return Err(MediaError::usage(
                "the output's name is empty",
                "give a file such as film.mkv, a pattern such as frames/%08d.png, or -",
            ));
        }
        if os == "-" {
            return Ok(Self::Stdout);
        }
        if let Some(text) = os.to_str() {
            if is_url(text) {
                return Err(MediaError::usage(format!("{text} is a URL"), "write to a file, or to - and pipe it on"));
            }
            if Pattern::looks_like(text) {
                let pattern = Pattern::parse(text)?;
                if !pattern.suffix().to_ascii_lowercase().ends_with(".png") {
                    return Err(MediaError::usage(
                        format!("{text} names pictures that are not PNG"),
                        "end the pattern in .png",
                    ));
                }
                return Ok(Self::Sequence(pattern));
            }
        }
        let path = PathBuf::from(os);
        Container::of(&path)?;
        Ok(Self::File(path))
    }

    pub(crate) fn container(&self) -> Result<Container, MediaError> {
        match self {
            Self::File(path) => Container::of(path),
            Self::Stdout => Ok(Container::Y4m),
            Self::Sequence(_) => Ok(Container::Png),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdout => f.write_str("standard output"),
            Self::Sequence(pattern) => write!(f, "{pattern}"),
        }
    }
}

/// What holds the streams of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Container {
    Mp4,
    M4v,
    Mov,
    Matroska,
    WebM,
    Y4m,
    Png,
}

impl Container {
    fn of(path: &Path) -> Result<Self, MediaError> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("mp4") => Ok(Self::Mp4),
            Some("m4v") => Ok(Self::M4v),
            Some("mov") => Ok(Self::Mov),
            Some("mkv") => Ok(Self::Matroska),
            Some("webm") => Ok(Self::WebM),
            Some("y4m") => Ok(Self::Y4m),
            Some("png") => Err(MediaError::usage(
                format!("{} names one picture", path.display()),
                "name a sequence, such as frames/%08d.png",
            )),
            other => Err(MediaError::usage(
                match other {
                    Some(extension) => {
                        format!("{} ends in .{extension}, which is not a container framelift writes", path.display())
                    }
                    None => format!("{} has no extension that names a container", path.display()),
                },
                "end it in .mkv, .mp4, .m4v, .mov, .webm or .y4m",
            )),
        }
    }

    /// FFmpeg's name of the muxer.
    pub(crate) const fn muxer(self) -> &'static str {
        match self {
            // The muxer FFmpeg calls m4v writes a bare MPEG-4 stream; the extension means Apple's MP4.
            Self::Mp4 | Self::M4v => "mp4",
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::WebM => "webm",
            Self::Y4m => "yuv4mpegpipe",
            Self::Png => "image2",
        }
    }

    /// The name people know it by.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mp4 | Self::M4v => "MP4",
            Self::Mov => "MOV",
            Self::Matroska => "Matroska",
            Self::WebM => "WebM",
            Self::Y4m => "YUV4MPEG2",
            Self::Png => "a PNG sequence",
        }
    }

    /// The extension of its files.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => ".mp4",
            Self::M4v => ".m4v",
            Self::Mov => ".mov",
            Self::Matroska => ".mkv",
            Self::WebM => ".webm",
            Self::Y4m => ".y4m",
            Self::Png => ".png",
        }
    }

    /// Whether timestamps go into a table of ticks whose length is free.
    pub(crate) const fn is_mov_family(self) -> bool {
        matches!(self, Self::Mp4 | Self::M4v | Self::Mov)
    }

    /// Whether it is Matroska or its subset.
    pub(crate) const fn is_matroska_family(self) -> bool {
        matches!(self, Self::Matroska | Self::WebM)
    }
}

/// A kind of stream that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyKind {
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitles,
    /// Chapters.
    Chapters,
    /// Attached files, such as fonts.
    Attachments,
    /// Cover pictures and further video streams.
    Video,
    /// Time codes, sensor readings.
    Data,
    /// Metadata of the film and its streams.
    Metadata,
}

impl CopyKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Audio, Self::Subtitles, Self::Chapters, Self::Attachments, Self::Video, Self::Data, Self::Metadata];

    /// The kind's name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::Chapters => "chapters",
            Self::Attachments => "attachments",
            Self::Video => "video",
            Self::Data => "data",
            Self::Metadata => "metadata",
        }
    }
}

/// What is copied from the input beside the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CopyPolicy {
    /// Everything the container can hold.
    #[default]
    All,
    /// Nothing.
    None,
    /// These kinds.
    Kinds(Vec<CopyKind>),
}

impl CopyPolicy {
    /// Reads an argument: `all`, `none`, or kinds separated by commas.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] that names the word that is not a kind.
    pub fn parse(text: &str) -> Result<Self, MediaError> {
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let kinds = text.split(',').map(|word| {
            let word = word.trim();
            CopyKind::ALL.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
                let names: Vec<_> = CopyKind::ALL.iter().map(|kind| kind.name()).collect();
                MediaError::usage(
                    format!("{word:?} is not a kind of stream"),
                    format!("use all, none, or some of {}", names.join(",")),
                )
            })
        });
        kinds.collect::<Result<_, _>>().map(Self::Kinds)
    }

    /// Whether `kind` is copied.
    #[must_use]
    pub fn holds(&self, kind: CopyKind) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Kinds(kinds) => kinds.contains(&kind),
        }
    }
}

/// The kernel of a resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Cubic convolution with a = -0.5 (Catmull-Rom).
    #[default]
    Bicubic,
    /// Lanczos of three lobes.
    Lanczos,
    /// Spline over 36 samples.
    Spline36,
}

/// How to write an output.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// FFmpeg's name of the encoder; `None` chooses one that fits the container.
    pub codec: Option<String>,
    /// Quality: the encoder's constant rate factor or what comes closest to it.
    pub crf: Option<f32>,
    /// Speed against size, in x264's words or the encoder's own.
    pub preset: Option<String>,
    /// Options handed to the encoder by name.
    pub encoder_options: Vec<(String, String)>,
    /// What is copied beside the pictures.
    pub copy: CopyPolicy,
    /// PNG pictures of 16 bits a sample instead of 8.
    pub png16: bool,
    /// Whether an existing output may be replaced.
    pub overwrite: bool,
    /// The kernel of the resize to the output's size.
    pub resize: Filter,
    /// Where the output starts: this moment becomes its zero, and what lies before it in other streams is left out.
    pub trim_start: Option<Timestamp>,
    /// Where the output ends: what starts at this moment or later in other streams is left out.
    pub trim_end: Option<Timestamp>,
    /// Threads of the encoder; 0 for as many as it likes. What some encoders make depends on how many they have.
    pub encoder_threads: usize,
    /// The folder, on the output's disk, in which it is written until it is whole; `None` for a hidden name beside it.
    pub part_folder: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn outputs_are_told_apart() {
        assert_eq!(Output::parse("-").unwrap(), Output::Stdout);
        assert_eq!(Output::parse("a.MKV").unwrap().container().unwrap(), Container::Matroska);
        assert!(matches!(Output::parse("f/%04d.png").unwrap(), Output::Sequence(_)));
        for wrong in ["", "a", "a.avi", "a.png", "f/%04d.jpg", "https://host/a.mp4"] {
            assert_eq!(Output::parse(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn copy_kinds_are_read_by_name() {
        assert_eq!(CopyPolicy::parse("all").unwrap(), CopyPolicy::All);
        let some = CopyPolicy::parse("audio, chapters").unwrap();
        assert!(some.holds(CopyKind::Audio) && some.holds(CopyKind::Chapters) && !some.holds(CopyKind::Subtitles));
        assert!(CopyPolicy::parse("sound").unwrap_err().to_string().contains("\"sound\""));
    }
}
