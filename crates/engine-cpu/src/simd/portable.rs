//! Four lanes in plain Rust, for processors without an instruction set of their own here.

use half::f16;

use super::{Simd, bf16_bits, bf16_value};

/// Needs nothing of the processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 4];

#[inline(always)]
fn map2(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Portable {
    type V = V;
    type Half = Self;
    const LANES: usize = 4;
    const MAX_COLUMNS: usize = 2;

    #[inline(always)]
    fn half(self) -> Self {
        self
    }

    #[inline(always)]
    fn zero(self) -> V {
        [0.0; 4]
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; 4]
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, x: V) -> V {
        x.map(f32::abs)
    }

    #[inline(always)]
    fn floor(self, x: V) -> V {
        x.map(f32::floor)
    }

    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn fnma(self, a: V, b: V, c: V) -> V {
        self.sub(c, self.mul(a, b))
    }

    #[inline(always)]
    fn leaky(self, x: V, slope: V) -> V {
        map2(x, slope, |x, slope| if x <= 0.0 { slope * x } else { x })
    }

    #[inline(always)]
    fn round_bf16(self, x: V) -> V {
        x.map(|x| bf16_value(bf16_bits(x)))
    }

    #[inline(always)]
    fn round_f16(self, x: V) -> V {
        x.map(|x| f16::from_f32(x).to_f32())
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        // SAFETY: the caller answers for four readable values; `[f32; 4]` may be read unaligned.
        unsafe { p.cast::<V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        // SAFETY: the caller answers for four writable values.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn store_whole(self, p: *mut i32, v: V) {
        // SAFETY: the caller answers for four writable values.
        unsafe { p.cast::<[i32; 4]>().write_unaligned(v.map(|x| x as i32)) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> V {
        // SAFETY: the caller answers for four readable values.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(bf16_value)
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: V) {
        // SAFETY: the caller answers for four writable values.
        unsafe { p.cast::<[u16; 4]>().write_unaligned(v.map(bf16_bits)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> V {
        // SAFETY: the caller answers for four readable values.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, v: V) {
        // SAFETY: the caller answers for four writable values.
        unsafe { p.cast::<[u16; 4]>().write_unaligned(v.map(|x| f16::from_f32(x).to_bits())) }
    }
}
