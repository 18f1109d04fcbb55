//! Kernels in plain Rust.

use super::{Kernels, kernels};
use crate::simd::{Portable, Simd};

/// Pixels in a register tile.
const P: usize = 4;

pub(super) static KERNELS: Kernels = Kernels {
    lanes: Portable::LANES,
    max_columns: Portable::MAX_COLUMNS,
    tile_pixels: [P; 4],
    pairs: Portable::PAIRS,
    f16: false,
    conv_direct,
    conv_winograd,
    deform_row,
    warp_row,
    scale_row,
    add_row,
    resize_row,
    interleave,
    quantize,
};

kernels!(fn, Portable, [P, P, P, P]);
