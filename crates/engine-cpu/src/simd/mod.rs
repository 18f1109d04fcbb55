//! Vectors of f32 lanes, one file an instruction set.
//!
//! Kernels are written once against [`Simd`] and instantiated for each instruction set inside functions that enable
//! it (`#[target_feature]`), into which everything here is inlined. A value of a type that implements [`Simd`] is a
//! token: it exists only where the processor has the instructions, which is why the arithmetic is safe to call.
//! Memory is reached through raw pointers, whose validity the kernels answer for.

#![expect(unsafe_code, reason = "vector instructions, and loads and stores through raw pointers")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(all(target_arch = "x86_64", test))]
pub(crate) use avx512::Avx512Bf16Emulated;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Bf16};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// The vector operations that kernels are made of.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::LANES`] f32 values.
    type V: Copy;

    /// Lanes of a vector: 4, 8 or 16, so that 16 channels are a whole number of vectors.
    const LANES: usize;

    /// Vectors of weights that the innermost loop of a convolution keeps in registers.
    const MAX_COLUMNS: usize;

    /// Whether [`Self::dot`] multiplies pairs of bf16.
    const PAIRS: bool = false;

    /// Vectors half as long where there are such, else the same.
    type Half: Simd;

    /// The token of [`Self::Half`].
    fn half(self) -> Self::Half;

    /// Every lane zero.
    fn zero(self) -> Self::V;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a / b`, within a few units of the last place where `b` is neither tiny nor huge.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;

    /// The smaller of `a` and `b`; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;

    /// The larger of `a` and `b`; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;

    /// The magnitude.
    fn abs(self, x: Self::V) -> Self::V;

    /// The largest whole number that is not above `x`.
    fn floor(self, x: Self::V) -> Self::V;

    /// `a * b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// `c - a * b`.
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// `x` where it is positive or NaN, else `slope * x`.
    fn leaky(self, x: Self::V, slope: Self::V) -> Self::V;

    /// Each lane rounded to the nearest bf16, ties to even.
    fn round_bf16(self, x: Self::V) -> Self::V;

    /// Each lane rounded to the nearest f16, ties to even.
    fn round_f16(self, x: Self::V) -> Self::V;

    /// `acc` and the products of the 32-bit lanes `a` and `b`: one product of two f32, or the sum of two products of
    /// bf16 where [`Self::PAIRS`].
    #[inline(always)]
    fn dot(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V {
        self.fma(a, b, acc)
    }

    /// [`Self::LANES`] values from `p`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// [`Self::LANES`] values to `p`.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// [`Self::LANES`] bf16 values from `p`, widened.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_bf16(self, p: *const u16) -> Self::V;

    /// [`Self::LANES`] values to `p`, rounded to the nearest bf16, ties to even.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_bf16(self, p: *mut u16, v: Self::V);

    /// [`Self::LANES`] f16 values from `p`, widened.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_f16(self, p: *const u16) -> Self::V;

    /// [`Self::LANES`] values to `p`, rounded to the nearest f16, ties to even.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_f16(self, p: *mut u16, v: Self::V);

    /// Whole numbers from `v` to [`Self::LANES`] places from `p` on. Those beyond 32 bits and NaN give any number.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_whole(self, p: *mut i32, v: Self::V);

    /// Asks for the memory at `p` to be brought near, where there is an instruction for it. Any address will do.
    #[inline(always)]
    fn prefetch(self, _p: *const u8) {}
}

/// `x` rounded to the nearest bf16, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The value of bf16 `bits`.
#[inline(always)]
pub(crate) fn bf16_value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests;
