//! The first step: `Bᵀ d B` of each tile's 6×6 inputs, channel by channel, a vector of channels at a time.

use std::marker::PhantomData;

use framelift_engine::Precision;

use super::{IN, Layout, OUT, ROOT_HALF, ROOT_TWO, Stretch};
use crate::kernels::conv::Job;
use crate::map::View;
use crate::simd::Simd;
use crate::values::{self, Bf16, F16, F32, Stored};

/// `Bᵀ` applied to six values.
#[inline(always)]
fn transform_line<S: Simd>(s: S, d: [S::V; IN]) -> [S::V; IN] {
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

/// How input values become f32 vectors.
trait Read {
    /// Bytes of a value.
    const BYTES: usize;

    /// The vector at `p`.
    ///
    /// # Safety
    /// It must be readable.
    unsafe fn read<S: Simd>(s: S, p: *const u8) -> S::V;
}

/// Stored as `I`, rounded to `P`.
struct Rounded<I, P>(PhantomData<(I, P)>);

impl<I: Stored, P: Stored> Read for Rounded<I, P> {
    const BYTES: usize = I::BYTES;

    #[inline(always)]
    unsafe fn read<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller answers for it.
        values::round(s, P::PRECISION, unsafe { values::load(s, I::PRECISION, p) })
    }
}

/// Stored as `I`, as it is.
type Plain<I> = Rounded<I, F32>;

/// Transforms the inputs of a stretch of tiles to `tiles`, `[point][tile][channel]`: padded inputs first, then the
/// narrow ones, packed.
///
/// # Safety
/// The scratch must be as the layout says.
#[inline(always)]
pub(super) unsafe fn transform<S: Simd>(
    s: S,
    job: &Job<'_>,
    layout: &Layout,
    stretch: Stretch,
    tiles: *mut f32,
    columns: *mut f32,
    staged: *mut f32,
) {
    let tiles = tiles.wrapping_add(stretch.first * layout.tile);
    let (top, left) = ((stretch.row * OUT) as isize - 1, (stretch.column * OUT) as isize - 1);
    let mut depth = 0;
    for input in job.inputs.iter().filter(|input| !input.is_narrow()) {
        let place = Place { layout, top, left, count: stretch.count, tiles: tiles.wrapping_add(depth), columns };
        // SAFETY: the caller answers for the scratch.
        unsafe {
            place.transform_rounded(s, job, input, staged);
        }
        depth += input.stride;
    }
    if depth < layout.padded_depth {
        let channels = layout.padded_depth - depth;
        // SAFETY: as above. The packed rows and columns begin with the stretch's first.
        unsafe {
            let packed = pack_narrow(job, stretch, channels, staged);
            let tiles = tiles.wrapping_add(depth);
            let place = Place { layout, top: 0, left: 0, count: stretch.count, tiles, columns };
            place.transform_rounded(s, job, &packed, staged);
        }
    }
}

/// Where the inputs of a stretch of tiles are, and where they go.
struct Place<'a> {
    layout: &'a Layout,
    /// Row and column of the first input, perhaps outside.
    top: isize,
    left: isize,
    /// Tiles.
    count: usize,
    /// The first point of the first tile.
    tiles: *mut f32,
    /// Room for the vertically transformed columns of a tile.
    columns: *mut f32,
}

