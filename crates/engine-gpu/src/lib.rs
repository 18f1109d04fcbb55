//! The engine contract on GPUs.
//!
//! What [`open`] gives computes [`Engine`](framelift_engine::Engine)'s operations with kernels in Rust, which CubeCL turns into
//! SPIR-V for Vulkan, into Metal's language, or, with the feature `cuda`, into that of NVIDIA's CUDA when they are first needed.
//! [`devices`] says what there is to run on. No driver is linked: where the machine has none, there are no devices.

mod device;
mod engine;
mod error;
mod kernels;
mod launch;
mod map;
mod pool;
mod read;
mod tuning;

pub use device::{GpuBackend, GpuInfo, GpuKind, best_device, device, devices};
pub use engine::{AssumedCard, GpuOptions, matrix_cores_from_env, open};
pub use error::GpuError;
pub use tuning::Tuning;

/// The engine's name in [`EngineInfo`](framelift_engine::EngineInfo) and errors.
const NAME: &str = "gpu";
