//! The pictures of the test film: two shots, as functions of place and time, at any size.
//!
//! The first pans along a brick wall with a sign, a striped ball rolling before it; the second turns a star of fine
//! spokes over a grey ramp while text rolls by. Edges are softened by about a pixel, as a lens would, so that
//! the picture is free of aliasing at the size it is drawn for.

use framelift::{Frame, Plane, Size, Timestamp};

use crate::font::Text;

/// Where the second shot begins, in seconds.
pub(crate) const CUT_S: f64 = 1.6;

/// All that is drawn.
pub(crate) struct Scene {
    sign: Text,
    small: Text,
    rolling: Vec<Text>,
}

type Rgb = [f32; 3];

impl Scene {
    pub(crate) fn new() -> Self {
        let rolling = [
            "EVERY FRAME IN ITS PLACE",
            "EVERY TICK OF TIME KEPT",
            "SOUND, SUBTITLES, CHAPTERS",
            "1234567890",
            "NO SHOT BLEEDS INTO THE NEXT",
            "FRAMELIFT TEST FILM",
            "PACK MY BOX WITH FIVE DOZEN",
            "LIQUOR JUGS",
        ];
        Self {
            sign: Text::new("FRAMELIFT"),
            small: Text::new("OPEN DAILY 9:00-17:30"),
            rolling: rolling.map(Text::new).into(),
        }
    }

