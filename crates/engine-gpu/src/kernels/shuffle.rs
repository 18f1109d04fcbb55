//! Channels to pixels and back. One unit makes one vector of the output.

use cubecl::prelude::*;

use super::V4;

/// `factor² · c` channels become `c` at `factor` times the size, or, `together`, `c` channels become `factor² · c` at a size
/// divided by `factor`. `height`, `width` and `channels` are the output's.
#[cube(launch_unchecked)]
pub(crate) fn pixel_shuffle<F: Float>(
    input: &Array<V4<F>>,
    output: &mut Array<V4<F>>,
    height: u32,
    width: u32,
    channels: u32,
    factor: u32,
    #[comptime] together: bool,
    #[define(F)] _type: StorageType,
) {
    let vectors = channels.div_ceil(4u32);
    let at = ABSOLUTE_POS;
    if at < (height * width * vectors) as usize {
        let at = at as u32;
        let (position, vector) = (at / vectors, at % vectors);
        let (y, x) = (position / width, position % width);
        let area = factor * factor;
        let mut value = V4::<F>::cast_from(V4::<f32>::new(0.0f32));
        #[unroll]
        for lane in 0..4usize {
            let channel = vector * 4 + lane as u32;
            if channel < channels {
                if comptime!(together) {
                    let source_vectors = (channels / area).div_ceil(4u32);
                    let (source, offset) = (channel / area, channel % area);
                    let (row, column) = (y * factor + offset / factor, x * factor + offset % factor);
                    let from = input[((row * width * factor + column) * source_vectors + source / 4) as usize];
                    value[lane] = from[(source % 4) as usize];
                } else {
                    let source_vectors = (channels * area).div_ceil(4u32);
                    let source = channel * area + factor * (y % factor) + x % factor;
                    let pixel = (y / factor) * (width / factor) + x / factor;
                    let from = input[(pixel * source_vectors + source / 4) as usize];
                    value[lane] = from[(source % 4) as usize];
                }
            }
        }
        output[at as usize] = value;
    }
}
