//! What comes after the sums: bias, activation, scale, addend, pixel shuffle, rounding, the store.
//!
//! Where the output has the layout of the sums (padded channels), each vector goes from registers to its place
//! ([`Direct`]). Else a task keeps the activated sums of its positions in its scratch and writes whole pieces
//! of output rows ([`Rows`]).

use framelift_engine::Upsample;

use super::Job;
use crate::map::{BLOCK, View};
use crate::simd::Simd;

/// The addend of a convolution.
pub(crate) struct Added {
    pub(crate) view: View,
    pub(crate) upsample: Upsample,
    /// Output rows and columns for each row and column of the addend.
    pub(crate) factor: (usize, usize),
    /// For each output column, where bilinear upsampling takes its value from. Empty for other kinds.
    pub(crate) columns: Vec<Tap>,
}

/// Two neighbours and the weight of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tap {
    pub(crate) first: usize,
    pub(crate) second: usize,
    pub(crate) weight: f32,
}

impl Tap {
    /// For position `at` of a line that is `factor` times as long as its source of `len` values: half-pixel centres,
    /// edges clamped.
    pub(crate) fn bilinear(at: usize, factor: usize, len: usize) -> Self {
        let source = ((at as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
        let first = (source as usize).min(len - 1);
        Self { first, second: (first + 1).min(len - 1), weight: source - first as f32 }
    }
}

impl Added {
    /// `view`, brought to a width of `width` columns and `height` rows.
    pub(crate) fn new(view: View, upsample: Upsample, height: usize, width: usize) -> Self {
        let factor = (height / view.height, width / view.width);
        let columns = match upsample {
            Upsample::Bilinear => (0..width).map(|x| Tap::bilinear(x, factor.1, view.width)).collect(),
            Upsample::None | Upsample::Nearest => Vec::new(),
        };
        Self { view, upsample, factor, columns }
    }
}

/// Whether sums can go straight to the output.
pub(super) fn is_direct(job: &Job<'_>) -> bool {
    let added_fits = job.added.as_ref().is_none_or(|added| added.upsample == Upsample::None);
    !job.output.is_narrow() && added_fits
}

/// Bias and activation of one vector of sums, ready in registers.
#[derive(Clone, Copy)]
pub(super) struct Activate<S: Simd> {
    s: S,
    bias: S::V,
    slope: S::V,
    scale: S::V,
}

impl<S: Simd> Activate<S> {
    /// For the vector that starts at sum `first`.
    ///
    /// # Safety
    /// The plan must have that many sums.
    #[inline(always)]
    pub(super) unsafe fn new(s: S, job: &Job<'_>, first: usize) -> Self {
        // SAFETY: bias and slopes are as long as there are sums.
        unsafe {
            let bias = s.load(job.plan.bias.as_ptr().add(first));
            let slope = s.load(job.plan.slopes.as_ptr().add(first));
            Self { s, bias, slope, scale: s.splat(job.plan.scale) }
        }
    }

    /// `scale * activation(bias + sum)`.
    #[inline(always)]
    pub(super) fn apply(self, sum: S::V) -> S::V {
        let s = self.s;
        s.mul(s.leaky(s.add(sum, self.bias), self.slope), self.scale)
    }
}

/// Stores activated sums straight to the output, the addend added.
#[derive(Clone, Copy)]
pub(super) struct Direct<'a> {
    output: &'a View,
    added: Option<&'a View>,
    /// Factor of the pixel shuffle.
    shuffle: usize,
    /// Where the shuffle puts the vector within the square of a position's pixels.
    row: usize,
    column: usize,
    /// The vector's first channel there.
    channel: usize,
}

impl<'a> Direct<'a> {
    /// For the vector that starts at sum `first`.
    #[inline(always)]
    pub(super) fn new(job: &'a Job<'a>, first: usize) -> Self {
        let (shuffle, stride) = (job.plan.shuffle, job.plan.out_stride);
        let (row, column) = (first / stride / shuffle, first / stride % shuffle);
        let added = job.added.as_ref().map(|added| &added.view);
        Self { output: &job.output, added, shuffle, row, column, channel: first % stride }
    }