    /// The picture shown at `time`, drawn for `size`.
    pub(crate) fn draw(&self, size: Size, time: Timestamp, duration_ticks: i64) -> Frame {
        let (width, height) = (size.width as usize, size.height as usize);
        let mut planes: [Vec<u16>; 3] = std::array::from_fn(|_| vec![0; width * height]);
        let bands = std::thread::available_parallelism().map_or(1, usize::from);
        let rows = height.div_ceil(bands).max(1);
        let t = time.seconds() as f32;
        let unit = 1.0 / height as f32;
        let draw_band = |first: usize, band: [&mut [u16]; 3]| {
            let [red, green, blue] = band;
            for (i, ((r, g), b)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                let x = ((i % width) as f32 + 0.5 - width as f32 / 2.0) * unit;
                let y = ((first + i / width) as f32 + 0.5 - height as f32 / 2.0) * unit;
                let color = if f64::from(t) < CUT_S { self.wall(x, y, t, unit) } else { self.star(x, y, t, unit) };
                [*r, *g, *b] = color.map(|v| (v.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16);
            }
        };
        let [red, green, blue] = &mut planes;
        let step = rows * width;
        std::thread::scope(|scope| {
            let chunks = red.chunks_mut(step).zip(green.chunks_mut(step)).zip(blue.chunks_mut(step));
            for (n, ((r, g), b)) in chunks.enumerate() {
                let draw_band = &draw_band;
                scope.spawn(move || draw_band(n * rows, [r, g, b]));
            }
        });
        let planes = planes.map(|samples| Plane::new(size, samples).unwrap_or_else(|| Plane::filled(size, 0)));
        Frame::new(planes, time, duration_ticks).unwrap_or_else(|| Frame::black(size, time, duration_ticks))
    }

    /// The first shot. `x` and `y` from the centre in picture heights, `unit` the height of a pixel.
    fn wall(&self, x: f32, y: f32, t: f32, unit: f32) -> Rgb {
        let (px, py) = (x + 0.11 * t, y + 0.02 * (t * 2.1).sin());
        let mut color = bricks(px, py, unit);
        let (sx, sy) = (px + 0.52, py + 0.29);
        let board = inside(sx, 1.06, unit) * inside(sy, 0.30, unit);
        color = mix(color, [0.93, 0.90, 0.80], board);
        let rim = board * (1.0 - inside(sx - 0.012, 1.036, unit) * inside(sy - 0.012, 0.276, unit));
        color = mix(color, [0.15, 0.25, 0.45], rim);
        color = mix(color, [0.10, 0.12, 0.20], self.sign.ink(sx - 0.09, sy - 0.045, 0.105, unit));
        color = mix(color, [0.55, 0.10, 0.08], self.small.ink(sx - 0.10, sy - 0.205, 0.042, unit));
        // The ball rolls the other way and hides what is behind it.
        let (bx, by) = (x + 0.75 - 0.55 * t, y - 0.27);
        let radius = bx.hypot(by);
        let turned = by.atan2(bx) - 0.55 * t / 0.16;
        let stripe = soft((turned * 7.0).sin() * radius / 7.0, unit);
        let shade = 1.0 - 0.45 * ((bx + by) / 0.32 + 0.3).clamp(0.0, 1.0);
        let paint = mix([0.95, 0.75, 0.15], [0.75, 0.12, 0.15], stripe).map(|v| v * shade);
        mix(color, paint, soft(0.16 - radius, unit))
    }

    /// The second shot.
    fn star(&self, x: f32, y: f32, t: f32, unit: f32) -> Rgb {
        let t = t - CUT_S as f32;
        let ramp = 0.25 + 0.3 * (x + 0.9) / 1.8 + 0.05 * (y * 6.0).sin();
        let mut color = [ramp, ramp * 0.97, ramp * 1.04];
        let (sx, sy) = (x + 0.42, y);
        let radius = sx.hypot(sy);
        let angle = sy.atan2(sx) + 0.22 * t;
        let spokes = 56.0;
        // Spokes fade to grey where they are finer than two pixels.
        let fine = (radius * std::f32::consts::TAU / spokes / unit / 4.0).clamp(0.0, 1.0);
        let spoke = 0.5 + (soft((angle * spokes).sin() * radius / spokes, unit) - 0.5) * fine * fine;
        color = mix(color, [spoke * 0.9 + 0.05; 3], soft(0.40 - radius, unit));
        for (i, line) in self.rolling.iter().enumerate() {
            let (lx, ly) = (x - 0.06, y - 0.48 + 0.16 * t - i as f32 * 0.105);
            color = mix(color, [0.97, 0.97, 0.90], line.ink(lx, ly + 0.3, 0.03 + 0.004 * (i % 3) as f32, unit));
        }
        color
    }
}

impl Text {
    /// How much of the pixel at the point is covered, for capitals of `height`.
    fn ink(&self, x: f32, y: f32, height: f32, unit: f32) -> f32 {
        let stroke = (0.075 * height).max(0.8 * unit);
        soft(stroke - self.distance(x / height, y / height) * height, unit)
    }
}

/// 1 where `distance` is inside (positive), 0 outside, a ramp of about a pixel and a half between.
fn soft(distance: f32, unit: f32) -> f32 {
    let t = (distance / (1.5 * unit) + 0.5).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 where `v` is between 0 and `length`.
fn inside(v: f32, length: f32, unit: f32) -> f32 {
    soft(v, unit) * soft(length - v, unit)
}

fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

fn bricks(x: f32, y: f32, unit: f32) -> Rgb {
    const LENGTH: f32 = 0.19;
    const COURSE: f32 = 0.072;
    const JOINT: f32 = 0.007;
    let course = (y / COURSE).floor();
    let shifted = x + if course.rem_euclid(2.0) < 1.0 { 0.0 } else { LENGTH / 2.0 };
    let brick = (shifted / LENGTH).floor();
    let (u, v) = (shifted - brick * LENGTH, y - course * COURSE);
    let body = soft(u.min(LENGTH - u) - JOINT / 2.0, unit) * soft(v.min(COURSE - v) - JOINT / 2.0, unit);
    let tone = hash(brick as i32, course as i32);
    let grain = 0.10 * (noise(x / 0.012, y / 0.012) - 0.5)
        + 0.12 * (noise(x / 0.0055 + 7.0, y / 0.0055) - 0.5)
        + 0.08 * (noise(x / 0.05, y / 0.03 + 3.0) - 0.5);
    let clay = [0.52 + 0.16 * tone, 0.25 + 0.10 * tone, 0.19 + 0.06 * tone];
    let mortar = [0.66, 0.64, 0.60];
    mix(mortar, clay, body).map(|channel| channel + grain)
}

/// Value noise with a grid of 1, in 0 to 1.
fn noise(x: f32, y: f32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let fade = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (fade(x - fx), fade(y - fy));
    let (ix, iy) = (fx as i32, fy as i32);
    let top = hash(ix, iy) + (hash(ix + 1, iy) - hash(ix, iy)) * tx;
    let bottom = hash(ix, iy + 1) + (hash(ix + 1, iy + 1) - hash(ix, iy + 1)) * tx;
    top + (bottom - top) * ty
}

/// A number in 0 to 1 for each grid point, the same on every machine.
fn hash(x: i32, y: i32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    (h ^ (h >> 15)) as f32 / u32::MAX as f32
}
