//! Winograd's method F(4×4, 3×3): a tile of 4×4 sums from 6×6 inputs with 36 multiplications a channel pair, not 144.
//!
//! After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`,
//! with interpolation points 0, ±√½, ±√2 and ∞, whose rounding errors are smaller than those of 0, ±1, ±2, ∞.
//!
//! A task takes a run of tiles, in reading order, through all three steps: [`inputs`] are transformed into a scratch that
//! stays in the processor's own cache, multiplied there by the transformed weights (36 products of `tiles × in` by
//! `in × out`), and [`outputs`] transforms them back straight into the output.

mod inputs;
mod outputs;

use self::outputs::Products;
use super::finish::{Rows, is_direct};
use super::{Job, Tasks};
use crate::kernels::gemm::{Left, column_blocks, tile, with_tile};
use crate::map::BLOCK;
use crate::simd::Simd;

/// Rows and columns of sums that a tile gives.
const OUT: usize = 4;

/// Rows and columns of inputs that a tile takes.
const IN: usize = 6;

/// Products for each tile.
pub(super) const POINTS: usize = IN * IN;

/// What the transformed tiles of a task may take, in bytes: a part of a core's own cache, the rest being for the
/// weights and for what is fetched ahead.
const TILE_BYTES: usize = 256 << 10;

/// Tiles that are multiplied at once, a multiple of every register tile. A task has a whole number of these.
const GROUP: usize = 24;

/// Groups in a task at most.
const MAX_GROUPS: usize = 4;

const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
const ROOT_TWO: f32 = std::f32::consts::SQRT_2;

/// `G g Gᵀ` of the nine weights `g`, row by row.
pub(super) fn transform_weights(g: &[f32]) -> [f32; POINTS] {
    // Row p of G: [1, p, p²] / Π (p - q) over the other finite points q.
    let (a, b) = (0.5_f64.sqrt(), 2.0_f64.sqrt());
    let row = |p: f64, scale: f64| [scale, p * scale, p * p * scale];
    let (at_a, at_b) = (1.0 / (2.0 * 0.5 * (0.5 - 2.0)), 1.0 / (2.0 * 2.0 * (2.0 - 0.5)));
    let rows = [row(0.0, 1.0), row(a, at_a), row(-a, at_a), row(b, at_b), row(-b, at_b), [0.0, 0.0, 1.0]];
    std::array::from_fn(|point| {
        let (i, j) = (point / IN, point % IN);
        let terms = (0..9).map(|k| rows[i][k / 3] * f64::from(g[k]) * rows[j][k % 3]);
        terms.sum::<f64>() as f32
    })
}

/// How a job is cut up, and what a task's scratch looks like. Lengths count values.
struct Layout {
    /// Tiles in a row of tiles.
    across: usize,
    /// Tiles in the image.
    total: usize,
    /// Tiles in a task; the last may have fewer.
    tiles: usize,
    /// Channels of a transformed input that are multiplied.
    depth: usize,
    /// The same with padding, in whole blocks.
    padded_depth: usize,
    /// From a transformed tile to the next. Where there is one block of weights, products take the place of inputs.
    tile: usize,
    /// From a point of the transformed tiles to the next. Odd in cache lines, to use all of the cache's sets.
    point: usize,
    /// Columns of inputs kept between neighbouring tiles.
    columns: usize,
    /// Inputs of a row of tiles that are not read in their own place: narrow ones, packed to blocks; rows of zeros.
    staged: usize,
    /// Products of one block of weights, where there are several.
    products: usize,
    /// From a tile to the next, and from a point to the next, of these.
    product_tile: usize,
    product_point: usize,
    /// Activated sums on their way to [`Rows`], of all tiles.
    sums: usize,
    /// Lines of [`Rows`].
    lines: usize,
}

impl Layout {
    #[inline(always)]
    fn new(job: &Job<'_>) -> Self {
        let kernels = job.plan.kernels;
        let sums = job.plan.sums;
        let across = job.width.div_ceil(OUT);
        let total = across * job.height.div_ceil(OUT);
        let (mut wide, mut narrow, mut trailing, mut widest) = (0, 0, 0, 0);
        for input in job.inputs {
            if input.is_narrow() {
                narrow += input.channels;
            } else {
                wide += input.stride;
                trailing = input.stride - input.channels;
                widest = widest.max(input.stride);
            }
        }
        let depth = if narrow == 0 { wide - trailing } else { wide + narrow };
        let padded_depth = depth.next_multiple_of(BLOCK);
        let widest_block = kernels.max_columns * kernels.lanes;
        let in_place = sums <= widest_block;
        let tile = if in_place { padded_depth.max(sums) } else { padded_depth };
        let groups = (TILE_BYTES / (POINTS * tile * size_of::<f32>() * GROUP)).clamp(1, MAX_GROUPS);
        let tiles = groups * GROUP;
        let positions = OUT * tiles.min(across);
        let packed = IN * (positions + 2) * (padded_depth - wide);
        let straight = is_direct(job);
        let point = tiles * tile + BLOCK;
        let (product_tile, product_point) =
            if in_place { (tile, point) } else { (widest_block, tiles * widest_block + BLOCK) };
        Self {
            across,
            total,
            tiles,
            depth,
            padded_depth,
            tile,
            point,
            columns: POINTS * padded_depth,
            staged: packed.max((positions + 2) * widest) + BLOCK,
            products: if in_place { 0 } else { POINTS * product_point },
            product_tile,
            product_point,
            sums: if straight { 0 } else { OUT * OUT * tiles * sums + 2 * BLOCK },
            lines: if straight { 0 } else { Rows::scratch_len(job, positions) },
        }
    }

