//! Frames to tensors and back: 16-bit planes and interleaved f32 pixels, a row at a time.
//!
//! Plain loops, which the compiler turns into the vectors of the instruction set they are inlined into.

/// The largest sample of a frame.
const FULL: f32 = u16::MAX as f32;

/// Samples 0 to 65535 of three rows to pixels of three values, 0 to 1.
///
/// # Safety
/// The processor must have the instructions.
pub(crate) type InterleaveFn = unsafe fn(planes: [&[u16]; 3], pixels: &mut [f32]);

/// Pixels of three values to samples: clamped to [0, 1] and rounded to the nearest of 65536 levels. Whether all values
/// were finite; those that were not give samples that mean nothing.
///
/// # Safety
/// The processor must have the instructions.
pub(crate) type QuantizeFn = unsafe fn(pixels: &[f32], planes: [&mut [u16]; 3]) -> bool;

/// See [`InterleaveFn`].
#[inline(always)]
pub(super) fn interleave(planes: [&[u16]; 3], pixels: &mut [f32]) {
    let [red, green, blue] = planes;
    let samples = red.iter().zip(green).zip(blue);
    for (pixel, ((&r, &g), &b)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
        *pixel = [f32::from(r) / FULL, f32::from(g) / FULL, f32::from(b) / FULL];
    }
}

/// See [`QuantizeFn`].
#[inline(always)]
pub(super) fn quantize(pixels: &[f32], planes: [&mut [u16]; 3]) -> bool {
    let [red, green, blue] = planes;
    let samples = red.iter_mut().zip(green).zip(blue);
    // Of a value that is not finite all bits of the exponent are set.
    const EXPONENT: u32 = 0x7f80_0000;
    let mut finite = true;
    for (pixel, ((r, g), b)) in pixels.as_chunks::<3>().0.iter().zip(samples) {
        [*r, *g, *b] = [level(pixel[0]), level(pixel[1]), level(pixel[2])];
        finite &= pixel.iter().fold(true, |all, value| all & (value.to_bits() & EXPONENT != EXPONENT));
    }
    finite
}

#[inline(always)]
fn level(value: f32) -> u16 {
    // A half is exact at this size, and the conversion cuts off: to nearest, halves up, as `round` does for what is
    // not negative.
    let scaled = value.clamp(0.0, 1.0) * FULL;
    (scaled + 0.5) as i32 as u16
}
