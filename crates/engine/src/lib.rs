//! The contract between networks and the engines that compute them.
//!
//! A network is written once, against [`Engine`]; an engine says how its operations run. Tensors are feature
//! maps, channels last, that live where their engine computes. [`reference`](mod@reference) holds each
//! operation as a plain loop, the truth that every engine is tested against, and [`reference::ReferenceEngine`]
//! runs whole networks on them.

mod conv;
mod deform_conv;
mod download;
mod engine;
mod error;
pub mod motion;
mod prepared;
pub mod reference;
mod tensor;

pub use conv::{Activation, Addend, ConvSpec, Upsample};
pub use deform_conv::DeformSpec;
pub use download::Download;
pub use engine::{Engine, EngineInfo, MemoryUse, Padding, ResizeMode, Support, stacked, stacked_maps};
pub use error::EngineError;
pub use prepared::{Conv, DeformConv, Prepared};
pub use tensor::{HostTensor, Layout, Precision, Shape, Tensor};
