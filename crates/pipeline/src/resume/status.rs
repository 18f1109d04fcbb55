//! Where a job stands, read off its folder.

use std::path::PathBuf;

use framelift_media::Output;

use super::folder::{Folder, folder_of, journal_in, work};
use super::journal::Recorded;
use crate::PipelineError;

/// Where a job stands that is at work or was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The film.
    pub input: String,
    /// The output to be.
    pub output: String,
    /// The model at work.
    pub model: String,
    /// The folder with the work.
    pub folder: PathBuf,
    /// Pieces that are done.
    pub pieces: u64,
    /// Frames of them.
    pub frames_done: u64,
    /// Frames in all, as far as the film says.
    pub frames_total: Option<u64>,
    /// Bytes of the pieces.
    pub bytes: u64,
    /// Whether every frame is made, so that only joining is left.
    pub complete: bool,
    /// Whether a process is at work on it.
    pub running: bool,
}

impl JobStatus {
    /// Reads a journal's bytes; `None` where they are none. What lies beside it is not looked at.
    #[must_use]
    pub fn parse(journal: &[u8]) -> Option<Self> {
        Recorded::parse(journal).map(Self::of)
    }

    fn of(recorded: Recorded) -> Self {
        let (frames_done, complete) = (recorded.frames(), recorded.is_complete());
        let total = if complete { Some(frames_done) } else { recorded.header.frames.map(|n| n.max(frames_done)) };
        Self {
            pieces: recorded.pieces.len() as u64,
            frames_done,
            frames_total: total,
            bytes: recorded.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.bytes)),
            complete,
            input: recorded.header.input,
            output: recorded.header.output,
            model: recorded.header.model,
            folder: PathBuf::new(),
            running: false,
        }
    }
}

/// Where the job of `output` stands; `None` where there is none under way.
///
/// # Errors
/// [`PipelineError::Work`] where its folder cannot be read.
pub fn status(output: &Output) -> Result<Option<JobStatus>, PipelineError> {
    let Some(folder) = folder_of(output) else { return Ok(None) };
    let journal = journal_in(&folder);
    let recorded = Recorded::read(&journal).map_err(|e| work(&journal, e))?;
    let running = Folder::is_locked(&folder);
    Ok(recorded.map(|recorded| JobStatus { folder, running, ..JobStatus::of(recorded) }))
}
