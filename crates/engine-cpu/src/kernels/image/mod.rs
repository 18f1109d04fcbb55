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
    // In pieces: all values of a piece become samples in vectors, then samples are dealt out to planes.
    const PIECE: usize = 128;
    // Of a value that is not finite all bits of the exponent are set.
    const EXPONENT: u32 = 0x7f80_0000;
    let [red, green, blue] = planes;
    let planes = red.chunks_mut(PIECE).zip(green.chunks_mut(PIECE)).zip(blue.chunks_mut(PIECE));
    let mut samples = [0; 3 * PIECE];
    let mut largest = 0;
    for (values, ((red, green), blue)) in pixels.chunks(3 * PIECE).zip(planes) {
        for (sample, value) in samples.iter_mut().zip(values) {
            *sample = level(*value);
            largest = largest.max(value.to_bits() & EXPONENT);
        }
        for (((sample, r), g), b) in samples.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
            [*r, *g, *b] = *sample;
        }
    }
    largest < EXPONENT
}

#[inline(always)]
#[expect(clippy::manual_clamp, reason = "`clamp` would keep NaN")]
fn level(value: f32) -> u16 {
    // A half is exact at this size, and the conversion cuts off: to nearest, halves up, as `round` does for what is
    // not negative.
    let scaled = value.max(0.0).min(1.0) * FULL + 0.5;
    // SAFETY: between 0.5 and 65535.5, even for NaN, of which `max` makes 0.
    unsafe { scaled.to_int_unchecked::<i32>() as u16 }
}
