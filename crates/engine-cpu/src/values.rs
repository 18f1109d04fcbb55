//! Values as maps store them, read as f32 and written from it: a vector, four or one at a time.

#![expect(unsafe_code, reason = "loads and stores through raw pointers")]

use framelift_engine::Precision;
use half::f16;

use crate::simd::{Simd, bf16_bits, bf16_value};

/// A way to store values that is known when a kernel is compiled. [`Precision`] is the same where it is not.
pub(crate) trait Stored {
    const PRECISION: Precision;
    const BYTES: usize = Self::PRECISION.bytes();
}

pub(crate) struct F32;
pub(crate) struct Bf16;
pub(crate) struct F16;

impl Stored for F32 {
    const PRECISION: Precision = Precision::F32;
}

impl Stored for Bf16 {
    const PRECISION: Precision = Precision::Bf16;
}

impl Stored for F16 {
    const PRECISION: Precision = Precision::F16;
}

/// The vector at `p`, widened.
///
/// # Safety
/// It must be readable.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(s: S, precision: Precision, p: *const u8) -> S::V {
    // SAFETY: the caller answers for it.
    unsafe {
        match precision {
            Precision::F32 => s.load(p.cast()),
            Precision::Bf16 => s.load_bf16(p.cast()),
            Precision::F16 => s.load_f16(p.cast()),
        }
    }
}

/// The vector `v` to `p`, rounded to nearest, ties to even.
///
/// # Safety
/// It must be writable.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(s: S, precision: Precision, p: *mut u8, v: S::V) {
    // SAFETY: the caller answers for it.
    unsafe {
        match precision {
            Precision::F32 => s.store(p.cast(), v),
            Precision::Bf16 => s.store_bf16(p.cast(), v),
            Precision::F16 => s.store_f16(p.cast(), v),
        }
    }
}

/// Each lane of `v` as it would come back from a map of `precision`.
#[inline(always)]
pub(crate) fn round<S: Simd>(s: S, precision: Precision, v: S::V) -> S::V {
    match precision {
        Precision::F32 => v,
        Precision::Bf16 => s.round_bf16(v),
        Precision::F16 => s.round_f16(v),
    }
}

/// The value at `p`.
///
/// # Safety
/// It must be readable.
#[inline(always)]
pub(crate) unsafe fn get(precision: Precision, p: *const u8) -> f32 {
    // SAFETY: the caller answers for it.
    unsafe {
        match precision {
            Precision::F32 => p.cast::<f32>().read_unaligned(),
            Precision::Bf16 => bf16_value(p.cast::<u16>().read_unaligned()),
            Precision::F16 => f16::from_bits(p.cast::<u16>().read_unaligned()).to_f32(),
        }
    }
}

/// `value` to `p`, rounded to nearest, ties to even.
///
/// # Safety
/// It must be writable.
#[inline(always)]
pub(crate) unsafe fn put(precision: Precision, p: *mut u8, value: f32) {
    // SAFETY: the caller answers for it.
    unsafe {
        match precision {
            Precision::F32 => p.cast::<f32>().write_unaligned(value),
            Precision::Bf16 => p.cast::<u16>().write_unaligned(bf16_bits(value)),
            Precision::F16 => p.cast::<u16>().write_unaligned(f16::from_f32(value).to_bits()),
        }
    }
}

/// The four values from `p` on.
///
/// # Safety
/// They must be readable.
#[inline(always)]
pub(crate) unsafe fn four(precision: Precision, p: *const u8) -> [f32; 4] {
    // SAFETY: the caller answers for it.
    unsafe {
        match precision {
            Precision::F32 => p.cast::<[f32; 4]>().read_unaligned(),
            Precision::Bf16 => p.cast::<[u16; 4]>().read_unaligned().map(bf16_value),
            Precision::F16 => p.cast::<[u16; 4]>().read_unaligned().map(|bits| f16::from_bits(bits).to_f32()),
        }
    }
}

/// `value` as it would come back from a map of `precision`.
#[inline(always)]
pub(crate) fn rounded(precision: Precision, value: f32) -> f32 {
    match precision {
        Precision::F32 => value,
        Precision::Bf16 => bf16_value(bf16_bits(value)),
        Precision::F16 => f16::from_f32(value).to_f32(),
    }
}
