//! Whether a picture stands still: where it does, a recurrence sees the same pixels again and again, and fine lines can etch
//! themselves in until nothing else is left (docs/windows.md). Shorter windows keep that from showing.
//!
//! Frames are compared in blocks of 16×16 pixels, by the means of the quarters of each, in green. A block with some
//! texture stands still if for most frames its quarters differ from one another as they did 16 frames before:
//! motion, even a slow pan, moves texture through a block; noise, grain and the trembling of compression hardly change means,
//! and changing light changes all quarters alike. Blocks without texture say nothing: bars of a letterbox and clear skies
//! stand still in every shot.

use std::borrow::Borrow;

use framelift_frame::Frame;

/// Side of a block, in pixels.
const BLOCK_PX: usize = 16;

/// Frames between those that are compared.
const GAP_FRAMES: usize = 16;

/// Frames, at least, of which stillness can be told.
const LEAST_FRAMES: usize = 2 * GAP_FRAMES;

/// A step of 8 bits in samples.
const STEP: f32 = 65535.0 / 255.0;

/// Quarters that differ from one another by no more than this otherwise, root mean square, differ as they did.
const SAME: f32 = 1.5 * STEP;

/// A block of this standard deviation has texture.
const TEXTURE: f32 = 4.0 * STEP;

/// Share of the frames in which a block that stands still is as it was.
const STILL_FRAMES: f32 = 0.6;

/// Share of the blocks with texture, and of all blocks, that stand still in a still picture.
const STILL_TEXTURED: f32 = 0.35;
const STILL_ALL: f32 = 0.02;

/// What is kept of a block, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Block {
    /// By how much the mean of each quarter exceeds the block's.
    quarters: [f32; 4],
    /// Standard deviation of the pixels.
    deviation: f32,
}

impl Block {
    /// The block of the quarters' sums and the sum of all squares.
    fn new(sums: [f32; 4], squares: f32) -> Self {
        let pixels = (BLOCK_PX * BLOCK_PX) as f32;
        let mean = sums.iter().sum::<f32>() / pixels;
        let deviation = (squares / pixels - mean * mean).max(0.0).sqrt();
        Self { quarters: sums.map(|sum| sum * 4.0 / pixels - mean), deviation }
    }

    /// Whether the quarters differ from one another as they do in `other`.
    fn is_like(&self, other: &Self) -> bool {
        let squares: f32 = self.quarters.iter().zip(&other.quarters).map(|(a, b)| (a - b) * (a - b)).sum();
        squares <= 4.0 * SAME * SAME
    }
}

/// What is kept of a frame. Pixels beyond the last whole block are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// The blocks of `frame`.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        let green = &frame.planes()[1];
        let (columns, rows) = (green.size().width as usize / BLOCK_PX, green.size().height as usize / BLOCK_PX);
        let mut sums = vec![([0.0f32; 4], 0.0f32); columns * rows];
        for (row, sums) in sums.chunks_exact_mut(columns.max(1)).enumerate() {
            for y in 0..BLOCK_PX {
                let below = y / (BLOCK_PX / 2) * 2;
                let samples = green.row(row * BLOCK_PX + y).chunks_exact(BLOCK_PX);
                for (samples, (quarters, squares)) in samples.zip(&mut *sums) {
                    for (half, samples) in samples.chunks_exact(BLOCK_PX / 2).enumerate() {
                        for value in samples.iter().map(|&sample| f32::from(sample)) {
                            quarters[below + half] += value;
                            *squares += value * value;
                        }
                    }
                }
            }
        }
        Self(sums.into_iter().map(|(quarters, squares)| Block::new(quarters, squares)).collect())
    }

    /// Bytes kept for a frame of so many pixels.
    #[must_use]
    pub const fn bytes(pixels: u64) -> u64 {
        pixels / (BLOCK_PX * BLOCK_PX) as u64 * size_of::<Block>() as u64
    }
}

