//! Which of several shapes of the convolution's cubes a card runs fastest: measured once for each kind of layer, and kept on
//! disk.
//!
//! All shapes that are tried take the sums of an output in the same order, so that the choice changes the time and nothing
//! else.

mod cache;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::Cache;

use crate::GpuInfo;
use crate::kernels::product::{Block, MatrixSize};

/// Whether the shapes of kernels are measured, and where what was found is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tuning {
    /// Measured on cards and kept in the user's cache folder; software that stands in for a card is not worth it.
    #[default]
    Auto,
    /// Never: the shapes that are good on most cards.
    Off,
    /// Measured on whatever there is, and kept in this folder.
    In(PathBuf),
    /// Not measured: of the shapes that there are for a layer the one of this number, or the last. For tests.
    Fixed(usize),
}

impl Tuning {
    /// What the environment variable `FRAMELIFT_GPU_TUNING` says: `off`, or a folder; [`Tuning::Auto`] where it is not set.
    #[must_use]
    pub fn from_env() -> Self {
        match std::env::var_os("FRAMELIFT_GPU_TUNING") {
            None => Self::Auto,
            Some(value) if value.is_empty() => Self::Auto,
            Some(value) if value == "off" => Self::Off,
            Some(folder) => Self::In(folder.into()),
        }
    }
}

/// What measuring may take of an engine's time, in all.
const BUDGET: Duration = Duration::from_millis(1500);

/// What the tries of one kind of layer may take: they end when it is over, but a try that has begun goes on.
const BUDGET_OF_A_LAYER: Duration = Duration::from_millis(400);

/// A shape that is not this much faster than the usual one is not worth leaving it.
const WORTH: f64 = 0.97;

/// How units of a cube share its outputs and pixels: columns, vectors, rows, pixels, as in [`Block`].
pub(crate) type Shape = [usize; 4];

/// The shape of a block.
pub(crate) fn shape_of(block: &Block) -> Shape {
    [block.columns, block.vectors, block.rows, block.pixels]
}

/// The shapes worth a try for so many vectors of outputs, the usual one first.
pub(crate) fn shapes(output_vectors: usize, is_software: bool) -> &'static [Shape] {
    match output_vectors {
        0..=1 => &[[1, 1, 64, 4], [1, 1, 128, 2], [1, 1, 64, 2]],
        2 => &[[2, 1, 32, 4], [1, 2, 64, 4], [2, 1, 64, 2]],
        3..=4 => &[[4, 1, 32, 4], [2, 2, 32, 4], [4, 1, 16, 8]],
        5..=8 if is_software => &[[8, 1, 16, 4], [8, 1, 16, 8]],
        5..=8 => &[[8, 1, 16, 8], [4, 2, 32, 4], [8, 1, 32, 4]],
        _ if is_software => &[[16, 1, 16, 4], [8, 2, 16, 4]],
        _ => &[[8, 2, 16, 8], [16, 1, 16, 8], [8, 2, 32, 4], [16, 1, 16, 4]],
    }
}

/// Likewise for as many outputs in matrices of the size, with planes of `plane_units` units: of those at most, and at least,
/// that a plane has on the device. What a driver takes for a kernel it does not say.
pub(crate) fn shapes_of_matrices(
    outputs: usize,
    matrix: MatrixSize,
    plane_units: (usize, usize),
    is_software: bool,
) -> Vec<Shape> {
    let (most, least) = plane_units;
    // Outputs of a cube.
    let matrices = if is_software { 2 } else { 64 / matrix.outputs };
    let matrices = outputs.div_ceil(matrix.outputs).min(matrices);
    if is_software {
        // The second is for tests: as where planes are larger than was counted on.
        return vec![[most, matrices, 4, 1], [most / 2, matrices, 4, 1]];
    }
    let shapes = [[most, matrices, 4, 2], [most, matrices, 4, 4], [most, matrices, 8, 2], [most, matrices, 4, 1]];
    shapes.into_iter().chain((least < most).then_some([least, matrices, 4, 2])).collect()
}

/// What an engine knows of its card.
pub(crate) struct Tuner {
    how: Tuning,
    /// `None` where nothing is measured.
    cache: Option<Cache>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The shape of each kind of layer that was measured.
    known: BTreeMap<String, Shape>,
    spent: Duration,
}

impl Tuner {
    pub(crate) fn new(how: &Tuning, device: &GpuInfo, is_software: bool) -> Self {
        let cache = match how {
            Tuning::Auto if is_software => None,
            Tuning::Auto => cache::user_folder().map(|folder| Cache::new(&folder, device)),
            Tuning::In(folder) => Some(Cache::new(folder, device)),
            Tuning::Off | Tuning::Fixed(_) => None,
        };
        let known = cache.as_ref().map(Cache::read).unwrap_or_default();
        Self { how: how.clone(), cache, state: Mutex::new(State { known, spent: Duration::ZERO }) }
    }

