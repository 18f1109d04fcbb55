//! Errors, grouped by who must act.

use framelift_engine::EngineError;
use framelift_media::MediaError;
use framelift_pipeline::{PipelineError, SessionError};

/// Who must act on an [`Error`]. Each kind has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call or command line: options that do not exist or do not fit together (2).
    Usage,
    /// The input: a film or checkpoint that cannot be read (3).
    Input,
    /// A limit: memory or size (4).
    Limits,
    /// The device (5).
    Device,
    /// The output or the disk (6).
    Output,
    /// A bug in framelift (70).
    Bug,
    /// Nobody: the run was stopped on request (130).
    Interrupted,
}

impl ErrorKind {
    /// The exit code of the command `framelift`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Input => 3,
            Self::Limits => 4,
            Self::Device => 5,
            Self::Output => 6,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A failure, with its cause and a remedy in its message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading, upscaling or writing a film.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A model or checkpoint.
    #[error(transparent)]
    Model(#[from] crate::ModelError),
    /// Input and output are one file.
    #[error("{path} is the input itself; choose another name for the output")]
    SameFile {
        /// The file.
        path: String,
    },
    /// Something else lies under the output's name.
    #[error(
        "{path} exists and is not this film's result: {what}; pass --overwrite to replace it, or choose another name"
    )]
    OtherOutput {
        /// The output.
        path: String,
        /// What tells it apart.
        what: String,
    },
    /// The films of a batch.
    #[error(transparent)]
    Batch(#[from] crate::BatchError),
    /// A checkpoint could not be installed or removed.
    #[error(transparent)]
    Install(#[from] crate::InstallError),
    /// A checkpoint could not be fetched.
    #[cfg(feature = "fetch")]
    #[error(transparent)]
    Fetch(#[from] crate::FetchError),
    /// The engine could not be made.
    #[error("{0}")]
    Device(String),
    /// The engine failed while a network was prepared.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Pipeline(error) => pipeline_kind(error),
            Self::Model(error) => error.kind(),
            Self::SameFile { .. } | Self::OtherOutput { .. } => ErrorKind::Usage,
            Self::Batch(error) => error.kind(),
            Self::Install(error) => error.kind(),
            #[cfg(feature = "fetch")]
            Self::Fetch(error) => error.kind(),
            Self::Device(_) => ErrorKind::Device,
            Self::Engine(error) => engine_kind(error),
        }
    }
}

fn pipeline_kind(error: &PipelineError) -> ErrorKind {
    match error {
        PipelineError::Media(error) => match error.kind() {
            framelift_media::ErrorKind::Usage => ErrorKind::Usage,
            framelift_media::ErrorKind::Input => ErrorKind::Input,
            framelift_media::ErrorKind::Output => ErrorKind::Output,
            framelift_media::ErrorKind::Interrupted => ErrorKind::Interrupted,
            framelift_media::ErrorKind::Internal => ErrorKind::Bug,
        },
        PipelineError::Session(SessionError::Frame { source, .. } | SessionError::End(source)) => engine_kind(source),
        PipelineError::Session(SessionError::NonFinite { .. } | SessionError::Thread) => ErrorKind::Device,
        PipelineError::Session(SessionError::Disk { .. }) => ErrorKind::Output,
        PipelineError::Session(
            SessionError::Memory { .. }
            | SessionError::DeviceMemory { .. }
            | SessionError::ShotTooLong { .. }
            | SessionError::Size { .. },
        )
        | PipelineError::Memory { .. }
        | PipelineError::OutputSize { .. } => ErrorKind::Limits,
        PipelineError::Session(SessionError::SizeChanged { .. }) | PipelineError::NoVideo | PipelineError::NoFrames => {
            ErrorKind::Input
        }
        PipelineError::Drifted { .. } => ErrorKind::Input,
        PipelineError::EmptyRange | PipelineError::Seam { .. } => ErrorKind::Usage,
        PipelineError::Session(SessionError::Count { .. })
        | PipelineError::Lost { .. }
        | PipelineError::Panic { .. } => ErrorKind::Bug,
        PipelineError::Thread { .. } | PipelineError::Pinned { .. } | PipelineError::DiskLimit { .. } => {
            ErrorKind::Limits
        }
        PipelineError::Busy { .. }
        | PipelineError::Work { .. }
        | PipelineError::Piece { .. }
        | PipelineError::DiskSpace { .. } => ErrorKind::Output,
        PipelineError::Interrupted => ErrorKind::Interrupted,
    }
}

fn engine_kind(error: &EngineError) -> ErrorKind {
    match error {
        EngineError::OutOfMemory { .. } => ErrorKind::Limits,
        EngineError::Unsupported { .. } | EngineError::NonFinite { .. } | EngineError::Device { .. } => {
            ErrorKind::Device
        }
        EngineError::Scratch(_) => ErrorKind::Output,
        EngineError::Stopped => ErrorKind::Interrupted,
        EngineError::Shape(_) | EngineError::Foreign { .. } => ErrorKind::Bug,
    }
}
