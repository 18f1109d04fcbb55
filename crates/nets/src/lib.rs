//! Checkpoints, descriptors and networks.
//!
//! A [`Checkpoint`](checkpoint) is opened from a file or from memory, the [`registry`] says which architecture its
//! tensors are of, and the architecture prepares it on an engine as a [`Network`]. One folder an architecture.

pub mod descriptor;
pub mod network;

pub use descriptor::{Descriptor, Reach};
pub use network::{Network, Shot};