impl Place<'_> {
    /// Transforms all channels of `input`, rounded as the job has it. Rows outside are read from zeros in `staged`.
    ///
    /// # Safety
    /// As for [`Self::transform_input`].
    #[inline(always)]
    unsafe fn transform_rounded<S: Simd>(&self, s: S, job: &Job<'_>, input: &View, staged: *mut f32) {
        use Precision as Is;
        let rounded = if job.plan.rounds(input) { job.plan.precision } else { Is::F32 };
        // SAFETY: the caller answers for it.
        unsafe {
            match (input.precision, rounded) {
                (Is::F32, Is::Bf16) => self.transform_input::<S, Rounded<F32, Bf16>>(s, input, staged),
                (Is::F32, Is::F16) => self.transform_input::<S, Rounded<F32, F16>>(s, input, staged),
                (Is::Bf16, Is::F16) => self.transform_input::<S, Rounded<Bf16, F16>>(s, input, staged),
                (Is::F16, Is::Bf16) => self.transform_input::<S, Rounded<F16, Bf16>>(s, input, staged),
                (Is::F32, _) => self.transform_input::<S, Plain<F32>>(s, input, staged),
                (Is::Bf16, _) => self.transform_input::<S, Plain<Bf16>>(s, input, staged),
                (Is::F16, _) => self.transform_input::<S, Plain<F16>>(s, input, staged),
            }
        }
    }

    /// Transforms all channels of `input`. Rows outside are read from zeros in `staged`.
    ///
    /// # Safety
    /// The scratch must be as the layout says. Where `staged` is the input itself, no row may be outside.
    #[inline(always)]
    unsafe fn transform_input<S: Simd, R: Read>(&self, s: S, input: &View, staged: *mut f32) {
        let pixel = input.stride * R::BYTES;
        // Rows outside take their zeros from the same offset as the others take their values.
        let first = self.left.max(0) as usize * pixel;
        let mut rows = [staged.cast::<u8>().cast_const().wrapping_sub(first); IN];
        let mut zeros = false;
        for (row, start) in rows.iter_mut().enumerate() {
            let y = self.top + row as isize;
            if y >= 0 && (y as usize) < input.height {
                *start = input.start.wrapping_add(y as usize * input.width * pixel).cast_const();
            } else {
                zeros = true;
            }
        }
        // SAFETY: `staged` has room for the columns of a stretch; the caller answers for the rest.
        unsafe {
            if zeros {
                staged.cast::<u8>().write_bytes(0, (OUT * self.count + 2) * pixel);
            }
            // Vertically transformed columns, two to a pair, three pairs for each vector; neighbours share a pair.
            let pair = 2 * IN * S::LANES;
            for tile in 0..self.count {
                let left = self.left + (tile * OUT) as isize;
                let tiles = self.tiles.wrapping_add(tile * self.layout.tile);
                let places = [2 * tile % 3 * pair, (2 * tile + 1) % 3 * pair, (2 * tile + 2) % 3 * pair];
                for channel in (0..input.stride).step_by(S::LANES) {
                    let columns = self.columns.wrapping_add(channel * IN * IN);
                    let pairs = places.map(|place| columns.wrapping_add(place));
                    let rows = rows.map(|row| row.wrapping_add(channel * R::BYTES));
                    if tile == 0 {
                        transform_pair::<S, R>(s, &rows, left, input.width, pixel, pairs[0]);
                    }
                    transform_pair::<S, R>(s, &rows, left + 2, input.width, pixel, pairs[1]);
                    transform_pair::<S, R>(s, &rows, left + 4, input.width, pixel, pairs[2]);
                    for row in 0..IN {
                        let mut values = [s.zero(); IN];
                        for (column, value) in values.iter_mut().enumerate() {
                            *value = s.load(pairs[column / 2].add((row * 2 + column % 2) * S::LANES));
                        }
                        let transformed = transform_line(s, values);
                        for (column, value) in transformed.iter().enumerate() {
                            let to = tiles.add((row * IN + column) * self.layout.point + channel);
                            // The line after next of this point: stores wait for lines that are not near.
                            s.prefetch(to.wrapping_add(2 * S::LANES).cast_const().cast());
                            s.store(to, *value);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms columns `x` and `x + 1` vertically to `pair`, `[row][column]`; columns outside are zero.
///
/// # Safety
/// Columns below `width` of all rows must be readable, and `pair` have room for twelve vectors.
#[inline(always)]
unsafe fn transform_pair<S: Simd, R: Read>(
    s: S,
    rows: &[*const u8; IN],
    x: isize,
    width: usize,
    pixel: usize,
    pair: *mut f32,
) {
    for column in 0..2 {
        let x = (x + column as isize) as usize;
        let mut values = [s.zero(); IN];
        // SAFETY: only columns inside are read; the caller answers for the rest.
        unsafe {
            if x < width {
                for (value, row) in values.iter_mut().zip(rows) {
                    *value = R::read(s, row.wrapping_add(x * pixel));
                }
                values = transform_line(s, values);
            }
            for (row, value) in values.iter().enumerate() {
                s.store(pair.add((row * 2 + column) * S::LANES), *value);
            }
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
                    to.cast::<[f32; 4]>().write_unaligned(input.four(y, x));
                    to = to.add(input.channels);
                }
            }
        }
    }
    View { start: packed.cast(), height: IN, width, channels, stride: channels, precision: Precision::F32 }
}
