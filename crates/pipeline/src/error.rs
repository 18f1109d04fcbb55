//! Why a run ended without its output.

use std::path::PathBuf;

use framelift_media::{MediaError, Output};

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
    /// Another process is at work on the same output.
    #[error(
        "another framelift{} is at work on {output}; let it end, or choose another name for the output",
        if process.is_empty() { String::new() } else { format!(" (process {process})") }
    )]
    Busy {
        /// The output as the user wrote it.
        output: String,
        /// The number of the process, where it is known.
        process: String,
    },
    /// A file of the work that is kept beside the output.
    #[error("cannot use {}: {}; {}", path.display(), plain(source), work_remedy(source))]
    Work {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A piece that was written is not there as it was.
    #[error("{} is damaged: {what}; check the disk, and start over with --fresh", path.display())]
    Piece {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Pieces that cannot be put together.
    #[error(
        "the encoder {encoder} begins each piece with another header, so that pieces cannot be joined; use another --codec, or --no-resume"
    )]
    Seam {
        /// Its name.
        encoder: String,
    },
    /// The film gives other frames than it gave when the work was done.
    #[error(
        "the film no longer gives the frames it gave when the first {frames} were made; it was changed, or FFmpeg was: start over with --fresh"
    )]
    Drifted {
        /// Frames that were made.
        frames: u64,
    },
    /// The memory that is free now does not allow to work as the work began.
    #[error("the first {frames} frames were made {how}, which does not fit in the memory allowed now; {remedy}")]
    Pinned {
        /// Frames that were made.
        frames: u64,
        /// How they were made.
        how: String,
        /// What to do.
        remedy: String,
    },
    /// The job takes more of the disk than is free.
    #[error(
        "the job takes about {} of disk in {}, and {} are free: pieces are kept until the film is whole; make room, write to another disk, or make less with --frames or --end",
        mib(*needed_bytes), folder.display(), mib(*free_bytes)
    )]
    DiskSpace {
        /// What it still takes.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
        /// Where.
        folder: PathBuf,
    },
    /// The job takes more of the disk than was allowed.
    #[error(
        "the job takes at least {} of disk, over the {} allowed: pieces are kept until the film is whole; raise --disk, and what was made is kept",
        mib(*needed_bytes), mib(*limit_bytes)
    )]
    DiskLimit {
        /// The least that it takes.
        needed_bytes: u64,
        /// The ceiling.
        limit_bytes: u64,
    },
}

impl PipelineError {
    /// The same for people, who know the output and not what is kept beside it.
    pub(crate) fn of_output(self, output: &Output) -> Self {
        match self {
            Self::Work { path, source } => {
                let what = format!("{}: {}", path.display(), plain(&source));
                let remedy = work_remedy(&source).to_owned();
                MediaError::Output { output: output.to_string(), what, remedy }.into()
            }
            other => other,
        }
    }
}

/// The system's words, without the number.
fn plain(source: &std::io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn work_remedy(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space: the same command then goes on where it stopped"
        }
        ErrorKind::FileTooLarge => "write to a disk whose files may be larger, or raise the limit (ulimit -f)",
        ErrorKind::PermissionDenied => "check the permissions of its folder, or write elsewhere",
        ErrorKind::ReadOnlyFilesystem => "write to another disk",
        ErrorKind::NotFound => "make its folder first, or write elsewhere",
        _ => "check the folder and the disk",
    }
}
