//! Sixteen lanes: AVX-512 (F, BW, DQ, VL), with and without the bf16 dot product.

use std::arch::x86_64::*;

use super::{Avx2, Simd};

/// Bit patterns of the bf16 nearest to each lane.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[inline(always)]
unsafe fn bf16_bits(x: __m512) -> __m256i {
    // SAFETY: the caller answers for AVX-512.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x40_0000));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
    }
}

/// The sixteen lanes of one token type; `$dot` is how it multiplies and adds.
macro_rules! sixteen_lanes {
    ($token:ident, $pairs:expr, $dot:path) => {
        impl $token {
            /// # Safety
            /// The processor must have the instructions that the type stands for.
            #[inline(always)]
            pub(crate) unsafe fn new() -> Self {
                Self(())
            }
        }

        impl Simd for $token {
            type V = __m512;
            type Half = Avx2;
            const LANES: usize = 16;
            const MAX_COLUMNS: usize = 4;
            const PAIRS: bool = $pairs;

            #[inline(always)]
            fn half(self) -> Avx2 {
                // SAFETY: no processor is taken for one with AVX-512 that lacks AVX2 and FMA.
                unsafe { Avx2::new() }
            }

            #[inline(always)]
            fn zero(self) -> __m512 {
                // SAFETY: the token says that the processor has AVX-512; so below.
                unsafe { _mm512_setzero_ps() }
            }

            #[inline(always)]
            fn splat(self, x: f32) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_set1_ps(x) }
            }

            #[inline(always)]
            fn add(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_add_ps(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_sub_ps(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_mul_ps(a, b) }
            }

            #[inline(always)]
            fn div(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe {
                    // One of Newton's steps from fourteen bits on: less than a division of sixteen lanes takes.
                    let reciprocal = _mm512_rcp14_ps(b);
                    let error = _mm512_fnmadd_ps(b, reciprocal, _mm512_set1_ps(1.0));
                    _mm512_mul_ps(a, _mm512_fmadd_ps(reciprocal, error, reciprocal))
                }
            }

            #[inline(always)]
            fn min(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_min_ps(a, b) }
            }

            #[inline(always)]
            fn max(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_max_ps(a, b) }
            }

            #[inline(always)]
            fn abs(self, x: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_abs_ps(x) }
            }

            #[inline(always)]
            fn floor(self, x: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x) }
            }

            #[inline(always)]
            fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_fmadd_ps(a, b, c) }
            }

            #[inline(always)]
            fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_fnmadd_ps(a, b, c) }
            }

            #[inline(always)]
            fn leaky(self, x: __m512, slope: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe {
                    let below = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, _mm512_setzero_ps());
                    _mm512_mask_mul_ps(x, below, x, slope)
                }
            }

            #[inline(always)]
            fn round_bf16(self, x: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bf16_bits(x)))) }
            }

            #[inline(always)]
            fn round_f16(self, x: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_cvtph_ps(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
            }

            #[inline(always)]
            fn dot(self, acc: __m512, a: __m512, b: __m512) -> __m512 {
                // SAFETY: the token says that the processor has the instructions of `$dot`.
                unsafe { $dot(acc, a, b) }
            }

            #[inline(always)]
            unsafe fn load(self, p: *const f32) -> __m512 {
                // SAFETY: the caller answers for sixteen readable values.
                unsafe { _mm512_loadu_ps(p) }
            }

            #[inline(always)]
            unsafe fn store(self, p: *mut f32, v: __m512) {
                // SAFETY: the caller answers for sixteen writable values.
                unsafe { _mm512_storeu_ps(p, v) }
            }

            #[inline(always)]
            unsafe fn load_bf16(self, p: *const u16) -> __m512 {
                // SAFETY: the caller answers for sixteen readable values of 16 bits.
                unsafe {
                    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()))))
                }
            }

            #[inline(always)]
            unsafe fn store_bf16(self, p: *mut u16, v: __m512) {
                // SAFETY: the caller answers for sixteen writable values of 16 bits.
                unsafe { _mm256_storeu_si256(p.cast(), bf16_bits(v)) }
            }

            #[inline(always)]
            unsafe fn load_f16(self, p: *const u16) -> __m512 {
                // SAFETY: the caller answers for sixteen readable values of 16 bits.
                unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
            }

            #[inline(always)]
            unsafe fn store_f16(self, p: *mut u16, v: __m512) {
                // SAFETY: the caller answers for sixteen writable values of 16 bits.
                unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
            }

            #[inline(always)]
            unsafe fn store_whole(self, p: *mut i32, v: __m512) {
                // SAFETY: the caller answers for sixteen writable values.
                unsafe { _mm512_storeu_si512(p.cast(), _mm512_cvttps_epi32(v)) }
            }

            #[inline(always)]
            fn prefetch(self, p: *const u8) {
                // SAFETY: a prefetch changes nothing that the program could see, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
        }
    };
}

/// A processor with AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// # Safety
/// The processor must have AVX-512 F.
#[inline(always)]
unsafe fn dot_f32(acc: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller answers for AVX-512.
    unsafe { _mm512_fmadd_ps(a, b, acc) }
}

sixteen_lanes!(Avx512, false, dot_f32);

/// A processor with AVX-512 F, BW, DQ, VL and BF16.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(());

/// # Safety
/// The processor must have AVX-512 BF16.
#[inline(always)]
unsafe fn dot_pairs(acc: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller answers for the instruction; the types are of one size and take any bits.
    unsafe {
        let a = std::mem::transmute::<__m512, __m512bh>(a);
        let b = std::mem::transmute::<__m512, __m512bh>(b);
        _mm512_dpbf16_ps(acc, a, b)
    }
}

sixteen_lanes!(Avx512Bf16, true, dot_pairs);

/// What [`Avx512Bf16`] computes, without its instruction: runs its kernels on processors that lack it.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16Emulated(());

/// # Safety
/// The processor must have AVX-512 F.
#[cfg(test)]
#[inline(always)]
unsafe fn dot_pairs_emulated(acc: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller answers for AVX-512.
    unsafe {
        let odd = |x| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(-0x1_0000)));
        let even = |x| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(x)));
        _mm512_fmadd_ps(even(a), even(b), _mm512_fmadd_ps(odd(a), odd(b), acc))
    }
}

#[cfg(test)]
sixteen_lanes!(Avx512Bf16Emulated, true, dot_pairs_emulated);
