//! Kernels for AVX-512: tiles of up to 24 sums, of 32 registers.

use super::conv::{Job, TaskFn, direct};
use super::deform_conv::{self, RowFn};
use super::{Kernels, kernels};
use crate::simd::{Avx512, Avx512Bf16, Simd};

/// Pixels in a register tile for 1, 2, 3 and 4 vectors of outputs.
const P1: usize = 12;
const P2: usize = 8;
const P3: usize = 8;
const P4: usize = 6;

const fn with_products(conv_direct: TaskFn, deform_row: RowFn, pairs: bool) -> Kernels {
    Kernels {
        lanes: Avx512::LANES,
        max_columns: Avx512::MAX_COLUMNS,
        tile_pixels: [P1, P2, P3, P4],
        pairs,
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
    }
}

pub(super) static KERNELS: Kernels = with_products(conv_direct, deform_row, Avx512::PAIRS);

/// With the bf16 dot product in deformable convolutions and the direct method in bf16; all else is as without.
pub(super) static BF16_KERNELS: Kernels = with_products(conv_direct_pairs, deform_row_pairs, Avx512Bf16::PAIRS);

kernels!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn,
    Avx512::new(),
    [P1, P2, P3, P4]
);

/// # Safety
/// See [`TaskFn`].
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn conv_direct_pairs(job: &Job<'_>, task: usize, scratch: *mut f32) {
    // SAFETY: this function has the features; the caller answers for the rest.
    unsafe {
        if job.plan.pairs {
            direct::run::<_, P1, P2, P3, P4>(Avx512Bf16::new(), job, task, scratch);
        } else {
            conv_direct(job, task, scratch);
        }
    }
}

/// # Safety
/// See [`RowFn`].
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn deform_row_pairs(job: &deform_conv::Job<'_>, y: usize, scratch: *mut f32) {
    // SAFETY: this function has the features; the caller answers for the rest.
    unsafe {
        if job.plan.pairs {
            deform_conv::row::<_, _, P1, P2, P3, P4>(Avx512::new(), Avx512Bf16::new(), job, y, scratch);
        } else {
            deform_row(job, y, scratch);
        }
    }
}

/// [`BF16_KERNELS`] without the instruction that few processors have, to test the rest of them on any with AVX-512.
#[cfg(test)]
pub(crate) static EMULATED_BF16_KERNELS: Kernels =
    with_products(conv_direct_emulated_pairs, deform_row_emulated_pairs, true);

/// # Safety
/// See [`TaskFn`].
#[cfg(test)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn conv_direct_emulated_pairs(job: &Job<'_>, task: usize, scratch: *mut f32) {
    // SAFETY: this function has the features; the caller answers for the rest.
    unsafe {
        if job.plan.pairs {
            direct::run::<_, P1, P2, P3, P4>(crate::simd::Avx512Bf16Emulated::new(), job, task, scratch);
        } else {
            conv_direct(job, task, scratch);
        }
    }
}

/// # Safety
/// See [`RowFn`].
#[cfg(test)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn deform_row_emulated_pairs(job: &deform_conv::Job<'_>, y: usize, scratch: *mut f32) {
    // SAFETY: this function has the features; the caller answers for the rest.
    unsafe {
        if job.plan.pairs {
            let emulated = crate::simd::Avx512Bf16Emulated::new();
            deform_conv::row::<_, _, P1, P2, P3, P4>(Avx512::new(), emulated, job, y, scratch);
        } else {
            deform_row(job, y, scratch);
        }
    }
}
