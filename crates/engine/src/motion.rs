//! Motion between frames: dense Lucas-Kanade, coarse to fine (Lucas and Kanade 1981; Bouguet 2001, with the frame's own
//! gradients in place of the warped neighbour's, as in Baker and Matthews 2004). Nothing in it is trained.
//!
//! Of each frame its luma `0.299 R + 0.587 G + 0.114 B`, halved (means of 2×2, a last odd row or column left out) up to
//! three times while both sides are at least 16, and each size softened by the binomial mean over 3×3, the border
//! repeated. From the smallest size on, the flow beginning with zeros:
//!
//! ```text
//! f       = 2 · bilinear(f, this size)                          not at the smallest size
//! gx, gy  = central differences of `from`, the border repeated
//! left    = from − warp(to, f)                                  bilinear, the border repeated
//! M       = mean 9×9 of [gx², gx·gy; gx·gy, gy²] + 5e-5 · I      zeros outside
//! step    = M⁻¹ · mean 9×9 of [gx·left, gy·left]                 each clamped to ±1 pixel
//! f       = mean 5×5 of f + step                                of what lies inside
//! ```
//! A flow, `h × w × 2`, is `(dx, dy)` in pixels: where in `to` that is which lies at a position of `from`. The same as
//! `training/motion.py`.

use crate::{EngineError, HostTensor, Shape};

/// The most sizes.
const LEVELS: usize = 4;
/// The side that a size must have to be halved again.
const LEAST_SIDE: usize = 16;
/// Radius of the means of products.
pub const WINDOW: usize = 4;
/// Radius of the mean of the flow.
pub const SMOOTH: usize = 2;
/// Added to the diagonal of the matrix, in squares of values in [0, 1]: holds the flow still where nothing is seen.
pub const DAMPING: f32 = 5e-5;
/// The most that a size adds to the flow, in its pixels.
pub const STEP: f32 = 1.0;

/// Height and width of each size of a frame, largest first.
///
/// # Errors
/// [`EngineError::Shape`] unless `frame` has three channels and a pixel.
pub fn sizes(frame: Shape) -> Result<Vec<(usize, usize)>, EngineError> {
    let Shape { mut height, mut width, channels, .. } = frame.one_map()?;
    if channels != 3 || frame.is_empty() {
        return Err(EngineError::Shape(format!("motion of a map of {frame}; frames have three channels")));
    }
    let mut sizes = vec![(height, width)];
    while sizes.len() < LEVELS && height.min(width) >= LEAST_SIDE {
        (height, width) = (height / 2, width / 2);
        sizes.push((height, width));
    }
    Ok(sizes)
}

/// Whether there is motion from `from` to `to`: both must be frames of one size.
///
/// # Errors
/// [`EngineError::Shape`] where they are not.
pub fn check(from: Shape, to: Shape) -> Result<(), EngineError> {
    if to == from { Ok(()) } else { Err(EngineError::Shape(format!("motion from a frame of {from} to one of {to}"))) }
}

/// A frame to find flows from.
pub struct Motion {
    /// Largest first.
    levels: Vec<Level>,
}

/// One size of it.
struct Level {
    here: Plane,
    gx: Plane,
    gy: Plane,
    /// The inverse of the damped matrix: `[xx, xy, yy]`.
    inverse: [Plane; 3],
}

impl Motion {
    /// Of `frame`, `h × w × 3`, RGB in [0, 1].
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless it has three channels and a pixel.
    pub fn of(frame: &HostTensor) -> Result<Self, EngineError> {
        Ok(Self { levels: pyramid(frame)?.into_iter().map(Level::new).collect() })
    }

