//! Four lanes: NEON.

use std::arch::aarch64::*;

use half::f16;

use super::Simd;

/// A processor with NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor must have NEON.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// Bit patterns of the bf16 nearest to each lane.
    #[inline(always)]
    fn bf16_bits(self, x: float32x4_t) -> uint16x4_t {
        // SAFETY: the token says that the processor has NEON.
        unsafe {
            let bits = vreinterpretq_u32_f32(x);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
            vshrn_n_u32::<16>(vbslq_u32(vceqq_f32(x, x), rounded, quiet))
        }
    }
}

impl Simd for Neon {
    type V = float32x4_t;
    type Half = Self;
    const LANES: usize = 4;
    const MAX_COLUMNS: usize = 4;

    #[inline(always)]
    fn half(self) -> Self {
        self
    }

    #[inline(always)]
    fn zero(self) -> float32x4_t {
        self.splat(0.0)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: the token says that the processor has NEON; so below.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn abs(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vabsq_f32(x) }
    }

    #[inline(always)]
    fn floor(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vrndmq_f32(x) }
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn fnma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vfmsq_f32(c, a, b) }
    }

    #[inline(always)]
    fn leaky(self, x: float32x4_t, slope: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vbslq_f32(vclezq_f32(x), vmulq_f32(x, slope), x) }
    }

    #[inline(always)]
    fn round_bf16(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(self.bf16_bits(x))) }
    }

    #[inline(always)]
    fn round_f16(self, x: float32x4_t) -> float32x4_t {
        let mut bits = [0; 4];
        // SAFETY: there is room for four values.
        unsafe {
            self.store_f16(bits.as_mut_ptr(), x);
            self.load_f16(bits.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        // SAFETY: the caller answers for four readable values.
        unsafe { vld1q_f32(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4_t) {
        // SAFETY: the caller answers for four writable values.
        unsafe { vst1q_f32(p, v) }
    }

    #[inline(always)]
    unsafe fn store_whole(self, p: *mut i32, v: float32x4_t) {
        // SAFETY: the caller answers for four writable values.
        unsafe { vst1q_s32(p, vcvtq_s32_f32(v)) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> float32x4_t {
        // SAFETY: the caller answers for four readable values of 16 bits.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))) }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: float32x4_t) {
        // SAFETY: the caller answers for four writable values of 16 bits.
        unsafe { vst1_u16(p, self.bf16_bits(v)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> float32x4_t {
        // SAFETY: the caller answers for four readable values of 16 bits.
        let values = unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32());
        // SAFETY: these are four values.
        unsafe { vld1q_f32(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, v: float32x4_t) {
        let mut values = [0.0; 4];
        // SAFETY: there is room for four values; the caller answers for four writable ones of 16 bits.
        unsafe {
            vst1q_f32(values.as_mut_ptr(), v);
            p.cast::<[u16; 4]>().write_unaligned(values.map(|value| f16::from_f32(value).to_bits()));
        }
    }
}
