//! Operations on each value by itself, means of blocks, and the sum of magnitudes.

use cubecl::prelude::*;

use super::V4;

/// `output = 0`.
#[cube(launch_unchecked)]
pub(crate) fn fill_zero<F: Float>(output: &mut Array<V4<F>>, len: u32, #[define(F)] _type: StorageType) {
    if ABSOLUTE_POS < len as usize {
        output[ABSOLUTE_POS] = V4::<F>::cast_from(V4::<f32>::new(0.0f32));
    }
}

/// `len` vectors of `input` from vector `from` on, to `output` from vector `to` on.
#[cube(launch_unchecked)]
pub(crate) fn copy<F: Float>(
    input: &Array<V4<F>>,
    output: &mut Array<V4<F>>,
    from: u32,
    to: u32,
    len: u32,
    #[define(F)] _type: StorageType,
) {
    if ABSOLUTE_POS < len as usize {
        output[to as usize + ABSOLUTE_POS] = input[from as usize + ABSOLUTE_POS];
    }
}

/// `a * scale + b`.
#[cube(launch_unchecked)]
pub(crate) fn add_scaled<A: Float, B: Float>(
    a: &Array<V4<A>>,
    b: &Array<V4<B>>,
    output: &mut Array<V4<A>>,
    scale: f32,
    len: u32,
    #[define(A, B)] _types: [StorageType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < len as usize {
        let sum = V4::<f32>::cast_from(a[at]) * V4::<f32>::new(scale) + V4::<f32>::cast_from(b[at]);
        output[at] = V4::<A>::cast_from(sum);
    }
}

/// `input[c] * gains[c] + offsets[c]`; `channels` holds the gains, then the offsets.
#[cube(launch_unchecked)]
pub(crate) fn scale_channels<F: Float>(
    input: &Array<V4<F>>,
    channels: &Array<V4<f32>>,
    output: &mut Array<V4<F>>,
    len: u32,
    vectors: u32,
    #[define(F)] _type: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at < len as usize {
        let vector = (at as u32 % vectors) as usize;
        let value = V4::<f32>::cast_from(input[at]) * channels[vector] + channels[vectors as usize + vector];
        output[at] = V4::<F>::cast_from(value);
    }
}

/// The mean of each 2×2 block; `height` and `width` are those of a map of the output, of which there may be several.
#[cube(launch_unchecked)]
pub(crate) fn avg_pool<F: Float>(
    input: &Array<V4<F>>,
    output: &mut Array<V4<F>>,
    height: u32,
    width: u32,
    input_height: u32,
    input_width: u32,
    vectors: u32,
    len: u32,
    #[define(F)] _type: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at < len as usize {
        let at = at as u32;
        let (position, vector) = (at / vectors, at % vectors);
        let (row, x) = (position / width, position % width);
        let (map, y) = (row / height, row % height);
        let first = ((map * input_height + y * 2) * input_width + x * 2) * vectors + vector;
        let below = first + input_width * vectors;
        let sum = V4::<f32>::cast_from(input[first as usize])
            + V4::<f32>::cast_from(input[(first + vectors) as usize])
            + V4::<f32>::cast_from(input[below as usize])
            + V4::<f32>::cast_from(input[(below + vectors) as usize]);
        output[at as usize] = V4::<F>::cast_from(sum * V4::<f32>::new(0.25f32));
    }
}

/// Each of `units` units sums the magnitudes of every `units`-th vector, in the type `S`.
#[cube(launch_unchecked)]
pub(crate) fn sum_abs<F: Float, S: Float>(
    input: &Array<V4<F>>,
    sums: &mut Array<S>,
    len: u32,
    units: u32,
    #[define(F, S)] _types: [StorageType; 2],
) {
    if ABSOLUTE_POS < units as usize {
        let mut sum = S::new(0.0);
        let mut at = ABSOLUTE_POS as u32;
        while at < len {
            let value = V4::<f32>::cast_from(input[at as usize]);
            #[unroll]
            for lane in 0..4usize {
                sum += S::cast_from(f32::abs(value[lane]));
            }
            at += units;
        }
        sums[ABSOLUTE_POS] = sum;
    }
}
