//! Resizing by tables of samples and weights, made on the host. One unit makes one vector of the output.

use cubecl::prelude::*;

use super::V4;

/// Each row of the output is made of `row_taps` rows of the input, whose numbers and weights lie in the tables; likewise
/// its columns. `height` and `width` are those of a map of the output, of which there may be several.
#[cube(launch_unchecked)]
pub(crate) fn resize<F: Float>(
    input: &Array<V4<F>>,
    output: &mut Array<V4<F>>,
    rows: &Array<u32>,
    row_weights: &Array<f32>,
    columns: &Array<u32>,
    column_weights: &Array<f32>,
    height: u32,
    width: u32,
    input_height: u32,
    input_width: u32,
    vectors: u32,
    len: u32,
    #[comptime] row_taps: u32,
    #[comptime] column_taps: u32,
    #[define(F)] _type: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at < len as usize {
        let at = at as u32;
        let (position, vector) = (at / vectors, at % vectors);
        let (row, x) = (position / width, position % width);
        let (map, y) = (row / height, row % height);
        let (first_row, first_column) = (y * row_taps, x * column_taps);
        let mut sum = V4::<f32>::new(0.0f32);
        for i in 0..row_taps {
            let start = (map * input_height + rows[(first_row + i) as usize]) * input_width;
            let mut line = V4::<f32>::new(0.0f32);
            for j in 0..column_taps {
                let pixel = start + columns[(first_column + j) as usize];
                line += V4::<f32>::cast_from(input[(pixel * vectors + vector) as usize])
                    * V4::<f32>::new(column_weights[(first_column + j) as usize]);
            }
            sum += line * V4::<f32>::new(row_weights[(first_row + i) as usize]);
        }
        output[at as usize] = V4::<F>::cast_from(sum);
    }
}
