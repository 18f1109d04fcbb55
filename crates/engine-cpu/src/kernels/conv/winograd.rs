//! Winograd's method F(4×4, 3×3): a tile of 4×4 sums from 6×6 inputs with 36 multiplications a channel pair, not 144.
//!
//! After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`,
//! with interpolation points 0, ±√½, ±√2 and ∞, whose rounding errors are smaller than those of 0, ±1, ±2, ∞.
//!
//! A task takes a run of tiles, in reading order, through all three steps: inputs are transformed into a scratch that
//! stays in the processor's own cache, multiplied there by the transformed weights (36 products of `tiles × in` by
//! `in × out`), and transformed back straight into the output.

use super::finish::{Activate, Direct, Rows, is_direct, narrow};
use super::gemm::{Left, tile};
use super::{Job, Tasks, column_blocks, with_tile};
use crate::map::{BLOCK, View};
use crate::simd::Simd;

/// Rows and columns of sums that a tile gives.
const OUT: usize = 4;

/// Rows and columns of inputs that a tile takes.
const IN: usize = 6;

/// Products for each tile.
pub(super) const POINTS: usize = IN * IN;

/// What the transformed inputs and products of a task may take, in bytes: about half of a core's own cache, the
/// other half being for the weights.
const SCRATCH_BYTES: usize = 512 << 10;

/// Tiles in a task are a multiple of this, so that every register tile is full.
const TILE_MULTIPLE: usize = 24;

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

/// `Bᵀ` applied to six values.
#[inline(always)]
fn transform_in<S: Simd>(s: S, d: [S::V; IN]) -> [S::V; IN] {
    let (half, two, five_halves) = (s.splat(0.5), s.splat(2.0), s.splat(2.5));
    let (a, b) = (s.splat(ROOT_HALF), s.splat(ROOT_TWO));
    let (even_a, odd_a) = (s.fnma(two, d[2], d[4]), s.fnma(two, d[1], d[3]));
    let (even_b, odd_b) = (s.fnma(half, d[2], d[4]), s.fnma(half, d[1], d[3]));
    [
        s.add(s.fnma(five_halves, d[2], d[0]), d[4]),
        s.fma(a, odd_a, even_a),
        s.fnma(a, odd_a, even_a),
        s.fma(b, odd_b, even_b),
        s.fnma(b, odd_b, even_b),
        s.add(s.fnma(five_halves, d[3], d[1]), d[5]),
    ]
}

/// `Aᵀ` applied to six values.
#[inline(always)]
fn transform_out<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; OUT] {
    let (half, two) = (s.splat(0.5), s.splat(2.0));
    let (a, b) = (s.splat(ROOT_HALF), s.splat(ROOT_TWO));
    let (even_a, odd_a) = (s.add(m[1], m[2]), s.mul(a, s.sub(m[1], m[2])));
    let (even_b, odd_b) = (s.add(m[3], m[4]), s.mul(b, s.sub(m[3], m[4])));
    [
        s.add(m[0], s.add(even_a, even_b)),
        s.add(odd_a, odd_b),
        s.fma(half, even_a, s.mul(two, even_b)),
        s.fma(half, odd_a, s.fma(two, odd_b, m[5])),
    ]
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
    /// Values from a transformed tile to the next.
    depth_stride: usize,
    /// Values from a point of the transformed inputs to the next. Odd in cache lines, to use all of the cache's sets.
    input_point: usize,
    /// Likewise for products.
    product_point: usize,
    /// Columns of inputs kept between neighbouring tiles.
    columns: usize,
    /// Narrow inputs of a row of tiles, packed to blocks.
    packed: usize,
    /// Values of activated sums on their way to [`Rows`].
    sums: usize,
}