    /// The flow to `other`, a frame of the same size.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless it is one.
    pub fn flow_to(&self, other: &HostTensor) -> Result<HostTensor, EngineError> {
        let Plane { height, width, .. } = self.levels[0].here;
        check(Shape::new(height, width, 3), other.shape())?;
        let there = pyramid(other)?;
        let mut flow: Option<[Plane; 2]> = None;
        for (level, there) in self.levels.iter().zip(&there).rev() {
            let (height, width) = (there.height, there.width);
            let [u, v] = match flow {
                None => [Plane::zeros(height, width), Plane::zeros(height, width)],
                Some(flow) => flow.map(|part| part.doubled(height, width)),
            };
            flow = Some(level.corrected(there, u, v));
        }
        let [u, v] = flow.unwrap_or_else(|| [Plane::zeros(height, width), Plane::zeros(height, width)]);
        let values = u.data.iter().zip(&v.data).flat_map(|(&u, &v)| [u, v]).collect();
        HostTensor::new(Shape::new(height, width, 2), values)
    }
}

impl Level {
    fn new(here: Plane) -> Self {
        let (gx, gy) = here.gradients();
        let mean = |a: &Plane, b: &Plane| a.times(b).mean(WINDOW, false);
        let (mut xx, mut xy, mut yy) = (mean(&gx, &gx), mean(&gx, &gy), mean(&gy, &gy));
        for ((a, b), c) in xx.data.iter_mut().zip(&mut xy.data).zip(&mut yy.data) {
            let (p, q, r) = (*a + DAMPING, *b, *c + DAMPING);
            let over = 1.0 / (p * r - q * q);
            (*a, *b, *c) = (r * over, -q * over, p * over);
        }
        Self { here, gx, gy, inverse: [xx, xy, yy] }
    }

    /// The flow `(u, v)` with a step of this size added.
    fn corrected(&self, there: &Plane, mut u: Plane, mut v: Plane) -> [Plane; 2] {
        let left = self.here.minus_warped(there, &u, &v);
        let (xt, yt) = (self.gx.times(&left).mean(WINDOW, false), self.gy.times(&left).mean(WINDOW, false));
        let [xx, xy, yy] = &self.inverse;
        let add = |flow: &mut Plane, a: &Plane, b: &Plane| {
            let rights = xt.data.iter().zip(&yt.data);
            for ((f, (&a, &b)), (&xt, &yt)) in flow.data.iter_mut().zip(a.data.iter().zip(&b.data)).zip(rights) {
                *f += (a * xt + b * yt).clamp(-STEP, STEP);
            }
        };
        add(&mut u, xx, xy);
        add(&mut v, xy, yy);
        [u.mean(SMOOTH, true), v.mean(SMOOTH, true)]
    }
}

/// The sizes of a frame's luma, softened, largest first.
fn pyramid(frame: &HostTensor) -> Result<Vec<Plane>, EngineError> {
    let count = sizes(frame.shape())?.len();
    let Shape { height, width, .. } = frame.shape();
    let (pixels, _) = frame.data().as_chunks::<3>();
    let data = pixels.iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect();
    let mut planes = vec![Plane { height, width, data }];
    while planes.len() < count {
        let half = planes[planes.len() - 1].halved();
        planes.push(half);
    }
    Ok(planes.iter().map(Plane::softened).collect())
}

/// A map of one channel.
struct Plane {
    height: usize,
    width: usize,
    data: Vec<f32>,
}

impl Plane {
    fn zeros(height: usize, width: usize) -> Self {
        Self { height, width, data: vec![0.0; height * width] }
    }

    /// The row `y`, or the nearest that there is.
    fn row(&self, y: isize) -> &[f32] {
        let y = y.clamp(0, self.height as isize - 1) as usize;
        &self.data[y * self.width..][..self.width]
    }

    /// A plane of this size, made row by row.
    fn by_rows(&self, mut fill: impl FnMut(usize, &mut [f32])) -> Self {
        let mut made = Self::zeros(self.height, self.width);
        for (y, row) in made.data.chunks_exact_mut(self.width).enumerate() {
            fill(y, row);
        }
        made
    }

    fn times(&self, other: &Self) -> Self {
        let data = self.data.iter().zip(&other.data).map(|(a, b)| a * b).collect();
        Self { height: self.height, width: self.width, data }
    }

    /// Means of 2×2.
    fn halved(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let mut data = Vec::with_capacity(height * width);
        for y in 0..height {
            let (upper, _) = self.row(2 * y as isize).as_chunks::<2>();
            let (lower, _) = self.row(2 * y as isize + 1).as_chunks::<2>();
            data.extend(upper.iter().zip(lower).map(|([a, b], [c, d])| (a + b + c + d) / 4.0));
        }
        Self { height, width, data }
    }

