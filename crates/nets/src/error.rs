//! Why a checkpoint makes no model.

/// A sound file whose tensors are not those of a network that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Tensors of no known network.
    #[error(
        "{file} is a checkpoint of no network known here (it has {tensors}); framelift {version} runs {runs}",
        version = env!("CARGO_PKG_VERSION"),
        runs = crate::registry::SUPPORTED
    )]
    Unknown {
        /// The checkpoint.
        file: String,
        /// The names of some of its tensors.
        tensors: String,
    },
    /// A network that is known and not yet run.
    #[error(
        "{file} is a checkpoint of {architecture}; framelift {version} runs {runs}",
        version = env!("CARGO_PKG_VERSION"),
        runs = crate::registry::SUPPORTED
    )]
    NotYet {
        /// The checkpoint.
        file: String,
        /// Whose it is.
        architecture: &'static str,
    },
    /// Tensors that are missing, of another shape, or left over.
    #[error("{file} looks like {architecture}, but {problems}; use the network's own, complete checkpoint")]
    Mismatch {
        /// The checkpoint.
        file: String,
        /// What it looks like.
        architecture: &'static str,
        /// Which tensors, the first few by name.
        problems: String,
    },
    /// A variant of a known network that is not run.
    #[error("{file} is a checkpoint of {architecture}, of a kind that is not run: {what}")]
    Variant {
        /// The checkpoint.
        file: String,
        /// Whose it is.
        architecture: &'static str,
        /// What is different, and what to do.
        what: String,
    },
    /// A cleaning threshold that the network cannot be run with.
    #[error("{architecture} cannot be run so: {what}")]
    CleaningThreshold {
        /// Whose checkpoint it is.
        architecture: &'static str,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Weights that are NaN or infinite.
    #[error("{file} has values that are not finite in `{tensor}`; download it again or use another checkpoint")]
    NonFinite {
        /// The checkpoint.
        file: String,
        /// The first such tensor.
        tensor: String,
    },
}