    /// Stores the vector of the sums' row `y`, column `x`.
    ///
    /// # Safety
    /// [`is_direct`] must hold, the position lie in the output, and belong to the task.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(&self, s: S, y: usize, x: usize, mut value: S::V) {
        let (y, x, first) = (y * self.shuffle + self.row, x * self.shuffle + self.column, self.channel);
        // SAFETY: output and addend have the sums' layout, so the vector lies inside the pixel in both.
        unsafe {
            if let Some(added) = self.added {
                value = s.add(value, added.load(s, y, x, first));
            }
            self.output.store(s, y, x, first, value);
        }
    }
}

/// Writes pieces of output rows from activated sums, with the lines that this needs.
pub(super) struct Rows<'a> {
    job: &'a Job<'a>,
    /// Positions of sums that a piece has at most.
    /// The piece of an output row.
    line: *mut f32,
    /// The piece of the addend that belongs to it.
    base: *mut f32,
    /// Two rows of the addend, stretched to the output's columns, and which rows these are.
    stretched: [(*mut f32, usize); 2],
}

/// No row is stretched yet.
const NO_ROW: usize = usize::MAX;

impl<'a> Rows<'a> {
    /// Values of scratch for pieces of up to `positions` positions.
    pub(super) fn scratch_len(job: &Job<'_>, positions: usize) -> usize {
        4 * Self::line_len(job, positions)
    }

    fn line_len(job: &Job<'_>, positions: usize) -> usize {
        (positions * job.plan.shuffle * job.plan.out_stride).next_multiple_of(BLOCK) + 2 * BLOCK
    }

    /// With lines in `scratch`, which holds [`Self::scratch_len`] values.
    pub(super) fn new(job: &'a Job<'a>, positions: usize, scratch: *mut f32) -> Self {
        let line = |i: usize| scratch.wrapping_add(i * Self::line_len(job, positions));
        Self { job, line: line(0), base: line(1), stretched: [(line(2), NO_ROW), (line(3), NO_ROW)] }
    }

    /// Another piece of the columns begins: what was stretched is of no use.
    pub(super) fn restart(&mut self) {
        self.stretched[0].1 = NO_ROW;
        self.stretched[1].1 = NO_ROW;
    }

    /// Writes what `count` positions of row `y` from column `x` on give. `sums` holds the activated sums of each.
    ///
    /// # Safety
    /// The positions must belong to the task; a block beyond the last position's sums must be readable.
    #[inline(always)]
    pub(super) unsafe fn write<S: Simd>(&mut self, s: S, y: usize, x: usize, count: usize, sums: *const f32) {
        let plan = self.job.plan;
        let piece = plan.shuffle * plan.out_stride;
        for dy in 0..plan.shuffle {
            for position in 0..count {
                let from = sums.wrapping_add(position * plan.sums + dy * piece);
                let to = self.line.wrapping_add(position * piece);
                for i in (0..piece).step_by(S::LANES) {
                    // SAFETY: what is read or written beyond the piece is of the next one (or of the slack of sums
                    // and line), which is written later.
                    unsafe { s.store(to.add(i), s.load(from.add(i))) }
                }
            }
            let (y, x, columns) = (y * plan.shuffle + dy, x * plan.shuffle, count * plan.shuffle);
            // SAFETY: these positions of the output belong to the task.
            unsafe {
                let base = self.base_line(s, y, x, columns);
                self.store_line(s, y, x, columns * plan.out_stride, base);
            }
        }
    }

    /// Stores `len` values of the line, `base` added where there is one.
    ///
    /// # Safety
    /// They must lie in row `y` of the output and belong to the task.
    #[inline(always)]
    unsafe fn store_line<S: Simd>(&self, s: S, y: usize, x: usize, len: usize, base: Option<*const f32>) {
        let output = &self.job.output;
        let whole = len - len % S::LANES;
        // SAFETY: only values before `len` are written; line and base are longer.
        unsafe {
            for i in (0..whole).step_by(S::LANES) {
                let mut value = s.load(self.line.add(i));
                if let Some(base) = base {
                    value = s.add(value, s.load(base.add(i)));
                }
                output.store(s, y, x, i, value);
            }
            for i in whole..len {
                let value = *self.line.add(i) + base.map_or(0.0, |base| *base.add(i));
                output.put(y, x, i, value);
            }
        }
    }

