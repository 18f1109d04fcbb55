//! Where a film cuts: hard cuts begin shots; fades, flashes and fast motion do not.
//!
//! Two steps, on grey pictures of at most 320 px a side:
//!
//! 1. `av-scenechange` compares each frame with the one before. Frames where its costs (block difference against the
//!    frame's own detail, and difference of block means) are low are no cuts. Its own verdict is made for placing
//!    key frames: it takes flashes for cuts and misses cuts to pictures full of detail, so only its costs are used.
//! 2. For the frames left, pictures before and after are compared by block matching with the light taken out. Only
//!    where none of the few frames before resembles any of the few frames after does a shot begin: so a flash, after
//!    which the picture from before comes back, is not a cut. A contrast that only grows or only shrinks is a fade.
//!
//! A shot has at least [`CutDetector::MIN_SHOT`] frames; a shorter insert counts as a flash where the picture from
//! before returns, and otherwise the frames after it belong to its shot.

use std::collections::VecDeque;
use std::sync::Arc;

use av_scenechange::{Rational32, SceneChangeDetector, SceneDetectionSpeed, ScenecutResult};
use framelift_frame::{Frame, Size};
use v_frame::chroma::ChromaSubsampling;

use crate::likeness::{Reduced, unlike, unlikeness};
use crate::luma::{Luma, luma, luma_size};

/// Where the cost of predicting a frame from the one before is under this multiple of `av-scenechange`'s threshold,
/// there is no cut.
const COST_FLOOR: f64 = 2.2;

/// Where block means change by less than this many of 255 steps on average, there is no cut.
const MEANS_FLOOR: f64 = 3.0;

/// From this unlikeness on, two pictures are of different shots.
const UNLIKE: f64 = 0.58;

/// From this mean difference of pixels on, in steps of 255, two pictures are of different shots whatever their forms.
const UNLIKE_LIGHT: f64 = 45.0;

/// How much more than the changes next to it a cut changes the forms.
const UNLIKE_PEAK: f64 = 0.12;

/// How many times the changes of light next to it a cut changes the light, where it does not change the forms.
const LIGHT_PEAK: f64 = 2.5;

/// How often comparison begins anew, in frames. It carries motion from frame to frame without end, and a film that is
/// entered in its middle must come to the same cuts.
const RESTART: usize = 64;

/// A side this much poorer in detail than the other may be the dark (or white) end of a fade.
const FADE_CONTRAST: f64 = 0.25;

/// Detail that grows from under this share to the whole within a few frames is being faded in.
const FADE_GROWTH: f64 = 0.6;

/// Finds where shots begin, while frames pass through.
///
/// Any frame size will do: pictures smaller than 64 px a side are enlarged first, and a frame of another size than
/// the film's is compared at the film's. The first frame of a film always begins a shot.
pub struct CutDetector {
    detector: SceneChangeDetector<u8>,
    luma_size: Size,
    /// Pictures of the frames before the first that waits, latest last.
    before: VecDeque<Picture>,
    waiting: VecDeque<(Frame, Picture)>,
    /// Number of the first frame that waits.
    number: usize,
    /// Number of the frame that began the current shot.
    shot_start: usize,
    /// Frames before this one are known to begin no shot, or it does not matter whether they do.
    known: usize,
}

/// What is kept of a frame for comparison.
#[derive(Clone)]
struct Picture {
    grey: Arc<Luma>,
    reduced: Arc<Reduced>,
}

impl CutDetector {
    /// How many frames past a frame are seen before it is known whether it begins a shot.
    pub const LOOKAHEAD: usize = 5;

    /// The least number of frames from one cut to the next.
    pub const MIN_SHOT: usize = 4;

    /// How many frames before a frame must be seen to come to the same cuts from there on as from the film's beginning.
    pub const LEAD: usize = RESTART + Self::MIN_SHOT;