    /// The binomial mean over 3×3.
    fn softened(&self) -> Self {
        let mut line = vec![0.0; self.width + 2];
        self.by_rows(|y, row| {
            let y = y as isize;
            let rows = self.row(y - 1).iter().zip(self.row(y)).zip(self.row(y + 1));
            for (to, ((a, b), c)) in line[1..].iter_mut().zip(rows) {
                *to = (a + 2.0 * b + c) / 16.0;
            }
            repeat_ends(&mut line, 1);
            for (to, three) in row.iter_mut().zip(line.windows(3)) {
                *to = three[0] + 2.0 * three[1] + three[2];
            }
        })
    }

    /// Central differences along rows and along columns.
    fn gradients(&self) -> (Self, Self) {
        let mut line = vec![0.0; self.width + 2];
        let along = self.by_rows(|y, row| {
            line[1..=self.width].copy_from_slice(self.row(y as isize));
            repeat_ends(&mut line, 1);
            for (to, three) in row.iter_mut().zip(line.windows(3)) {
                *to = (three[2] - three[0]) / 2.0;
            }
        });
        let across = self.by_rows(|y, row| {
            let y = y as isize;
            for (to, (upper, lower)) in row.iter_mut().zip(self.row(y - 1).iter().zip(self.row(y + 1))) {
                *to = (lower - upper) / 2.0;
            }
        });
        (along, across)
    }

    /// The mean over `2 · radius + 1` rows and columns; outside are zeros, or, where only what is `inside` counts, nothing.
    fn mean(&self, radius: usize, inside: bool) -> Self {
        let mut line = vec![0.0; self.width + 2 * radius];
        let side = 2 * radius + 1;
        let reached = |at: usize, len: usize| ((at + radius + 1).min(len) - at.saturating_sub(radius)) as f32;
        let columns: Vec<f32> = (0..self.width).map(|x| reached(x, self.width)).collect();
        self.by_rows(|y, row| {
            let sums = &mut line[radius..radius + self.width];
            sums.fill(0.0);
            for near in y.saturating_sub(radius)..(y + radius + 1).min(self.height) {
                for (sum, value) in sums.iter_mut().zip(self.row(near as isize)) {
                    *sum += value;
                }
            }
            row.fill(0.0);
            for shift in 0..side {
                for (sum, value) in row.iter_mut().zip(&line[shift..]) {
                    *sum += value;
                }
            }
            if inside {
                let rows = reached(y, self.height);
                row.iter_mut().zip(&columns).for_each(|(sum, columns)| *sum /= rows * columns);
            } else {
                row.iter_mut().for_each(|sum| *sum /= (side * side) as f32);
            }
        })
    }

    /// This, less what lies in `there` where the flow `(u, v)` points.
    fn minus_warped(&self, there: &Self, u: &Self, v: &Self) -> Self {
        let (right, bottom) = ((self.width - 1) as f32, (self.height - 1) as f32);
        self.by_rows(|y, row| {
            let at = y as isize;
            let flow = u.row(at).iter().zip(v.row(at));
            for (x, ((to, here), (u, v))) in row.iter_mut().zip(self.row(at)).zip(flow).enumerate() {
                let (px, py) = ((x as f32 + u).clamp(0.0, right), (y as f32 + v).clamp(0.0, bottom));
                let (left, top) = (px as usize, py as usize);
                let (fx, fy) = (px - left as f32, py - top as f32);
                let (next, below) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
                let (upper, lower) = (top * self.width, below * self.width);
                let above = there.data[upper + left] * (1.0 - fx) + there.data[upper + next] * fx;
                let under = there.data[lower + left] * (1.0 - fx) + there.data[lower + next] * fx;
                *to = here - (above * (1.0 - fy) + under * fy);
            }
        })
    }

