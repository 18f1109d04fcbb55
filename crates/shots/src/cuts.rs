//! Where a film cuts.

use std::collections::VecDeque;
use std::sync::Arc;

use av_scenechange::{Rational32, SceneChangeDetector, SceneDetectionSpeed};
use framelift_frame::{Frame, Size};
use v_frame::chroma::ChromaSubsampling;

use crate::luma::{Luma, luma, luma_size};

/// Finds where shots begin, while frames pass through.
pub struct CutDetector {
    detector: SceneChangeDetector<u8>,
    luma_size: Size,
    /// The frame before the first that waits.
    before: Option<Arc<Luma>>,
    waiting: VecDeque<(Frame, Arc<Luma>)>,
    /// Number of the first frame that waits.
    number: usize,
    shot_start: usize,
}

impl CutDetector {
    /// How many frames past a frame are seen before it is known whether it begins a shot.
    pub const LOOKAHEAD: usize = 5;

    /// A detector for a film of frames of `size`.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let luma_size = luma_size(size);
        let detector = SceneChangeDetector::new(
            (luma_size.width as usize, luma_size.height as usize),
            8,
            Rational32::new(1, 25),
            ChromaSubsampling::Monochrome,
            Self::LOOKAHEAD,
            SceneDetectionSpeed::Standard,
            0,
            usize::MAX,
        );
        Self { detector, luma_size, before: None, waiting: VecDeque::new(), number: 0, shot_start: 0 }
    }

    /// Takes the next frame; gives back the frames that are known now, in order, each with whether it begins a shot.
    pub fn push(&mut self, frame: Frame) -> Vec<(Frame, bool)> {
        let Some(small) = luma(&frame, self.luma_size) else { return Vec::new() };
        self.waiting.push_back((frame, small));
        if self.waiting.len() > Self::LOOKAHEAD { self.decide().into_iter().collect() } else { Vec::new() }
    }

    /// The frames that still wait.
    #[must_use]
    pub fn finish(mut self) -> Vec<(Frame, bool)> {
        std::iter::from_fn(|| self.decide()).collect()
    }

    fn decide(&mut self) -> Option<(Frame, bool)> {
        let begins = match &self.before {
            None => true,
            Some(before) => {
                let last = self.waiting.back().map(|(_, small)| small)?;
                let mut set: Vec<&Arc<Luma>> =
                    std::iter::once(before).chain(self.waiting.iter().map(|(_, l)| l)).collect();
                // Past the end the film stands still.
                set.resize(Self::LOOKAHEAD + 2, last);
                let (cut, _) = self.detector.analyze_next_frame(&set, self.number, self.shot_start);
                cut
            }
        };
        let (frame, small) = self.waiting.pop_front()?;
        if begins {
            self.shot_start = self.number;
        }
        self.before = Some(small);
        self.number += 1;
        Some((frame, begins))
    }
}
