//! The kernels: Rust that CubeCL turns into SPIR-V, Metal or CUDA when a program first launches it.
//!
//! Feature maps are arrays of vectors of four channels, `[pixel][vector]`; channels are padded to a multiple of four and
//! **the padding holds zeros**: every kernel keeps it so, and may rely on it. Values are stored as f32 or f16 and
//! computed in f32.

// CubeCL's macro makes public items without documentation beside each kernel.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "code that the macro `cube` makes")]

pub(crate) mod conv;
pub(crate) mod deform_conv;
pub(crate) mod flow_warp;
pub(crate) mod frames;
pub(crate) mod motion;
pub(crate) mod pointwise;
pub(crate) mod product;
pub(crate) mod resize;
pub(crate) mod sample;
pub(crate) mod shuffle;

use cubecl::prelude::*;

/// Channels of a vector.
pub(crate) const LANES: usize = 4;

/// Four channels of a pixel.
pub(crate) type V4<F> = Vector<F, Const<4>>;

/// One of the inputs that count as concatenated: where its vectors begin among those of all, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// Whether it is among the arrays of f16; else among those of f32.
    pub(crate) half: bool,
    /// Its number there.
    pub(crate) slot: usize,
    /// Its first vector, or group.
    pub(crate) first: usize,
    /// Its vectors, or groups.
    pub(crate) count: usize,
}
