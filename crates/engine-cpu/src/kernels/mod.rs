//! The arithmetic of each operation, one folder an operation; and for each instruction set a file that makes it into
//! machine code.
//!
//! Operations are written once, generic over [`Simd`](crate::simd::Simd). The file of an instruction set says how many
//! registers a tile of a convolution takes, and lists the functions in a table, [`Kernels`].

#![expect(unsafe_code, reason = "vector instructions, on raw memory shared between tasks")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod conv;
pub(crate) mod deform_conv;
pub(crate) mod flow_warp;
mod gemm;
pub(crate) mod image;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pointwise;
mod portable;
pub(crate) mod resize;

use crate::Isa;

/// The kernels of one instruction set. The functions may be called only where the processor has it.
pub(crate) struct Kernels {
    /// Lanes of a vector.
    pub(crate) lanes: usize,
    /// Vectors of outputs in a block of a convolution's weights, at most.
    pub(crate) max_columns: usize,
    /// Pixels in a register tile of a convolution for 1, 2, 3 and 4 vectors of outputs.
    pub(crate) tile_pixels: [usize; 4],
    /// Whether [`Self::conv_direct`] can multiply pairs of bf16.
    pub(crate) pairs: bool,
    /// Whether vectors of f16 are widened and rounded in instructions of their own.
    pub(crate) f16: bool,
    pub(crate) conv_direct: conv::TaskFn,
    pub(crate) conv_winograd: conv::TaskFn,
    pub(crate) deform_row: deform_conv::RowFn,
    pub(crate) warp_row: flow_warp::RowFn,
    pub(crate) scale_row: pointwise::ScaleFn,
    pub(crate) add_row: pointwise::AddFn,
    pub(crate) resize_row: resize::RowFn,
    pub(crate) interleave: image::InterleaveFn,
    pub(crate) quantize: image::QuantizeFn,
}

/// Writes the functions of a [`Kernels`] table for the token `$s`, with `$features` enabled.
macro_rules! kernels {
    ($(#[$attribute:meta])* fn, $s:expr, [$($tile:ident),*]) => {
        /// # Safety
        /// See [`TaskFn`](crate::kernels::conv::TaskFn).
        $(#[$attribute])*
        unsafe fn conv_direct(job: &crate::kernels::conv::Job<'_>, task: usize, scratch: *mut f32) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::conv::direct::run::<_, $($tile),*>($s, job, task, scratch) }
        }

        /// # Safety
        /// See [`TaskFn`](crate::kernels::conv::TaskFn).
        $(#[$attribute])*
        unsafe fn conv_winograd(job: &crate::kernels::conv::Job<'_>, task: usize, scratch: *mut f32) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::conv::winograd::run::<_, $($tile),*>($s, job, task, scratch) }
        }

        /// # Safety
        /// See [`RowFn`](crate::kernels::deform_conv::RowFn).
        $(#[$attribute])*
        unsafe fn deform_row(job: &crate::kernels::deform_conv::Job<'_>, y: usize, scratch: *mut f32) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::deform_conv::row::<_, _, $($tile),*>($s, $s, job, y, scratch) }
        }

        /// # Safety
        /// See [`RowFn`](crate::kernels::flow_warp::RowFn).
        $(#[$attribute])*
        unsafe fn warp_row(job: &crate::kernels::flow_warp::Job, y: usize) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::flow_warp::row($s, job, y) }
        }

        /// # Safety
        /// See [`ScaleFn`](crate::kernels::pointwise::ScaleFn).
        $(#[$attribute])*
        unsafe fn scale_row(job: &crate::kernels::pointwise::Scale, y: usize) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::pointwise::scale_row($s, job, y) }
        }

        /// # Safety
        /// See [`AddFn`](crate::kernels::pointwise::AddFn).
        $(#[$attribute])*
        unsafe fn add_row(job: &crate::kernels::pointwise::Add, y: usize) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::pointwise::add_row($s, job, y) }
        }

        /// # Safety
        /// See [`RowFn`](crate::kernels::resize::RowFn).
        $(#[$attribute])*
        unsafe fn resize_row(job: &crate::kernels::resize::Job<'_>, y: usize, line: &mut [f32]) {
            // SAFETY: this function has the features; the caller answers for the rest.
            unsafe { crate::kernels::resize::row($s, job, y, line) }
        }

        /// # Safety
        /// See [`InterleaveFn`](crate::kernels::image::InterleaveFn).
        $(#[$attribute])*
        unsafe fn interleave(planes: [&[u16]; 3], pixels: &mut [f32]) {
            crate::kernels::image::interleave(planes, pixels);
        }

        /// # Safety
        /// See [`QuantizeFn`](crate::kernels::image::QuantizeFn).
        $(#[$attribute])*
        unsafe fn quantize(pixels: &[f32], planes: [&mut [u16]; 3]) -> bool {
            crate::kernels::image::quantize(pixels, planes)
        }
    };
}
use kernels;

/// The kernels of `isa`, which the processor must have.
pub(crate) fn of(isa: Isa) -> &'static Kernels {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 => &avx512::BF16_KERNELS,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &neon::KERNELS,
        _ => &portable::KERNELS,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) use avx512::EMULATED_BF16_KERNELS;
