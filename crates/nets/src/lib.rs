//! Checkpoints, descriptors and networks.
//!
//! A [`Checkpoint`] is opened from a file or from memory or is [`builtin`], the [`registry`] says which architecture
//! its tensors are of, and the architecture prepares it on an engine as a [`Network`]. One folder an architecture.

pub mod builtin;
pub mod checkpoint;
mod compact;
pub mod descriptor;
mod error;
pub mod known;
mod lift;
pub mod network;
mod reader;
pub mod registry;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use descriptor::{Descriptor, Reach};
pub use error::ModelError;
pub use network::{Network, Shot};
pub use registry::{Detected, detect};
