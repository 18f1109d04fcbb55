//! Kernels for AVX2, FMA and F16C: tiles of 6 pixels by 16 outputs, twelve of the sixteen registers.

use super::{Kernels, kernels};
use crate::simd::{Avx2, Simd};

/// Pixels in a register tile.
const P: usize = 6;

pub(super) static KERNELS: Kernels = Kernels {
    lanes: Avx2::LANES,
    max_columns: Avx2::MAX_COLUMNS,
    tile_pixels: [P; 4],
    pairs: Avx2::PAIRS,
    f16: true,
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

kernels!(#[target_feature(enable = "avx2,fma,f16c")] fn, Avx2::new(), [P, P, P, P]);
