//! A picture fetched from where an optical flow points.

use cubecl::prelude::*;

use super::V4;
use super::sample::{bilinear, part, whole};

/// One unit makes one vector of `output`; `height` and `width` are those of a map, of which there may be several. Coordinates beyond the border are taken back to it where `border`.
#[cube(launch_unchecked)]
pub(crate) fn flow_warp<F: Float>(
    input: &Array<V4<F>>,
    flow: &Array<V4<f32>>,
    output: &mut Array<V4<F>>,
    height: u32,
    width: u32,
    vectors: u32,
    len: u32,
    #[comptime] border: bool,
    #[define(F)] _type: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at < len as usize {
        let at = at as u32;
        let position = at / vectors;
        let vector = at % vectors;
        let moved = flow[position as usize];
        let mut column = i32::cast_from(position % width) + whole(moved[0]);
        let map = position / (height * width);
        let mut row = i32::cast_from(position / width % height) + whole(moved[1]);
        let mut right = part(moved[0]);
        let mut down = part(moved[1]);
        if comptime!(border) {
            let last_column = i32::cast_from(width) - 1;
            let last_row = i32::cast_from(height) - 1;
            if (column < 0 || column >= last_column) && !f32::is_nan(right) {
                right = 0.0f32;
            }
            if (row < 0 || row >= last_row) && !f32::is_nan(down) {
                down = 0.0f32;
            }
            column = clamp(column, 0, last_column);
            row = clamp(row, 0, last_row);
        }
        let value = bilinear::<F>(input, map, row, column, down, right, height, width, vectors, vector);
        output[at as usize] = V4::<F>::cast_from(value);
    }
}
