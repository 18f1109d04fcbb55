//! The windows of a shot: a pure function of its length.
//!
//! A shot is parted into bodies, whose results are kept; each is seen with a context before and after it, whose
//! results are discarded. Counts are in frames, positions count from the shot's first frame.

use std::ops::Range;

/// The consecutive frames of a shot that a network sees at once: context, body, context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// First frame seen; the context before the body is `first..body.start`.
    pub first: u64,
    /// The frames whose results are kept.
    pub body: Range<u64>,
    /// One past the last frame seen; the context after the body is `body.end..end`.
    pub end: u64,
}

impl Window {
    /// How many frames are seen.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.end - self.first
    }

    /// The body, counted from the first frame seen.
    #[must_use]
    pub fn keep(&self) -> Range<u64> {
        self.body.start - self.first..self.body.end - self.first
    }
}

/// The rule by which shots are parted.
///
/// With `rest` frames of the shot not yet in a body: up to `body` of them are the last body; if they are so few
/// more that a body of full length would leave less than [`Grid::look_ahead`] for the last, two bodies share them
/// evenly; otherwise the next body has full length. Whether a body has full length is thus known as soon as
/// the frames up to `look_ahead` past it are there, and windows can be given out while frames arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    body: u64,
    context: u64,
}

impl Grid {
    /// Bodies of at most `body` frames, contexts of up to `context` frames on either side. A `body` of 0 stands
    /// for one window over the whole shot.
    #[must_use]
    pub const fn new(body: u64, context: u64) -> Self {
        Self { body: if body == 0 { u64::MAX } else { body }, context }
    }

    /// How many frames past a body of full length must be known before its window is.
    ///
    /// At least the context; where that is short, a quarter of a body, so that no shot ends in a window of few
    /// frames.
    #[must_use]
    pub const fn look_ahead(&self) -> u64 {
        let quarter = self.body.div_ceil(4);
        if self.context > quarter { self.context } else { quarter }
    }

    /// The most frames of a shot that wait at a time while its windows are formed: context before, body and look-ahead.
    /// `None` where a window is the whole shot.
    #[must_use]
    pub const fn frames_held(&self) -> Option<u64> {
        match self.body {
            u64::MAX => None,
            body => Some(self.context.saturating_add(body).saturating_add(self.look_ahead())),
        }
    }

    /// The window whose body starts at `start`, when `seen` frames of the shot are there, and whether those are all
    /// it has (`ended`).
    ///
    /// `None` where that needs more frames, or where no frame is left. A window never changes once given: with
    /// every larger `seen` it is the same.
    #[must_use]
    pub fn window(&self, start: u64, seen: u64, ended: bool) -> Option<Window> {
        let rest = seen.checked_sub(start).filter(|rest| *rest > 0)?;
        let whole_body_is_sure = rest >= self.body.saturating_add(self.look_ahead());
        let length = match rest {
            _ if !ended && !whole_body_is_sure => return None,
            rest if rest <= self.body => rest,
            rest if whole_body_is_sure || rest > self.body.saturating_mul(2) => self.body,
            rest => rest.div_ceil(2),
        };
        let body = start..start + length;
        Some(Window {
            first: start.saturating_sub(self.context),
            end: body.end.saturating_add(self.context).min(seen),
            body,
        })
    }

    /// The windows of a shot of `shot_frames` frames, in order.
    pub fn windows(self, shot_frames: u64) -> impl Iterator<Item = Window> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let window = self.window(start, shot_frames, true)?;
            start = window.body.end;
            Some(window)
        })
    }
}

/// The windows of a shot of `shot_frames` frames with bodies of at most `body` frames (0: one for the whole shot)
/// and contexts of up to `context` frames; see [`Grid`] for the rule.
pub fn windows(shot_frames: u64, body: u64, context: u64) -> impl Iterator<Item = Window> {
    Grid::new(body, context).windows(shot_frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies(shot_frames: u64, body: u64, context: u64) -> Vec<u64> {
        windows(shot_frames, body, context).map(|w| w.body.end - w.body.start).collect()
    }

    #[test]
    fn shots_are_parted_by_the_rule() {
        assert_eq!(bodies(0, 100, 15), []);
        assert_eq!(bodies(1, 100, 15), [1]);
        assert_eq!(bodies(100, 100, 15), [100]);
        assert_eq!(bodies(101, 100, 15), [51, 50]);
        assert_eq!(bodies(124, 100, 15), [62, 62]);
        assert_eq!(bodies(125, 100, 15), [100, 25]);
        assert_eq!(bodies(324, 100, 15), [100, 100, 62, 62]);
        assert_eq!(bodies(7, 3, 0), [3, 3, 1]);
        assert_eq!(bodies(9, 2, 30), [2, 2, 2, 2, 1]);
        assert_eq!(bodies(12_345, 0, 15), [12_345]);
    }

    #[test]
    fn contexts_stay_inside_the_shot() {
        let all: Vec<Window> = windows(30, 10, 4).collect();
        assert_eq!(all[0], Window { first: 0, body: 0..10, end: 14 });
        assert_eq!(all[1], Window { first: 6, body: 10..20, end: 24 });
        assert_eq!(all[2], Window { first: 16, body: 20..30, end: 30 });
        assert_eq!((all[1].frames(), all[1].keep()), (18, 4..14));
    }

    fn parameters() -> impl Strategy<Value = (u64, u64, u64)> {
        (0u64..700, prop_oneof![Just(0u64), 1u64..8, 1u64..130], prop_oneof![Just(0u64), 0u64..25, 0u64..300])
    }

    proptest! {
        #[test]
        fn every_frame_is_in_exactly_one_body((frames, body, context) in parameters()) {
            let mut next = 0;
            for window in windows(frames, body, context) {
                prop_assert_eq!(window.body.start, next);
                prop_assert!(window.body.end > window.body.start);
                prop_assert!(body == 0 || window.body.end - window.body.start <= body);
                next = window.body.end;
            }
            prop_assert_eq!(next, frames);
        }

        #[test]
        fn contexts_are_as_long_as_the_shot_allows((frames, body, context) in parameters()) {
            for window in windows(frames, body, context) {
                prop_assert_eq!(window.first, window.body.start.saturating_sub(context));
                prop_assert_eq!(window.end, (window.body.end + context).min(frames));
            }
        }

        #[test]
        fn no_shot_ends_in_a_crumb((frames, body, context) in parameters()) {
            let grid = Grid::new(body, context);
            let lengths = bodies(frames, body, context);
            if let [.., _, last] = lengths[..] {
                prop_assert!(last >= grid.look_ahead().min(body / 2), "{lengths:?}");
            }
        }

        /// Frames arrive one at a time; each window is taken as soon as it is known.
        #[test]
        fn windows_while_frames_arrive_are_those_of_the_whole((frames, body, context) in parameters()) {
            let grid = Grid::new(body, context);
            let mut given = Vec::new();
            let mut start = 0;
            for seen in 1..=frames {
                while let Some(window) = grid.window(start, seen, false) {
                    prop_assert!(window.end <= seen, "a window is given when its frames are there");
                    start = window.body.end;
                    given.push(window);
                }
                if let Some(most) = grid.frames_held() {
                    prop_assert!(seen - start.saturating_sub(context) < most.max(1) + 1, "too many frames wait");
                }
            }
            while let Some(window) = grid.window(start, frames, true) {
                start = window.body.end;
                given.push(window);
            }
            let whole: Vec<Window> = windows(frames, body, context).collect();
            prop_assert_eq!(given, whole);
        }
    }
}
