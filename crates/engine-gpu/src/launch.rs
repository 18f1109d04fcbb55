//! How work is cut into cubes.

use cubecl::prelude::*;

/// Units of a cube in kernels that do one thing for each vector.
const UNITS: usize = 256;

/// The most cubes side by side that every device takes.
const MOST_CUBES: usize = u16::MAX as usize;

/// Cubes for `units` units that are numbered in one row.
pub(crate) fn row_of(units: usize) -> (CubeCount, CubeDim) {
    let (cubes, rows) = in_rows(units.div_ceil(UNITS));
    (CubeCount::Static(cubes, rows, 1), CubeDim::new_1d(UNITS as u32))
}

/// At least `cubes` cubes as rows of as many as a device takes side by side: how many in a row, and the rows.
pub(crate) fn in_rows(cubes: usize) -> (u32, u32) {
    let rows = cubes.div_ceil(MOST_CUBES).max(1);
    (cubes.div_ceil(rows) as u32, rows as u32)
}
