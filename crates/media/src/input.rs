//! What a film can be read from.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::sequence::Pattern;
use crate::{Deinterlace, MediaError};

/// Where a film comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file in any container FFmpeg reads.
    File(PathBuf),
    /// Anything FFmpeg opens by URL.
    Url(String),
    /// YUV4MPEG2 on standard input.
    Stdin,
    /// Numbered pictures, such as `frames/%08d.png`.
    Sequence(Pattern),
}

impl Input {
    /// Reads an argument: `-` is standard input, `scheme://…` a URL, a name with `%d` or `%08d` a sequence of
    /// pictures, and anything else a file.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for an empty argument and for a pattern without exactly one number.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, MediaError> {
        let os = text.as_ref();
        if os.is_empty() {
            return Err(MediaError::usage(
                "the input's name is empty",
                "give a file, a URL, a pattern such as frames/%08d.png, or -",
            ));
        }
        if os == "-" {
            return Ok(Self::Stdin);
        }
        let Some(text) = os.to_str() else { return Ok(Self::File(PathBuf::from(os))) };
        if is_url(text) {
            return Ok(Self::Url(text.to_owned()));
        }
        // A file that exists under a name with a percent sign is that file.
        if text.contains('%') && !Path::new(os).exists() && Pattern::looks_like(text) {
            return Pattern::parse(text).map(Self::Sequence);
        }
        Ok(Self::File(PathBuf::from(os)))
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Stdin => f.write_str("standard input"),
            Self::Sequence(pattern) => write!(f, "{pattern}"),
        }
    }
}

/// Whether `text` begins with a scheme of two or more letters (one letter is a drive) and `://`.
pub(crate) fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// The name FFmpeg opens a file by: never taken for a URL, whatever characters it holds.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// How to read an input.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Pictures a second of an image sequence, as a fraction; other inputs say their own.
    pub sequence_rate: (i32, i32),
    /// What becomes of pictures woven from two fields.
    pub deinterlace: Deinterlace,
    /// Threads a decoder uses; 0 leaves it to FFmpeg.
    pub decoder_threads: usize,
    /// Once true, a read that waits for a pipe or the network ends with [`MediaError::Interrupted`].
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { sequence_rate: (24, 1), deinterlace: Deinterlace::Auto, decoder_threads: 0, interrupt: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn arguments_are_told_apart() {
        assert_eq!(Input::parse("-").unwrap(), Input::Stdin);
        assert_eq!(Input::parse("a.mp4").unwrap(), Input::File("a.mp4".into()));
        assert_eq!(Input::parse("https://h/a.mp4").unwrap(), Input::Url("https://h/a.mp4".into()));
        assert_eq!(Input::parse("c://a").unwrap(), Input::File("c://a".into()));
        assert_eq!(Input::parse("100%.mp4").unwrap(), Input::File("100%.mp4".into()));
        assert!(matches!(Input::parse("f/%08d.png").unwrap(), Input::Sequence(_)));
        assert!(matches!(Input::parse("f/a%d_b.png").unwrap(), Input::Sequence(_)));
        assert_eq!(Input::parse("").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(Input::parse("%d-%d.png").unwrap_err().kind(), ErrorKind::Usage);
    }
}