    /// A detector for a film of frames of `size`.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let luma_size = luma_size(size);
        Self {
            detector: comparison(luma_size),
            luma_size,
            before: VecDeque::new(),
            waiting: VecDeque::new(),
            number: 0,
            shot_start: 0,
            known: 0,
        }
    }

    /// A detector for a film that is entered at its frame `first`: it goes on with frame `known`, whose shot began with
    /// frame `shot_start`, as if it had seen the whole film. [`CutDetector::LEAD`] frames must lie between, or all there
    /// are. Frames up to `known` are given back as if they began no shot.
    #[must_use]
    pub fn going_on(size: Size, first: usize, known: usize, shot_start: usize) -> Self {
        Self { number: first, known: known + 1, shot_start, ..Self::new(size) }
    }

    /// Takes the next frame; gives back the frame that is known now, if any, with whether it begins a shot.
    /// Frames come back in order, unchanged, each [`CutDetector::LOOKAHEAD`] frames later.
    #[must_use]
    pub fn push(&mut self, frame: Frame) -> Option<(Frame, bool)> {
        let grey = luma(&frame, self.luma_size);
        let reduced = Arc::new(Reduced::new(&grey));
        self.waiting.push_back((frame, Picture { grey, reduced }));
        if self.waiting.len() > Self::LOOKAHEAD { self.decide() } else { None }
    }

    /// The frames that still wait, in order.
    #[must_use]
    pub fn finish(mut self) -> Vec<(Frame, bool)> {
        std::iter::from_fn(|| self.decide()).collect()
    }

    /// Lets the first frame that waits go.
    fn decide(&mut self) -> Option<(Frame, bool)> {
        let begins_shot = self.begins_shot();
        let (frame, picture) = self.waiting.pop_front()?;
        if begins_shot {
            self.shot_start = self.number;
        }
        self.number += 1;
        self.before.push_back(picture);
        if self.before.len() > Self::MIN_SHOT {
            self.before.pop_front();
        }
        Some((frame, begins_shot))
    }

    fn begins_shot(&mut self) -> bool {
        let is_known = self.number < self.known;
        let (Some(before), Some((_, last))) = (self.before.back(), self.waiting.back()) else { return !is_known };
        if self.number.is_multiple_of(RESTART) {
            self.detector = comparison(self.luma_size);
        }
        let mut set: Vec<&Arc<Luma>> = vec![&before.grey];
        set.extend(self.waiting.iter().map(|(_, picture)| &picture.grey));
        // Past its end the film stands still: cuts near the end are found like all others.
        set.resize(Self::LOOKAHEAD + 2, &last.grey);
        let (_, costs) = self.detector.analyze_next_frame(&set, self.number, self.shot_start.min(self.number));
        if is_known {
            return false;
        }
        costs.is_none_or(|costs| may_cut(&costs))
            && self.number - self.shot_start >= Self::MIN_SHOT
            && !self.resembles()
            && self.stands_out()
            && !self.fades()
    }

    /// Whether a frame before resembles a frame after, over at most [`CutDetector::MIN_SHOT`] frames.
    fn resembles(&self) -> bool {
        (0..Self::MIN_SHOT).any(|after| {
            (1..=Self::MIN_SHOT - after)
                .filter_map(|back| Some((self.back(back)?, self.ahead(after)?)))
                .any(|(before, after)| before.light_difference(after) < UNLIKE_LIGHT && !unlike(before, after, UNLIKE))
        })
    }

    /// Whether the change is clearly larger than those next to it: where the camera shakes, every frame is unlike the one
    /// before.
    fn stands_out(&self) -> bool {
        let (Some(before), Some(after)) = (self.back(1), self.ahead(0)) else { return true };
        let far = [(self.back(2), Some(before)), (Some(after), self.ahead(1))];
        let largest_beside = |difference: fn(&Reduced, &Reduced) -> f64| {
            far.iter().filter_map(|(a, b)| Some(difference((*a)?, (*b)?))).fold(0.0, f64::max)
        };
        before.light_difference(after) > LIGHT_PEAK * largest_beside(Reduced::light_difference)
            || unlikeness(before, after) > largest_beside(unlikeness) + UNLIKE_PEAK
    }

    /// Whether one side is nearly plain and the other's detail grows away from it.
    fn fades(&self) -> bool {
        let detail = |picture: Option<&Reduced>| picture.map_or(0.0, Reduced::detail);
        let near = [detail(self.back(1)), detail(self.ahead(0))];
        let far = [detail(self.back(Self::MIN_SHOT)), detail(self.ahead(Self::MIN_SHOT - 1))];
        let fades_in = near[0] < FADE_CONTRAST * far[1] && near[1] < FADE_GROWTH * far[1];
        let fades_out = near[1] < FADE_CONTRAST * far[0] && near[0] < FADE_GROWTH * far[0];
        fades_in || fades_out
    }

    /// The picture `count` frames before the first that waits.
    fn back(&self, count: usize) -> Option<&Reduced> {
        self.before.get(self.before.len().checked_sub(count)?).map(|picture| &*picture.reduced)
    }

    /// The picture `count` frames after the first that waits; the last of the film past its end.
    fn ahead(&self, count: usize) -> Option<&Reduced> {
        self.waiting.get(count).or_else(|| self.waiting.back()).map(|(_, picture)| &*picture.reduced)
    }
}

/// Compares frames of `size`.
fn comparison(size: Size) -> SceneChangeDetector<u8> {
    SceneChangeDetector::new(
        (size.width as usize, size.height as usize),
        8,
        Rational32::new(1, 25),
        ChromaSubsampling::Monochrome,
        CutDetector::LOOKAHEAD,
        SceneDetectionSpeed::Standard,
        0,
        usize::MAX,
    )
}

