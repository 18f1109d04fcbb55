//! What can go wrong, grouped by who must act.

use std::path::PathBuf;

use ffmpeg_next::ffi;

use crate::log;
use crate::raw::text;

/// Who must act on a [`MediaError`], and with which exit code a program ends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The arguments do not fit together or name something that does not exist (exit code 2).
    Usage,
    /// The input cannot be read or is not a film (exit code 3).
    Input,
    /// The output cannot be written (exit code 6).
    Output,
    /// A bug of framelift or FFmpeg (exit code 70).
    Internal,
    /// The user asked to stop (exit code 130).
    Interrupted,
}

impl ErrorKind {
    /// The exit code a program ends with on such an error.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Input => 3,
            Self::Output => 6,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }
}

/// An error of reading, converting or writing a film.
///
/// Each message says what went wrong, where, and what to do about it, in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The arguments do not fit together or name something that does not exist.
    #[error("{what}; {remedy}")]
    Usage {
        /// What is wrong, with the value and the bound.
        what: String,
        /// What to do.
        remedy: String,
    },

    /// The input cannot be read or is not a film.
    #[error("cannot read {input}: {what}; {remedy}")]
    Input {
        /// The input as the user wrote it.
        input: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: String,
    },

    /// The output exists and may not be replaced.
    #[error("{} already exists; pass --overwrite to replace it, or choose another name", path.display())]
    Exists {
        /// The file that is in the way.
        path: PathBuf,
    },

    /// The output cannot be written.
    #[error("cannot write {output}: {what}; {remedy}")]
    Output {
        /// The output as the user wrote it.
        output: String,
        /// What went wrong.
        what: String,
        /// What to do.
        remedy: String,
    },

    /// A call that should never fail did.
    #[error("{what}; this is a bug of framelift or of the FFmpeg it runs on: please report it with the input")]
    Internal {
        /// The call and its complaint.
        what: String,
    },

    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl MediaError {
    /// Who must act.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. } | Self::Exists { .. } => ErrorKind::Usage,
            Self::Input { .. } => ErrorKind::Input,
            Self::Output { .. } => ErrorKind::Output,
            Self::Internal { .. } => ErrorKind::Internal,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Internal { what: what.into() }
    }
}

/// A negative return code of an FFmpeg function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

impl Code {
    pub(crate) const EOF: Self = Self(ffi::AVERROR_EOF);
    pub(crate) const AGAIN: Self = Self(ffi::AVERROR(libc::EAGAIN));
    pub(crate) const EXIT: Self = Self(ffi::AVERROR_EXIT);
    pub(crate) const INVALID_DATA: Self = Self(ffi::AVERROR_INVALIDDATA);
    pub(crate) const NO_MEMORY: Self = Self(ffi::AVERROR(libc::ENOMEM));

    /// The operating system's error number, where the code holds one.
    pub(crate) fn errno(self) -> Option<i32> {
        // FFmpeg's own codes are tags of four characters, far from any error number.
        (self.0 < 0 && self.0 > -4096).then_some(-self.0)
    }

    /// FFmpeg's words for the code, with what it logged about it on this thread, if anything.
    pub(crate) fn describe(self) -> String {
        match log::take_last() {
            Some(line) => format!("{} ({line})", self.words()),
            None => self.words(),
        }
    }

    fn words(self) -> String {
        match self.errno() {
            Some(errno) => {
                let text = std::io::Error::from_raw_os_error(errno).to_string();
                text.split(" (os error").next().unwrap_or_default().to_lowercase()
            }
            None => {
                let mut words = [0; 256];
                // SAFETY: writes a terminated text of at most the buffer's length.
                unsafe {
                    ffi::av_strerror(self.0, words.as_mut_ptr(), words.len());
                    text(words.as_ptr()).to_lowercase()
                }
            }
        }
    }
}

/// The value of an FFmpeg return code, or the error it stands for.
pub(crate) fn check(code: i32) -> Result<i32, Code> {
    if code < 0 { Err(Code(code)) } else { Ok(code) }
}

/// Like [`check`], for calls that fail only without memory or through a bug.
pub(crate) fn must(what: &str, code: i32) -> Result<i32, MediaError> {
    check(code).map_err(|code| MediaError::internal(format!("{what} failed: {}", code.describe())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words() {
        log::clear();
        assert_eq!(Code(ffi::AVERROR(libc::ENOSPC)).describe(), "no space left on device");
        for code in [Code::INVALID_DATA, Code::EXIT, Code(ffi::AVERROR_EXTERNAL), Code(ffi::AVERROR_PATCHWELCOME)] {
            assert!(code.describe().len() > 5, "{code:?}");
        }
        assert_eq!(Code::EOF.errno(), None);
    }

    #[test]
    fn kinds_have_the_exit_codes_of_the_command_line() {
        use ErrorKind::{Input, Internal, Interrupted, Output, Usage};
        assert_eq!([Usage, Input, Output, Internal, Interrupted].map(ErrorKind::exit_code), [2, 3, 6, 70, 130]);
    }
}
