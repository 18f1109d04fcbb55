//! The engine contract on CPUs.
//!
//! [`CpuEngine`] computes [`Engine`](framelift_engine::Engine)'s operations on its own threads, with the best vector
//! instructions that the processor has ([`Isa`]), in memory from its own pool.

mod engine;
mod host;
mod isa;
mod kernels;
mod map;
mod options;
mod pool;
mod simd;
mod values;

pub use engine::CpuEngine;
pub use isa::Isa;
pub use kernels::conv::ConvMethod;
pub use options::{CpuError, CpuOptions};

/// The engine's name in [`EngineInfo`](framelift_engine::EngineInfo) and errors.
const NAME: &str = "cpu";

#[cfg(test)]
mod tests;