impl Layout {
    #[inline(always)]
    fn new(job: &Job<'_>) -> Self {
        let across = job.width.div_ceil(OUT);
        let total = across * job.height.div_ceil(OUT);
        let (mut wide, mut packed_channels) = (0, 0);
        for input in job.inputs {
            if input.is_narrow() {
                packed_channels += input.channels;
            } else {
                wide += input.stride;
            }
        }
        let last_wide = job.inputs.iter().rfind(|input| !input.is_narrow());
        let trailing = last_wide.map_or(0, |input| input.stride - input.channels);
        let depth = if packed_channels == 0 { wide - trailing } else { wide + packed_channels };
        let depth_stride = depth.next_multiple_of(BLOCK);
        let sums = job.plan.sums;
        let bytes = POINTS * (depth_stride + sums) * size_of::<f32>();
        let tiles = (SCRATCH_BYTES / bytes / TILE_MULTIPLE * TILE_MULTIPLE).clamp(TILE_MULTIPLE, 4 * TILE_MULTIPLE);
        let most_columns = OUT * tiles.min(across) + 2;
        Self {
            across,
            total,
            tiles,
            depth,
            depth_stride,
            input_point: tiles * depth_stride + BLOCK,
            product_point: tiles * sums + BLOCK,
            columns: IN * IN * depth_stride,
            packed: if packed_channels == 0 { 0 } else { IN * most_columns * (depth_stride - wide) + BLOCK },
            sums: if is_direct(job) { 0 } else { OUT * OUT * tiles.min(across) * sums + 2 * BLOCK },
        }
    }
}

/// How a job is cut into tasks.
pub(super) fn tasks(job: &Job<'_>) -> Tasks {
    let layout = Layout::new(job);
    let lines = if is_direct(job) { 0 } else { Rows::scratch_len(job, OUT * layout.tiles.min(layout.across)) };
    let transformed = POINTS * (layout.input_point + layout.product_point);
    Tasks {
        count: layout.total.div_ceil(layout.tiles),
        scratch_len: transformed + layout.columns + layout.packed + layout.sums + lines,
    }
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
    let inputs = scratch;
    let products = inputs.wrapping_add(POINTS * layout.input_point);
    let columns = products.wrapping_add(POINTS * layout.product_point);
    let packed = columns.wrapping_add(layout.columns);
    let sums = packed.wrapping_add(layout.packed);
    // SAFETY: all of these are parts of the scratch, as `tasks` adds them up; the tiles belong to this task.
    unsafe {
        for stretch in stretches(start, count, layout.across) {
            transform_inputs(s, job, layout, stretch, inputs, columns, packed);
        }
        for point in 0..POINTS {
            let inputs = inputs.add(point * layout.input_point);
            let products = products.add(point * layout.product_point);
            let weights = plan.weights.start().cast::<f32>().add(point * layout.depth * plan.sums);
            for (first, vectors) in column_blocks(plan.sums / S::LANES, S::MAX_COLUMNS) {
                let first = first * S::LANES;
                let (weights, products) = (weights.add(first * layout.depth), products.add(first));
                with_tile!(vectors, [P1, P2, P3, P4], S, multiply, s, job, layout, count, inputs, weights, products);
            }
        }
        let mut lines = Rows::new(job, OUT * layout.tiles.min(layout.across), sums.wrapping_add(layout.sums));
        for stretch in stretches(start, count, layout.across) {
            transform_products(s, job, layout, stretch, products, sums, &mut lines);
        }
    }
}

/// The six rows of an input that a row of tiles needs.
struct Source {
    /// The first value of each row; zeros where there is none.
    start: [*const u8; IN],
    /// Bytes of a value; 0 in rows of zeros, so that all of their positions are the same.
    value: [usize; IN],
    /// Values from a column to the next.
    stride: usize,
    width: usize,
    bf16: bool,
    rounds: bool,
}

static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

impl Source {
    /// Rows `top..top + 6` of `view`.
    #[inline(always)]
    fn new(view: &View, top: isize, rounds: bool) -> Self {
        let bytes = if view.bf16 { 2 } else { 4 };
        let mut start = [ZEROS.as_ptr().cast(); IN];
        let mut value = [0; IN];
        for row in 0..IN {
            let y = top + row as isize;
            if y >= 0 && (y as usize) < view.height {
                start[row] = view.start.wrapping_add(y as usize * view.row_len() * bytes).cast_const();
                value[row] = bytes;
            }
        }
        Self { start, value, stride: view.stride, width: view.width, bf16: view.bf16, rounds: rounds && !view.bf16 }
    }

    /// The vector from `channel` on of column `x` of each row.
    ///
    /// # Safety
    /// The column must lie inside the map.
    #[inline(always)]
    unsafe fn column<S: Simd>(&self, s: S, x: usize, channel: usize) -> [S::V; IN] {
        let mut values = [s.zero(); IN];
        let offset = x * self.stride + channel;
        for (row, value) in values.iter_mut().enumerate() {
            let at = self.start[row].wrapping_add(offset * self.value[row]);
            // SAFETY: the vector is inside the map, or the row of zeros.
            unsafe {
                *value = if self.bf16 { s.load_bf16(at.cast()) } else { s.load(at.cast()) };
                if self.rounds {
                    *value = s.round_bf16(*value);
                }
            }
        }
        values
    }

