//! How unlike two small grey pictures are, whatever moved between them and however the light changed.

use crate::luma::Luma;

/// Side of the blocks that are looked for, in pixels of the reduced picture.
const BLOCK_PX: usize = 8;

/// How far a block may have moved, in pixels of the reduced picture.
const REACH_PX: usize = 12;

/// Pixels of the grey picture to a pixel of the reduced one.
const REDUCTION: usize = 4;

/// Activity below which a block counts as flat: 2.5 of 255 steps a pixel on average.
const FLAT: u32 = (BLOCK_PX * BLOCK_PX * 5 / 2) as u32;

/// A grey picture, reduced for comparison.
pub(crate) struct Reduced {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    /// The mean of the block that begins at each place.
    means: Vec<i16>,
}

type Block = [[u8; BLOCK_PX]; BLOCK_PX];

impl Reduced {
    /// Reduces a picture of at least 32 pixels a side.
    pub(crate) fn new(picture: &Luma) -> Self {
        let plane = &picture.y_plane;
        let (width, height) = (plane.width().get() / REDUCTION, plane.height().get() / REDUCTION);
        let mut sums = vec![0u16; width * height];
        for (y, row) in plane.rows().enumerate().take(height * REDUCTION) {
            let sums = &mut sums[y / REDUCTION * width..][..width];
            for (sum, pixels) in sums.iter_mut().zip(row.chunks_exact(REDUCTION)) {
                *sum += pixels.iter().map(|v| u16::from(*v)).sum::<u16>();
            }
        }
        let pixels = sums.iter().map(|sum| (sum / (REDUCTION * REDUCTION) as u16) as u8).collect();
        let mut reduced = Self { width, height, pixels, means: Vec::new() };
        reduced.means = (0..=height - BLOCK_PX)
            .flat_map(|y| (0..=width - BLOCK_PX).map(move |x| (x, y)))
            .map(|(x, y)| mean(&reduced.block(x, y)))
            .collect();
        reduced
    }

    /// How much its pixels differ from those around them: mean deviation of blocks, in steps of 255.
    pub(crate) fn detail(&self) -> f64 {
        let blocks = self.places().map(|(x, y)| deviation(&self.block(x, y), self.mean(x, y)));
        let (count, sum) = blocks.fold((0u64, 0u64), |(count, sum), one| (count + 1, sum + u64::from(one)));
        sum as f64 / (count.max(1) * (BLOCK_PX * BLOCK_PX) as u64) as f64
    }

    /// Mean difference of its pixels to another's of the same size, in steps of 255.
    pub(crate) fn light_difference(&self, other: &Self) -> f64 {
        let sum: u64 = self.pixels.iter().zip(&other.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / self.pixels.len().max(1) as f64
    }

    /// Where the blocks of the picture begin.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = (0..=self.width - BLOCK_PX).step_by(BLOCK_PX);
        let rows = (0..=self.height - BLOCK_PX).step_by(BLOCK_PX);
        rows.flat_map(move |y| columns.clone().map(move |x| (x, y)))
    }

    fn block(&self, x: usize, y: usize) -> Block {
        let row = |dy: usize| {
            let start = (y + dy) * self.width + x;
            let mut row = [0; BLOCK_PX];
            row.copy_from_slice(&self.pixels[start..start + BLOCK_PX]);
            row
        };
        std::array::from_fn(row)
    }

    fn mean(&self, x: usize, y: usize) -> i16 {
        self.means[y * (self.width - BLOCK_PX + 1) + x]
    }
}

/// Whether the share of either picture that is not found in the other ([`unlikeness`]) is at least `share`.
pub(crate) fn unlike(a: &Reduced, b: &Reduced, share: f64) -> bool {
    // What is found nearby is found farther off too.
    [0, REACH_PX / 3].iter().all(|reach_px| missing_in_either(a, b, *reach_px) >= share) && unlikeness(a, b) >= share
}

/// The share of either picture that is not found in the other, the larger: 0 for the same picture moved, over about 0.6
/// for two of different shots, at most 1. Both must have one size.
///
/// Each block is looked for within [`REACH_PX`], its mean aside; what is left of its deviation from the mean
/// counts. A plain picture is found in every other.
pub(crate) fn unlikeness(a: &Reduced, b: &Reduced) -> f64 {
    missing_in_either(a, b, REACH_PX)
}

fn missing_in_either(a: &Reduced, b: &Reduced, reach_px: usize) -> f64 {
    missing(a, b, reach_px).max(missing(b, a, reach_px))
}