/// Whether a good part of what has texture in these consecutive frames of one size stands still. Of fewer than
/// 32 frames it is not told.
pub fn stands_still<B: Borrow<Blocks>>(frames: &[B]) -> bool {
    let Some(first) = frames.first().filter(|_| frames.len() >= LEAST_FRAMES) else { return false };
    let compared = (frames.len() - GAP_FRAMES) as f32;
    let all = first.borrow().0.len();
    let (mut textured, mut still) = (0, 0);
    for block in 0..all {
        let of = |frame: &B| frame.borrow().0.get(block).copied().unwrap_or_default();
        let texture = frames.iter().map(|frame| of(frame).deviation).sum::<f32>() / frames.len() as f32;
        if texture < TEXTURE {
            continue;
        }
        textured += 1;
        let same = frames.iter().zip(&frames[GAP_FRAMES..]).filter(|(a, b)| of(a).is_like(&of(b))).count();
        still += usize::from(same as f32 >= STILL_FRAMES * compared);
    }
    still as f32 >= STILL_TEXTURED * textured as f32 && still as f32 > STILL_ALL * all as f32
}

#[cfg(test)]
mod tests {
    use framelift_frame::{Plane, Size, TimeBase, Timestamp};

    use super::*;

    /// A picture of waves and noise, moved by `shift_px`, under bars of a letterbox; `light` from 0 to 1.
    fn frame(shift_px: f32, noise_steps: f32, light: f32, seed: usize) -> Blocks {
        let size = Size::new(128, 96);
        let mut state = (seed as u32).wrapping_mul(747_796_405);
        let samples = (0..96 * 128).map(|i| {
            let (x, y) = ((i % 128) as f32 + shift_px, i / 128);
            if !(16..80).contains(&y) {
                return 0;
            }
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * noise_steps * 1.7;
            let wave = (x / 5.0 + y as f32 / 9.0).sin() * 30.0 + (x / 2.3).cos() * 15.0;
            ((128.0 + light * (wave + noise)) * STEP) as u16
        });
        let plane = Plane::new(size, samples.collect()).unwrap();
        let time = Timestamp::new(0, TimeBase::new(1, 25));
        Blocks::of(&Frame::new([plane.clone(), plane.clone(), plane], time, 1).unwrap())
    }

    fn still(frames: impl Iterator<Item = Blocks>) -> bool {
        stands_still(&frames.collect::<Vec<_>>())
    }

    #[test]
    fn noise_and_passers_by_leave_a_picture_still() {
        assert!(still((0..100).map(|_| frame(0.0, 0.0, 1.0, 0))));
        assert!(still((0..100).map(|n| frame(0.0, 6.0, 1.0, n))));
        // Light that fades.
        assert!(still((0..100).map(|n| frame(0.0, 2.0, 1.0 - n as f32 / 250.0, n))));
        // Something large passes for a while.
        assert!(still((0..100).map(|n| frame(if (40..54).contains(&n) { 9.0 } else { 0.0 }, 2.0, 1.0, n))));
    }

    #[test]
    fn pans_and_pictures_without_texture_do_not_stand_still() {
        for speed in [0.2, 0.5, 1.5, 7.0] {
            assert!(!still((0..100).map(|n| frame(n as f32 * speed, 2.0, 1.0, n))), "{speed} px a frame");
        }
        assert!(!still((0..100).map(|n| frame(0.0, 0.5, 0.0, n))), "nothing to see");
        assert!(!still((0..31).map(|_| frame(0.0, 0.0, 1.0, 0))), "too few to tell");
        assert!(!still(std::iter::empty()));
    }

    #[test]
    fn tiny_frames_have_no_blocks() {
        let time = Timestamp::new(0, TimeBase::new(1, 25));
        let tiny = Blocks::of(&Frame::black(Size::new(15, 15), time, 1));
        assert_eq!(tiny, Blocks(Vec::new()));
        assert!(!still((0..100).map(|_| tiny.clone())));
    }
}