    /// Twice the values at about twice the size, bilinear, half-pixel centres.
    fn doubled(&self, height: usize, width: usize) -> Self {
        let place = |at: usize, from: usize, to: usize| {
            let position = ((at as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
            let first = (position as usize).min(from - 1);
            (first, (first + 1).min(from - 1), position - first as f32)
        };
        let columns: Vec<_> = (0..width).map(|x| place(x, self.width, width)).collect();
        Self::zeros(height, width).by_rows(|y, row| {
            let (top, below, fy) = place(y, self.height, height);
            let (upper, lower) = (self.row(top as isize), self.row(below as isize));
            for (to, &(left, next, fx)) in row.iter_mut().zip(&columns) {
                let above = upper[left] * (1.0 - fx) + upper[next] * fx;
                let under = lower[left] * (1.0 - fx) + lower[next] * fx;
                *to = 2.0 * (above * (1.0 - fy) + under * fy);
            }
        })
    }
}

/// Sets the first and the last `count` values of a line to those beside them.
fn repeat_ends(line: &mut [f32], count: usize) {
    let last = line.len() - count - 1;
    let (first, end) = (line[count], line[last]);
    line[..count].fill(first);
    line[last + 1..].fill(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with detail in every direction, moved by `(dx, dy)`.
    fn moved(height: usize, width: usize, dx: f32, dy: f32) -> HostTensor {
        HostTensor::from_fn(Shape::new(height, width, 3), |y, x, channel| {
            let (x, y) = (x as f32 + dx, y as f32 + dy);
            let value = (x * 0.31 + y * 0.11).sin() + (y * 0.37 - x * 0.07).cos() + (x * 0.05).sin() * (y * 0.06).cos();
            0.5 + 0.15 * value + 0.02 * channel as f32
        })
    }

    #[test]
    fn known_motion_is_found() {
        for (dx, dy) in [(0.0, 0.0), (0.3, -0.2), (-1.4, 0.8), (3.0, 2.5)] {
            let (from, to) = (moved(61, 83, 0.0, 0.0), moved(61, 83, dx, dy));
            let flow = Motion::of(&from).unwrap().flow_to(&to).unwrap();
            // Far from what moves in and out at the borders.
            for y in 15..46 {
                for x in 15..68 {
                    let (u, v) = (flow.at(y, x, 0), flow.at(y, x, 1));
                    let error = (u + dx).hypot(v + dy);
                    assert!(error < 0.1 + 0.05 * dx.hypot(dy), "({dx}, {dy}) at {x}, {y}: ({u}, {v})");
                }
            }
        }
    }

    #[test]
    fn a_still_picture_does_not_move() {
        for (height, width) in [(1, 1), (1, 40), (16, 16), (17, 15), (40, 33)] {
            let frame = moved(height, width, 0.0, 0.0);
            let flow = Motion::of(&frame).unwrap().flow_to(&frame).unwrap();
            assert_eq!(flow.shape(), Shape::new(height, width, 2));
            assert!(flow.data().iter().all(|v| *v == 0.0), "{height}x{width}");
        }
    }

    #[test]
    fn flat_and_broken_frames_are_survived() {
        let flat = |value: f32| HostTensor::from_fn(Shape::new(20, 24, 3), |_, _, _| value);
        let flow = Motion::of(&flat(0.2)).unwrap().flow_to(&flat(0.9)).unwrap();
        assert!(flow.data().iter().all(|v| v.abs() < 1e-3), "light is not motion");
        let flow = Motion::of(&flat(0.2)).unwrap().flow_to(&flat(f32::NAN)).unwrap();
        assert!(flow.data().iter().any(|v| v.is_nan()), "what is not finite stays so, for the check at the end");
    }

    #[test]
    fn frames_of_other_shapes_are_refused() {
        let frame = moved(20, 20, 0.0, 0.0);
        let other = moved(20, 21, 0.0, 0.0);
        assert!(matches!(Motion::of(&frame).unwrap().flow_to(&other), Err(EngineError::Shape(_))));
        let flow = HostTensor::from_fn(Shape::new(4, 4, 2), |_, _, _| 0.0);
        assert!(matches!(Motion::of(&flow), Err(EngineError::Shape(_))));
    }
}
