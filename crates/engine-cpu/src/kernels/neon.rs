//! Kernels for NEON: tiles of 6 pixels by 16 outputs, 24 of the 32 registers.

use super::{Kernels, kernels};
use crate::simd::{Neon, Simd};

/// Pixels in a register tile.
const P: usize = 6;

pub(super) static KERNELS: Kernels = Kernels {
    lanes: Neon::LANES,
    max_columns: Neon::MAX_COLUMNS,
    tile_pixels: [P; 4],
    pairs: Neon::PAIRS,
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

kernels!(#[target_feature(enable = "neon")] fn, Neon::new(), [P, P, P, P]);