/// Whether the costs are high enough for a closer look.
fn may_cut(costs: &ScenecutResult) -> bool {
    costs.inter_cost >= COST_FLOOR * costs.threshold && costs.imp_block_cost >= MEANS_FLOOR
}

#[cfg(test)]
mod tests {
    use framelift_frame::{Plane, TimeBase, Timestamp};

    use super::*;

    /// A frame of scene `scene`, moved by `shift` pixels.
    fn frame(size: Size, scene: usize, shift: usize, number: usize) -> Frame {
        let at = |i: usize| {
            let (x, y) = ((i % size.width as usize + shift) as u64, (i / size.width as usize) as u64);
            let mut n = (x / 12) ^ ((y / 12) << 20) ^ ((scene as u64) << 40);
            n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (n >> 33) as u16
        };
        let plane = Plane::new(size, (0..size.pixels() as usize).map(at).collect()).unwrap();
        let time = Timestamp::new(number as i64, TimeBase::new(1, 25));
        Frame::new([plane.clone(), plane.clone(), plane], time, 1).unwrap()
    }

    /// The frames that begin shots.
    fn cuts(size: Size, frames: impl IntoIterator<Item = Frame>) -> Vec<usize> {
        let mut detector = CutDetector::new(size);
        let mut given = Vec::new();
        for (pushed, frame) in frames.into_iter().enumerate() {
            given.extend(detector.push(frame));
            assert_eq!(given.len(), (pushed + 1).saturating_sub(CutDetector::LOOKAHEAD));
        }
        given.extend(detector.finish());
        assert!(
            given.iter().enumerate().all(|(n, (frame, _))| frame.time.ticks == n as i64),
            "frames keep their order"
        );
        given.iter().enumerate().filter_map(|(n, (_, begins))| begins.then_some(n)).collect()
    }

    fn scenes(size: Size, lengths: &[usize]) -> Vec<Frame> {
        let parts =
            lengths.iter().enumerate().flat_map(|(scene, length)| (0..*length).map(move |shift| (scene, shift)));
        parts.enumerate().map(|(n, (scene, shift))| frame(size, scene, shift, n)).collect()
    }

    #[test]
    fn cuts_are_found_up_to_the_last_frames() {
        let size = Size::new(320, 180);
        assert_eq!(cuts(size, scenes(size, &[12, 30, 8, 2])), [0, 12, 42, 50]);
    }

    #[test]
    fn short_films_and_odd_sizes_pass_unharmed() {
        for size in [(1, 1), (8, 8), (7, 3), (33, 21), (16, 400), (65, 63), (1921, 3)].map(|(w, h)| Size::new(w, h)) {
            for count in 0..9 {
                let found = cuts(size, scenes(size, &[count]));
                assert_eq!(found, (0..count.min(1)).collect::<Vec<_>>(), "{count} frames of {size}");
            }
        }
    }

    #[test]
    fn a_frame_of_another_size_or_none_is_no_reason_to_stop() {
        let size = Size::new(64, 64);
        let other = [Size::new(32, 90), Size::new(0, 0), size];
        let frames = (0..12).map(|n| frame(other[n % 3], 0, 0, n));
        assert_eq!(cuts(size, frames).first(), Some(&0));
    }

    #[test]
    fn a_film_entered_in_its_middle_cuts_where_the_whole_does() {
        let size = Size::new(96, 64);
        let film = scenes(size, &[12, 30, 8, 45, 5, 6, 40, 4, 9, 31, 60, 7]);
        let all = cuts(size, film.iter().cloned());
        assert!(all.len() > 8, "{all:?}");
        for enter in 1..film.len() {
            let first = enter.saturating_sub(CutDetector::LEAD);
            let shot_start = all.iter().rev().find(|cut| **cut <= enter).copied().unwrap();
            let mut detector = CutDetector::going_on(size, first, enter, shot_start);
            let mut given: Vec<(Frame, bool)> = Vec::new();
            for frame in &film[first..] {
                given.extend(detector.push(frame.clone()));
            }
            given.extend(detector.finish());
            let found = given.iter().enumerate().filter_map(|(n, (_, begins))| begins.then_some(first + n));
            let due: Vec<usize> = all.iter().copied().filter(|cut| *cut > enter).collect();
            assert_eq!(found.collect::<Vec<_>>(), due, "entered at {enter}");
        }
    }

    #[test]
    fn inserts_too_short_for_a_shot_are_flashes() {
        let size = Size::new(320, 180);
        let film = |insert: usize| {
            let scene_of = move |n: usize| usize::from((20..20 + insert).contains(&n));
            (0..50).map(move |n| frame(size, scene_of(n), n, n))
        };
        for insert in 1..CutDetector::MIN_SHOT {
            assert_eq!(cuts(size, film(insert)), [0], "{insert} frames");
        }
        assert_eq!(cuts(size, film(6)), [0, 20, 26]);
    }
}
