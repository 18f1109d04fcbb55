//! Bilinear samples between pixels.

use cubecl::prelude::*;

use super::V4;

/// Coordinates beyond this lie outside of every picture.
const FAR: f32 = 1.0e7;

/// The whole part of a displacement, kept small enough for an integer.
#[cube]
pub(crate) fn whole(displacement: f32) -> i32 {
    i32::cast_from(clamp(f32::floor(displacement), -FAR, FAR))
}

/// How far a displacement lies behind its whole part; NaN where it is not finite.
#[cube]
pub(crate) fn part(displacement: f32) -> f32 {
    displacement - f32::floor(displacement)
}

/// Vector `vector` of the pixel at `row`, `column` of map `map`; zero outside of it.
#[cube]
pub(crate) fn pixel<F: Float>(
    maps: &Array<V4<F>>,
    map: u32,
    row: i32,
    column: i32,
    height: u32,
    width: u32,
    vectors: u32,
    vector: u32,
) -> V4<f32> {
    let mut value = V4::<f32>::new(0.0f32);
    if row >= 0 && column >= 0 && row < i32::cast_from(height) && column < i32::cast_from(width) {
        let at = ((map * height + u32::cast_from(row)) * width + u32::cast_from(column)) * vectors + vector;
        value = V4::<f32>::cast_from(maps[at as usize]);
    }
    value
}

/// The bilinear value between the pixel at `row`, `column` of map `map` and its neighbours below and to the right.
#[cube]
pub(crate) fn bilinear<F: Float>(
    maps: &Array<V4<F>>,
    map: u32,
    row: i32,
    column: i32,
    down: f32,
    right: f32,
    height: u32,
    width: u32,
    vectors: u32,
    vector: u32,
) -> V4<f32> {
    let top = pixel::<F>(maps, map, row, column, height, width, vectors, vector) * V4::<f32>::new(1.0f32 - right)
        + pixel::<F>(maps, map, row, column + 1, height, width, vectors, vector) * V4::<f32>::new(right);
    let bottom = pixel::<F>(maps, map, row + 1, column, height, width, vectors, vector)
        * V4::<f32>::new(1.0f32 - right)
        + pixel::<F>(maps, map, row + 1, column + 1, height, width, vectors, vector) * V4::<f32>::new(right);
    top * V4::<f32>::new(1.0f32 - down) + bottom * V4::<f32>::new(down)
}
