//! What can be wrong with a checkpoint.

use std::io;

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}; check the path and its permissions")]
    Read {
        /// The file's path.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// What is in it cannot be used.
    #[error("{file} {fault}")]
    Content {
        /// The file's path, or the name of a built-in model.
        file: String,
        /// What is wrong.
        fault: Fault,
    },
    /// Two checkpoints do not fit together.
    #[error("{first} and {second} cannot be mixed: {what}; mix two trainings of the same network")]
    Mix {
        /// The first checkpoint.
        first: String,
        /// The second checkpoint.
        second: String,
        /// What does not fit.
        what: String,
    },
}

/// What is wrong with the content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The wrong file was given.
    #[error("is no checkpoint: {0}; weights come as .safetensors or as .pth files of PyTorch")]
    NotACheckpoint(String),
    /// The file is cut off or contradicts itself.
    #[error("is damaged: {0}; download it again")]
    Damaged(String),
    /// A pickle asks for something that is not on the list of what tensors are made of. Nothing of it was run.
    #[error(
        "is refused: it asks for `{0}`, which no weights need, and nothing in it was run; get the weights from a source you trust, or as .safetensors"
    )]
    Forbidden(String),
    /// A form of checkpoint that is not read.
    #[error("cannot be read: {0}; save it again with a current PyTorch, or as .safetensors, in f32")]
    Unsupported(String),
}

impl Fault {
    /// A file that contradicts itself.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}
