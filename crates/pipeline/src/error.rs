//! Why a run ended without its output.

use framelift_media::MediaError;

use crate::{SessionError, mib};

/// A run's failure: the root cause, not what followed from it.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Reading or writing a film.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The network.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The plan does not fit the memory allowed.
    #[error(
        "turning {input} into {output} takes at least {} of memory{how}, over the {} allowed; raise --memory to that{}",
        mib(*needed_bytes), mib(*limit_bytes),
        fits.map_or_else(|| " (no smaller film would fit either)".to_owned(), |size| format!(", or make the film smaller first: one of {size} would fit"))
    )]
    Memory {
        /// The least that would do.
        needed_bytes: u64,
        /// The ceiling.
        limit_bytes: u64,
        /// Size of the input frames.
        input: framelift_frame::Size,
        /// Size of the output frames.
        output: framelift_frame::Size,
        /// How the least would be done, as ` (…)`; empty where there is nothing to say.
        how: String,
        /// A smaller size of input that would fit.
        fits: Option<framelift_frame::Size>,
    },
    /// Output of a size that cannot be written.
    #[error("an output of {width} x {height} pixels is outside 1 to {max} a side; choose another --scale or --size")]
    OutputSize {
        /// Columns.
        width: f64,
        /// Rows.
        height: f64,
        /// The largest side.
        max: u32,
    },
    /// Nothing lies between the moments asked for.
    #[error("no frame lies in the part asked for; look at the film's length with `framelift probe`")]
    EmptyRange,
    /// The film has no video stream.
    #[error("the input holds no video; choose a file with pictures")]
    NoVideo,
    /// The film has a video stream but no frame could be decoded.
    #[error("the input holds no decodable frame; the file may be cut short or damaged")]
    NoFrames,
    /// Fewer or more frames came out than went in.
    #[error(
        "{decoded} frames were decoded but {written} written; the output was discarded. This is a bug in framelift: please report it"
    )]
    Lost {
        /// Frames that came out of the decoder.
        decoded: u64,
        /// Frames that went into the file.
        written: u64,
    },
    /// A stage panicked.
    #[error("the stage {stage} panicked: {message}. This is a bug in framelift: please report it")]
    Panic {
        /// The stage's name.
        stage: &'static str,
        /// What it said.
        message: String,
    },
    /// A thread could not be started.
    #[error("no thread for the stage {stage}: {source}; close other programs or raise the limit on processes")]
    Thread {
        /// The stage's name.
        stage: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The user stopped the run.
    #[error("interrupted; nothing was left under the output's name")]
    Interrupted,
}