    /// Positions in a row of sums, at most.
    #[inline(always)]
    fn positions(&self) -> usize {
        OUT * self.tiles.min(self.across)
    }
}

/// How a job is cut into tasks.
pub(super) fn tasks(job: &Job<'_>) -> Tasks {
    let layout = Layout::new(job);
    let rest = layout.columns + layout.staged + layout.products + layout.sums + layout.lines;
    Tasks { count: layout.total.div_ceil(layout.tiles), scratch_len: POINTS * layout.point + rest }
}

/// The tiles of a task that lie in one row of tiles.
#[derive(Clone, Copy)]
struct Stretch {
    /// Number of the first among the task's tiles.
    first: usize,
    count: usize,
    /// Row of the tiles.
    row: usize,
    /// Column of the first.
    column: usize,
}

/// The stretches of `count` tiles from tile `start` on.
#[inline(always)]
fn stretches(start: usize, count: usize, across: usize) -> impl Iterator<Item = Stretch> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let (row, column) = ((start + first) / across, (start + first) % across);
        let stretch = Stretch { first, count: (count - first).min(across - column), row, column };
        first += stretch.count;
        (stretch.count > 0).then_some(stretch)
    })
}

/// Computes one task. See [`TaskFn`](super::TaskFn).
///
/// # Safety
/// As there.
#[inline(always)]
pub(in crate::kernels) unsafe fn run<S: Simd, const P1: usize, const P2: usize, const P3: usize, const P4: usize>(
    s: S,
    job: &Job<'_>,
    task: usize,
    scratch: *mut f32,
) {
    let plan = job.plan;
    let layout = &Layout::new(job);
    let start = task * layout.tiles;
    let count = layout.tiles.min(layout.total - start);
    let tiles = scratch;
    let columns = tiles.wrapping_add(POINTS * layout.point);
    let staged = columns.wrapping_add(layout.columns);
    let products = staged.wrapping_add(layout.staged);
    let sums = products.wrapping_add(layout.products);
    let lines = sums.wrapping_add(layout.sums);

    // SAFETY: all of these are parts of the scratch, as `tasks` adds them up; the tiles belong to this task.
    unsafe {
        for stretch in stretches(start, count, layout.across) {
            inputs::transform(s, job, layout, stretch, tiles, columns, staged);
        }

        let start_of_products = if layout.products == 0 { tiles } else { products };
        let products = Products { start: start_of_products, tile: layout.product_tile, point: layout.product_point };
        let kept = |stretch: Stretch| sums.wrapping_add(stretch.first * OUT * OUT * plan.sums);
        let keeps = layout.sums > 0;
        for (first, vectors) in column_blocks(plan.sums / S::LANES, S::MAX_COLUMNS) {
            let block = first * S::LANES..(first + vectors) * S::LANES;
            for point in 0..POINTS {
                let weights = point * layout.depth * plan.sums + block.start * layout.depth;
                for group in (0..count).step_by(GROUP) {
                    let part = Part {
                        count: GROUP.min(count - group),
                        left: Left {
                            start: tiles.add(point * layout.point + group * layout.tile),
                            pixel: layout.tile,
                            runs: 1,
                            run_stride: 0,
                            run_len: layout.depth,
                        },
                        weights: plan.weights.start().cast::<f32>().add(weights),
                        products: products.start.add(point * products.point + group * products.tile),
                        pitch: products.tile,
                    };
                    with_tile!(vectors, [P1, P2, P3, P4], S, multiply, s, part);
                }
            }
            for stretch in stretches(start, count, layout.across) {
                outputs::transform(s, job, stretch, products, block.clone(), keeps.then(|| kept(stretch)));
            }
        }
        if keeps {
            let mut lines = Rows::new(job, layout.positions(), lines);
            for stretch in stretches(start, count, layout.across) {
                outputs::write(s, job, stretch, kept(stretch), &mut lines);
            }
        }
    }
}

/// A group's share of one point's product.
struct Part {
    /// Tiles, at most [`GROUP`].
    count: usize,
    /// The transformed inputs of the first tile.
    left: Left,
    /// One block of weights.
    weights: *const f32,
    /// Where the block's products of the first tile go.
    products: *mut f32,
    /// Values from there to those of the next tile.
    pitch: usize,
}

/// Multiplies the inputs of a group by one block of weights.
///
/// # Safety
/// There must be room for the inputs and products of [`GROUP`] tiles, and `N` vectors of weights for each input.
#[inline(always)]
unsafe fn multiply<S: Simd, const P: usize, const N: usize>(s: S, part: Part) {
    for first in (0..part.count).step_by(P) {
        let left = Left { start: part.left.start.wrapping_add(first * part.left.pixel), ..part.left };
        // SAFETY: a register tile divides a group, so a whole one always fits. Its inputs have been read before
        // products take their place.
        unsafe {
            let sums = tile::<S, P, N>(s, left, part.weights);
            for (p, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    s.store(part.products.add((first + p) * part.pitch + n * S::LANES), *sum);
                }
            }
        }
    }
}