fn missing(target: &Reduced, source: &Reduced, reach_px: usize) -> f64 {
    let (mut left, mut all) = (0u64, 0u64);
    for (x, y) in target.places() {
        let (block, mean) = (target.block(x, y), target.mean(x, y));
        let activity = deviation(&block, mean);
        if activity < FLAT {
            continue;
        }
        left += u64::from(activity.min(best_match(&block, mean, (x, y), source, reach_px)));
        all += u64::from(activity);
    }
    left as f64 / (all as f64).max(1.0)
}

/// The least difference of the block to those of `source` within `reach_px` of `place`: every second place, then those
/// around the best.
fn best_match(block: &Block, mean: i16, place: (usize, usize), source: &Reduced, reach_px: usize) -> u32 {
    let last = (source.width - BLOCK_PX, source.height - BLOCK_PX);
    let best_of = |center: (usize, usize), reach: usize, step: usize| {
        let rows = (center.1.saturating_sub(reach)..=(center.1 + reach).min(last.1)).step_by(step);
        let columns = (center.0.saturating_sub(reach)..=(center.0 + reach).min(last.0)).step_by(step);
        let places = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
        let cost = |(x, y): (usize, usize)| difference(block, &source.block(x, y), mean - source.mean(x, y));
        places.map(|place| (cost(place), place)).min().unwrap_or((u32::MAX, center))
    };
    let (coarse, at) = best_of(place, reach_px, 2);
    if reach_px == 0 { coarse } else { coarse.min(best_of(at, 1, 1).0) }
}

fn mean(block: &Block) -> i16 {
    let sum: u32 = block.iter().flatten().map(|v| u32::from(*v)).sum();
    (sum / (BLOCK_PX * BLOCK_PX) as u32) as i16
}

fn deviation(block: &Block, mean: i16) -> u32 {
    block.iter().flatten().map(|v| u32::from((i16::from(*v) - mean).unsigned_abs())).sum()
}

/// Sum of absolute differences of `a` and `b`, whose means differ by `shift`.
fn difference(a: &Block, b: &Block, shift: i16) -> u32 {
    // Eight rows of differences up to 510 stay far within 16 bits.
    let mut sums = [0u16; BLOCK_PX];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let difference = i16::from(*a).wrapping_sub(i16::from(*b)).wrapping_sub(shift);
            *sum = sum.wrapping_add(difference.unsigned_abs());
        }
    }
    sums.iter().map(|sum| u32::from(*sum)).sum()
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU8, NonZeroUsize};

    use v_frame::chroma::ChromaSubsampling;
    use v_frame::frame::FrameBuilder;

    use super::*;

    fn picture(at: impl Fn(usize, usize) -> u8) -> Reduced {
        let (width, height) = (NonZeroUsize::new(320).unwrap(), NonZeroUsize::new(180).unwrap());
        let eight = NonZeroU8::new(8).unwrap();
        let mut picture: Luma = FrameBuilder::new(width, height, ChromaSubsampling::Monochrome, eight).build().unwrap();
        for (y, row) in picture.y_plane.rows_mut().enumerate() {
            row.iter_mut().enumerate().for_each(|(x, value)| *value = at(x, y));
        }
        Reduced::new(&picture)
    }

    /// Cells of random grey, 12 px a side.
    fn cells(seed: u64, x: usize, y: usize) -> u8 {
        let mut n = ((x / 12) as u64) ^ (((y / 12) as u64) << 20) ^ (seed << 40);
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n >> 33) as u8
    }

    fn share(a: &Reduced, b: &Reduced) -> f64 {
        unlikeness(a, b)
    }

    #[test]
    fn motion_and_light_do_not_count() {
        let scene = picture(|x, y| cells(1, x, y));
        let moved = picture(|x, y| cells(1, x + 24, y + 8));
        let darker = picture(|x, y| cells(1, x, y) / 2 + 20);
        let bright = picture(|x, y| cells(1, x, y) / 2 + 120);
        assert_eq!(share(&scene, &scene), 0.0);
        assert!(share(&scene, &moved) < 0.4, "{}", share(&scene, &moved));
        assert!(share(&darker, &bright) < 0.05, "{}", share(&darker, &bright));
        assert!(!unlike(&scene, &moved, 0.5) && !unlike(&darker, &bright, 0.5));
    }

    #[test]
    fn other_scenes_count_and_plain_ones_too() {
        let scene = picture(|x, y| cells(1, x, y));
        let other = picture(|x, y| cells(2, x, y));
        let plain = picture(|_, _| 16);
        assert!(unlike(&scene, &other, 0.5), "{}", share(&scene, &other));
        assert_eq!(share(&scene, &plain), 1.0);
        assert_eq!(share(&plain, &plain), 0.0);
        assert_eq!(plain.detail(), 0.0);
        assert!(scene.detail() > 20.0);
    }
}