    /// Which of `shapes`, of which there is at least one, a layer of the kind `layer` should have. `time` is asked for the
    /// time of one where it is not known and there is time to measure; `None` of it means that the shape does not work.
    pub(crate) fn choose(
        &self,
        layer: &str,
        shapes: &[Shape],
        mut time: impl FnMut(Shape) -> Option<Duration>,
    ) -> Shape {
        let usual = shapes[0];
        if let Tuning::Fixed(number) = self.how {
            return shapes[number.min(shapes.len() - 1)];
        }
        let Some(cache) = &self.cache else { return usual };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.known.get(layer) {
            return if shapes.contains(known) { *known } else { usual };
        }
        if shapes.len() == 1 || state.spent >= BUDGET {
            return usual;
        }
        let begun = Instant::now();
        let left = BUDGET - state.spent;
        let (mut best, mut least) = (usual, f64::INFINITY);
        let mut whole = true;
        for (n, &shape) in shapes.iter().enumerate() {
            if n > 0 && begun.elapsed() >= left.min(BUDGET_OF_A_LAYER) {
                whole = left >= BUDGET_OF_A_LAYER;
                break;
            }
            let Some(taken) = time(shape) else { continue };
            let taken = taken.as_secs_f64();
            if taken < if n == 0 { least } else { least * WORTH } {
                (best, least) = (shape, taken);
            }
        }
        state.spent += begun.elapsed();
        // What there was no time for may be measured another time.
        if whole {
            state.known.insert(layer.to_owned(), best);
            cache.write(&state.known);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::cache::tests::device;

    const SHAPES: [Shape; 3] = [[8, 2, 16, 8], [16, 1, 16, 8], [8, 2, 32, 4]];

    /// The second is the fastest.
    fn time(shape: Shape) -> Option<Duration> {
        Some(Duration::from_micros(if shape == SHAPES[1] { 50 } else { 100 }))
    }

    fn never(_: Shape) -> Option<Duration> {
        panic!("nothing is to be measured")
    }

    #[test]
    fn what_was_measured_is_known_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let tuner = || Tuner::new(&Tuning::In(folder.path().into()), &device("card"), false);
        assert_eq!(tuner().choose("a", &SHAPES, time), SHAPES[1]);
        assert_eq!(tuner().choose("a", &SHAPES, never), SHAPES[1]);
        // Another kind of layer, another card, and shapes that are no longer there.
        assert_eq!(tuner().choose("b", &SHAPES, |_| Some(Duration::from_micros(9))), SHAPES[0]);
        let other = Tuner::new(&Tuning::In(folder.path().into()), &device("another card"), false);
        assert_eq!(other.choose("a", &SHAPES[..1], never), SHAPES[0]);
        assert_eq!(tuner().choose("a", &SHAPES[2..], never), SHAPES[2]);
    }

    #[test]
    fn shapes_that_do_not_work_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let tuner = Tuner::new(&Tuning::In(folder.path().into()), &device("card"), false);
        assert_eq!(tuner.choose("a", &SHAPES, |shape| time(shape).filter(|_| shape == SHAPES[2])), SHAPES[2]);
        assert_eq!(tuner.choose("b", &SHAPES, |_| None), SHAPES[0]);
    }

    #[test]
    fn the_time_for_it_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let tuner = Tuner::new(&Tuning::In(folder.path().into()), &device("card"), false);
        let begun = Instant::now();
        let mut tries = 0;
        for n in 0..100 {
            tuner.choose(&n.to_string(), &SHAPES, |shape| {
                tries += 1;
                std::thread::sleep(Duration::from_millis(110));
                time(shape)
            });
        }
        assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
        assert!(tries < 20, "{tries}");
        assert!(tries > 10, "{tries}");
    }

    #[test]
    fn without_a_cache_nothing_is_measured() {
        for how in [Tuning::Off, Tuning::Fixed(0)] {
            assert_eq!(Tuner::new(&how, &device("card"), false).choose("a", &SHAPES, never), SHAPES[0]);
        }
        assert_eq!(Tuner::new(&Tuning::Auto, &device("card"), true).choose("a", &SHAPES, never), SHAPES[0]);
        assert_eq!(Tuner::new(&Tuning::Fixed(9), &device("card"), false).choose("a", &SHAPES, never), SHAPES[2]);
    }
}
