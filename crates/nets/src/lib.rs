//! Checkpoints, descriptors and networks.
//!
//! A [`Checkpoint`] is opened from a file or from memory or is [`builtin`], the [`registry`] says which architecture
//! its tensors are of, and the architecture prepares it on an engine as a [`Network`]. One folder an architecture.
//!
//! Of the BasicVSR family, IconVSR is not here: at its key frames it adds features of EDVR, an alignment network of its
//! own, and BasicVSR++, its successor, is better without them. Its checkpoints are named and refused.
//!
//! ```
//! # use std::sync::Arc;
//! # use framelift_engine::{Engine, Precision, Shape, reference::ReferenceEngine};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
//! let checkpoint = framelift_nets::builtin::checkpoint("lift-x2").ok_or("no such model")??;
//! let network = framelift_nets::detect(&checkpoint)?.prepare(Arc::clone(&engine), Precision::F32)?;
//! let frame = engine.zeros(Shape::new(6, 8, 3), Precision::F32)?;
//! let mut shot = network.begin();
//! assert!(shot.push(frame)?.is_empty()); // it looks one frame ahead
//! assert_eq!(shot.finish()?[0].shape(), Shape::new(12, 16, 3));
//! # Ok(())
//! # }
//! ```

mod basicvsr;
mod basicvsr_plusplus;
mod blocks;
pub mod builtin;
pub mod checkpoint;
mod compact;
pub mod descriptor;
mod error;
pub mod known;
mod lift;
pub mod network;
mod reader;
mod realbasicvsr;
pub mod registry;
mod rrdbnet;
mod spynet;
pub mod store;
mod strips;
mod timing;
mod window;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use descriptor::{Descriptor, Reach, Together, Upsampling, Values};
pub use error::ModelError;
pub use network::{Emit, Network, Shot};
pub use registry::{Detected, detect};
pub use store::{FeatureId, FeatureStore, MemoryStore};
pub use timing::seconds_a_frame;
