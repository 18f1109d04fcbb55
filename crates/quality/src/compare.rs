//! Two films in lock-step.

use framelift_frame::{Frame, Size, Timestamp};
use framelift_media::MediaError;

use crate::Film;
use crate::metrics::{Scores, WINDOW_PX};

/// Why two films cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// One of the films cannot be read.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The films differ in size.
    #[error(
        "frame {number}: the reference is {reference}, the output {output}; only films of one size can be compared. Upscale to the reference's size with --size {reference}"
    )]
    Sizes {
        /// Number of the frame, from 0.
        number: u64,
        /// The reference's size.
        reference: Size,
        /// The output's size.
        output: Size,
    },
    /// The films differ in length.
    #[error(
        "the reference has {reference} frames, the output {output}; nothing tells which belong together. Compare films of as many frames"
    )]
    Counts {
        /// Frames of the reference.
        reference: u64,
        /// Frames of the output.
        output: u64,
    },
    /// The border leaves nothing to compare.
    #[error("a crop of {crop_px} px leaves less than 11x11 px of {size}, which SSIM needs. Use a smaller --crop")]
    Crop {
        /// The border.
        crop_px: u32,
        /// The frames' size.
        size: Size,
    },
    /// No frame is left to compare.
    #[error("of {frames} frames, {skip} are skipped at either end, and none is left. Use a smaller --skip")]
    Nothing {
        /// Frames of either film.
        frames: u64,
        /// Frames skipped at either end.
        skip: u64,
    },
}

/// The scores of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameScores {
    /// Number of the frame in its film, from 0.
    pub number: u64,
    /// When the reference shows it.
    pub time: Timestamp,
    /// How close the output comes.
    pub scores: Scores,
}

/// How two films are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    /// Pixels along the border that do not count.
    pub crop_px: u32,
    /// Frames at the beginning, and as many at the end, that do not count.
    pub skip: u64,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The scores of each frame that counts.
    pub frames: Vec<FrameScores>,
    /// Their means; that of PSNR is the mean of the frames' PSNR, as papers give it.
    pub mean: Scores,
}

impl Comparison {
    /// Compares two films, frame by frame in order, whatever their timestamps.
    ///
    /// # Errors
    /// [`CompareError`].
    pub fn run(&self, reference: &mut Film, output: &mut Film) -> Result<Report, CompareError> {
        let mut frames = Vec::new();
        let mut number = 0;
        loop {
            match (reference.next_frame()?, output.next_frame()?) {
                (Some(a), Some(b)) => {
                    let scores = self.scores(number, &a, &b)?;
                    frames.extend(scores.map(|scores| FrameScores { number, time: a.time, scores }));
                    number += 1;
                }
                (None, None) => break,
                (a, b) => {
                    let (reference, output) =
                        (number + rest(reference, a.is_some())?, number + rest(output, b.is_some())?);
                    return Err(CompareError::Counts { reference, output });
                }
            }
        }
        frames.truncate(usize::try_from(number.saturating_sub(2 * self.skip)).unwrap_or(usize::MAX));
        let mean = mean(&frames).ok_or(CompareError::Nothing { frames: number, skip: self.skip })?;
        Ok(Report { frames, mean })
    }

    /// The scores of frame `number`; `None` where it is skipped at the beginning.
    fn scores(&self, number: u64, reference: &Frame, output: &Frame) -> Result<Option<Scores>, CompareError> {
        let size = reference.size();
        if size != output.size() {
            return Err(CompareError::Sizes { number, reference: size, output: output.size() });
        }
        if u64::from(size.width.min(size.height)) < 2 * u64::from(self.crop_px) + WINDOW_PX as u64 {
            return Err(CompareError::Crop { crop_px: self.crop_px, size });
        }
        Ok((number >= self.skip).then(|| Scores::of(reference, output, self.crop_px)))
    }
}

/// How many frames a film still has, one in hand counted.
fn rest(film: &mut Film, in_hand: bool) -> Result<u64, MediaError> {
    let mut count = u64::from(in_hand);
    while film.next_frame()?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn mean(frames: &[FrameScores]) -> Option<Scores> {
    let mean = |of: fn(&Scores) -> f64| frames.iter().map(|f| of(&f.scores)).sum::<f64>() / frames.len() as f64;
    (!frames.is_empty()).then(|| Scores {
        psnr_rgb: mean(|s| s.psnr_rgb),
        ssim_rgb: mean(|s| s.ssim_rgb),
        psnr_y: mean(|s| s.psnr_y),
        ssim_y: mean(|s| s.ssim_y),
    })
}