    /// Transforms columns `x` and `x + 1` vertically to `pair`, `[row][column]`; columns outside are zero.
    ///
    /// # Safety
    /// `pair` must have room for twelve vectors.
    #[inline(always)]
    unsafe fn transform_pair<S: Simd>(&self, s: S, x: isize, channel: usize, pair: *mut f32) {
        for column in 0..2 {
            let x = (x + column as isize) as usize;
            // SAFETY: only columns inside are read; the caller answers for the pair.
            unsafe {
                if x < self.width {
                    let transformed = transform_in(s, self.column(s, x, channel));
                    for (row, value) in transformed.iter().enumerate() {
                        s.store(pair.add((row * 2 + column) * S::LANES), *value);
                    }
                } else {
                    for row in 0..IN {
                        s.store(pair.add((row * 2 + column) * S::LANES), s.zero());
                    }
                }
            }
        }
    }

    /// Transforms `channels` channels of a stretch of tiles to `inputs`, `[point][tile][channel]`. The first tile
    /// begins at column `left`.
    ///
    /// # Safety
    /// The scratch must be as the layout says.
    #[inline(always)]
    unsafe fn transform<S: Simd>(
        &self,
        s: S,
        layout: &Layout,
        channels: usize,
        left: isize,
        stretch: Stretch,
        inputs: *mut f32,
        columns: *mut f32,
    ) {
        // Vertically transformed columns, two to a pair, three pairs for each vector; neighbouring tiles share a pair.
        let pair = 2 * IN * S::LANES;
        for tile in 0..stretch.count {
            let left = left + (tile * OUT) as isize;
            let to = inputs.wrapping_add((stretch.first + tile) * layout.depth_stride);
            let places = [(2 * tile) % 3 * pair, (2 * tile + 1) % 3 * pair, (2 * tile + 2) % 3 * pair];
            for channel in (0..channels).step_by(S::LANES) {
                let columns = columns.wrapping_add(channel * IN * IN);
                let pairs = places.map(|place| columns.wrapping_add(place));
                // SAFETY: the caller answers for the scratch.
                unsafe {
                    if tile == 0 {
                        self.transform_pair(s, left, channel, pairs[0]);
                    }
                    self.transform_pair(s, left + 2, channel, pairs[1]);
                    self.transform_pair(s, left + 4, channel, pairs[2]);
                    for row in 0..IN {
                        let mut values = [s.zero(); IN];
                        for (column, value) in values.iter_mut().enumerate() {
                            *value = s.load(pairs[column / 2].add((row * 2 + column % 2) * S::LANES));
                        }
                        let transformed = transform_in(s, values);
                        for (column, value) in transformed.iter().enumerate() {
                            s.store(to.add((row * IN + column) * layout.input_point + channel), *value);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the inputs of a stretch of tiles to `inputs`, `[point][tile][channel]`.
///
/// # Safety
/// The scratch must be as the layout says.
#[inline(always)]
unsafe fn transform_inputs<S: Simd>(
    s: S,
    job: &Job<'_>,
    layout: &Layout,
    stretch: Stretch,
    inputs: *mut f32,
    columns: *mut f32,
    packed: *mut f32,
) {
    let (top, left) = ((stretch.row * OUT) as isize - 1, (stretch.column * OUT) as isize - 1);
    let mut depth = 0;
    for input in job.inputs.iter().filter(|input| !input.is_narrow()) {
        let source = Source::new(input, top, job.plan.rounds);
        // SAFETY: the caller answers for the scratch.
        unsafe { source.transform(s, layout, input.stride, left, stretch, inputs.add(depth), columns) }
        depth += input.stride;
    }
    if layout.packed > 0 {
        // SAFETY: as above. The packed columns begin with the stretch's first.
        unsafe {
            let view = pack_narrow(job, stretch, layout.depth_stride - depth, packed);
            let source = Source::new(&view, 0, job.plan.rounds);
            source.transform(s, layout, view.channels, 0, stretch, inputs.add(depth), columns);
        }
    }
}

/// Copies the narrow inputs of a stretch to `packed`, `[row][column][channel]`, zeros outside.
///
/// # Safety
/// The scratch must be as the layout says.
#[inline(always)]
unsafe fn pack_narrow(job: &Job<'_>, stretch: Stretch, channels: usize, packed: *mut f32) -> View {
    let width = OUT * stretch.count + 2;
    for row in 0..IN {
        for column in 0..width {
            let to = packed.wrapping_add((row * width + column) * channels);
            let y = (stretch.row * OUT + row).checked_sub(1).filter(|&y| y < job.height);
            let x = (stretch.column * OUT + column).checked_sub(1).filter(|&x| x < job.width);
            // SAFETY: the layout has room for the width; what is written beyond the channels is overwritten, or slack.
            unsafe {
                let (Some(y), Some(x)) = (y, x) else {
                    to.write_bytes(0, channels);
                    continue;
                };
                let mut to = to;
                for input in job.inputs.iter().filter(|input| input.is_narrow()) {
                    to.cast::<[f32; 4]>().write_unaligned(narrow(input, y, x));
                    to = to.add(input.channels);
                }
            }
        }
    }
    View { start: packed.cast(), height: IN, width, channels, stride: channels, bf16: false }
}

/// Multiplies the transformed inputs of one point by one block of its weights.
///
/// # Safety
/// The scratch must be as the layout says.
#[inline(always)]
unsafe fn multiply<S: Simd, const P: usize, const N: usize>(
    s: S,
    job: &Job<'_>,
    layout: &Layout,
    count: usize,
    inputs: *const f32,
    weights: *const f32,
    products: *mut f32,
) {
    for first in (0..count).step_by(P) {
        let left = Left {
            start: inputs.wrapping_add(first * layout.depth_stride),
            pixel: layout.depth_stride,
            runs: 1,
            run_stride: 0,
            run_len: layout.depth,
        };
        // SAFETY: a register tile divides the tiles of a task, so a whole one always fits.
        unsafe {
            let sums = tile::<S, P, N>(s, left, weights);
            for (p, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    s.store(products.add((first + p) * job.plan.sums + n * S::LANES), *sum);
                }
            }
        }
    }
}

/// Transforms the products of a stretch of tiles back and stores what they give.
///
/// # Safety
/// The scratch must be as the layout says, the tiles belong to the task.
#[inline(always)]
unsafe fn transform_products<S: Simd>(
    s: S,
    job: &Job<'_>,
    layout: &Layout,
    stretch: Stretch,
    products: *const f32,
    sums: *mut f32,
    lines: &mut Rows<'_>,
) {
    let plan = job.plan;
    let to_output = Direct::new(job);
    let straight = layout.sums == 0;
    let top = stretch.row * OUT;
    let rows = OUT.min(job.height - top);
    // Positions from a row of sums to the next.
    let pitch = OUT * stretch.count;
    for tile in 0..stretch.count {
        let left = (stretch.column + tile) * OUT;
        let columns = OUT.min(job.width - left);
        for first in (0..plan.sums).step_by(S::LANES) {
            // SAFETY: the caller answers for the scratch; only positions of the output are stored to.
            unsafe {
                let from = products.add((stretch.first + tile) * plan.sums + first);
                let mut halves = [[s.zero(); OUT]; IN];
                for (column, half) in halves.iter_mut().enumerate() {
                    let mut values = [s.zero(); IN];
                    for (row, value) in values.iter_mut().enumerate() {
                        *value = s.load(from.add((row * IN + column) * layout.product_point));
                    }
                    *half = transform_out(s, values);
                }
                let activate = Activate::new(s, job, first);
                for row in 0..OUT {
                    let mut values = [s.zero(); IN];
                    for (half, value) in halves.iter().zip(&mut values) {
                        *value = half[row];
                    }
                    let values = transform_out(s, values);
                    if row >= rows {
                        break;
                    }
                    for (column, value) in values.iter().enumerate() {
                        if column >= columns {
                            break;
                        }
                        let value = activate.apply(*value);
                        if straight {
                            to_output.store(s, top + row, left + column, first, value);
                        } else {
                            let position = row * pitch + tile * OUT + column;
                            s.store(sums.add(position * plan.sums + first), value);
                        }
                    }
                }
            }
        }
    }
    if !straight {
        lines.restart();
        let left = stretch.column * OUT;
        let columns = pitch.min(job.width - left);
        for row in 0..rows {
            // SAFETY: the positions belong to the task; the room of the sums ends two blocks later.
            unsafe { lines.write(s, top + row, left, columns, sums.add(row * pitch * plan.sums)) }
        }
    }
}
