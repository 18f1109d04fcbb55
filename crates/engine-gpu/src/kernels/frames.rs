//! Frames of three planes of 16 bits to maps in [0, 1], and back.

use cubecl::prelude::*;

use super::V4;

/// The largest sample.
const FULL: f32 = 65535.0;

/// Planes, two samples a word, red, green and blue one after another, to `pixels` pixels.
#[cube(launch_unchecked)]
pub(crate) fn interleave(words: &Array<u32>, output: &mut Array<V4<f32>>, pixels: u32) {
    if ABSOLUTE_POS < pixels as usize {
        let pixel = ABSOLUTE_POS as u32;
        let mut value = V4::<f32>::new(0.0f32);
        #[unroll]
        for plane in 0..3usize {
            let sample = plane as u32 * pixels + pixel;
            let word = words[(sample / 2) as usize] >> (sample % 2 * 16);
            value[plane] = f32::cast_from(word & 0xffff) / FULL;
        }
        output[pixel as usize] = value;
    }
}

/// The inverse: values are clamped to [0, 1] and rounded. `broken` counts those that are NaN or infinite, and has the first
/// pixel that holds one.
#[cube(launch_unchecked)]
pub(crate) fn quantize(input: &Array<V4<f32>>, words: &mut Array<u32>, broken: &mut Array<Atomic<u32>>, pixels: u32) {
    let samples = pixels * 3;
    if ABSOLUTE_POS < samples.div_ceil(2u32) as usize {
        let first = ABSOLUTE_POS as u32 * 2;
        let mut word = 0u32;
        let mut bad = 0u32;
        let mut first_bad = pixels;
        #[unroll]
        for half in 0..2u32 {
            let sample = first + half;
            if sample < samples {
                let pixel = input[(sample % pixels) as usize];
                let value = pixel[(sample / pixels) as usize];
                if f32::is_nan(value) || f32::is_inf(value) {
                    bad += 1u32;
                    first_bad = min(first_bad, sample % pixels);
                }
                let level = u32::cast_from(f32::floor(clamp(value, 0.0f32, 1.0f32) * FULL + 0.5f32));
                word |= (level & 0xffff) << (half * 16);
            }
        }
        words[ABSOLUTE_POS] = word;
        if bad > 0 {
            broken[0].fetch_add(bad);
            broken[1].fetch_min(first_bad);
        }
    }
}