    /// The addend at `columns` positions of output row `y` from `x` on, in the output's layout.
    ///
    /// # Safety
    /// The positions must lie in the output.
    #[inline(always)]
    unsafe fn base_line<S: Simd>(&mut self, s: S, y: usize, x: usize, columns: usize) -> Option<*const f32> {
        let added = self.job.added.as_ref()?;
        // SAFETY: rows and columns stay inside the addend, whose size times the factor is the output's.
        unsafe {
            match added.upsample {
                Upsample::None => {
                    widen(s, &added.view, y, x, columns * added.view.stride, self.base);
                    Some(self.base)
                }
                Upsample::Nearest => Some(self.stretched_row(s, added, y / added.factor.0, 0, x, columns)),
                Upsample::Bilinear => {
                    let tap = Tap::bilinear(y, added.factor.0, added.view.height);
                    // Each row has its place by parity, so that neighbours never push each other out.
                    let first = self.stretched_row(s, added, tap.first, tap.first % 2, x, columns);
                    let second = self.stretched_row(s, added, tap.second, tap.second % 2, x, columns);
                    let weight = s.splat(tap.weight);
                    for i in (0..columns * added.view.stride).step_by(S::LANES) {
                        let (a, b) = (s.load(first.add(i)), s.load(second.add(i)));
                        s.store(self.base.add(i), s.fma(s.sub(b, a), weight, a));
                    }
                    Some(self.base)
                }
            }
        }
    }

    /// Row `row` of the addend, stretched to `columns` output columns from `x` on, kept in `place`.
    ///
    /// # Safety
    /// The row must lie in the addend, the columns in the output.
    #[inline(always)]
    unsafe fn stretched_row<S: Simd>(
        &mut self,
        s: S,
        added: &Added,
        row: usize,
        place: usize,
        x: usize,
        columns: usize,
    ) -> *const f32 {
        let (line, kept) = self.stretched[place];
        if kept != row {
            let bilinear = added.upsample == Upsample::Bilinear;
            // SAFETY: source columns are inside the addend; lines are longer than the columns by a block, and what
            // is written beyond a pixel is overwritten by the next.
            unsafe {
                match (added.view.is_narrow(), bilinear) {
                    (true, false) => {
                        for i in 0..columns {
                            let pixel = added.view.four(row, (x + i) / added.factor.1);
                            line.add(i * added.view.stride).cast::<[f32; 4]>().write_unaligned(pixel);
                        }
                    }
                    (true, true) => {
                        for i in 0..columns {
                            let tap = added.columns[x + i];
                            let (a, b) = (added.view.four(row, tap.first), added.view.four(row, tap.second));
                            let pixel: [f32; 4] = std::array::from_fn(|c| a[c] + (b[c] - a[c]) * tap.weight);
                            line.add(i * added.view.stride).cast::<[f32; 4]>().write_unaligned(pixel);
                        }
                    }
                    (false, _) => {
                        for i in 0..columns {
                            let tap = if bilinear {
                                added.columns[x + i]
                            } else {
                                let first = (x + i) / added.factor.1;
                                Tap { first, second: first, weight: 0.0 }
                            };
                            for c in (0..added.view.stride).step_by(S::LANES) {
                                let a = added.view.load(s, row, tap.first, c);
                                let b = added.view.load(s, row, tap.second, c);
                                let value = s.fma(s.sub(b, a), s.splat(tap.weight), a);
                                s.store(line.add(i * added.view.stride + c), value);
                            }
                        }
                    }
                }
            }
            self.stretched[place].1 = row;
        }
        line
    }
}

/// Copies `len` values (rounded up to whole vectors) from a pixel on, widened.
///
/// # Safety
/// They must lie inside the map or its slack, and in what `to` points to.
#[inline(always)]
pub(super) unsafe fn widen<S: Simd>(s: S, view: &View, y: usize, x: usize, len: usize, to: *mut f32) {
    for i in (0..len).step_by(S::LANES) {
        // SAFETY: the caller answers for it.
        unsafe { s.store(to.add(i), view.load(s, y, x, i)) }
    }
}
